"""One look at a target from everywhere: loss, RTT, AS path, and the PoP that was entered.

Everywhere is every vantage point; in a lab without any, every other host.

Which PoP was entered is proved twice: the path shows a router whose address belongs to the PoP, and
the PoP's own counter of packets that entered grows by what was sent that way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

from bongsu.lab.lab import Lab
from bongsu.lab.probe.path import Path, trace
from bongsu.lab.probe.pinger import Pinger, Series, Source
from bongsu.lab.state import LabError
from bongsu.model.base import Address


@dataclass(frozen=True)
class Look:
    """What one vantage point sees. Times in milliseconds; None where nothing was answered."""

    vantage: str
    """A vantage point or a host."""
    city: str
    asn: int | None
    """None for a host."""
    as_path: tuple[int, ...]
    """Nearest AS first; empty without a route."""
    pop: str | None
    """The PoP on the path, or None."""
    hops: tuple[str | None, ...]
    sent: int
    lost: int
    min_ms: float | None
    avg_ms: float | None
    max_ms: float | None
    stddev_ms: float | None

    @property
    def loss(self) -> float:
        """Share of probes lost."""
        return self.lost / self.sent if self.sent else 0.0


@dataclass(frozen=True)
class Survey:
    """All looks at one target."""

    target: Address
    looks: tuple[Look, ...]
    counted: dict[str, int]
    """Packets that entered each PoP for its tunnels during the survey, by the PoP's own counter."""
    proved: bool
    """Each PoP counted every probe that was answered by way of it. Without PoPs, some were answered."""


def sources(lab: Lab, target: Address, names: list[str] | None = None) -> list[Source]:
    """Probe sources at these vantage points and hosts.

    Without names at every vantage point, or where there is none at every other host of the family.
    """
    known = lab.source_names()
    if names is None:
        names = list(lab.topology.vantages) or [
            name
            for name, address in lab.topology.hosts.items()
            if address.version == target.version and address != target
        ]
    if unknown := [name for name in names if name not in known]:
        raise LabError(
            f"no vantage point or host {', '.join(unknown)}", hint="known: " + ", ".join(known)
        )
    found = []
    for name in names:
        address = lab.source_address(name, target.version)
        if address is None:
            raise LabError(f"{name} has no IPv{target.version}")
        found.append(Source(name, lab.paths.netns(name), address, target))
    return found


def survey(
    lab: Lab,
    target: Address,
    *,
    vantages: list[str] | None = None,
    count: int = 20,
    interval_s: float = 0.05,
    progress: Callable[[int], None] = lambda _done: None,
) -> Survey:
    """Probe the target `count` times from every vantage point, then walk the paths."""
    probe = sources(lab, target, vantages)
    before = lab.entered()
    pinger = Pinger(probe, interval_s, count).start()
    while pinger.running(0.1):
        progress(pinger.done())
    series = pinger.wait()
    after = lab.entered()
    paths = trace(probe)
    looks = tuple(_look(lab, one, path) for one, path in zip(series, paths, strict=True))
    counted = {pop: after[pop] - before.get(pop, 0) for pop in after}
    answered = dict.fromkeys(counted, 0)
    for look in looks:
        if look.pop is not None:
            answered[look.pop] = answered.get(look.pop, 0) + look.sent - look.lost
    proved = all(counted.get(pop, 0) >= number for pop, number in answered.items())
    if not lab.pops():
        return Survey(target, looks, counted, any(look.lost < look.sent for look in looks))
    return Survey(target, looks, counted, proved and any(answered.values()))


def _look(lab: Lab, series: Series, path: Path) -> Look:
    name = series.source.name
    lab_spec = lab.network.lab
    vantage = name in lab.topology.vantages
    city = lab_spec.vantages[name].city if lab_spec and vantage else ""
    rtt = [ns / 1e6 for ns in series.rtt_ns if ns >= 0]
    average = sum(rtt) / len(rtt) if rtt else None
    return Look(
        vantage=name,
        city=city,
        asn=lab.topology.routers[name].asn if vantage else None,
        as_path=lab.as_path(name, series.source.target) if vantage else (),
        pop=next((pop for hop in path.hops if hop and (pop := lab.pop_of(hop))), None),
        hops=tuple(str(hop) if hop else None for hop in path.hops),
        sent=len(series.sent_ns),
        lost=series.lost,
        min_ms=min(rtt, default=None),
        avg_ms=average,
        max_ms=max(rtt, default=None),
        stddev_ms=sqrt(sum((x - average) ** 2 for x in rtt) / len(rtt)) if average else None,
    )
