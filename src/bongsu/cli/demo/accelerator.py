"""The demo of an accelerator: two gateways and bad Internet, the PoPs between, one of which dies."""

import contextlib
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import typer

from bongsu.cli.demo.step import step
from bongsu.cli.lab import show_missing
from bongsu.cli.output import fail, line, working
from bongsu.lab.lab import Lab
from bongsu.model.base import Address

PROBES, INTERVAL = 300, "10ms"
PROBE_DURING_S = 0.01
OUTAGE_LIMIT_S = 30.0
PATH_WITHIN_S = 30.0


@dataclass(frozen=True)
class Way:
    """What the demo looks at: an accelerated tunnel, the hosts at its ends, and a PoP beside the way."""

    site: str
    headend: Address
    near: str
    """A host at the site."""
    far: str
    entry: str
    egress: str
    third: str | None
    """A PoP that is neither."""


def show_accelerator(lab: Lab) -> None:
    """Steps 4 to 7."""
    from bongsu.lab.fault import bring_in, heal
    from bongsu.lab.lifecycle import SETTLE_WAIT_S, settle
    from bongsu.lab.outage import measure
    from bongsu.lab.probe.survey import sources

    way = _way(lab)
    step("4. the paths between the PoPs", "bongsu show paths")
    with working("measuring them"):
        _wait_for_path(lab, way)
    _look(lab, "paths", way.entry)

    step("5. who goes through", "bongsu show accelerator --sessions")
    _look(lab, "accelerator", way.egress)

    direct, accelerated = f"{way.site},{way.headend}", f"{way.near},{way.far}"
    step("6. the Internet's own way, and ours", f"bongsu compare {direct} {accelerated}")
    _compare(lab, direct, accelerated)

    if way.third is None:
        return
    fault = f"node-kill:{way.third}"
    step(f"7. {way.third} dies", f"bongsu lab fault {fault}")
    before = _associations(lab, way.site)
    with working(f"probing every {PROBE_DURING_S * 1000:g} ms until another path carries"):
        outage = measure(
            sources(lab, lab.topology.hosts[way.far], [way.near]),
            lambda: bring_in(lab, fault).at_ns,
            interval_s=PROBE_DURING_S,
            limit_s=OUTAGE_LIMIT_S,
        )
    line(f"{way.near} was without {way.far} for {outage.worst_ms:,.0f} ms")
    same = _associations(lab, way.site) == before
    line(f"the gateways' IKE SAs: {'the same as before' if same else 'negotiated anew'}")
    _look(lab, "paths", way.entry)
    heal(lab, fault)
    with working(f"waiting for {way.third}"):
        show_missing(settle(lab, SETTLE_WAIT_S))


def _way(lab: Lab) -> Way:
    network = lab.network
    rides = [
        (vpn, tunnel, tunnel.accelerator)
        for vpn in network.vpns.values()
        for tunnel in vpn.tunnels.values()
        if tunnel.accelerator is not None
    ]
    if not rides:
        fail("no VPN tunnel of this file goes through an accelerator", "add `accelerator:` to one")
    vpn, tunnel, name = rides[0]
    item = network.accelerators[name]
    region = item.regions[tunnel.region or next(iter(item.regions))]
    ends = (region.node, item.egress.node)
    hosts = network.lab.hosts.items() if network.lab is not None else ()
    near = next((host for host, place in hosts if place.node == vpn.site), None)
    far = next((host for host, place in hosts if place.cloud == vpn.cloud), None)
    if near is None or far is None:
        fail("the demo needs a host at the site and one in the cloud", "add two to lab.hosts")
    plans = lab.plans.items()
    others = (node for node, plan in plans if plan.relay is not None and node not in ends)
    return Way(vpn.site, tunnel.headend, near, far, *ends, next(others, None))


def _wait_for_path(lab: Lab, way: Way) -> None:
    """A better path is taken once the window is full; if there is none, the wait is for nothing."""
    if way.third is None:
        return
    deadline = time.monotonic() + PATH_WITHIN_S
    while time.monotonic() < deadline:
        events = lab.agent(way.entry).call("events")
        if any((event["kind"], event["subject"]) == ("path", way.egress) for event in events):
            return
        time.sleep(0.2)


def _associations(lab: Lab, site: str) -> dict[str, list[str]]:
    """The SPIs of each tunnel's IKE SA."""
    return {
        one["name"]: sorted(str(value) for key, value in one["ike"].items() if "spi" in key)
        for one in lab.agent(site).call("vpn")["tunnels"]
        if one["ike"] is not None
    }


def _compare(lab: Lab, direct: str, accelerated: str) -> None:
    from bongsu.cli.path.compare import compare_runs

    with tempfile.TemporaryDirectory(prefix="bongsu-demo-") as directory:
        compare_runs(
            direct,
            accelerated,
            lab=lab.name,
            count=PROBES,
            interval=INTERVAL,
            out_directory=Path(directory),
        )


def _look(lab: Lab, what: str, node: str) -> None:
    from bongsu.cli.show.accelerator import accelerator
    from bongsu.cli.show.paths import paths

    # What is down is what is to be seen here: no reason to end the demo.
    with contextlib.suppress(typer.Exit):
        if what == "paths":
            paths(lab=lab.name, node=node)
        else:
            accelerator(lab=lab.name, node=node, sessions=True)
