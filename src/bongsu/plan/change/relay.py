"""What becomes of the sessions that a PoP carries for accelerators."""

from collections.abc import Iterator, Mapping

from bongsu.plan.change.fate import Fate, differing
from bongsu.plan.relay import AcceleratorPlan, ListenerPlan, RegionPlan, RelayPlan

_ALL = ("number", "egress", "egress_number", "off_address")
"""What every session of an accelerator hangs on."""


def relay_fates(old: RelayPlan | None, new: RelayPlan | None) -> Iterator[Fate]:
    """One for each accelerator that enters or leaves here, and one for what the PoPs share."""
    before = {item.name: item for item in old.accelerators} if old is not None else {}
    after = {item.name: item for item in new.accelerators} if new is not None else {}
    for name in [*after, *(name for name in before if name not in after)]:
        if name not in before:
            yield Fate("accelerator", name, "added")
        elif name not in after:
            yield Fate("accelerator", name, "removed", ends=True)
        else:
            ended = tuple(_ended(before[name], after[name]))
            other = (key for key in differing(before[name], after[name]) if key not in _ALL)
            why = (*ended, *other)
            yield Fate("accelerator", name, "changed" if why else "kept", bool(ended), why)
    if old is None or new is None:
        if old is not new:
            yield Fate("relay", "relaying", "added" if old is None else "removed")
    elif why := differing(old, new, ("port", "key", "mesh", "peers")):
        yield Fate("relay", "relaying", "changed", why=why)


def _ended(old: AcceleratorPlan, new: AcceleratorPlan) -> Iterator[str]:
    """What ends sessions: all of them, or those of the part that is named."""
    yield from differing(old, new, _ALL)
    regions = {item.name: item for item in new.regions}
    for region in old.regions:
        if _gone(region, regions):
            yield f"region {region.name}"
    listeners = {item.name: item for item in new.listeners}
    for listener in old.listeners:
        later = listeners.get(listener.name)
        if later is None:
            yield f"listener {listener.name}"
        elif listener.protocol != later.protocol or not _covered(listener.ranges, later.ranges):
            yield f"ports of {listener.name}"
        else:
            yield from _endpoints(listener, later)


def _gone(region: RegionPlan, later: Mapping[str, RegionPlan]) -> bool:
    found = later.get(region.name)
    return found is None or bool(differing(region, found, ("address", "node")))


def _covered(old: list[tuple[int, int]], new: list[tuple[int, int]]) -> bool:
    """Whether every port that was there is there still, whatever range it is in."""
    return {p for a, b in old for p in range(a, b + 1)} <= {
        p for a, b in new for p in range(a, b + 1)
    }


def _endpoints(old: ListenerPlan, new: ListenerPlan) -> Iterator[str]:
    stay = {endpoint.address for endpoint in new.endpoints}
    for endpoint in old.endpoints:
        if endpoint.address not in stay:
            yield f"endpoint {endpoint.name} of {old.name}"
