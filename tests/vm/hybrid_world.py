"""The lab of an example as a script for the guest: namespaces, links, NAT, and each node's own files.

The guest's processor is emulated, and Python with the project's libraries takes it as long as all that
is to be seen. So the blueprint (bongsu.lab.topology) is made here, and turned into lines of `ip -batch`;
in the guest they are carried out. AS routers have static routes in place of BGP.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from bongsu.lab import nat
from bongsu.lab.blueprint import Cable, Port, Segment, Topology
from bongsu.lab.lab import lab_plans
from bongsu.lab.topology import build_topology
from bongsu.model.network import Network
from bongsu.render.bundle import make_bundle
from bongsu.render.secret import marker

FORWARD = {"ip_forward": 1, "conf/all/rp_filter": 0, "conf/default/rp_filter": 0,
           "conf/all/send_redirects": 0, "conf/default/send_redirects": 0}  # fmt: skip
Lines = dict[str, list[str]]
"""By namespace, lines for `ip -batch`."""


def world(network: Network) -> dict[str, Any]:
    """What the guest needs: JSON."""
    plans = lab_plans(network)
    topology = build_topology(network, plans)
    lines: Lines = {member: ["link set lo up"] for member in topology.members()}
    for cable in topology.cables.values():
        for port in (cable.a, cable.b):
            lines[port.member] += _port(port)
    _bridges(topology, lines)
    for here, there in _between(topology):
        lines[here.member].append(f"route add default via {there.addresses[0].ip}")
    values = network.lab.secrets if network.lab is not None else {}
    markers = {marker(f"env:{name}"): value for name, value in values.items()}
    return {
        "members": topology.members(),
        "links": list(_links(topology)),
        "lines": lines,
        "forward": FORWARD,
        "forwards": [*topology.routers, *(one.name for one in topology.nats)],
        "nft": {one.name: nat.ruleset(one) for one in topology.nats},
        "secrets": dict(values),
        "bundles": {node: make_bundle(plan).to_tree() for node, plan in plans.items()},
        "files": {
            node: {
                path.removeprefix("root"): _filled(text, markers)
                for path, text in make_bundle(plan).to_tree().items()
                if path.startswith("root/")
            }
            for node, plan in plans.items()
        },
        "tunnels": {
            node: [
                {"name": one.name, "underlay": one.underlay, "inside": str(one.inside),
                 "mark": one.mark, "mtu": one.mtu}
                for one in plan.vpns
            ]
            for node, plan in plans.items()
        },
    }  # fmt: skip


def _filled(text: str, markers: dict[Any, str]) -> str:
    for word, value in markers.items():
        text = text.replace(word, value)
    return text


def _links(topology: Topology) -> Iterator[str]:
    """Every veth pair, from the root namespace."""
    for cable in topology.cables.values():
        yield _veth(cable.mtu, cable.a.member, cable.a.interface, cable.b.member, cable.b.interface)
    for segment in topology.segments:
        yield _veth(1500, segment.name, nat.INSIDE, segment.node, segment.interface)
    bridges: list[Segment | nat.Nat] = [*topology.segments, *topology.nats]
    for one in bridges:
        mtu = one.mtu if isinstance(one, nat.Nat) else 1500
        for number, name in enumerate([host.name for host in one.hosts]):
            yield _veth(mtu, one.name, f"host{number}", name, "eth0")


def _veth(mtu: int, here: str, name: str, there: str, other: str) -> str:
    ends = f"{name} mtu {mtu} netns {here} type veth peer name {other} mtu {mtu} netns {there}"
    return f"link add {ends}"


def _port(port: Port) -> Iterator[str]:
    yield f"link set {port.interface} up"
    if port.bridged:
        return
    for address in port.addresses:
        yield f"addr add {address} dev {port.interface}"
    for here, there in port.peers:
        yield f"addr add {here} peer {there} dev {port.interface}"
    for prefix, gateway in port.routes:
        way = "scope link" if gateway is None else f"via {gateway}"
        yield f"route replace {prefix} {way} dev {port.interface}"


def _bridges(topology: Topology, lines: Lines) -> None:
    """LANs and the NAT's subnet, and the hosts in them."""
    members: dict[str, list[str]] = defaultdict(list)
    for segment in topology.segments:
        members[segment.name] = [nat.INSIDE]
        port = Port(segment.node, segment.interface, segment.addresses)
        lines[segment.node] += _port(port)
        for host in segment.hosts:
            lines[host.name] += _host(str(host.address), str(host.gateway))
    for one in topology.nats:
        members[one.name] = [nat.INSIDE]
        for neighbor in one.hosts:
            lines[neighbor.name] += _host(str(neighbor.address), str(one.gateway.ip))
    bridges: list[Segment | nat.Nat] = [*topology.segments, *topology.nats]
    for part in bridges:
        ports = members[part.name] + [f"host{number}" for number in range(len(part.hosts))]
        own = [f"link add {nat.BRIDGE} type bridge forward_delay 0", f"link set {nat.BRIDGE} up"]
        own += [f"link set {port} master {nat.BRIDGE} up" for port in ports]
        if isinstance(part, nat.Nat):
            own.append(f"addr add {part.gateway} dev {nat.BRIDGE}")
            own += [f"route add {to} via {part.private} dev {nat.BRIDGE}" for to in part.routes]
        lines[part.name] += own


def _host(address: str, gateway: str) -> list[str]:
    up = ["link set eth0 up", f"addr add {address} dev eth0"]
    return [*up, f"route add default via {gateway}"]


def _between(topology: Topology) -> list[tuple[Port, Port]]:
    """Both directions of the one link between the two ASes."""
    found: list[Cable] = [
        cable
        for cable in topology.cables.values()
        if {cable.a.member, cable.b.member} <= set(topology.routers)
    ]
    (only,) = found
    return [(only.a, only.b), (only.b, only.a)]
