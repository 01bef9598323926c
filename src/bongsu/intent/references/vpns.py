"""References of VPN connections: site, cloud and uplink; names of tunnels; who authenticates how."""

from ipaddress import ip_address, ip_interface
from typing import Any

from bongsu.intent.problem import Path
from bongsu.intent.references.parts import Parts, mapping


def vpn_problems(parts: Parts) -> None:
    """Judge every connection and each of its tunnels."""
    names: dict[tuple[str, str], str] = {}
    for name, vpn in parts.vpns.items():
        vpn = mapping(vpn)
        path = ("vpns", name)
        parts.want((*path, "site"), vpn.get("site"), parts.nodes, "node")
        parts.want((*path, "cloud"), vpn.get("cloud"), parts.clouds, "cloud")
        site = vpn.get("site")
        if isinstance(site, str) and site in parts.nodes:
            _site(parts, path, site, vpn, names)
        for key, tunnel in mapping(vpn.get("tunnels")).items():
            _tunnel(parts, (*path, "tunnels", key), mapping(tunnel), vpn)
        if isinstance(vpn.get("bgp"), dict):
            parts.lab_secret((*path, "bgp", "password"), mapping(vpn["bgp"]).get("password"))
    for name in parts.clouds:
        if name in parts.nodes:
            words = f"{name} is the name of a node already"
            parts.say(("clouds", name), words, "clouds and nodes have distinct names", key=True)


def _site(
    parts: Parts, path: Path, site: str, vpn: dict[str, Any], names: dict[tuple[str, str], str]
) -> None:
    uplinks = parts.likely(site, "uplink")
    if "interface" in vpn:
        parts.want((*path, "interface"), vpn["interface"], uplinks, f"uplink of {site} named")
    elif not uplinks:
        words = f"{site} has no uplink to speak from"
        parts.say((*path, "site"), words, "give one of its interfaces `role: uplink`")
    for key in mapping(vpn.get("tunnels")):
        at = (*path, "tunnels", key)
        if key in parts.interfaces(site) or key in parts.tunnels_of(site):
            words = f"{site} has an interface of this name already"
            parts.say(at, words, "name the tunnel otherwise", key=True)
        elif (site, key) in names:
            words = f"{site} has a tunnel of this name in vpns.{names[site, key]} already"
            parts.say(at, words, "name one of them otherwise", key=True)
        names.setdefault((site, key), path[1] if isinstance(path[1], str) else "")


def _tunnel(parts: Parts, path: Path, tunnel: dict[str, Any], vpn: dict[str, Any]) -> None:
    certified = isinstance(vpn.get("certificate"), dict)
    if "psk" in tunnel and certified:
        words = "a pre-shared key, and the connection has a certificate"
        parts.say((*path, "psk"), words, "keep one of the two")
    elif "psk" not in tunnel and not certified:
        hint = "add `psk: env:NAME`, or a `certificate` to the connection"
        parts.say(path, "nothing to authenticate with", hint, key=True)
    parts.lab_secret((*path, "psk"), tunnel.get("psk"))
    _inside(parts, path, tunnel, vpn)


def _inside(parts: Parts, path: Path, tunnel: dict[str, Any], vpn: dict[str, Any]) -> None:
    policy = vpn.get("binding") == "policy"
    inside = _interface(tunnel.get("inside"))
    peer = _address(tunnel.get("peer"))
    if "inside" not in tunnel:
        if isinstance(vpn.get("bgp"), dict):
            parts.say(path, "BGP runs between inside addresses, and there is none",
                      "add `inside: 169.254.10.1/30`, as the cloud gives it", key=True)  # fmt: skip
        return
    if inside is None:
        return
    if peer is not None and peer.version != inside.version:
        parts.say((*path, "peer"), f"{peer} and {inside} are of different families")
    elif peer == inside.ip:
        parts.say((*path, "peer"), f"{peer} is our own inside address", "the cloud's is meant")
    if "peer" not in tunnel and inside.network.num_addresses > 4 and not policy:
        parts.say((*path, "inside"), f"whose is the other end of {inside.network}?",
                  "add `peer`, the cloud's inside address")  # fmt: skip


def _interface(value: Any) -> Any:
    try:
        return ip_interface(value) if isinstance(value, str) and "/" in value else None
    except ValueError:
        return None


def _address(value: Any) -> Any:
    try:
        return ip_address(value) if isinstance(value, str) else None
    except ValueError:
        return None
