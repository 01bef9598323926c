"""GRE by our own data plane, for kernels that have no GRE driver, and for speed where they have.

The tunnel interface is one half of a veth pair; the other half, `<name>-x`, is where packets get
their outer headers and is of no use to anyone else. Outer packets leave by the planned underlay
only, and pass neither netfilter's output hooks nor IPsec policies: GRE inside IPsec needs the
kernel's driver.
"""

import time
from typing import Any

import numpy as np
from pyroute2 import IPRoute

from bongsu.plan.tunnel import TunnelPlan
from bongsu.system.bpf import layout
from bongsu.system.gre import links, offload
from bongsu.system.gre.base import GreError, TunnelCounters
from bongsu.system.gre.links import Link
from bongsu.system.gre.plane import Plane

ONE_LEVEL = (
    "tx-gre-segmentation",
    "tx-gre-csum-segmentation",
    "tx-ipxip4-segmentation",
    "tx-ipxip6-segmentation",
    "tx-udp_tnl-segmentation",
    "tx-udp_tnl-csum-segmentation",
)
"""Off on the tunnel interface: an aggregate that is encapsulated already, or came out of a tunnel
and still looks so, is segmented before it gets here. A packet describes one level only."""

POLLED = "rx-gro"
"""On for XDP: a veth that receives by GRO polls, and only then takes what XDP redirects to it."""


class EbpfBackend:
    """GreBackend by tc programs; `xdp` puts decapsulation into the underlay's driver as well.

    XDP pays where packets are small and many and come from a wire. It is off by default: a virtual
    Ethernet interface with XDP gives up segmentation offload, which costs TCP more than XDP saves,
    and XDP cannot see that a neighbour on the same host has left a checksum for hardware to fill
    in (CHECKSUM_PARTIAL), so such packets would be delivered with a wrong one.
    """

    name = "ebpf"

    def __init__(self, *, xdp: bool = False) -> None:
        self._ipr = IPRoute()
        self._xdp = xdp
        try:
            self._plane = Plane.open(self._ipr)
        except BaseException:
            self._ipr.close()
            raise
        # a process before this one may have lowered any: all are looked at once
        self._lowered = set(self._plane.tunnels())

    def create(self, plan: TunnelPlan, underlay_mtu: int | None = None) -> bool:
        """See GreBackend. Also BpfError, when `xdp` is asked for and the driver has none."""
        underlay = underlay_of(self._ipr, plan)
        if underlay.type != links.ETHERNET:
            raise GreError(
                f"{plan.name}: {plan.underlay} is not an Ethernet interface",
                "the ebpf backend sends Ethernet frames; use the kernel backend here",
            )
        mtu = min(plan.mtu, (underlay_mtu or underlay.mtu) - plan.overhead)
        old = self._plane.tunnels().get(plan.name)
        record = record_of(plan, mtu, underlay)
        owner = self._plane.owner(record)
        if owner not in (None, plan.name):
            raise GreError(
                f"{plan.name}: {owner} has the same ends and key",
                "give one of the two a key of its own",
            )
        device, peer, changed = self._pair(plan.name)
        record["device"], record["peer"] = device.index, peer.index
        record["device_mac"], record["peer_mac"] = np.void(device.mac), np.void(peer.mac)
        slot = self._plane.free_slot() if old is None else int(old["slot"])
        record["slot"], record["counters"] = slot, slot * self._plane.cpus
        if old is None or old.tobytes() != record.tobytes():
            self._plane.put(record, old)
            changed = True
        self._plane.hold_underlay(underlay.index, xdp=self._xdp)
        self._plane.hold_peer(peer.index)
        if old is not None and old["underlay"] != record["underlay"]:
            self._plane.release_underlay(self._ipr, int(old["underlay"]))
        if self._xdp:
            offload.set_features(device.name, {POLLED: True})
        line = not self._plane.states[slot]["line_down"]
        changed |= links.set_mtu(self._ipr, peer, mtu)
        changed |= links.set_mtu(self._ipr, device, self._device_mtu(record))
        changed |= links.set_up(self._ipr, peer, line)
        changed |= links.set_up(self._ipr, device, True)
        changed |= links.set_addresses(self._ipr, device, plan.addresses)
        return changed

    def delete(self, name: str) -> bool:
        """See GreBackend."""
        record = self._plane.tunnels().get(name)
        device = links.find(self._ipr, name)
        if record is not None:
            self._plane.remove(record)
        ours = device is not None and device.kind == "veth" and self._is_pair(device)
        if device is not None and ours:
            self._ipr.link("del", index=device.index)
        if record is not None:
            self._plane.release_underlay(self._ipr, int(record["underlay"]))
        return record is not None or ours

    def set_line(self, name: str, up: bool) -> None:
        """See GreBackend. Taking the far half of the pair down takes the carrier of the near."""
        record = self._record(name)
        peer = links.read(self._ipr, int(record["peer"]))
        if not up:
            self._plane.states[int(record["slot"])]["line_down"] = 1
        links.set_up(self._ipr, peer, up)
        if up:
            self._plane.states[int(record["slot"])]["line_down"] = 0

    def line(self, name: str) -> bool:
        """See GreBackend."""
        return not self._plane.states[int(self._record(name)["slot"])]["line_down"]

    def counters(self) -> dict[str, TunnelCounters]:
        """See GreBackend."""
        tunnels = self._plane.tunnels()
        return {name: self._plane.counters(tunnels[name]) for name in sorted(tunnels)}

    def stray(self) -> dict[str, int]:
        """GRE of no tunnel (`unknown`) and outer `fragments`, in packets, all left to the stack."""
        return self._plane.stray()

    def names(self) -> list[str]:
        """See GreBackend."""
        return sorted(self._plane.tunnels())

    def mtu(self, name: str) -> int:
        """See GreBackend."""
        return self._path_mtu(self._record(name))

    def refresh(self) -> dict[str, int]:
        """See GreBackend. Packets that may be fragmented are fragmented by the stack, at the
        interface's MTU; the others were refused by the data plane the moment it knew.
        """
        if not self._plane.learned() and not self._lowered:
            return {}
        changed, lowered = {}, set()
        for name, record in self._plane.tunnels().items():
            device = links.read(self._ipr, int(record["device"]))
            wanted = self._device_mtu(record)
            if links.set_mtu(self._ipr, device, wanted):
                changed[name] = wanted
            if wanted < record["mtu"]:
                lowered.add(name)
        self._lowered = lowered
        return changed

    def close(self) -> None:
        """See GreBackend."""
        self._plane.close()
        self._ipr.close()

    def _record(self, name: str) -> np.void:
        record = self._plane.tunnels().get(name)
        if record is None:
            raise GreError(f"there is no tunnel {name}")
        return record

    def _pair(self, name: str) -> tuple[Link, Link, bool]:
        device, changed = links.find(self._ipr, name), False
        if device is None:
            links.add_quiet_pair(self._ipr, name, far(name))
            offload.set_features(name, dict.fromkeys(ONE_LEVEL, False))
            device, changed = links.find(self._ipr, name), True
        peer = links.find(self._ipr, far(name))
        if device is None or peer is None or not self._is_pair(device):
            raise GreError(
                f"there is an interface {name} already, and it is no tunnel of ours",
                f"rename or remove it: ip link show {name}",
            )
        return device, peer, changed

    def _is_pair(self, device: Link) -> bool:
        peer = links.find(self._ipr, far(device.name))
        return peer is not None and device.kind == "veth" and device.peer == peer.index

    def _path_mtu(self, record: Any) -> int:
        state = self._plane.states[int(record["slot"])]
        learned = int(state["pmtu"])
        if not learned or time.monotonic_ns() >= int(state["pmtu_until"]):
            return int(record["mtu"])
        return min(learned, int(record["mtu"]))

    def _device_mtu(self, record: Any) -> int:
        return max(self._path_mtu(record), min(links.IPV6_MIN_MTU, int(record["mtu"])))


def far(name: str) -> str:
    """The name of the hidden half."""
    return f"{name}-x"


def underlay_of(ipr: IPRoute, plan: TunnelPlan) -> Link:
    """The interface that outer packets use. Errors: GreError without it."""
    underlay = links.find(ipr, plan.underlay)
    if underlay is None:
        raise GreError(f"{plan.name}: there is no underlay interface {plan.underlay}")
    return underlay


def record_of(plan: TunnelPlan, mtu: int, underlay: Link) -> Any:
    """The plan as the data plane has it (layout.TUNNEL); slot and interfaces are yet to fill in."""
    record: Any = np.zeros((), layout.TUNNEL)
    record["local"] = np.void(plan.local.packed.ljust(16, b"\0"))
    record["remote"] = np.void(plan.remote.packed.ljust(16, b"\0"))
    record["underlay"] = underlay.index
    record["mtu"], record["overhead"] = mtu, plan.overhead
    record["family"], record["ttl"] = plan.local.version, plan.ttl
    record["name"] = plan.name.encode()
    if plan.key is not None:
        record["key"] = plan.key
        record["flags"] |= layout.KEYED
    if plan.tos == "inherit":
        record["flags"] |= layout.INHERIT_TOS
    else:
        record["tos"] = plan.tos
    return record
