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
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from bongsu.plan.tunnel import TunnelPlan
from bongsu.system.bpf import layout
from bongsu.system.gre import links
from bongsu.system.gre.base import GreError, Seat, TunnelCounters
from bongsu.system.gre.ebpf import record_of, underlays_of
from bongsu.system.gre.links import Link
from bongsu.system.gre.plane import Plane
from bongsu.system.gre.way import pair_of, recursive, ways
from bongsu.system.keepalive.memory import Memory
from bongsu.system.rtnl import Rtnl, RtnlError

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
"""Tunnels whose path MTU one `refresh` asks for, in turn."""
ROUTED = 512
"""Tunnels whose ways one `recursive` asks for, in turn: some 10 us each."""

_DROPS = {
    "tx_error": ("tx_errors",),
    "tx_dropped": ("tx_dropped",),
    "tx_no_route": ("tx_carrier_errors",),
    "tx_recursive": ("collisions",),
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
        except (NetlinkError, RtnlError) as error:
            raise GreError(f"{method.__name__}: the kernel refused: {error}") from error

    return translated


class KernelBackend:
    """GreBackend by ip_gre and ip6_gre."""

    name = "kernel"

    def __init__(self) -> None:
        self._kernel = Rtnl()
        self._turn = self._looked = 0
        self._recursive: dict[str, str] = {}
        try:
            self._ipr = IPRoute()
            try:
                self._plane = Plane.open(self._kernel)
            except BaseException:
                self._ipr.close()
                raise
        except BaseException:
            self._kernel.close()
            raise

    @_told
    def create(self, plan: TunnelPlan, underlay_mtu: int | None = None) -> bool:
        """See GreBackend."""
        underlays = underlays_of(self._kernel, plan)
        old = self._plane.tunnel(plan.name, driver=True)
        record = record_of(plan, underlays, underlay_mtu)
        record["flags"] |= layout.KEEPALIVE_ONLY
        owner = self._plane.owner(record)
        if owner not in (None, plan.name):
            raise GreError(
                f"{plan.name}: {owner} has the same ends and key",
                "give one of the two a key of its own",
            )
        device, made = self._driver(plan, underlays[0])
        # no other half: the interface stands for itself where tunnels are listed
        record["device"] = record["peer"] = device.index
        changed = self._plane.settle(self._kernel, record, old, underlays, xdp=False) or made
        changed |= links.set_mtu(self._kernel, device, self._device_mtu(record))
        changed |= links.set_addresses(self._kernel, device, plan.addresses)
        changed |= links.set_up(self._kernel, device, self._plane.open_line(record))
        return changed

    @_told
    def delete(self, name: str) -> bool:
        """See GreBackend."""
        record = self._plane.tunnel(name, driver=True)
        device = links.find(self._kernel, name)
        if record is not None:
            self._plane.remove(self._kernel, record)
        ours = device is not None and device.kind in ("gre", "ip6gre")
        if device is not None and ours:
            links.remove(self._kernel, device.index)
        return record is not None or ours

    @_told
    def set_line(self, name: str, up: bool) -> None:
        """See GreBackend. The interface is taken down; keepalives do not need it."""
        self._set(name, "line_down", not up)

    @_told
    def hold(self, name: str, held: bool) -> None:
        """See GreBackend."""
        self._set(name, "held", held)

    @_told
    def held(self) -> set[str]:
        """See GreBackend."""
        return self._plane.held()

    @_told
    def recursive(self) -> dict[str, str]:
        """See GreBackend. A tunnel's turn comes every (tunnels / ROUTED) calls. The driver drops
        what would enter the tunnel itself; what enters another one is only found here.
        """
        routed = {
            name: pair_of(record)
            for name, record in self._plane.tunnels(driver=True).items()
            if record["flags"] & layout.ROUTED
        }
        names = sorted(routed)
        self._looked = 0 if self._looked >= len(names) else self._looked
        turn = names[self._looked : self._looked + ROUTED]
        self._looked += ROUTED
        asked = {name: routed[name] for name in turn}
        there = recursive(self._kernel, asked, self._plane.devices())
        kept = {n: into for n, into in self._recursive.items() if n in routed and n not in asked}
        self._recursive = kept | there
        return dict(self._recursive)

    @_told
    def reaches(self, name: str) -> bool:
        """See GreBackend."""
        return self._plane.reaches(self._kernel, self._record(name))

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
            device = links.read(self._kernel, int(record["device"]))
            wanted = self._device_mtu(record)
            if links.set_mtu(self._kernel, device, wanted):
                changed[name] = wanted
        return changed

    def keepalive_memory(self) -> Memory:
        """See GreBackend."""
        return self._plane.memory()

    @_told
    def seats(self) -> dict[str, Seat]:
        """See GreBackend."""
        return self._plane.seats(driver=True)

    def close(self) -> None:
        """See GreBackend."""
        self._plane.close()
        self._ipr.close()
        self._kernel.close()

    def _record(self, name: str) -> np.void:
        record = self._plane.tunnel(name, driver=True)
        if record is None:
            raise GreError(f"there is no tunnel {name}")
        return record

    def _set(self, name: str, what: str, down: bool) -> None:
        record = self._record(name)
        state = self._plane.states[int(record["slot"])]
        device = links.read(self._kernel, int(record["device"]))
        if down:
            state[what] = 1
        others = self._plane.open_line(record, besides=what)
        links.set_up(self._kernel, device, not down and others)
        if not down:
            state[what] = 0

    def _driver(self, plan: TunnelPlan, underlay: Link) -> tuple[Link, bool]:
        kind = "gre" if plan.local.version == 4 else "ip6gre"
        wanted = driver_settings(plan, underlay.index)
        device = links.find(self._kernel, plan.name)
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
        made = links.find(self._kernel, plan.name)
        assert made is not None
        if device is None:
            links.no_slaac(self._kernel, made)
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
        # Of a packet that our program drops the driver has heard nothing.
        drops = Counter(drops) + Counter(ours.drops)
        return TunnelCounters(
            rx_packets=stats["rx_packets"],
            rx_bytes=stats["rx_bytes"],
            tx_packets=stats["tx_packets"],
            tx_bytes=stats["tx_bytes"],
            keepalives_reflected=ours.keepalives_reflected,
            keepalives_received=ours.keepalives_received,
            drops=dict(drops),
        )

    def _path_mtu(self, record: Any) -> int:
        # The driver heeds what the underlay says, and keeps it with the route to the peer.
        mtu = int(record["mtu"])
        routed = record["flags"] & layout.ROUTED
        by = None if routed else int(record["underlay"])
        (way,) = ways(self._kernel, [pair_of(record)], by)
        return min(mtu, way.mtu - int(record["overhead"])) if way and way.mtu else mtu

    def _device_mtu(self, record: Any) -> int:
        return max(self._path_mtu(record), min(links.IPV6_MIN_MTU, int(record["mtu"])))


def driver_settings(plan: TunnelPlan, underlay: int) -> dict[str, Any]:
    """The driver's settings by netlink attribute, as they are written and read back.

    A tunnel that routing carries is bound to no interface.
    """
    flags = GRE_KEY if plan.key is not None else 0
    link = 0 if plan.other_underlays else underlay
    common = {"LINK": link, "LOCAL": str(plan.local), "REMOTE": str(plan.remote)}
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
