"""BIRD's switches thrown while it runs: how much what a session carries counts. No session is reset.

The filters ask a table (bird.conf.j2), and a protocol of its own fills it for each session. What is there
already goes through the filters once more: by a route refresh (RFC 2918), or from the import table that
`soft_reconfiguration` keeps. Blocks; raises OSError, BirdError.
"""

import contextlib
from collections.abc import Collection

from bongsu.plan.node import NodePlan
from bongsu.render.bird.cloud import cloud_protocol, weak_protocol
from bongsu.system.daemons.birdctl import BirdControl, BirdError
from bongsu.system.daemons.standing import Standing, of_bird


def steer(control: BirdControl, plan: NodePlan, weak: Collection[str]) -> list[str]:
    """Have the sessions of these tunnels count less, and of the others as much as ever; which differed."""
    states = {each.name: each for each in control.protocols()}
    differ = []
    for peer in plan.cloud_peers:
        switch = states.get(weak_protocol(peer))
        wanted = peer.tunnel in weak
        if peer.weak is None or switch is None or (switch.state == "up") is wanted:
            continue
        control.ask(f"{'enable' if wanted else 'disable'} {switch.name}")
        differ.append(peer.tunnel)
        session = states.get(cloud_protocol(peer))
        if session is not None and session.established:
            control.ask(f"reload out {session.name}")
            # Refused where the far end sends nothing twice and nothing was kept: `standing` shows it.
            with contextlib.suppress(BirdError):
                control.ask(f"reload in {session.name}")
    return differ


def lowered(control: BirdControl, plan: NodePlan) -> list[str]:
    """Tunnels whose sessions count less now."""
    up = {each.name for each in control.protocols() if each.state == "up"}
    return [peer.tunnel for peer in plan.cloud_peers if weak_protocol(peer) in up]


def standing(control: BirdControl, plan: NodePlan) -> dict[str, Standing]:
    """By tunnel whose session stands, what its routes count."""
    up = {each.name for each in control.protocols() if each.established}
    found = {}
    for peer in plan.cloud_peers:
        session = cloud_protocol(peer)
        if session not in up:
            continue
        learned, told = (_lines(control, f"{way} {session}") for way in ("protocol", "export"))
        found[peer.tunnel] = of_bird(learned, told, plan.asn)
    return found


def _lines(control: BirdControl, query: str) -> list[str]:
    try:
        return [line.text for line in control.ask(f"show route all {query}")]
    except BirdError as error:
        if error.code in (8001, 8003):
            return []
        raise
