"""References of the lab: where links, uplinks, wires, vantage points and hosts are plugged in."""

from ipaddress import ip_address, ip_interface
from typing import Any

from bongsu.intent.problem import Path
from bongsu.intent.references.parts import Parts, interfaces, mapping, sequence


def lab_problems(parts: Parts) -> None:
    """Judge the lab, if the file has one."""
    if not parts.has_lab:
        return
    _names(parts)
    _links(parts)
    _uplinks(parts)
    _wires(parts)
    _clouds(parts)
    _vantages(parts)
    _hosts(parts)


def _names(parts: Parts) -> None:
    """All of them become members of one lab, so no two may share a name."""
    seen: dict[str, str] = dict.fromkeys(parts.clouds, "cloud") | dict.fromkeys(parts.nodes, "node")
    rooms = (
        ("AS", ("lab", "internet", "ases"), parts.ases),
        ("vantage point", ("lab", "vantages"), parts.vantages),
        ("host", ("lab", "hosts"), parts.hosts),
    )
    for kind, path, names in rooms:
        for name in names:
            if name in seen:
                words = f"{name} is the name of a {seen[name]} already"
                parts.say((*path, name), words, "names of the lab are distinct", key=True)
            seen.setdefault(name, kind)


def _links(parts: Parts) -> None:
    seen: set[frozenset[str]] = set()
    for index, link in enumerate(sequence(mapping(parts.lab.get("internet")).get("links"))):
        path = ("lab", "internet", "links", index)
        ends = [mapping(link).get(side) for side in ("a", "b")]
        for side, end in zip(("a", "b"), ends, strict=True):
            parts.want((*path, side), end, parts.ases, "AS")
        a, b = ends
        if not isinstance(a, str) or not isinstance(b, str) or not {a, b} <= parts.ases.keys():
            continue
        pair = frozenset((a, b))
        if a == b:
            parts.say(path, f"a link from {a} to itself")
        elif pair in seen:
            parts.say(path, f"a second link between {a} and {b}", "one link is one session")
        elif (asn := _asn(parts.ases[a])) is not None and asn == _asn(parts.ases[b]):
            words = f"{a} and {b} are both AS{asn}: neither would take the other's routes"
            parts.say(path, words, "RFC 4271 section 9.1.2: a path with one's own AS is a loop")
        seen.add(pair)


def _uplinks(parts: Parts) -> None:
    plugged: set[tuple[str, str]] = set()
    for node, by_interface in mapping(parts.lab.get("uplinks")).items():
        path = ("lab", "uplinks", node)
        if node not in parts.nodes:
            parts.want(path, node, parts.nodes, "node", key=True)
            continue
        for interface, uplink in mapping(by_interface).items():
            plugged.add((node, interface))
            known = parts.likely(node, "uplink")
            parts.want((*path, interface), interface, known, f"uplink of {node} named", key=True)
            parts.want((*path, interface, "to"), mapping(uplink).get("to"), parts.ases, "AS")
    for node in parts.nodes:
        for interface in parts.interfaces(node, "uplink"):
            if (node, interface) not in plugged:
                hint = f"add lab.uplinks.{node}.{interface}"
                parts.say(
                    ("nodes", node, "interfaces", interface),
                    "in the lab this uplink is plugged in nowhere",
                    hint,
                    key=True,
                )


def _wires(parts: Parts) -> None:
    plugged: dict[tuple[str, str], int] = {}
    for index, wire in enumerate(sequence(parts.lab.get("wires"))):
        ends = [mapping(wire).get(side) for side in ("a", "b")]
        found = []
        for side, end in zip(("a", "b"), ends, strict=True):
            path = ("lab", "wires", index, side)
            plug = _plug(parts, path, end)
            if plug is None:
                continue
            if plug in plugged:
                words = f"{end} is at the end of lab.wires[{plugged[plug]}] already"
                parts.say(path, words, "one interface takes one wire")
            plugged.setdefault(plug, index)
            found.append(plug)
        if len(found) == 2:
            _joined(parts, index, found)
    for node in parts.nodes:
        for interface in parts.interfaces(node, "link"):
            if (node, interface) not in plugged:
                parts.say(
                    ("nodes", node, "interfaces", interface),
                    "in the lab this link is plugged in nowhere",
                    f"add a wire to lab.wires that ends at {node}/{interface}",
                    key=True,
                )


def _plug(parts: Parts, path: Path, end: Any) -> tuple[str, str] | None:
    """Node and interface of a wire's end, if there are such."""
    if not isinstance(end, str) or end.count("/") != 1:
        return None
    node, _, interface = end.partition("/")
    if node not in parts.nodes:
        parts.want(path, node, parts.nodes, "node")
        return None
    known = parts.likely(node, "link")
    parts.want(path, interface, known, f"link of {node} named")
    return (node, interface) if interface in known else None


def _joined(parts: Parts, index: int, ends: list[tuple[str, str]]) -> None:
    path = ("lab", "wires", index)
    (a, _), (b, _) = ends
    if a == b:
        parts.say(path, f"a wire from {a} to itself")
        return
    here, there = (
        {item.network for item in interfaces(parts.interface(*end).get("addresses"))}
        for end in ends
    )
    if here and there and not here & there:
        words = " and ".join(f"{node}/{interface}" for node, interface in ends)
        shown = " and ".join(", ".join(sorted(map(str, some))) for some in (here, there))
        parts.say(path, f"{words} have no network in common", f"networks: {shown}")


def _clouds(parts: Parts) -> None:
    plugged = mapping(parts.lab.get("clouds"))
    for name, plug in plugged.items():
        path = ("lab", "clouds", name)
        parts.want(path, name, parts.clouds, "cloud", key=True)
        parts.want((*path, "to"), mapping(plug).get("to"), parts.ases, "AS")
    used = {str(mapping(vpn).get("cloud")) for vpn in parts.vpns.values()}
    for name in parts.clouds:
        if name in used and name not in plugged:
            words = "in the lab this cloud is plugged in nowhere"
            parts.say(("clouds", name), words, f"add lab.clouds.{name}", key=True)


def _vantages(parts: Parts) -> None:
    owner = _asn(parts.root.get("owner"))
    seen: dict[int, str] = {owner: "the owner"} if owner is not None else {}
    for name, transit in parts.ases.items():
        asn = _asn(transit)
        if asn is not None and asn == owner:
            words = f"AS{asn} is the owner's: this AS would refuse its routes as a loop"
            parts.say(("lab", "internet", "ases", name, "asn"), words)
        elif asn is not None:
            seen.setdefault(asn, name)
    for name, vantage in parts.vantages.items():
        path = ("lab", "vantages", name)
        parts.want((*path, "to"), mapping(vantage).get("to"), parts.ases, "AS")
        asn = _asn(vantage)
        if asn is not None and asn in seen:
            words = f"AS{asn} is {seen[asn]}'s already: one would refuse the other's routes"
            parts.say((*path, "asn"), words, "a vantage point is an AS of its own")
        elif asn is not None:
            seen[asn] = name


def _hosts(parts: Parts) -> None:
    for name, host in parts.hosts.items():
        path = ("lab", "hosts", name)
        if "cloud" in mapping(host):
            _cloud_host(parts, path, mapping(host))
            continue
        node, interface = mapping(host).get("node"), mapping(host).get("interface")
        parts.want((*path, "node"), node, parts.nodes, "node")
        if not isinstance(node, str) or node not in parts.nodes or not isinstance(interface, str):
            continue
        lans = parts.likely(node, "lan") + parts.public(node)
        parts.want((*path, "interface"), interface, lans, f"LAN of {node} named")
        found = mapping(mapping(parts.nodes[node]).get("interfaces")).get(interface)
        networks = [_network(text) for text in sequence(mapping(found).get("addresses"))]
        try:
            address = ip_address(str(mapping(host).get("address")))
        except ValueError:
            continue
        if interface in lans and None not in networks and not any(address in n for n in networks):
            shown = ", ".join(str(network) for network in networks) or "none"
            words = f"{address} is in no network of {node}'s {interface}"
            parts.say((*path, "address"), words, f"networks: {shown}")


def _cloud_host(parts: Parts, path: Path, host: dict[str, Any]) -> None:
    cloud = host.get("cloud")
    parts.want((*path, "cloud"), cloud, parts.clouds, "cloud")
    if not isinstance(cloud, str) or cloud not in parts.clouds:
        return
    networks = [_network(text) for text in sequence(mapping(parts.clouds[cloud]).get("networks"))]
    try:
        address = ip_address(str(host.get("address")))
    except ValueError:
        return
    if None not in networks and not any(address in network for network in networks):
        shown = ", ".join(str(network) for network in networks) or "none"
        parts.say(
            (*path, "address"), f"{address} is in no network of {cloud}", f"networks: {shown}"
        )


def _network(text: Any) -> Any:
    try:
        return ip_interface(str(text)).network
    except ValueError:
        return None


def _asn(value: Any) -> int | None:
    asn = mapping(value).get("asn")
    return asn if isinstance(asn, int) and not isinstance(asn, bool) else None
