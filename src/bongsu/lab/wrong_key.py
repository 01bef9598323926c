"""A pre-shared key that somebody mistyped at a site: one tunnel's end has another key than the cloud.

The production way: the agent is given a bundle in which that tunnel, and no other, refers to another
key, and what was agreed with the right one is ended. So the fault outlives daemons and power cuts.
"""

import secrets
import time
from collections.abc import Iterable

from bongsu.lab.lab import Lab
from bongsu.lab.member import inhabitants, write_bundle
from bongsu.lab.state import LabError, read_record
from bongsu.lab.vpn_fault import IKE_DAEMONS
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render.bundle import make_bundle
from bongsu.system import netns
from bongsu.system.run import run

KIND = "wrong-key"
BUNDLE = "/run/bongsu/bundle"
KEYS = "run/bongsu/wrong-key"
"""Where a node finds the wrong keys, below its directory in the lab; there it is below its root."""
WHACK = ("/usr/libexec/ipsec/whack", "--ctlsocket", "/run/pluto/pluto.ctl")
COMMAND_S = 10.0
"""Longer than a daemon that is busy negotiating takes for an answer."""


def give(lab: Lab, name: str, plan: NodePlan) -> int:
    """Have the tunnel's site use another key; CLOCK_MONOTONIC ns when it had taken effect.

    `plan` is what the site carries out without this fault. LabError if there is no such tunnel, it
    has no key, or its site is down.
    """
    _tunnel(lab, name)
    path = lab.paths.node(plan.node) / KEYS / f"{name}.psk"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    # Of a kind and strength that every cloud takes: it is wrong, and nothing else.
    path.write_text(f"Wrong{secrets.token_hex(16)}\n")
    try:
        _apply(lab, with_wrong_keys(plan, [name]))
    except BaseException:
        write_bundle(make_bundle(plan), plan.node, lab.paths)
        path.unlink()
        raise
    _end(lab, plan.node, name)
    return time.monotonic_ns()


def take_back(lab: Lab, name: str, plan: NodePlan) -> None:
    """Have it use its own key again; its agent calls at once. `plan` as for `give`."""
    _tunnel(lab, name)
    _apply(lab, plan)
    (lab.paths.node(plan.node) / KEYS / f"{name}.psk").unlink(missing_ok=True)


def site_of(lab: Lab, name: str) -> str:
    """The node at the site's end of a tunnel. LabError if no such tunnel has a pre-shared key."""
    return _tunnel(lab, name)[0]


def in_effect(lab: Lab, node: str) -> list[str]:
    """Tunnels of this site that have a wrong key now."""
    record = read_record(lab.name)
    faults = [] if record is None else list(record.faults)
    names = {tunnel.name for tunnel in lab.plans[node].vpns} if node in lab.network.nodes else set()
    meant = [where for kind, _, where in (fault.partition(":") for fault in faults) if kind == KIND]
    return [name for name in meant if name in names]


def with_wrong_keys(plan: NodePlan, tunnels: Iterable[str]) -> NodePlan:
    """The plan with another key for each of these tunnels."""
    wrong = {name: f"file:/{KEYS}/{name}.psk" for name in tunnels}
    if not wrong:
        return plan
    vpns = [
        tunnel.model_copy(update={"psk": wrong[tunnel.name]}) if tunnel.name in wrong else tunnel
        for tunnel in plan.vpns
    ]
    return plan.model_copy(update={"vpns": vpns})


def _tunnel(lab: Lab, name: str) -> tuple[str, VpnTunnelPlan]:
    found = {
        tunnel.name: (node, tunnel) for node in lab.network.nodes for tunnel in lab.plans[node].vpns
    }
    keyed = [name for name, (_, tunnel) in found.items() if tunnel.psk is not None]
    hint = "tunnels with a key: " + (", ".join(keyed) or "none")
    if name not in found:
        raise LabError(f"no IPsec tunnel {name} in the lab", hint=hint)
    if name not in keyed:
        raise LabError(f"{name} has certificates, and no pre-shared key", hint=hint)
    return found[name]


def _apply(lab: Lab, plan: NodePlan) -> None:
    if not netns.exists(lab.paths.netns(plan.node)):
        raise LabError(f"{plan.node} is down", hint="bongsu lab status shows the faults in effect")
    write_bundle(make_bundle(plan), plan.node, lab.paths)
    lab.agent(plan.node).call("apply", bundle=BUNDLE)


def _end(lab: Lab, node: str, name: str) -> None:
    """End what was agreed, inside the node's namespaces: with the right key, it would last for hours."""
    backend = lab.agent(node).call("vpn")["backend"]
    daemon = next((p for p in inhabitants([lab.paths.netns(node)]) if p.name in IKE_DAEMONS), None)
    if daemon is None:
        return  # its agent starts it, and it knows nothing
    command: tuple[str, ...] = ("swanctl", "--terminate", "--ike", name, "--force")
    if backend == "libreswan":
        command = (*WHACK, "--name", name, "--terminate")
    elif backend == "libipsec":
        command += ("--uri", f"unix:///run/bongsu/libipsec/{name}.vici")
    enter = ("nsenter", "--target", str(daemon.pid), "--mount", "--net")
    run([*enter, *command], check=False, timeout_s=COMMAND_S)
