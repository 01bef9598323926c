"""`bongsu demo`: the whole way through in front of the user's eyes, and nothing left behind."""

import time
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bongsu.cli.lab import need_root, show_missing
from bongsu.cli.output import fail, line, out, sentence, working
from bongsu.cli.probe import footer, run_survey, table
from bongsu.cli.source import load_sound
from bongsu.lab.lab import Lab

if TYPE_CHECKING:
    from bongsu.lab.probe.survey import Survey

PROBES = 20
PROBE_INTERVAL_S = 0.05


def demo(
    file: Annotated[
        Path | None, typer.Argument(help="Network file; without it, the anycast example.")
    ] = None,
) -> None:
    """Check, render, raise, probe, kill a PoP, probe again, and take everything down."""
    from bongsu.lab.lifecycle import NAME_LENGTH, raise_lab, remove_lab, settle
    from bongsu.render.bundle import make_bundle

    need_root()
    began = time.monotonic()
    path = file or example("anycast.yaml")

    _step("1. check", f"bongsu check {path.name}")
    source = load_sound(path)
    network = source.loaded.network
    line(f"{len(network.nodes)} nodes, {len(network.tunnels)} tunnels: no errors")

    _step("2. render", f"bongsu render {path.name} -o bundles")
    for name, plan in source.plans.items():
        bundle = make_bundle(plan)
        line(f"{name:8} plan {plan.digest()[:12]}  " + "  ".join(bundle.files))

    _step("3. raise", f"bongsu lab up {path.name}")
    name = f"demo-{network.name}"[:NAME_LENGTH].rstrip("-")
    with working("raising the lab") as status:
        lab = raise_lab(network, path, source.text, name=name, keep=False, progress=status.update)
    try:
        line(
            f"{len(lab.topology.nodes)} nodes with their agents, {len(lab.topology.routers)} BIRDs "
            f"of the Internet, {len(lab.topology.vantages)} vantage points"
        )
        show_missing(settle(lab, 0))
        _show(lab)
    finally:
        with working("taking the lab down"):
            remove_lab(lab.name)
    line(f"\nall of it in {time.monotonic() - began:.0f} s, and nothing is left behind")


def example(name: str) -> Path:
    """A network file that comes with bongsu: in its package, or beside its sources."""
    packaged = Path(str(files("bongsu") / "examples" / name))
    return packaged if packaged.exists() else Path(__file__).parents[3] / "examples" / name


def _show(lab: Lab) -> None:
    from bongsu.lab.fault import bring_in, heal
    from bongsu.lab.lifecycle import SETTLE_WAIT_S, settle
    from bongsu.lab.outage import measure
    from bongsu.lab.probe.survey import sources

    _step("4. probe", "bongsu probe")
    before = _survey(lab)
    victim = _busiest(before)
    if victim is None:
        fail("no vantage point reaches a PoP")

    fault = f"silent-loss:{victim}"
    _step(f"5. {victim} dies without a word", f"bongsu lab fault {fault}")
    target = lab.target(None)
    with working(f"probing every 5 ms while {victim} falls silent"):
        outage = measure(sources(lab, target), lambda: bring_in(lab, fault).at_ns)
    for name, gap in outage.gap_ms.items():
        served = next(look.pop for look in before.looks if look.vantage == name)
        line(f"{name:12} was served by {served or 'none':8} without service for {gap:6.0f} ms")
    line(f"the worst outage lasted {outage.worst_ms:.0f} ms")

    _step("6. probe again", "bongsu probe")
    _survey(lab)

    _step(f"7. {victim} comes back", f"bongsu lab fault --heal {fault}")
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


def _step(title: str, command: str) -> None:
    out.print()
    out.rule(f"[bold]{title}[/]   [dim]$ {command}[/]", align="left")
