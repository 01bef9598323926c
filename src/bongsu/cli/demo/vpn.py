"""The demo of a site and its cloud: tunnels, sessions, a path that goes silent, and why."""

import contextlib
import time

import typer

from bongsu.cli.demo.step import step
from bongsu.cli.lab import show_missing
from bongsu.cli.output import fail, line, working
from bongsu.lab.lab import Lab
from bongsu.model.base import Address

PROBES = 20
PROBE_INTERVAL_S = 0.05
PROBE_DURING_S = 0.01
OUTAGE_LIMIT_S = 60.0
VERDICT_WITHIN_S = 10.0


def show_vpn(lab: Lab) -> None:
    """Steps 4 to 8."""
    from bongsu.lab.fault import bring_in, heal
    from bongsu.lab.lifecycle import SETTLE_WAIT_S, settle
    from bongsu.lab.outage import measure
    from bongsu.lab.probe.survey import sources

    inside, beyond = _hosts(lab)
    step("4. the tunnels", "bongsu show vpn")
    _look(lab, "vpn")
    step("5. the sessions inside them", "bongsu show bgp")
    _look(lab, "bgp")

    step("6. from one side to the other", f"ping {beyond}, and back")
    for here, there in ((inside, beyond), (beyond, inside)):
        _ping(lab, here, there)

    name, vpn = next(iter(lab.network.vpns.items()))
    active = next(iter(vpn.tunnels))
    fault = f"silent-loss:{active}"
    step(f"7. {active} goes silent", f"bongsu lab fault {fault}")
    target = _address(lab, beyond)
    with working(f"probing every {PROBE_DURING_S * 1000:g} ms until the other tunnel carries"):
        outage = measure(
            sources(lab, target, [inside]),
            lambda: bring_in(lab, fault).at_ns,
            interval_s=PROBE_DURING_S,
            limit_s=OUTAGE_LIMIT_S,
        )
    line(f"{inside} was without {beyond} for {outage.worst_ms:,.0f} ms")
    line(_bound(vpn.bgp.hold_s if vpn.bgp else None, vpn.probe is not None, name))
    with working("waiting for the agent's verdict"):
        _wait_for_verdict(lab, vpn.site, active)
    _look(lab, "vpn", site_only=True)

    step(f"8. {active} comes back", f"bongsu lab fault --heal {fault}")
    heal(lab, fault)
    with working("waiting for IKE and BGP"):
        missing = settle(lab, SETTLE_WAIT_S)
    show_missing(missing)
    _look(lab, "bgp", site_only=True)


def _wait_for_verdict(lab: Lab, site: str, tunnel: str) -> None:
    """What is weak for a moment is no news: a verdict takes seconds, and is given up after some."""
    deadline = time.monotonic() + VERDICT_WITHIN_S
    while time.monotonic() < deadline:
        tunnels = lab.agent(site).call("vpn")["tunnels"]
        if any(one["name"] == tunnel and one["state"] != "up" for one in tunnels):
            return
        time.sleep(0.2)


def _bound(hold_s: int | None, probed: bool, vpn: str) -> str:
    if probed or hold_s is None:
        return "the tunnel's own probes saw it"
    return (
        f"BGP's hold time of {hold_s} s saw it; with `probe: {{interval_ms: 100, misses: 3}}` in "
        f"vpns.{vpn} it is the tunnel's own probes"
    )


def _look(lab: Lab, what: str, *, site_only: bool = False) -> None:
    from bongsu.cli.show.bgp import bgp
    from bongsu.cli.show.vpn import vpn

    # What is down is what is to be seen here: no reason to end the demo.
    with contextlib.suppress(typer.Exit):
        site = next(iter(lab.network.vpns.values())).site if site_only else None
        (vpn if what == "vpn" else bgp)(lab=lab.name, node=site)


def _ping(lab: Lab, here: str, there: str) -> None:
    from bongsu.lab.probe.pinger import Pinger
    from bongsu.lab.probe.survey import sources

    target = _address(lab, there)
    (series,) = Pinger(sources(lab, target, [here]), PROBE_INTERVAL_S, PROBES).start().wait()
    rtt = [ns / 1e6 for ns in series.rtt_ns if ns >= 0]
    average = f"{sum(rtt) / len(rtt):.1f} ms" if rtt else "no answer"
    line(f"{here} -> {there} ({target}): {len(rtt)} of {PROBES} answered, {average}")


def _hosts(lab: Lab) -> tuple[str, str]:
    """A host at a site and one in its cloud."""
    hosts = lab.network.lab.hosts.items() if lab.network.lab is not None else ()
    inside = next((name for name, host in hosts if host.node is not None), None)
    beyond = next((name for name, host in hosts if host.cloud is not None), None)
    if inside is None or beyond is None:
        fail("the demo needs a host at the site and one in the cloud", "add two to lab.hosts")
    return inside, beyond


def _address(lab: Lab, host: str) -> Address:
    return lab.topology.hosts[host]
