"""bgpd's route maps changed while it runs: how much what a session carries counts. No session is reset.

A changed map is applied to what is there by a soft clear (RFC 2918, or what `soft-reconfiguration
inbound` has kept). Blocks; raises OSError, VtyError.
"""

import re
from collections.abc import Collection
from pathlib import Path

from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import CloudPeer, Weak
from bongsu.render.frr.bgp import FAMILIES
from bongsu.render.frr.words import STEP, list_name
from bongsu.system.daemons.frr_vty import VtyError, bgp_neighbors, configure, show
from bongsu.system.daemons.standing import Standing, of_frr

_MAP = re.compile(r"route-map (\S+) permit (\d+)")


def steer(vty: Path, plan: NodePlan, weak: Collection[str]) -> list[str]:
    """Have the sessions of these tunnels count less, and of the others as much as ever; which differed."""
    running = _running(show(vty, "show running-config"))
    peers = [peer for peer in plan.cloud_peers if peer.weak is not None]
    differ = {
        peer.tunnel: peer
        for peer in peers
        if _has(running, peer) != peer.counts(weak=peer.tunnel in weak)
    }
    lines: list[str] = []
    for peer in differ.values():
        lines += _maps(peer, plan.asn, peer.counts(weak=peer.tunnel in weak))
    if lines:
        configure(vty, lines)
    for peer in _standing(vty, list(differ.values())):
        show(vty, f"clear bgp {_family(peer)} {peer.address} soft")
    return list(differ)


def lowered(vty: Path, plan: NodePlan) -> list[str]:
    """Tunnels whose sessions count less now."""
    running = _running(show(vty, "show running-config"))
    return [
        peer.tunnel
        for peer in plan.cloud_peers
        if peer.weak is not None and _has(running, peer) == peer.weak
    ]


def standing(vty: Path, plan: NodePlan) -> dict[str, Standing]:
    """By tunnel whose session stands, what its routes count."""
    found = {}
    for peer in _standing(vty, plan.cloud_peers):
        ask = f"show bgp {_family(peer)} neighbors {peer.address}"
        learned, told = (
            show(vty, f"{ask} {word} json") for word in ("routes", "advertised-routes")
        )
        try:
            found[peer.tunnel] = of_frr(learned, told, plan.asn)
        except ValueError as error:
            raise VtyError(str(error)) from error
    return found


def _maps(peer: CloudPeer, asn: int, wanted: Weak) -> list[str]:
    path = " ".join([str(asn)] * wanted.prepend)
    return [
        f"route-map {list_name(peer, 'IN')} permit {STEP}",
        f"set local-preference {wanted.preference}",
        "exit",
        f"route-map {list_name(peer, 'OUT')} permit {STEP}",
        f"set as-path prepend {path}" if path else "no set as-path prepend",
        "exit",
    ]


def _running(text: str) -> dict[str, list[str]]:
    """The first part of each route map, its lines."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if begins := _MAP.fullmatch(line.strip()):
            lines = []
            if int(begins[2]) == STEP:
                found[begins[1]] = lines
        elif line.startswith(" "):
            lines.append(line.strip())
        else:
            lines = []
    return found


def _has(running: dict[str, list[str]], peer: CloudPeer) -> Weak | None:
    """What a session counts now; None where its maps are not there, or say something else."""
    preference = prepend = None
    for line in running.get(list_name(peer, "IN"), []):
        if found := re.fullmatch(r"set local-preference (\d+)", line):
            preference = int(found[1])
    if (outward := running.get(list_name(peer, "OUT"))) is not None:
        paths = [line.split()[3:] for line in outward if line.startswith("set as-path prepend ")]
        prepend = sum(map(len, paths))
    if preference is None or prepend is None:
        return None
    return Weak(preference=preference, prepend=prepend)


def _standing(vty: Path, peers: list[CloudPeer]) -> list[CloudPeer]:
    if not peers:
        return []
    up = {each.address for each in bgp_neighbors(vty) if each.established}
    return [peer for peer in peers if str(peer.address) in up]


def _family(peer: CloudPeer) -> str:
    return f"{FAMILIES[peer.address.version]} unicast"
