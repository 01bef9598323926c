"""GRE by our own data plane, for kernels that have no GRE driver, and for speed where they have.

The tunnel interface is one half of a veth pair; the other half, `<name>-x`, is where packets get
their outer headers and is of no use to anyone else. Outer packets leave by the planned underlay
only, and pass neither netfilter's output hooks nor IPsec policies: GRE inside IPsec needs the
kernel's driver.
"""

import time
from typing import Any

import numpy as np

from bongsu.plan.tunnel import TunnelPlan
from bongsu.system.bpf import layout
from bongsu.system.gre import links, offload, reflection
from bongsu.system.gre.base import GreError, Seat, TunnelCounters
from bongsu.system.gre.links import Link
from bongsu.system.gre.plane import Plane
from bongsu.system.gre.way import pair_of, recursive
from bongsu.system.keepalive.memory import Memory
from bongsu.system.rtnl import Rtnl

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
        self._kernel = Rtnl()
        self._xdp = xdp
        try:
            self._plane = Plane.open(self._kernel)
        except BaseException:
            self._kernel.close()
            raise
        # a process before this one may have lowered any: all are looked at once
        self._lowered = set(self._plane.tunnels())
        self._turned = self._plane.turned_back()

    def create(self, plan: TunnelPlan, underlay_mtu: int | None = None) -> bool:
        """See GreBackend. Also BpfError, when `xdp` is asked for and the driver has none."""
        underlays = underlays_of(self._kernel, plan)
        for underlay in underlays:
            if underlay.type != links.ETHERNET:
                raise GreError(
                    f"{plan.name}: {underlay.name} is not an Ethernet interface",
                    "the ebpf backend sends Ethernet frames; use the kernel backend here",
                )
        record = record_of(plan, underlays, underlay_mtu)
        mtu = int(record["mtu"])
        old = self._plane.tunnel(plan.name)
        owner = self._plane.owner(record)
        if owner not in (None, plan.name):
            raise GreError(
                f"{plan.name}: {owner} has the same ends and key",
                "give one of the two a key of its own",
            )
        device, peer, made = self._pair(plan.name)
        record["device"], record["peer"] = device.index, peer.index
        record["device_mac"], record["peer_mac"] = np.void(device.mac), np.void(peer.mac)
        changed = self._plane.settle(self._kernel, record, old, underlays, xdp=self._xdp) or made
        self._plane.hold_peer(peer.index)
        if self._xdp:
            offload.set_features(device.name, {POLLED: True})
        changed |= links.set_mtu(self._kernel, peer, mtu)
        changed |= links.set_mtu(self._kernel, device, self._device_mtu(record))
        changed |= links.set_up(self._kernel, peer, self._plane.open_line(record))
        changed |= links.set_up(self._kernel, device, True)
        changed |= links.set_addresses(self._kernel, device, plan.addresses, new=made)
        return changed

    def delete(self, name: str) -> bool:
        """See GreBackend."""
        record = self._plane.tunnel(name)
        device, peer = links.several(self._kernel, (name, far(name)))
        if record is not None:
            self._plane.remove(self._kernel, record)
        ours = device is not None and _is_pair(device, peer)
        if device is not None and ours:
            links.remove(self._kernel, device.index)
        return record is not None or ours

    def set_line(self, name: str, up: bool) -> None:
        """See GreBackend. Taking the far half of the pair down takes the carrier of the near."""
        self._set(name, "line_down", not up)

    def hold(self, name: str, held: bool) -> None:
        """See GreBackend."""
        self._set(name, "held", held)

    def line(self, name: str) -> bool:
        """See GreBackend."""
        return not self._plane.states[int(self._record(name)["slot"])]["line_down"]

    def held(self) -> set[str]:
        """See GreBackend."""
        return self._plane.held()

    def recursive(self) -> dict[str, str]:
        """See GreBackend. The data plane has counted what it turned back since the last call; only
        those tunnels' ways are looked up.
        """
        before, self._turned = self._turned, self._plane.turned_back()
        more = set(np.flatnonzero(self._turned > before).tolist())
        if not more:
            return {}
        found = {
            name: pair_of(record)
            for name, record in self._plane.tunnels().items()
            if int(record["slot"]) in more
        }
        return recursive(self._kernel, found, self._plane.devices())

    def reaches(self, name: str) -> bool:
        """See GreBackend."""
        return self._plane.reaches(self._kernel, self._record(name))

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
            device = links.read(self._kernel, int(record["device"]))
            wanted = self._device_mtu(record)
            if links.set_mtu(self._kernel, device, wanted):
                changed[name] = wanted
            if wanted < record["mtu"]:
                lowered.add(name)
        self._lowered = lowered
        return changed

    def keepalive_memory(self) -> Memory:
        """See GreBackend."""
        return self._plane.memory()

    def seats(self) -> dict[str, Seat]:
        """See GreBackend."""
        return self._plane.seats()

    def close(self) -> None:
        """See GreBackend."""
        self._plane.close()
        self._kernel.close()

    def _record(self, name: str) -> np.void:
        record = self._plane.tunnel(name)
        if record is None:
            raise GreError(f"there is no tunnel {name}")
        return record

    def _set(self, name: str, what: str, down: bool) -> None:
        record = self._record(name)
        state = self._plane.states[int(record["slot"])]
        peer = links.read(self._kernel, int(record["peer"]))
        # Data stops before the interface says so, and goes on after.
        if down:
            state[what] = 1
        others = self._plane.open_line(record, besides=what)
        links.set_up(self._kernel, peer, not down and others)
        if not down:
            state[what] = 0

    def _pair(self, name: str) -> tuple[Link, Link, bool]:
        device, peer = links.several(self._kernel, (name, far(name)))
        if device is None and peer is None:
            device, peer = links.add_quiet_pair(self._kernel, name, far(name))
            offload.set_features(name, dict.fromkeys(ONE_LEVEL, False))
            return device, peer, True
        if device is None or peer is None or not _is_pair(device, peer):
            there = name if device is not None else far(name)
            raise GreError(
                f"there is an interface {there} already, and it is no tunnel of ours",
                f"rename or remove it: ip link show {there}",
            )
        return device, peer, False

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


def _is_pair(device: Link, peer: Link | None) -> bool:
    return peer is not None and device.kind == "veth" and device.peer == peer.index


def underlays_of(kernel: Rtnl, plan: TunnelPlan) -> list[Link]:
    """The interfaces that outer packets use, the plan's first one first. Errors: GreError without
    one of them, or if routing is to choose and the kernel will not say what it chooses.
    """
    names = list(dict.fromkeys((plan.underlay, *plan.other_underlays)))
    found = []
    for name, underlay in zip(names, links.several(kernel, names), strict=True):
        if underlay is None:
            raise GreError(f"{plan.name}: there is no underlay interface {name}")
        found.append(underlay)
    if plan.other_underlays and not links.forwards("lo", plan.local.version):
        raise GreError(
            f"{plan.name}: IPv{plan.local.version} forwarding is off, so the data plane cannot ask"
            f" for the way to {plan.remote}",
            f"net.ipv{plan.local.version}.conf.lo.forwarding = 1",
        )
    return found


def record_of(plan: TunnelPlan, underlays: list[Link], underlay_mtu: int | None = None) -> Any:
    """The plan as the data plane has it (layout.TUNNEL); slot and interfaces are yet to fill in.

    Its MTU fits the smallest of the underlays, or `underlay_mtu`.
    """
    underlay = underlays[0]
    room = underlay_mtu or min(each.mtu for each in underlays)
    mtu = min(plan.mtu, room - plan.overhead)
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
    if plan.other_underlays:
        record["flags"] |= layout.ROUTED
    reflection.describe(record, plan)
    return record
