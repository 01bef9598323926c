"""An imported connection -> the parts of a network file, and which key goes into which file.

What the file does not say and a network cannot do without is asked for, all of it at once. Values
that follow from the cloud's profile or from a default are left out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bongsu.intent.imports.accelerated import accelerate
from bongsu.intent.imports.imported import Imported, Secret, Tunnel
from bongsu.intent.imports.wishes import (
    DEFAULT_NAMES,
    Wishes,
    missing,
    own_address,
    seen_address,
)
from bongsu.intent.problem import IntentError, Problem
from bongsu.model.base import Interface
from bongsu.model.network import NOBODY
from bongsu.model.vpn import Dpd, VpnBgp
from bongsu.plan.accelerate import INTERNET_MTU
from bongsu.plan.cloud import PROFILES
from bongsu.plan.connect import inside_mtu

MAX_TUNNELS = 16
"""Of a connection (bongsu.model.vpn)."""
TCP_IP_HEADER = 40
"""Bytes of an IPv4 and a TCP header without options: an MSS and these are the MTU."""
_TUNNEL_NAME = re.compile(r"[a-z][a-z0-9-]{0,12}")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


@dataclass(frozen=True)
class Parts:
    """What becomes of it."""

    document: dict[str, Any]
    """Top-level parts of a network file, in its order."""
    secrets: dict[str, Secret]
    """Absolute path of a file -> the key that belongs into it."""
    notes: list[str] = field(default_factory=list)


def network_parts(
    imported: Imported, wishes: Wishes, existing: Mapping[str, Any] | None = None
) -> Parts:
    """A whole network file; or, of one that exists, its `clouds` and `vpns` with the new ones added.

    IntentError says all that is missing or does not fit.
    """
    asked = _Asked(imported)
    existing = existing or {}
    between = accelerate(imported, wishes.accelerators, existing, asked.for_)
    imported = replace(imported, tunnels=between.tunnels)
    name = wishes.name or imported.name or DEFAULT_NAMES[imported.profile]
    cloud = wishes.cloud or DEFAULT_NAMES[imported.profile]
    for what, value in (("--name", name), ("--cloud", cloud), ("--site", wishes.site)):
        if not _NAME.fullmatch(value):
            asked.for_(f"{what} is no name: lower case, digits and hyphens, 31 characters at most")
    for item in missing(imported, wishes, existing):
        if item.needed:
            asked.for_(item.said, item.hint, item.tunnel)
    clouds = dict(_mapping(existing.get("clouds")))
    vpns = dict(_mapping(existing.get("vpns")))
    if name in vpns:
        asked.for_(f"the network has a VPN {name} already", "give this one another --name")
    if cloud not in clouds:
        clouds[cloud] = _cloud(imported, wishes, asked)
    notes = [*imported.notes, *between.notes]
    names = _tunnel_names(imported, wishes, existing)
    marks = _taken_marks(wishes.site, vpns)
    secrets: dict[str, Secret] = {}
    tunnels: dict[str, Any] = {}
    for place, tunnel in enumerate(imported.tunnels):
        path = f"{wishes.secrets.rstrip('/')}/{name}-{names[place]}.psk"
        if tunnel.psk is None:
            notes.append(f"no key for {names[place]} is in the file: put it into {path}")
        else:
            secrets[path] = tunnel.psk
        tunnels[names[place]] = _tunnel(tunnel, place, path, wishes, asked, marks)
    if secrets:
        notes.append(
            "the gateway reads each key from the path that is written for it: copy it there"
        )
    if wishes.accelerators:
        notes += _free_identities(imported)
    notes += _disagreements(imported, wishes, existing)
    vpn = _vpn(imported, wishes, asked, cloud, existing)
    vpns[name] = vpn | {"tunnels": tunnels} | _routing(imported, wishes, asked)
    site = {} if existing else _site(imported, wishes, asked)
    asked.end()
    whole = {"version": 1, "name": name, "nodes": {wishes.site: site}} if not existing else {}
    if between.accelerators:
        whole["accelerators"] = between.accelerators
    return Parts(whole | {"clouds": clouds, "vpns": vpns}, secrets, notes)


class _Asked:
    """What is missing, with the place it would have been in."""

    def __init__(self, imported: Imported) -> None:
        self._line = imported.tunnels[0].line
        self._problems: dict[Problem, None] = {}

    def for_(self, message: str, hint: str | None = None, tunnel: Tunnel | None = None) -> None:
        line = self._line if tunnel is None else tunnel.line
        self._problems[Problem(line.file, line.number, 1, (), None, message, hint)] = None

    def end(self) -> None:
        if self._problems:
            raise IntentError(list(self._problems))


def _cloud(imported: Imported, wishes: Wishes, asked: _Asked) -> dict[str, Any]:
    networks = wishes.cloud_networks or tuple(imported.networks)
    asns = {tunnel.cloud_asn for tunnel in imported.tunnels} - {None}
    if len(asns) > 1:
        asked.for_("the tunnels have different ASNs of the cloud", "import them one by one")
    asn = next(iter(asns), None)
    found: dict[str, Any] = {"profile": imported.profile.value}
    if asn is not None and asn != PROFILES[imported.profile].asn:
        found["asn"] = asn
    return found | {"networks": [str(prefix) for prefix in networks]}


def _vpn(
    imported: Imported, wishes: Wishes, asked: _Asked, cloud: str, existing: Mapping[str, Any]
) -> dict[str, Any]:
    found: dict[str, Any] = {"site": wishes.site, "cloud": cloud}
    if wishes.site_networks:
        found["networks"] = [str(prefix) for prefix in wishes.site_networks]
    if len(imported.tunnels) > MAX_TUNNELS:
        asked.for_(f"more than {MAX_TUNNELS} tunnels, which no cloud gives a connection")
    profile = PROFILES[imported.profile]
    ike: dict[str, Any] = {}
    version = _same(imported, asked, "ike_version", "versions of IKE")
    if version not in (None, 2):
        ike["version"] = version
    if not wishes.strongest and (proposals := _all_of(t.ike for t in imported.tunnels)):
        ike["proposals"] = proposals
    lifetime = _same(imported, asked, "ike_lifetime_s", "lifetimes of IKE")
    if lifetime not in (None, profile.ike_lifetime_s):
        ike["lifetime_s"] = lifetime
    esp: dict[str, Any] = {}
    if not wishes.strongest and (proposals := _all_of(t.esp for t in imported.tunnels)):
        esp["proposals"] = proposals
    lifetime = _same(imported, asked, "esp_lifetime_s", "lifetimes of ESP")
    if lifetime not in (None, profile.esp_lifetime_s):
        esp["lifetime_s"] = lifetime
    found |= {key: value for key, value in (("ike", ike), ("esp", esp)) if value}
    if dpd := _dpd(imported, asked):
        found["dpd"] = dpd
    node = _mapping(_mapping(existing.get("nodes")).get(wishes.site))
    if node.get("ipsec") == "libreswan" or (imported.libreswan and not existing):
        # Its XFRM interfaces would want names of their own kind.
        found["binding"] = "vti"
    if _same(imported, asked, "encapsulation", "words on encapsulation"):
        found["encapsulation"] = True
    if (mtu := _mtu(imported, wishes, asked, esp.get("proposals"))) is not None:
        found["mtu"] = mtu
    return found


def _mtu(
    imported: Imported, wishes: Wishes, asked: _Asked, proposals: list[str] | None
) -> int | None:
    """What the file's MSS makes of the inside MTU, where that is less than fits anyway."""
    mss = _same(imported, asked, "mss", "greatest segments of TCP")
    headend = next((t.headend for t in imported.tunnels if t.headend), None)
    if mss is None or headend is None or wishes.accelerators:
        # The file knows nothing of the relay, which leaves less.
        return None
    chosen = proposals or PROFILES[imported.profile].esp_proposals
    mtu = int(mss) + TCP_IP_HEADER
    return mtu if mtu < inside_mtu(INTERNET_MTU, headend, chosen, udp=True) else None


def _dpd(imported: Imported, asked: _Asked) -> dict[str, int]:
    delay = _same(imported, asked, "dpd_delay_s", "intervals of DPD")
    timeout = _same(imported, asked, "dpd_timeout_s", "time-outs of DPD")
    said = {"delay_s": delay, "timeout_s": timeout}
    usual = Dpd().model_dump()
    return {key: value for key, value in said.items() if value is not None and value != usual[key]}


def _tunnel(
    tunnel: Tunnel, place: int, path: str, wishes: Wishes, asked: _Asked, marks: set[int]
) -> dict[str, Any]:
    number = place + 1
    found: dict[str, Any] = {}
    if tunnel.headend is None:
        asked.for_(
            f"tunnel {number} has no address of the cloud's gateway",
            "it is `right`, the virtual private gateway or the tunnel destination",
            tunnel,
        )
    else:
        found["headend"] = str(tunnel.headend)
    if place < len(wishes.accelerators):
        way = wishes.accelerators[place]
        found["accelerator"] = way.name
        if way.region is not None:
            found["region"] = way.region
    inside = tunnel.inside or (wishes.inside[place] if place < len(wishes.inside) else None)
    if inside is not None:
        found["inside"] = str(inside)
        if tunnel.peer is not None and tunnel.peer != _other(inside):
            found["peer"] = str(tunnel.peer)
    found["psk"] = f"file:{path}"
    if tunnel.mark is not None and tunnel.mark not in marks:
        found["mark"] = tunnel.mark
        marks.add(tunnel.mark)
    return found


def _routing(imported: Imported, wishes: Wishes, asked: _Asked) -> dict[str, Any]:
    """BGP where the file speaks of it, or a person gives an AS number; static routes otherwise."""
    tunnels = imported.tunnels
    speaks = wishes.asn is not None or any(t.asn or t.cloud_asn or t.hold_s for t in tunnels)
    if not speaks:
        return {"static": True}
    found: dict[str, Any] = {}
    usual = VpnBgp()
    hold = _same(imported, asked, "hold_s", "hold timers")
    keepalive = _same(imported, asked, "keepalive_s", "keepalive timers")
    if hold is not None and keepalive is None:
        keepalive = max(1, hold // 3)
    for key, value in (("keepalive_s", keepalive), ("hold_s", hold)):
        if value is not None and value != getattr(usual, key):
            found[key] = value
    return {"bgp": found}


def _site(imported: Imported, wishes: Wishes, asked: _Asked) -> dict[str, Any]:
    """The node, of which a cloud's file knows next to nothing."""
    seen, own = seen_address(imported, wishes), own_address(imported, wishes)
    interface: dict[str, Any] = {"role": "uplink"}
    if wishes.address is not None:
        interface["addresses"] = [str(wishes.address)]
    elif own is not None:
        interface["addresses"] = [f"{own}/{own.max_prefixlen}"]
    if seen is not None and own is not None and seen != own and seen.version == own.version == 4:
        interface["public"] = str(seen)
    if wishes.gateway is not None:
        key = "gateway" if wishes.gateway.version == 4 else "gateway6"
        interface[key] = str(wishes.gateway)
    node: dict[str, Any] = {"role": "router"}
    if imported.libreswan:
        node["ipsec"] = "libreswan"
    node["interfaces"] = {wishes.interface: interface}
    if wishes.lan is not None:
        if wishes.lan_interface == wishes.interface:
            asked.for_(
                f"--lan {wishes.lan_interface}: that is the uplink",
                "name the LAN's interface before its address, or the uplink with --interface",
            )
        node["interfaces"][wishes.lan_interface] = {"role": "lan", "addresses": [str(wishes.lan)]}
    asns = {tunnel.asn for tunnel in imported.tunnels} - {None}
    asn = wishes.asn or next(iter(asns), None)
    if asn is not None:
        node["bgp"] = {"asn": asn}
    return node


def _free_identities(imported: Imported) -> list[str]:
    """What speaks for the other version of IKE, behind a NAT."""
    if all(tunnel.ike_version != 1 for tunnel in imported.tunnels):
        return []
    return [
        "the file has IKEv1, in which a NAT leaves no choice of identities; AWS takes IKEv2 as well "
        "unless its tunnel options say otherwise: `ike: {version: 2}`"
    ]


def _disagreements(imported: Imported, wishes: Wishes, existing: Mapping[str, Any]) -> list[str]:
    """Where the cloud has been told something else of the node than the network file says."""
    site = wishes.site
    node = _mapping(_mapping(existing.get("nodes")).get(site))
    if not node:
        return []
    found: list[str] = []
    owner = _mapping(existing.get("owner")).get("asn") or NOBODY.asn
    asn = _mapping(node.get("bgp")).get("asn") or owner
    for told in sorted({t.asn for t in imported.tunnels if t.asn} - {asn}):
        found.append(f"the cloud takes us for AS {told}, and {site} is AS {asn}: BGP stays down")
    if wishes.accelerators:
        return found
    known: set[str] = set()
    for item in map(_mapping, _mapping(node.get("interfaces")).values()):
        known |= {str(own).split("/")[0] for own in item.get("addresses") or []}
        known.add(str(item.get("public")))
    seen = {str(t.public or t.local) for t in imported.tunnels if t.public or t.local}
    for address in sorted(seen - known):
        found.append(f"the cloud takes us for {address}, and {site} has no such address")
    return found


def _tunnel_names(imported: Imported, wishes: Wishes, existing: Mapping[str, Any]) -> list[str]:
    """A name for each tunnel: its own where it can be one and is free, else the cloud's and a number."""
    taken = _taken_names(wishes.site, existing)
    base = DEFAULT_NAMES[imported.profile]
    found: list[str] = []
    for tunnel in imported.tunnels:
        own = (tunnel.name or "").lower().replace("_", "-")
        number = 1
        while not _TUNNEL_NAME.fullmatch(own) or own in taken:
            own = f"{base}-{number}"
            number += 1
        taken.add(own)
        found.append(own)
    return found


def _taken_names(site: str, existing: Mapping[str, Any]) -> set[str]:
    node = _mapping(_mapping(existing.get("nodes")).get(site))
    found = set(_mapping(node.get("interfaces")))
    for name, tunnel in _mapping(existing.get("tunnels")).items():
        if site in _mapping(_mapping(tunnel).get("ends")):
            found.add(name)
    for vpn in _mapping(existing.get("vpns")).values():
        if _mapping(vpn).get("site") == site:
            found |= set(_mapping(_mapping(vpn).get("tunnels")))
    return found


def _taken_marks(site: str, vpns: Mapping[str, Any]) -> set[int]:
    return {
        mark
        for vpn in vpns.values()
        if _mapping(vpn).get("site") == site
        for tunnel in _mapping(_mapping(vpn).get("tunnels")).values()
        if isinstance(mark := _mapping(tunnel).get("mark"), int)
    }


def _same(imported: Imported, asked: _Asked, field_: str, what: str) -> Any:
    """The value that all tunnels have: a connection has one for all of them."""
    values = {getattr(tunnel, field_) for tunnel in imported.tunnels} - {None}
    if len(values) > 1:
        asked.for_(f"the tunnels have different {what}", "import them one by one")
    return next(iter(values), None)


def _all_of(proposals: Any) -> list[str]:
    return list(dict.fromkeys(text for texts in proposals for text in texts))


def _other(inside: Interface) -> Any:
    """The other host of a network that has two; what a network file takes for the peer by itself."""
    if inside.network.num_addresses not in (2, 4):
        return None
    hosts = [host for host in inside.network.hosts() if host != inside.ip]
    return hosts[0] if len(hosts) == 1 else None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
