"""Trying what the file promises: one verdict an assertion, with the evidence for it."""

from dataclasses import dataclass, field

from bongsu.lab.fault import FaultHandle, bring_in, heal
from bongsu.lab.lab import Lab
from bongsu.lab.lifecycle import settle
from bongsu.lab.outage import CALM_S, ServiceNotWholeError, measure
from bongsu.lab.probe.pinger import Pinger, Series
from bongsu.lab.probe.survey import sources, survey
from bongsu.model.assertion import AnyAssertion, Entry, Outage, Path, Reach, Unreachable
from bongsu.model.base import Address

PROBES = 20
ENTRY_PROBES = 5
PROBE_INTERVAL_S = 0.02
OUTAGE_LIMIT_S = 30.0
"""An outage that lasts so long is not over, unless a longer one is allowed."""
OUTAGE_SPARE_S = 5.0
"""Watched beyond what is allowed: how much too long it was is worth knowing."""
SETTLE_S = 90.0
"""After a fault is healed: BGP sessions need their connect delays to come back."""


@dataclass(frozen=True)
class Verdict:
    """Whether an assertion held, and what was seen."""

    passed: bool
    title: str
    evidence: list[str] = field(default_factory=list)


def try_assertion(lab: Lab, assertion: AnyAssertion) -> Verdict:
    """Try one assertion in the lab. The lab is left as it was found: faults are healed."""
    if not _names(lab, assertion):
        return Verdict(
            False,
            title(assertion),
            ["the lab has no vantage point to look from; say `from: [HOST]`"],
        )
    match assertion:
        case Reach():
            return _reach(lab, assertion)
        case Entry():
            return _entry(lab, assertion)
        case Path():
            return _path(lab, assertion)
        case Unreachable():
            return _unreachable(lab, assertion)
        case Outage():
            return _outage(lab, assertion)


def title(assertion: AnyAssertion) -> str:
    """One line that says what is promised."""
    who = "every vantage point" if assertion.from_ == "vantages" else ", ".join(assertion.from_)
    match assertion:
        case Reach():
            text = f"{who} reaches {assertion.to}"
        case Entry():
            text = f"{who} enters at {assertion.pop} for {assertion.to}"
        case Path():
            text = f"{who} sees AS path {_as_text(assertion.as_path)} to {assertion.to}"
        case Unreachable():
            text = f"{who} cannot reach {assertion.to}"
        case Outage():
            text = f"{assertion.fault}: {who} is without {assertion.to} for {assertion.max_ms} ms at most"
            if assertion.then_pop:
                text += f", then enters at {assertion.then_pop}"
    return f"{assertion.says} ({text})" if assertion.says else text


def _names(lab: Lab, assertion: AnyAssertion) -> list[str]:
    return list(lab.topology.vantages) if assertion.from_ == "vantages" else list(assertion.from_)


def _reach(lab: Lab, assertion: Reach) -> Verdict:
    target = lab.target(assertion.to)
    series = _ping(lab, target, _names(lab, assertion))
    evidence, passed = [], True
    for one in series:
        rtt = [ns / 1e6 for ns in one.rtt_ns if ns >= 0]
        average = sum(rtt) / len(rtt) if rtt else None
        ok = one.lost <= assertion.max_loss * len(one.rtt_ns)
        if assertion.max_rtt_ms is not None:
            ok = ok and average is not None and average <= assertion.max_rtt_ms
        passed = passed and ok
        shown = f"{average:.1f} ms" if average is not None else "no answer"
        evidence.append(f"{one.source.name}: {len(rtt)}/{len(one.rtt_ns)} answered, {shown}")
    return Verdict(passed, title(assertion), evidence)


def _entry(lab: Lab, assertion: Entry) -> Verdict:
    names = _names(lab, assertion)
    passed, evidence = _entered_by(lab, lab.target(assertion.to), names, assertion.pop)
    return Verdict(passed, title(assertion), evidence)


def _entered_by(lab: Lab, target: Address, names: list[str], pop: str) -> tuple[bool, list[str]]:
    """Whether all of these enter by the PoP: by the path of each, and by the PoP's own counter."""
    result = survey(lab, target, vantages=names, count=ENTRY_PROBES, interval_s=PROBE_INTERVAL_S)
    evidence = []
    for look in result.looks:
        hops = " ".join(hop or "*" for hop in look.hops)
        evidence.append(f"{look.vantage}: by {look.pop or 'no PoP'} [{hops}], {look.lost} lost")
    counted = ", ".join(f"{name} +{number}" for name, number in result.counted.items())
    evidence.append(f"the PoPs counted {counted}")
    entered = all(look.pop == pop and look.lost < look.sent for look in result.looks)
    return entered and result.proved, evidence


def _path(lab: Lab, assertion: Path) -> Verdict:
    target = lab.target(assertion.to)
    evidence, passed = [], True
    for name in _names(lab, assertion):
        seen = list(lab.as_path(name, target))
        passed = passed and seen == list(assertion.as_path)
        evidence.append(f"{name}: {_as_text(seen) or 'no route'}")
    return Verdict(passed, title(assertion), evidence)


def _unreachable(lab: Lab, assertion: Unreachable) -> Verdict:
    target = lab.target(assertion.to)
    series = _ping(lab, target, _names(lab, assertion), count=5)
    answered = {s.source.name: len(s.rtt_ns) - s.lost for s in series if s.lost < len(s.rtt_ns)}
    evidence = [f"{name}: {number} answers" for name, number in answered.items()]
    evidence = evidence or [f"{sum(len(s.rtt_ns) for s in series)} probes, no answer"]
    return Verdict(not answered, title(assertion), evidence)


def _outage(lab: Lab, assertion: Outage) -> Verdict:
    target = lab.target(assertion.to)
    names = _names(lab, assertion)
    handles: list[FaultHandle] = []

    def inject() -> int:
        handle = bring_in(lab, assertion.fault)
        handles.append(handle)
        return handle.at_ns

    try:
        limit_s = max(OUTAGE_LIMIT_S, assertion.max_ms / 1e3 + OUTAGE_SPARE_S)
        outage = measure(sources(lab, target, names), inject, limit_s=limit_s)
        passed = outage.recovered and outage.worst_ms <= assertion.max_ms
        evidence = [
            f"{name}: {gap:.0f} ms without service, {outage.lost[name]} of {outage.sent[name]} lost"
            for name, gap in outage.gap_ms.items()
        ]
        if not outage.recovered:
            evidence.append(
                f"service was not whole again within {limit_s:.0f} s: never {CALM_S:g} s without a loss"
            )
        elif assertion.then_pop:
            entered, seen = _entered_by(lab, target, names, assertion.then_pop)
            passed = passed and entered
            evidence += [] if entered else seen
        text = f"{title(assertion)}: {outage.worst_ms:.0f} ms"
    except ServiceNotWholeError as error:
        passed, evidence, text = False, [str(error)], title(assertion)
    finally:
        for handle in handles:
            heal(lab, handle.fault)
        missing = settle(lab, SETTLE_S)
    evidence += [f"after healing: {item}" for item in missing]
    return Verdict(passed and not missing, text, evidence)


def _ping(lab: Lab, target: Address, names: list[str], count: int = PROBES) -> list[Series]:
    return Pinger(sources(lab, target, names), PROBE_INTERVAL_S, count).start().wait()


def _as_text(path: list[int]) -> str:
    return " ".join(str(asn) for asn in path)
