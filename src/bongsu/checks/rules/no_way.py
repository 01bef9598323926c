"""RTE006: the far end of a tunnel, or a neighbor, that no route leads to."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Path, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Address, Family
from bongsu.model.node import Node

Table = tuple[str, str | None, Family]
"""Node, VRF, family: what one gateway would mend."""


def check(scene: Scene) -> Iterator[Finding]:
    """Far ends of tunnels, headends and multihop neighbors: on a link, by a gateway or by a static route.

    One finding for each routing table. Neighbors that have to be on the link are BGP009's.
    """
    lost: dict[Table, list[str]] = {}
    for node, vrf, address, what in _wanted(scene):
        if next(scene.ways.to(node, address, vrf), None) is None:
            lost.setdefault((node, vrf, address.version), []).append(f"{address} ({what})")
    for (name, vrf, family), far in lost.items():
        here = scene.network.nodes[name]
        if vrf is None and _learns_default(scene, name, family):
            continue
        uplink = _uplink(here, vrf)
        if vrf is not None and uplink is None:
            continue  # routes of a VRF are written on the machine: the file has no place for them
        path, hint = _place(name, uplink, vrf, family)
        more = f" and {len(far) - 1} more" if len(far) > 1 else ""
        table = "" if vrf is None else f" in VRF {vrf}"
        words = f"{name} has no gateway and no route{table} to {far[0]}{more}"
        yield Finding("RTE006", Severity.ERROR, path, words, hint)


def _wanted(scene: Scene) -> Iterator[tuple[str, str | None, Address, str]]:
    """Node, VRF, the address it has to reach, and whose that is."""
    for line in scene.lines.values():
        if len({address.version for address in line.outer.values()}) > 1:
            continue  # GRE004 has that
        for node in line.tunnel.ends:
            far = line.outer[line.peer(node)]
            if not far.is_link_local and not _is_told(scene, node, line.peer(node), far):
                yield node, line.vrf[node], far, f"the far end of {line.name}"
    for connection, pipe in scene.pipes:
        if pipe.plan.local.version == pipe.plan.remote.version:  # VPN018 has the others
            vrf = connection.node.interfaces[pipe.plan.underlay].vrf
            yield connection.site, vrf, pipe.plan.remote, f"the headend of {pipe.name}"
    for name, item in scene.network.nodes.items():
        own = {ip.version for one in item.interfaces.values() for ip in one.addresses}
        for key, neighbor in item.bgp.neighbors.items():
            if neighbor.multihop is not None and neighbor.address.version in own:
                yield name, None, neighbor.address, f"neighbor {key}"


def _is_told(scene: Scene, node: str, far: str, address: Address) -> bool:
    """Whether the other router tells of a LAN that holds the address, over BGP in another tunnel."""
    lans = [item for item in scene.network.nodes[far].interfaces.values() if item.role == "lan"]
    return any(address in ip.network for lan in lans for ip in lan.addresses) and any(
        line.tunnel.bgp for line in scene.lines_of[node]
    )


def _learns_default(scene: Scene, name: str, family: Family) -> bool:
    """Whether a neighbor that is within reach itself brings a default route."""
    return any(
        neighbor.import_ == "default"
        and neighbor.address.version == family
        and next(scene.ways.to(name, neighbor.address), None) is not None
        for neighbor in scene.network.nodes[name].bgp.neighbors.values()
    )


def _uplink(node: Node, vrf: str | None) -> str | None:
    found = (
        key for key, item in node.interfaces.items() if (item.role, item.vrf) == ("uplink", vrf)
    )
    return next(found, None)


def _place(name: str, uplink: str | None, vrf: str | None, family: Family) -> tuple[Path, str]:
    """The uplink that a gateway is missing on, else the node; and what to write there."""
    if uplink is None:
        return ("nodes", name), f"a static route in nodes.{name}.routes"
    field = "gateway" if family == 4 else "gateway6"
    hint = f"`{field}:` with the provider's router on {uplink}"
    if vrf is None:
        hint += f", or a static route in nodes.{name}.routes"
    return ("nodes", name, "interfaces", uplink), hint
