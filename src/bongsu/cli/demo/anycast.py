"""The demo of an anycast edge: probe, let the busiest PoP die, probe again, let it come back."""

from typing import TYPE_CHECKING

from bongsu.cli.demo.step import step
from bongsu.cli.lab import show_missing
from bongsu.cli.output import fail, line, out, sentence, working
from bongsu.cli.probe import footer, run_survey, table
from bongsu.lab.lab import Lab

if TYPE_CHECKING:
    from bongsu.lab.probe.survey import Survey

PROBES = 20
PROBE_INTERVAL_S = 0.05


def show_anycast(lab: Lab) -> None:
    """Steps 4 to 7."""
    from bongsu.lab.fault import bring_in, heal
    from bongsu.lab.lifecycle import SETTLE_WAIT_S, settle
    from bongsu.lab.outage import measure
    from bongsu.lab.probe.survey import sources

    step("4. probe", "bongsu probe")
    before = _survey(lab)
    victim = _busiest(before)
    if victim is None:
        fail("no vantage point reaches a PoP")

    fault = f"silent-loss:{victim}"
    step(f"5. {victim} dies without a word", f"bongsu lab fault {fault}")
    target = lab.target(None)
    with working(f"probing every 5 ms while {victim} falls silent"):
        outage = measure(sources(lab, target), lambda: bring_in(lab, fault).at_ns)
    for name, gap in outage.gap_ms.items():
        served = next(look.pop for look in before.looks if look.vantage == name)
        line(f"{name:12} was served by {served or 'none':8} without service for {gap:6.0f} ms")
    line(f"the worst outage lasted {outage.worst_ms:.0f} ms")

    step("6. probe again", "bongsu probe")
    _survey(lab)

    step(f"7. {victim} comes back", f"bongsu lab fault --heal {fault}")
    heal(lab, fault)
    with working("waiting for BGP to settle"):
        missing = settle(lab, SETTLE_WAIT_S)
    show_missing(missing)
    _survey(lab)


def _survey(lab: Lab) -> "Survey":
    result = run_survey(lab, None, count=PROBES, interval_s=PROBE_INTERVAL_S)
    out.print(table(result))
    sentence(footer(result))
    return result


def _busiest(result: "Survey") -> str | None:
    """The PoP that serves most vantage points; the first of equals."""
    served = [look.pop for look in result.looks if look.pop]
    return max(dict.fromkeys(served), key=served.count) if served else None
