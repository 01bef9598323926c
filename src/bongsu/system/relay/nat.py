"""A relay plan as the kernel's NAT: which packets are whose, and the nftables table that says so.

Computed here, loaded elsewhere (bongsu.system.relay.kernel). At an entry, what comes to an accelerated
address goes on to the off address, from the PoP's own; at the egress, what comes from an entry to the
off address goes on to the endpoint, from the off address. Answers go back by connection tracking.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final, Literal

from bongsu.model.base import Address
from bongsu.plan.relay import AcceleratorPlan, ListenerPlan, RegionPlan, RelayPeer, RelayPlan
from bongsu.system.relay.base import RelayError
from bongsu.system.relay.conntrack import Flow
from bongsu.system.relay.tables import digest

FAMILY, TABLE = "inet", "bongsu_relay"
HERE: Final = f"{FAMILY} {TABLE}"
UNREPLIED_S: Final = 30
"""A flow without an answer, or in its first two seconds, is forgotten so soon: the kernel's own figure.
NAT keepalives come every 20 s (RFC 3948 section 4)."""
BASE: Final = ("idle", "arriving", "passing", "leaving")
"""The chains with hooks, in the order in which a packet meets them."""
COUNTED: Final = ("up", "down", "over_up", "over_down", "none")
"""What is counted of an accelerator: each direction, what its bandwidth dropped, what had no endpoint."""
FOREIGN: Final = "foreign"
"""Counts what interfaces that forward for the relay alone were given for somebody else."""
DOORS: Final = {4: "doors4", 6: "doors6"}
SWITCHED: Final = "switched_"
"""An empty chain remembers each setting that was switched on: this, and its name."""
CHECKED: Final = f"""
add table {HERE}
add map {HERE} live {{ type inet_proto : ipv4_addr; }}
add chain {HERE} arriving {{ type nat hook prerouting priority dstnat - 5; }}
add rule {HERE} arriving udp dport {{ 500, 4500 }} dnat ip to meta l4proto map @live
add chain {HERE} leaving {{ type nat hook postrouting priority srcnat - 5; }}
add rule {HERE} leaving ct original ip daddr 192.0.2.1 snat ip to 192.0.2.2
add chain {HERE} passing {{ type filter hook forward priority filter - 10; }}
add rule {HERE} passing limit rate over 1000 bytes/second drop
"""
"""Everything that the kernel has to be able to do."""
TIMED: Final = f"""
add table {HERE}
add ct timeout {HERE} t {{ protocol udp; l3proto ip; policy = {{ unreplied : 10, replied : 300 }}; }}
"""
"""And what is good to have: idle times of its own."""

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Door:
    """Ports by which an accelerator's packets come to this node, and how they are translated."""

    role: Literal["entry", "egress"]
    accelerator: AcceleratorPlan
    listener: ListenerPlan
    address: Address
    """Packets come to here,"""
    sources: frozenset[Address]
    """from these alone; empty: from anybody."""
    ranges: Ranges
    target: Address | None
    """And go on to here; None: to the endpoint that lives."""
    source: Address
    """In the name of this one."""

    @property
    def family(self) -> int:
        return self.address.version

    @property
    def live(self) -> str:
        """The map that has the listener's endpoint."""
        return live_map(self.accelerator.number, self.listener.name)

    def takes(self, flow: Flow) -> bool:
        """Whether the flow's first packet came by here."""
        way = flow.original
        return (
            flow.protocol == self.listener.protocol
            and way.destination == self.address
            and (not self.sources or way.source in self.sources)
            and any(first <= way.port <= last for first, last in self.ranges)
        )

    def translates(self, flow: Flow) -> bool:
        """Whether the flow is translated as the door would do it now. Any endpoint is right."""
        right = self.target is None or flow.reply.source == self.target
        return flow.translated and right and flow.reply.destination == self.source


def live_map(accelerator: int, listener: str) -> str:
    """The name of the map that has a listener's endpoint."""
    return f"live_{accelerator:08x}_{digest(listener):08x}"


def doors(plan: RelayPlan) -> list[Door]:
    """Those of one node; what comes from other PoPs first. Errors: RelayError, for what NAT cannot do."""
    _told_apart(plan.accelerators)
    peers = {peer.number: peer for peer in plan.peers}
    found: list[Door] = []
    for each in plan.accelerators:
        if each.egress_number == plan.number:
            sources = frozenset(_seen(peers, plan, each))
            if sources:
                found += _of(each, "egress", each.off_address, sources, None, each.off_address)
    for each in plan.accelerators:
        for region in each.regions:
            if region.number != plan.number:
                continue
            if each.egress_number == plan.number:
                found += _of(each, "egress", region.address, frozenset(), None, each.off_address)
                continue
            peer = _peer(peers, each.egress_number, each, each.egress)
            source = _speaks(each, region, peer)
            found += _of(each, "entry", region.address, frozenset(), each.off_public, source)
    return found


def _of(
    accelerator: AcceleratorPlan,
    role: Literal["entry", "egress"],
    address: Address,
    sources: frozenset[Address],
    target: Address | None,
    source: Address,
) -> Iterator[Door]:
    for listener in accelerator.listeners:
        ranges = merged(listener.ranges)
        yield Door(role, accelerator, listener, address, sources, ranges, target, source)


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The same ports, in order and each once, as a set of nftables wants them."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)


def _told_apart(accelerators: Sequence[AcceleratorPlan]) -> None:
    """Packets carry no number between the PoPs: what leaves from one address has to differ in ports."""
    taken: dict[tuple[int, Address, str], list[tuple[int, int, str]]] = {}
    for each in accelerators:
        if all(region.number == each.egress_number for region in each.regions):
            continue
        for listener in each.listeners:
            key = (each.egress_number, each.off_address, listener.protocol)
            there = taken.setdefault(key, [])
            for first, last in merged(listener.ranges):
                for low, high, other in there:
                    if first <= high and low <= last:
                        raise RelayError(
                            f"{other} and {each.name} both leave {each.egress} from"
                            f" {each.off_address} by {listener.protocol} {max(first, low)}, and the"
                            " kernel's NAT cannot tell them apart",
                            "an off address for each, or a machine where BPF programs can be loaded",
                        )
                there.append((first, last, each.name))


def _peer(peers: dict[int, RelayPeer], number: int, each: AcceleratorPlan, name: str) -> RelayPeer:
    peer = peers.get(number)
    if peer is None:
        raise RelayError(f"{each.name}: there is no way to {name}")
    if peer.tunnel is not None:
        raise RelayError(
            f"{each.name}: the kernel's NAT goes from uplink to uplink, and {name} is reached by"
            f" {peer.tunnel}",
            "relay: {over: udp}, or a machine where BPF programs can be loaded",
        )
    return peer


def _speaks(each: AcceleratorPlan, region: RegionPlan, peer: RelayPeer) -> Address:
    """As whom an entry speaks to the egress: as itself, or where it has no address of the family
    there, as the accelerated address.
    """
    if peer.local.version == region.address.version:
        return peer.local
    _alone(each, region)
    return region.address


def _seen(peers: dict[int, RelayPeer], plan: RelayPlan, each: AcceleratorPlan) -> Iterator[Address]:
    """The same as the egress sees it, for every entry elsewhere."""
    for region in each.regions:
        if region.number == plan.number:
            continue
        peer = _peer(peers, region.number, each, region.node)
        if peer.remote.version == region.address.version:
            yield peer.remote
        else:
            _alone(each, region)
            yield region.public


def _alone(each: AcceleratorPlan, region: RegionPlan) -> None:
    if [other.address for other in each.regions].count(region.address) > 1:
        raise RelayError(
            f"{each.name}: {region.address} is announced by several PoPs, and between them there is no"
            f" IPv{region.address.version}: answers would come to any of them",
            f"an IPv{region.address.version} address on the uplinks of the PoPs, and no IPv4 there",
        )


def idle(door: Door) -> tuple[str, str]:
    """The name and the content of the timeouts of a door's flows."""
    protocol, seconds = door.listener.protocol, door.listener.idle_s
    l3 = "ip" if door.family == 4 else "ip6"
    policy = (
        f"established : {seconds}"
        if protocol == "tcp"
        else f"unreplied : {min(UNREPLIED_S, seconds)}, replied : {seconds}"
    )
    content = f"protocol {protocol}; l3proto {l3}; policy = {{ {policy} }};"
    return f"{protocol}_{l3}_{seconds}", content


@dataclass
class Standing:
    """What is in our table now, whoever loaded it."""

    there: bool = False
    counters: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Packets and bytes."""
    chains: set[str] = field(default_factory=set)
    timeouts: set[str] = field(default_factory=set)
    live: dict[str, Address | None] = field(default_factory=dict)
    """The endpoint in each of the maps."""
    doors: list[tuple[int, list[Any]]] = field(default_factory=list)
    """IP version and nftables' own words for each element: sources are left out."""

    @property
    def switched(self) -> list[str]:
        """Names of settings that were off before."""
        return sorted(
            name.removeprefix(SWITCHED) for name in self.chains if name.startswith(SWITCHED)
        )

    def had(self, flow: Flow) -> bool:
        """Whether the table's ports were the flow's."""
        way = flow.original
        return flow.translated and any(
            family == way.destination.version
            and ip_address(address) == way.destination
            and protocol == flow.protocol
            and _covers(ports, way.port)
            for family, (address, protocol, ports) in self.doors
        )


def _covers(ports: Any, port: int) -> bool:
    first, last = ports["range"] if isinstance(ports, dict) else (ports, ports)
    return bool(first <= port <= last)


def standing(listed: list[dict[str, Any]]) -> Standing:
    """Read from `nft -j list table`."""
    found = Standing(there=True)
    for item in listed:
        ((kind, what),) = item.items()
        if kind == "counter":
            found.counters[what["name"]] = (what["packets"], what["bytes"])
        elif kind == "chain":
            found.chains.add(what["name"])
        elif kind == "ct timeout":
            found.timeouts.add(what["name"])
        elif kind == "map":
            elements = what.get("elem", [])
            found.live[what["name"]] = ip_address(elements[0][1]) if elements else None
        elif kind == "set" and what["name"] in DOORS.values():
            family = 4 if what["name"] == DOORS[4] else 6
            found.doors += [(family, element["concat"]) for element in what.get("elem", [])]
    return found


def ruleset(
    opened: Sequence[Door],
    accelerators: Sequence[AcceleratorPlan],
    before: Standing,
    *,
    timed: bool,
    guarded: Sequence[str] = (),
    switched: Sequence[str] = (),
) -> str:
    """One transaction for `nft -f` that brings the table to these doors. Counters that stay go on.

    `timed`: the kernel has timeouts for single flows. `guarded`: interfaces that forward what is ours
    and nothing else.
    """
    counters = [FOREIGN, *(counter(what, each) for each in accelerators for what in COUNTED)]
    timeouts = dict(map(idle, opened)) if timed else {}
    maps = {door.live: door.family for door in opened if door.target is None}
    carried = {chain(each): each for each in accelerators}
    by_address = {_by(door.address): door.address for door in opened}
    remembered = [SWITCHED + name for name in switched]
    chains = [*carried, *by_address, *remembered]
    lines = [f"add table {HERE}", f"flush table {HERE}"]
    for family, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        keys = f"{kind} . inet_proto . inet_service"
        lines.append(f"add set {HERE} {DOORS[family]} {{ type {keys}; flags interval; }}")
        lines.append(f"flush set {HERE} {DOORS[family]}")
        elements = _elements(door for door in opened if door.family == family)
        if elements:
            lines.append(f"add element {HERE} {DOORS[family]} {{ {', '.join(elements)} }}")
    lines += [f"add counter {HERE} {name}" for name in counters if name not in before.counters]
    lines += [
        f"add ct timeout {HERE} {name} {{ {content} }}"
        for name, content in timeouts.items()
        if name not in before.timeouts
    ]
    lines += [
        f"add map {HERE} {name} {{ type inet_proto : ipv{family}_addr; }}"
        for name, family in maps.items()
        if name not in before.live
    ]
    lines += [f"add chain {HERE} {name}" for name in chains]
    lines += [
        f"add chain {HERE} idle {{ type filter hook prerouting priority mangle; }}",
        f"add chain {HERE} arriving {{ type nat hook prerouting priority dstnat - 5; }}",
        f"add chain {HERE} passing {{ type filter hook forward priority filter - 10; }}",
        f"add chain {HERE} leaving {{ type nat hook postrouting priority srcnat - 5; }}",
    ]
    for name, each in carried.items():
        lines += [f"add rule {HERE} {name} {words}" for words in _carried(each)]
    lines += [f"add rule {HERE} {words}" for words in _rules(opened, by_address, guarded, timed)]
    lines += [f"delete chain {HERE} {name}" for name in before.chains - {*chains, *BASE}]
    for kind, gone in (
        ("map", before.live.keys() - maps.keys()),
        ("counter", before.counters.keys() - set(counters)),
        ("ct timeout", before.timeouts - timeouts.keys()),
    ):
        lines += [f"delete {kind} {HERE} {name}" for name in gone]
    return "\n".join(lines) + "\n"


def counter(what: str, accelerator: AcceleratorPlan) -> str:
    """The name of one of an accelerator's counters (COUNTED)."""
    return f"{what}_{accelerator.number:08x}"


def chain(accelerator: AcceleratorPlan) -> str:
    """The name of the chain that its packets pass."""
    return f"of_{accelerator.number:08x}"


def follow(name: str, protocol: str, address: Address | None) -> str:
    """The transaction that brings a listener's map to another endpoint, or to none."""
    lines = [f"flush map {HERE} {name}"]
    if address is not None:
        lines.append(f"add element {HERE} {name} {{ {protocol} : {address} }}")
    return "\n".join(lines) + "\n"


def _rules(
    opened: Sequence[Door],
    by_address: dict[str, Address],
    guarded: Sequence[str],
    timed: bool,
) -> Iterator[str]:
    if timed:
        yield "idle ct state != new return"
    for chain_ in ("idle", "arriving") if timed else ("arriving",):
        for family, ip in ((4, "ip"), (6, "ip6")):
            others = f"{ip} daddr . meta l4proto . th dport != @{DOORS[family]}"
            yield f"{chain_} meta nfproto ipv{family} {others} return"
    for door in opened:
        if timed:
            yield f'idle {_comes(door)} ct timeout set "{idle(door)[0]}"'
        to = f"meta l4proto map @{door.live}" if door.target is None else str(door.target)
        yield f"arriving {_comes(door)} dnat {_ip(door)} to {to}"
        if door.target is None:
            # else the machine itself would answer, and the client take it for the endpoint
            yield f"arriving {_comes(door)} counter name {counter('none', door.accelerator)} drop"
    if guarded:
        names = ", ".join(f'"{name}"' for name in guarded)
        foreign = f"iifname {{ {names} }} ct status & dnat == 0"
        yield f"passing meta nfproto ipv4 {foreign} counter name {FOREIGN} drop"
    for each in ("passing", "leaving"):
        yield f"{each} ct status & dnat == 0 return"
    for family, ip in ((4, "ip"), (6, "ip6")):
        jumps = [
            f"{address} : jump {name}"
            for name, address in by_address.items()
            if address.version == family
        ]
        if jumps:
            yield f"passing ct original {ip} daddr vmap {{ {', '.join(jumps)} }}"
    for door in opened:
        yield f"{_by(door.address)} {_came(door)} goto {chain(door.accelerator)}"
        ip = _ip(door)
        at = f"ct original {ip} daddr {door.address}"
        yield f"leaving {at} {_came(door)} snat {ip} to {door.source}"


def _carried(each: AcceleratorPlan) -> Iterator[str]:
    for way, direction in (("up", "original"), ("down", "reply")):
        where = f"ct direction {direction}"
        if each.bandwidth_bps is not None:
            limit = f"limit rate over {max(1, each.bandwidth_bps // 8)} bytes/second"
            yield f"{where} {limit} counter name {counter('over_' + way, each)} drop"
        yield f"{where} counter name {counter(way, each)} accept"


def _comes(door: Door) -> str:
    """Its first packet, before translation."""
    ip = _ip(door)
    source = f"{ip} saddr {{ {_listed(door.sources)} }} " if door.sources else ""
    ports = f"{door.listener.protocol} dport {{ {_ports(door.ranges)} }}"
    return f"{source}{ip} daddr {door.address} {ports}"


def _came(door: Door) -> str:
    """Every packet of what began so, both ways. The address is looked at before."""
    source = f"ct original {_ip(door)} saddr {{ {_listed(door.sources)} }} " if door.sources else ""
    protocol = f"meta l4proto {door.listener.protocol}"
    return f"{source}{protocol} ct original proto-dst {{ {_ports(door.ranges)} }}"


def _elements(opened: Iterable[Door]) -> list[str]:
    ports: dict[tuple[Address, str], list[tuple[int, int]]] = {}
    for door in opened:
        ports.setdefault((door.address, door.listener.protocol), []).extend(door.ranges)
    return [
        f"{address} . {protocol} . {each}"
        for (address, protocol), ranges in ports.items()
        for each in _ports(merged(ranges)).split(", ")
    ]


def _ip(door: Door) -> str:
    return "ip" if door.family == 4 else "ip6"


def _by(address: Address) -> str:
    return f"by_{address.packed.hex()}"


def _listed(addresses: Iterable[Address]) -> str:
    return ", ".join(str(address) for address in sorted(addresses, key=lambda each: each.packed))


def _ports(ranges: Ranges) -> str:
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)
