"""Breaking a lab on purpose, and mending it: links, silence, daemons, whole nodes.

Every fault says at which CLOCK_MONOTONIC instant it had taken effect, so that an outage can be
counted from there.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from bongsu.lab import vpn_fault, wrong_key
from bongsu.lab.blueprint import Cable
from bongsu.lab.lab import Lab
from bongsu.lab.lifecycle import link_spec, stand_in, start_one_node
from bongsu.lab.link.links import Links
from bongsu.lab.member import end_inhabitants, inhabitants, runs_agent
from bongsu.lab.state import LabError, read_record, update_record
from bongsu.lab.wiring import configure_ports, make_namespace, plug_into_segment
from bongsu.model.base import Address
from bongsu.plan.node import NodePlan
from bongsu.system import netns
from bongsu.system.run import kill_exact, run

FAULT_TABLE = vpn_fault.FAULT_TABLE
AGENT = "agent"
"""What `daemon-kill:NODE/agent` means by that: as process 1 it takes all that it has started with it."""


@dataclass(frozen=True)
class FaultHandle:
    """A fault in effect."""

    fault: str
    at_ns: int


def bring_in(lab: Lab, fault: str) -> FaultHandle:
    """Bring a fault in. LabError if it names nothing of the lab; then nothing has changed."""
    kind, _, where = fault.partition(":")
    match kind:
        case "link-down":
            at_ns = _each_link(lab, where, lambda links, name: links.down(name))
        case "silent-loss" if where in lab.network.tunnels:
            at_ns = _silence_tunnel(lab, where)
        case "silent-loss" if vpn_fault.is_tunnel(lab, where):
            at_ns = vpn_fault.silence(lab, where)
        case "silent-loss":
            at_ns = _each_link(lab, where, lambda links, name: links.silence(name, True))
        case "daemon-kill":
            at_ns = _kill_daemon(lab, where)
        case "node-kill" if vpn_fault.is_headend(lab, where):
            at_ns = vpn_fault.kill_headend(lab, where)
        case "node-kill":
            at_ns = _kill_node(lab, where)
        case wrong_key.KIND:
            at_ns = wrong_key.give(lab, where, _plan_now(lab, wrong_key.site_of(lab, where)))
        case _:
            raise LabError(
                f"no fault {fault}",
                hint="link-down:NODE[/INTERFACE], silent-loss:NODE[/INTERFACE], silent-loss:TUNNEL, "
                "daemon-kill:NODE/DAEMON, node-kill:NODE, node-kill:CLOUD/TUNNEL, "
                "wrong-key:TUNNEL; two ASes make a link too: AS/AS",
            )
    # A killed daemon is mended by its agent, not by us.
    if kind != "daemon-kill" and (record := read_record(lab.name)) is not None:
        update_record(lab.name, faults={**record.faults, fault: at_ns / 1e9})
    return FaultHandle(fault, at_ns)


def heal(lab: Lab, fault: str) -> bool:
    """Take a fault back. False, and nothing is done, if it is not in effect."""
    record = read_record(lab.name)
    if record is None or fault not in record.faults:
        return False
    kind, _, where = fault.partition(":")
    match kind:
        case "link-down":
            _each_link(lab, where, lambda links, name: links.up(name))
        case "silent-loss" if where in lab.network.tunnels:
            _unsilence_tunnel(lab, where)
        case "silent-loss" if vpn_fault.is_tunnel(lab, where):
            vpn_fault.unsilence(lab, where)
        case "silent-loss":
            _each_link(lab, where, lambda links, name: links.silence(name, False))
        case "node-kill" if vpn_fault.is_headend(lab, where):
            vpn_fault.revive_headend(lab, where)
        case "node-kill":
            _revive_node(lab, where)
        case wrong_key.KIND:
            site = wrong_key.site_of(lab, where)
            wrong_key.take_back(lab, where, _plan_now(lab, site, healed=where))
        case _:
            raise LabError(f"no fault {fault}", hint="bongsu lab status shows the faults in effect")
    # Read again: mending may have taken its time.
    record = read_record(lab.name)
    if record is not None:
        rest = {name: at for name, at in record.faults.items() if name != fault}
        update_record(lab.name, faults=rest)
    return True


def _cables(lab: Lab, where: str) -> list[Cable]:
    """The cables meant by NODE, NODE/INTERFACE, NODE/AS or AS/AS."""
    member, _, rest = where.partition("/")
    cables = lab.topology.cables
    found = [
        cable
        for cable in cables.values()
        for here, there in ((cable.a, cable.b), (cable.b, cable.a))
        if here.member == member and (not rest or rest in (here.interface, there.member))
    ]
    # With a 1:1 NAT on the way, the AS is at the far side of the cable behind it.
    found = found or [
        cable
        for nat in lab.topology.nats
        for cable in cables.values()
        if nat.node == member and (cable.a.member, cable.b.member) == (nat.name, rest)
    ]
    if not found:
        hint = "members: " + ", ".join([*lab.topology.nodes, *lab.topology.routers])
        tunnels = [*lab.network.tunnels, *(t for v in lab.network.vpns.values() for t in v.tunnels)]
        if tunnels:
            hint += "; tunnels, for silent-loss: " + ", ".join(tunnels)
        raise LabError(f"no link {where} in the lab", hint=hint)
    return found


def _each_link(lab: Lab, where: str, act: Callable[[Links, str], int]) -> int:
    cables = _cables(lab, where)
    links = Links.connect(lab.paths.emulator, lab.paths.closet)
    try:
        return max(act(links, cable.name) for cable in cables)
    finally:
        links.close()


def _kill_daemon(lab: Lab, where: str) -> int:
    node, _, daemon = where.partition("/")
    if node not in lab.topology.nodes:
        raise LabError(f"no node {node} in the lab", hint="nodes: " + ", ".join(lab.topology.nodes))
    if daemon == AGENT:
        return _restart_agent(lab, node)
    meant = vpn_fault.IKE_DAEMONS if daemon == "ike" else (daemon,)
    daemons = [p for p in inhabitants([lab.paths.netns(node)]) if not runs_agent(p)]
    found = [p for p in daemons if p.name in meant]
    if not found:
        names = [AGENT, *sorted({p.name for p in daemons})]
        raise LabError(f"{node} runs no {daemon or 'daemon'}", hint="it runs " + ", ".join(names))
    at_ns = time.monotonic_ns()
    for process in found:
        kill_exact(process.pid, process.started, grace_s=0.0)
    return at_ns


def _restart_agent(lab: Lab, node: str) -> int:
    """The agent and what it runs are killed, and the agent is started anew, as systemd would; the
    node's network, its programs in the kernel and what they know stay."""
    at_ns = time.monotonic_ns()
    end_inhabitants([lab.paths.netns(node)], grace_s=0.0)
    (lab.paths.node(node) / "run" / "bongsu" / "ready").unlink(missing_ok=True)
    start_one_node(lab, node, _plan_now(lab, node))
    return at_ns


def _kill_node(lab: Lab, node: str) -> int:
    """As a power cut does: the links lose their carrier first, nobody says goodbye."""
    if node not in lab.topology.nodes:
        raise LabError(f"no node {node} in the lab", hint="nodes: " + ", ".join(lab.topology.nodes))
    at_ns = _each_link(lab, node, lambda links, name: links.down(name))
    end_inhabitants([lab.paths.netns(node)], grace_s=0.0)
    netns.remove(lab.paths.netns(node))
    return at_ns


def _revive_node(lab: Lab, node: str) -> None:
    if node not in lab.topology.nodes:
        raise LabError(f"no node {node} in the lab", hint="nodes: " + ", ".join(lab.topology.nodes))
    if netns.exists(lab.paths.netns(node)):
        return
    make_namespace(lab.paths.netns(node))
    cables = _cables(lab, node)
    links = Links.connect(lab.paths.emulator, lab.paths.closet)
    try:
        links.remove([cable.name for cable in cables])
        links.create([link_spec(cable, lab.paths) for cable in cables])
    finally:
        links.close()
    others = {port.member for cable in cables for port in (cable.a, cable.b)} - {node}
    configure_ports(lab.topology, lab.paths, others)
    for segment in lab.topology.segments:
        if segment.node == node:
            plug_into_segment(segment, lab.paths)
    (lab.paths.node(node) / "run" / "bongsu" / "ready").unlink(missing_ok=True)
    start_one_node(lab, node, _plan_now(lab, node))


def _plan_now(lab: Lab, node: str, healed: str = "") -> NodePlan:
    """What a node carries out, with the wrong keys that are in effect, but for that of `healed`."""
    wrong = [name for name in wrong_key.in_effect(lab, node) if name != healed]
    return wrong_key.with_wrong_keys(stand_in(lab.plans[node]), wrong)


@dataclass(frozen=True)
class _Gag:
    """A chain of nftables that loses a tunnel's packets."""

    namespace: str
    family: str
    name: str
    text: str
    """What the chain holds."""


def _gags(lab: Lab, tunnel: str) -> list[_Gag]:
    """What it takes to silence a tunnel, and it alone, both ways.

    The AS router in front of its first end forgets it; between nodes that a wire joins there is
    nobody, so that each end loses what it sends at the very interface.
    """
    ends = {node: lab.plans[node].tunnel(tunnel) for node in lab.network.tunnels[tunnel].ends}
    found: list[_Gag] = []
    for node, plan in ends.items():
        for cable in lab.topology.between(
            (node, one) for one in [plan.underlay, *plan.other_underlays]
        ):
            if cable.b.member in lab.topology.routers:
                lost = _lost(plan.local, plan.remote) + _lost(plan.remote, plan.local)
                text = f"type filter hook forward priority -400\n{lost}"
                where = lab.paths.netns(cable.b.member)
                return [_Gag(where, "inet", _chain(tunnel), text)]
            port = cable.a if cable.a.member == node else cable.b
            hook = f'type filter hook egress device "{port.interface}" priority -400'
            found.append(
                _Gag(
                    lab.paths.netns(node),
                    "netdev",
                    f"{_chain(tunnel)}_{len(found)}",
                    f"{hook}\n{_lost(plan.local, plan.remote)}",
                )
            )
    return found


def _lost(source: Address, destination: Address) -> str:
    family = "ip" if source.version == 4 else "ip6"
    return f"{family} saddr {source} {family} daddr {destination} meta l4proto gre counter drop\n"


def _silence_tunnel(lab: Lab, tunnel: str) -> int:
    for gag in _gags(lab, tunnel):
        text = f"table {gag.family} {FAULT_TABLE} {{\nchain {gag.name} {{\n{gag.text}}}\n}}\n"
        run(["nft", "-f", "-"], input=text, netns=gag.namespace)
    return time.monotonic_ns()


def _unsilence_tunnel(lab: Lab, tunnel: str) -> None:
    for gag in _gags(lab, tunnel):
        chain = f"{gag.family} {FAULT_TABLE} {gag.name}"
        run(["nft", f"flush chain {chain}; delete chain {chain}"], netns=gag.namespace, check=False)


def _chain(tunnel: str) -> str:
    return "t_" + tunnel.replace("-", "_")
