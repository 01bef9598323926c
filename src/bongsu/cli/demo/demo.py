"""`bongsu demo`: check, render, raise, show, break, take down; and nothing left behind."""

import time
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from bongsu.cli.demo.accelerator import show_accelerator
from bongsu.cli.demo.anycast import show_anycast
from bongsu.cli.demo.step import step
from bongsu.cli.demo.vpn import show_vpn
from bongsu.cli.lab import need_root, show_missing
from bongsu.cli.output import line, working
from bongsu.cli.source import load_sound
from bongsu.lab.lab import Lab

EXAMPLES = {
    "anycast": "anycast.yaml",
    "vpn": "hybrid-vpn.yaml",
    "accelerator": "accelerated-vpn.yaml",
}


def demo(
    which: Annotated[
        str,
        typer.Argument(
            metavar="[anycast|vpn|accelerator|FILE]", help="An example, or a network file."
        ),
    ] = "anycast",
) -> None:
    """Check, render, raise, look, break, look again, and take everything down.

    `anycast`: a PoP dies and another serves. `vpn`: a tunnel to a cloud dies and the other carries.
    `accelerator`: two gateways across bad Internet, and our PoPs between them.
    """
    from bongsu.lab.lifecycle import NAME_LENGTH, raise_lab, remove_lab, settle
    from bongsu.render.bundle import make_bundle

    need_root()
    began = time.monotonic()
    path = example(EXAMPLES[which]) if which in EXAMPLES else Path(which)

    step("1. check", f"bongsu check {path.name}")
    source = load_sound(path)
    network = source.loaded.network
    tunnels = len(network.tunnels) + sum(len(vpn.tunnels) for vpn in network.vpns.values())
    nodes = len(network.nodes)
    line(f"{nodes} node{'s' if nodes != 1 else ''}, {tunnels} tunnels: no errors")

    step("2. render", f"bongsu render {path.name} -o bundles")
    for name, plan in source.plans.items():
        bundle = make_bundle(plan)
        line(f"{name:8} plan {plan.digest()[:12]}  " + "  ".join(bundle.files))

    step("3. raise", f"bongsu lab up {path.name}")
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
    return packaged if packaged.exists() else Path(__file__).parents[4] / "examples" / name


def _show(lab: Lab) -> None:
    if lab.network.accelerators:
        show_accelerator(lab)
    elif lab.network.vpns:
        show_vpn(lab)
    else:
        show_anycast(lab)
