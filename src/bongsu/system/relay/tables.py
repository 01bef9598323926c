"""A relay plan as the data plane's tables: computed here, compared and written elsewhere.

Elements of arrays keep their place for as long as what they are about is in the plan: records point
at them. Place 0 is nobody's.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from bongsu.model.base import Address
from bongsu.plan.relay import AcceleratorPlan, ListenerPlan, RelayPlan
from bongsu.system.relay import layout
from bongsu.system.relay.base import RelayError

PROTOCOL = {"udp": 17, "tcp": 6}
PAGES = 65536
"""Pages of 64 ports that all listeners of a node may have, rl_ports."""

T = TypeVar("T")


def digest(name: str) -> int:
    """A listener's name in four bytes; never 0."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "big") or 1


def derived(secret: bytes) -> tuple[int, int]:
    """The two words of the relay's key, from the secret of the network file."""
    whole = hashlib.blake2b(secret, digest_size=16, person=b"bongsu-relay").digest()
    return int.from_bytes(whole[:8], "little"), int.from_bytes(whole[8:], "little")


@dataclass
class Tables:
    """Arrays by place, hashes by key, all as bytes."""

    peers: dict[int, Any] = field(default_factory=dict)
    accelerators: dict[int, Any] = field(default_factory=dict)
    listeners: dict[int, Any] = field(default_factory=dict)
    ends: dict[bytes, bytes] = field(default_factory=dict)
    nodes: dict[bytes, bytes] = field(default_factory=dict)
    addresses: dict[bytes, bytes] = field(default_factory=dict)
    regions: dict[bytes, bytes] = field(default_factory=dict)
    ports: dict[bytes, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Places:
    """Where what is in the plan stands in the arrays."""

    peers: dict[int, int]
    """By node number."""
    accelerators: dict[int, int]
    """By number."""
    listeners: dict[tuple[int, int], int]
    """By the accelerator's place and digest(name)."""


def places(
    plan: RelayPlan,
    peers: npt.NDArray[Any],
    accelerators: npt.NDArray[Any],
    listeners: npt.NDArray[Any],
) -> Places:
    """Keeps those of the arrays as they are now, and finds room for what is new. Errors: RelayError."""
    by_peer = _settle(
        {int(peers[i]["number"]): i for i in np.flatnonzero(peers["number"]).tolist()},
        [peer.number for peer in plan.peers],
        len(peers),
        "PoPs",
    )
    by_accelerator = _settle(
        {
            int(accelerators[i]["number"]): i
            for i in np.flatnonzero(accelerators["number"]).tolist()
        },
        [each.number for each in plan.accelerators],
        len(accelerators),
        "accelerators",
    )
    there = {}
    for i in np.flatnonzero(listeners["accelerator"]).tolist():
        there[int(listeners[i]["accelerator"]), int(listeners[i]["name"])] = i
    wanted = [
        (by_accelerator[each.number], digest(listener.name))
        for each in plan.accelerators
        for listener in each.listeners
    ]
    return Places(by_peer, by_accelerator, _settle(there, wanted, len(listeners), "listeners"))


Key = TypeVar("Key", bound=Hashable)


def _settle(
    there: Mapping[Key, int], wanted: Iterable[Key], size: int, what: str
) -> dict[Key, int]:
    wanted = list(dict.fromkeys(wanted))
    if len(wanted) >= size:
        raise RelayError(f"there are {len(wanted)} {what}, and room for {size - 1}")
    kept = {key: there[key] for key in wanted if key in there}
    # not where something was that goes now: its records may still be looked at
    used = {0, *there.values()}
    free = (i for i in range(1, size) if i not in used)
    for key in wanted:
        if key not in kept:
            place = next(free, None)
            if place is None:
                raise RelayError(
                    f"there is no room for more {what} until the old ones are gone", "apply again"
                )
            kept[key] = place
    return kept


def tables(
    plan: RelayPlan, where: Places, hosted: Callable[[Address], bool], nexts: Mapping[int, int]
) -> Tables:
    """What the plan wants. `hosted`: whether an interface of this machine has the address. `nexts`:
    the PoP, by number, that another one is reached through now. Errors: RelayError.
    """
    made = Tables()
    addresses: dict[Address, int] = {}
    for peer in plan.peers:
        place = where.peers[peer.number]
        record: Any = np.zeros((), layout.PEER)
        record["local"], record["remote"] = layout.packed(peer.local), layout.packed(peer.remote)
        record["number"], record["family"] = peer.number, peer.local.version
        record["next"] = where.peers.get(nexts.get(peer.number, 0), place)
        made.peers[place] = record
        ends: Any = np.zeros((), layout.ENDS)
        ends["local"], ends["remote"] = record["local"], record["remote"]
        made.ends[ends.tobytes()] = _u32(place)
        made.nodes[_u32(peer.number)] = _u32(place)
        addresses[peer.local] = addresses.get(peer.local, 0) | layout.LOCAL
    for accelerator in plan.accelerators:
        _accelerator(made, plan, accelerator, where)
        for region in accelerator.regions:
            if region.number == plan.number:
                flags = layout.REGION | (0 if hosted(region.address) else layout.ALIEN)
                addresses[region.address] = addresses.get(region.address, 0) | flags
        if accelerator.egress_number == plan.number:
            off = accelerator.off_address
            flags = layout.OFF | (0 if hosted(off) else layout.ALIEN)
            addresses[off] = addresses.get(off, 0) | flags
    made.addresses = {
        layout.packed(address).tobytes(): _u32(flags) for address, flags in addresses.items()
    }
    if len(made.ports) > PAGES:
        raise RelayError(
            f"the listeners' port ranges take {len(made.ports)} pages of {layout.PAGE} ports, and"
            f" there is room for {PAGES}"
        )
    return made


def _accelerator(made: Tables, plan: RelayPlan, each: AcceleratorPlan, where: Places) -> None:
    slot = where.accelerators[each.number]
    record: Any = np.zeros((), layout.ACCELERATOR)
    record["number"], record["egress"] = each.number, each.egress_number
    record["off"] = layout.packed(each.off_address)
    if each.bandwidth_bps is not None:
        record["cost"] = max(1, (8 * 10**9 << 16) // each.bandwidth_bps)
    made.accelerators[slot] = record
    leaves = each.egress_number == plan.number
    if leaves:
        for region in each.regions:
            key: Any = np.zeros((), layout.REGION_KEY)
            key["accelerator"], key["node"] = each.number, region.number
            key["address"] = layout.packed(region.address)
            made.regions[key.tobytes()] = _u32(slot)
    entries = [region for region in each.regions if region.number == plan.number]
    for listener in each.listeners:
        place = where.listeners[slot, digest(listener.name)]
        made.listeners[place] = _listener(listener, slot)
        if leaves:
            _ports(made, listener, place, each.number, None)
        for region in entries:
            _ports(made, listener, place, 0, region.address)


def _listener(plan: ListenerPlan, slot: int) -> Any:
    record: Any = np.zeros((), layout.LISTENER)
    record["idle"] = plan.idle_s * 10**9
    record["accelerator"], record["name"] = slot, digest(plan.name)
    record["amplification"] = plan.amplification or 0
    record["protocol"] = PROTOCOL[plan.protocol]
    record["validation"] = layout.VALIDATE[plan.validation]
    if plan.affinity == "client":
        record["flags"] |= layout.AFFINITY_CLIENT
    if plan.repair is not None:
        record["flags"] |= layout.REPAIR
    return record


def _ports(
    made: Tables, listener: ListenerPlan, place: int, accelerator: int, address: Address | None
) -> None:
    for first, last in listener.ranges:
        for page in range(first // layout.PAGE, last // layout.PAGE + 1):
            key: Any = np.zeros((), layout.PAGE_KEY)
            key["accelerator"], key["page"] = accelerator, page
            key["protocol"] = PROTOCOL[listener.protocol]
            if address is not None:
                key["address"] = layout.packed(address)
            raw = key.tobytes()
            ports = np.frombuffer(made.ports.get(raw, bytes(2 * layout.PAGE)), "u2").copy()
            begin = max(first - page * layout.PAGE, 0)
            ports[begin : last - page * layout.PAGE + 1] = place
            made.ports[raw] = ports.tobytes()


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")
