"""GRE by Linux's own driver (ip_gre, ip6_gre), set up to behave as the ebpf backend does.

Our data plane carries nothing here, but it answers keepalives: its program on the underlay sends
the peer's back, whatever state the tunnel interface is in. That is what makes it right to take the
interface down with the line. ip_gre has no carrier to take away (no ndo_change_carrier), and a
`dormant` operational state is seen neither by the routing table nor by BIRD; and a tunnel that is
down does not reflect, so two ends that both took theirs down could never come up again.

IPv4 addresses stay on an interface that is down; IPv6 ones do by keep_addr_on_down. Routes through
it go, and come back with it.
"""

import functools
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from bongsu.plan.tunnel import TunnelPlan
from bongsu.system.bpf import layout
from bongsu.system.gre import links
from bongsu.system.gre.base import GreError, TunnelCounters
from bongsu.system.gre.ebpf import record_of, underlay_of
from bongsu.system.gre.links import Link
from bongsu.system.gre.plane import Plane

GRE_KEY = 0x2000
INHERIT = 1
"""In the kernel's TOS of a tunnel: take the inner packet's (include/uapi/linux/if_tunnel.h)."""
IGNORE_ENCAP_LIMIT = 0x01
"""IP6_TNL_F_IGN_ENCAP_LIMIT: no option in front of the GRE header that a peer may not know."""
USE_INNER_CLASS = 0x02
"""IP6_TNL_F_USE_ORIG_TCLASS."""
SETTABLE = 0xFFFF
"""The flags above are the driver's own notes (IP6_TNL_F_CAP_*), shown but not taken."""
REFRESHED = 64
"""Tunnels whose path MTU one `refresh` asks for, in turn: a question each, some 0.3 ms."""

_DROPS = {
    "tx_error": ("tx_errors",),
    "tx_dropped": ("tx_dropped", "tx_carrier_errors", "collisions"),
    "rx_checksum": ("rx_crc_errors",),
    "rx_sequence": ("rx_fifo_errors",),
    "rx_malformed": ("rx_length_errors",),
    "rx_ecn": ("rx_frame_errors",),
    "rx_dropped": ("rx_dropped",),
}
"""What the driver counts where (ip_tunnel_rcv, ip_tunnel_xmit), under the data plane's names."""


_P = ParamSpec("_P")
_T = TypeVar("_T")


def _told(method: Callable[_P, _T]) -> Callable[_P, _T]:
    """Netlink's refusals become GreErrors: no caller has to know how a tunnel is made."""

    @functools.wraps(method)
    def translated(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return method(*args, **kwargs)
        except NetlinkError as error:
            raise GreError(f"{method.__name__}: the kernel refused: {error}") from error

    return translated


class KernelBackend:
    """GreBackend by ip_gre and ip6_gre."""

    name = "kernel"

    def __init__(self) -> None:
        self._ipr = IPRoute()
        self._turn = 0
        try:
            self._plane = Plane.open(self._ipr)
        except BaseException:
            self._ipr.close()
            raise

    @_told
    def create(self, plan: TunnelPlan, underlay_mtu: int | None = None) -> bool:
        """See GreBackend."""
        underlay = underlay_of(self._ipr, plan)
        mtu = min(plan.mtu, (underlay_mtu or underlay.mtu) - plan.overhead)
        old = self._plane.tunnels(driver=True).get(plan.name)
        record = record_of(plan, mtu, underlay)
        record["flags"] |= layout.KEEPALIVE_ONLY
        owner = self._plane.owner(record)
        if owner not in (None, plan.name):
            raise GreError(
                f"{plan.name}: {owner} has the same ends and key",
                "give one of the two a key of its own",
            )
        device, changed = self._driver(plan, underlay)
        # no other half: the interface stands for itself where tunnels are listed
        record["device"] = record["peer"] = device.index
        slot = self._plane.free_slot() if old is None else int(old["slot"])
        record["slot"], record["counters"] = slot, slot * self._plane.cpus
        if old is None or old.tobytes() != record.tobytes():
            self._plane.put(record, old)
            changed = True
        if underlay.type == links.ETHERNET:
            self._plane.hold_underlay(underlay.index, xdp=False)
        if old is not None and old["underlay"] != record["underlay"]:
            self._plane.release_underlay(self._ipr, int(old["underlay"]))
        changed |= links.set_mtu(self._ipr, device, self._device_mtu(record))
        changed |= links.set_addresses(self._ipr, device, plan.addresses)
        line = not self._plane.states[slot]["line_down"]
        changed |= links.set_up(self._ipr, device, line)
        return changed

    @_told
    def delete(self, name: str) -> bool:
        """See GreBackend."""
        record = self._plane.tunnels(driver=True).get(name)
        device = links.find(self._ipr, name)
        if record is not None:
            self._plane.remove(record)
        ours = device is not None and device.kind in ("gre", "ip6gre")
        if device is not None and ours:
            self._ipr.link("del", index=device.index)
        if record is not None:
            self._plane.release_underlay(self._ipr, int(record["underlay"]))
        return record is not None or ours

    @_told
    def set_line(self, name: str, up: bool) -> None:
        """See GreBackend. The interface is taken down; keepalives do not need it."""
        record = self._record(name)
        device = links.read(self._ipr, int(record["device"]))
        if not up:
            self._plane.states[int(record["slot"])]["line_down"] = 1
        links.set_up(self._ipr, device, up)
        if up:
            self._plane.states[int(record["slot"])]["line_down"] = 0

    @_told
    def line(self, name: str) -> bool:
        """See GreBackend."""
        return not self._plane.states[int(self._record(name)["slot"])]["line_down"]

    @_told
    def counters(self) -> dict[str, TunnelCounters]:
        """See GreBackend. Data by the driver, keepalives and the line by our program."""
        return {
            name: self._counted(record)
            for name, record in sorted(self._plane.tunnels(driver=True).items())
        }

    @_told
    def names(self) -> list[str]:
        """See GreBackend."""
        return sorted(self._plane.tunnels(driver=True))

    @_told
    def mtu(self, name: str) -> int:
        """See GreBackend."""
        return self._path_mtu(self._record(name))

    @_told
    def refresh(self) -> dict[str, int]:
        """See GreBackend. A tunnel's turn comes every (tunnels / REFRESHED) calls."""
        tunnels = sorted(self._plane.tunnels(driver=True).items())
        self._turn = 0 if self._turn >= len(tunnels) else self._turn
        changed = {}
        turn = tunnels[self._turn : self._turn + REFRESHED]
        # Before anything can fail: one tunnel in trouble does not keep the next ones waiting.
        self._turn += REFRESHED
        for name, record in turn:
            device = links.read(self._ipr, int(record["device"]))
            wanted = self._device_mtu(record)
            if links.set_mtu(self._ipr, device, wanted):
                changed[name] = wanted
        return changed

    def close(self) -> None:
        """See GreBackend."""
        self._plane.close()
        self._ipr.close()

    def _record(self, name: str) -> np.void:
        record = self._plane.tunnels(driver=True).get(name)
        if record is None:
            raise GreError(f"there is no tunnel {name}")
        return record

    def _driver(self, plan: TunnelPlan, underlay: Link) -> tuple[Link, bool]:
        kind = "gre" if plan.local.version == 4 else "ip6gre"
        wanted = driver_settings(plan, underlay.index)
        device = links.find(self._ipr, plan.name)
        if device is not None and device.kind != kind:
            raise GreError(
                f"there is an interface {plan.name} already, and it is no {kind} tunnel",
                f"rename or remove it: ip link show {plan.name}",
            )
        if device is not None and self._settings(device, wanted) == wanted:
            return device, False
        arguments = {attribute.removeprefix("IFLA_").lower(): v for attribute, v in wanted.items()}
        try:
            if device is None:
                self._ipr.link("add", ifname=plan.name, kind=kind, **arguments)
            else:
                self._ipr.link("set", index=device.index, kind=kind, **arguments)
        except NetlinkError as error:
            raise GreError(f"{plan.name}: the kernel refused the tunnel: {error}") from error
        made = links.find(self._ipr, plan.name)
        assert made is not None
        if device is None:
            links.no_slaac(self._ipr, made)
            keep = Path(f"/proc/sys/net/ipv6/conf/{plan.name}/keep_addr_on_down")
            if keep.exists():
                keep.write_text("1")
        return made, True

    def _settings(self, device: Link, wanted: dict[str, Any]) -> dict[str, Any]:
        message = self._ipr.link("get", index=device.index)[0]
        data = message.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
        found = {attribute: data.get_attr(attribute) for attribute in wanted}
        plain = {k: v["value"] if hasattr(v, "keys") else v for k, v in found.items()}
        if (flags := plain.get("IFLA_IP6GRE_FLAGS")) is not None:
            plain["IFLA_IP6GRE_FLAGS"] = flags & SETTABLE
        return plain

    def _counted(self, record: np.void) -> TunnelCounters:
        ours = self._plane.counters(record)
        message = self._ipr.link("get", index=int(record["device"]))[0]
        stats = message.get_attr("IFLA_STATS64")
        drops = {why: sum(stats[field] for field in fields) for why, fields in _DROPS.items()}
        drops["rx_line_down"] = ours.drops.get("rx_line_down", 0)
        return TunnelCounters(
            rx_packets=stats["rx_packets"],
            rx_bytes=stats["rx_bytes"],
            tx_packets=stats["tx_packets"],
            tx_bytes=stats["tx_bytes"],
            keepalives_reflected=ours.keepalives_reflected,
            keepalives_received=ours.keepalives_received,
            drops={why: count for why, count in drops.items() if count},
        )

    def _path_mtu(self, record: Any) -> int:
        # The driver heeds what the underlay says, and keeps it with the route to the peer.
        six = record["family"] == 6
        family = socket.AF_INET6 if six else socket.AF_INET
        remote = socket.inet_ntop(family, record["remote"].tobytes()[: 16 if six else 4])
        mtu = int(record["mtu"])
        try:
            route = self._ipr.route("get", dst=remote, family=family, oif=int(record["underlay"]))
        except NetlinkError:
            return mtu  # no way to the peer at all
        metrics = route[0].get_attr("RTA_METRICS")
        learned = metrics.get_attr("RTAX_MTU") if metrics else None
        return min(mtu, learned - int(record["overhead"])) if learned else mtu

    def _device_mtu(self, record: Any) -> int:
        return max(self._path_mtu(record), min(links.IPV6_MIN_MTU, int(record["mtu"])))


def driver_settings(plan: TunnelPlan, underlay: int) -> dict[str, Any]:
    """The driver's settings by netlink attribute, as they are written and read back."""
    flags = GRE_KEY if plan.key is not None else 0
    common = {"LINK": underlay, "LOCAL": str(plan.local), "REMOTE": str(plan.remote)}
    common |= {"IKEY": plan.key or 0, "OKEY": plan.key or 0, "TTL": plan.ttl}
    if plan.local.version == 4:
        tos = INHERIT if plan.tos == "inherit" else plan.tos & 0xFC
        common |= {"IFLAGS": flags, "OFLAGS": flags, "TOS": tos, "PMTUDISC": 1}
        return {f"IFLA_GRE_{name}": value for name, value in common.items()}
    # pyroute2 has these in the machine's order, the kernel in the network's
    common |= {"IFLAGS": socket.htons(flags), "OFLAGS": socket.htons(flags)}
    inherit = plan.tos == "inherit"
    common["FLAGS"] = IGNORE_ENCAP_LIMIT | (USE_INNER_CLASS if inherit else 0)
    common["FLOWINFO"] = 0 if plan.tos == "inherit" else (plan.tos & 0xFC) << 20
    return {f"IFLA_IP6GRE_{name}": value for name, value in common.items()}
