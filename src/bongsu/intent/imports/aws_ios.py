"""AWS's configuration for Cisco IOS: the commands that build the tunnels, among comments.

Of IOS's language only what such a file has. A tunnel is an interface `Tunnel`; its key is found by its
destination, its algorithms by the profile that protects it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from bongsu.intent.imports.algorithms import cipher, digest, esp_proposal, group, ike_proposal
from bongsu.intent.imports.imported import Imported, Secret, Tunnel
from bongsu.intent.imports.reading import PLACEHOLDER, Line, Reading
from bongsu.model.base import Prefix
from bongsu.model.vpn import Profile

_CONNECTION = re.compile(r"(vpn-[0-9a-z]{4,27})", re.I)
_OPENERS = re.compile(
    r"crypto isakmp policy|crypto keyring|crypto isakmp profile|crypto ipsec profile|"
    r"crypto ipsec transform-set|crypto ikev2 (?:proposal|policy|keyring|profile)|"
    r"interface |router bgp"
)


@dataclass(slots=True)
class _Block:
    """A command that opens a mode, and the commands within it."""

    line: Line
    words: list[str]
    inner: list[tuple[Line, list[str]]] = field(default_factory=list)


@dataclass(slots=True)
class _Router:
    """What the commands say, before it is put together."""

    ike: list[str] = field(default_factory=list)
    ike2: list[str] = field(default_factory=list)
    ike_lifetime_s: int | None = None
    ike2_lifetime_s: int | None = None
    keys: dict[str, Secret] = field(default_factory=dict)
    transforms: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    dpd: tuple[int, int] | None = None
    asn: int | None = None
    neighbors: dict[str, dict[str, int]] = field(default_factory=dict)


def read_aws_ios(reading: Reading) -> Imported:
    """The connection. What is wrong is said to `reading`."""
    found = Imported(Profile.AWS)
    blocks = _blocks(reading)
    for line in reading.lines:
        if found.name is None and (match := _CONNECTION.search(line.text)):
            found.name = match[1].lower()
    router = _Router()
    for block in blocks:
        _common(reading, router, block)
    profiles = {
        block.words[3]: block
        for block in blocks
        if block.words[:3] == ["crypto", "ipsec", "profile"] and len(block.words) > 3
    }
    found.networks = list(dict.fromkeys(_routed(reading, blocks)))
    for block in blocks:
        if block.words[0] == "interface" and "".join(block.words[1:]).lower().startswith("tunnel"):
            tunnel = _tunnel(reading, router, profiles, block)
            if tunnel is not None:
                found.tunnels.append(tunnel)
    return found


def _routed(reading: Reading, blocks: list[_Block]) -> Iterator[Prefix]:
    """What static routes lead into a tunnel: `ip route 10.80.0.0 255.255.0.0 Tunnel1`."""
    for block in blocks:
        words = block.words
        if words[:2] != ["ip", "route"] or len(words) < 5 or not words[4].startswith("Tunnel"):
            continue
        try:
            yield ip_network("/".join(words[2:4]))
        except ValueError:
            reading.say(block.line, "a static route leads to what is no network")


def _blocks(reading: Reading) -> list[_Block]:
    """Commands by mode. Indentation says nothing here: some of AWS's files have `exit` instead."""
    found: list[_Block] = []
    here: _Block | None = None
    for line in reading.lines:
        text = " ".join(line.text.split())
        if not text or text.startswith("!"):
            continue
        if _OPENERS.match(text):
            here = _Block(line, text.split(" "))
            found.append(here)
        elif text.startswith(("crypto ", "ip route ", "ip sla", "track ", "end")):
            found.append(_Block(line, text.split(" ")))
            here = None
        elif here is not None and text not in ("exit", "exit-address-family"):
            here.inner.append((line, text.split(" ")))
    return found


def _common(reading: Reading, router: _Router, block: _Block) -> None:
    words = block.words
    if words[:3] == ["crypto", "isakmp", "policy"]:
        proposal, lifetime = _policy(reading, block, version=1)
        router.ike += proposal
        router.ike_lifetime_s = lifetime or router.ike_lifetime_s
    elif words[:3] == ["crypto", "ikev2", "proposal"]:
        router.ike2 += _policy(reading, block, version=2)[0]
    elif words[:3] == ["crypto", "ikev2", "profile"]:
        for line, inner in block.inner:
            if inner[0] == "lifetime":
                router.ike2_lifetime_s = reading.seconds(line, " ".join(inner[1:]), "a lifetime")
            elif inner[0] == "dpd":
                router.dpd = _dpd(reading, line, inner[1:])
    elif words[:2] == ["crypto", "keyring"] or words[:3] == ["crypto", "ikev2", "keyring"]:
        _keyring(router, block)
    elif words[:3] == ["crypto", "ipsec", "transform-set"]:
        _transform(reading, router, block)
    elif words[:3] == ["crypto", "isakmp", "keepalive"]:
        router.dpd = _dpd(reading, block.line, words[3:])
    elif words[:3] == ["crypto", "isakmp", "key"] and len(words) >= 6 and words[4] == "address":
        _keep_key(router, words[5], words[3])
    elif words[:2] == ["router", "bgp"]:
        _bgp(reading, router, block)


def _policy(reading: Reading, block: _Block, version: int) -> tuple[list[str], int | None]:
    """The proposal of a policy, and its lifetime."""
    # What IOS has where a policy says nothing.
    encryption, integrity, dh = ("des", "sha1", "modp768") if version == 1 else (None, None, None)
    lifetime: int | None = None
    for line, inner in block.inner:
        value = " ".join(inner[1:])
        known: str | None = "known"
        match inner[0]:
            case "encryption" | "encr":
                known = encryption = cipher(value)
            case "hash" | "integrity" | "prf":
                known = integrity = digest(value)
            case "group":
                known = dh = group(value)
            case "lifetime":
                lifetime = reading.seconds(line, value, "IKE's lifetime")
        if known is None:
            reading.say(line, f"no algorithm of this name is known ({inner[0]})")
            return [], lifetime
    try:
        if encryption is None or dh is None:
            raise ValueError("IKE needs a cipher and a group")
        return [ike_proposal(encryption, integrity, dh)], lifetime
    except ValueError as error:
        reading.say(block.line, str(error))
        return [], lifetime


def _keyring(router: _Router, block: _Block) -> None:
    address = ""
    for _, inner in block.inner:
        if inner[:2] == ["pre-shared-key", "address"] and "key" in inner[3:]:
            _keep_key(router, inner[2], inner[-1])
        elif inner[0] == "address" and len(inner) > 1:
            address = inner[1]
        elif inner[0] == "pre-shared-key" and len(inner) > 1 and address:
            _keep_key(router, address, inner[-1])


def _keep_key(router: _Router, address: str, value: str) -> None:
    if not PLACEHOLDER.fullmatch(value):
        router.keys[address] = Secret(value)


def _transform(reading: Reading, router: _Router, block: _Block) -> None:
    if len(block.words) < 5:
        reading.say(block.line, "a transform set without a transform")
        return
    encryption: str | None = None
    integrity: str | None = None
    rest = block.words[4:]
    while rest:
        size = 2 if len(rest) > 1 and rest[1].isdecimal() else 1
        words, rest = " ".join(rest[:size]), rest[size:]
        if encryption is None and (known := cipher(words)):
            encryption = known
        elif known := digest(words):
            integrity = known
        else:
            reading.say(block.line, "a transform set has an algorithm that is not known here")
            return
    if encryption is None:
        reading.say(block.line, "a transform set without a cipher")
        return
    router.transforms[block.words[3]] = (encryption, integrity)


def _dpd(reading: Reading, line: Line, words: list[str]) -> tuple[int, int] | None:
    delay = reading.number(line, words[0] if words else "-", "the keepalive's interval", 1, 3600)
    retry = reading.number(line, words[1], "its retry", 1, 60) if words[1:2] else 2
    if delay is None or retry is None:
        return None
    return delay, min(max(delay + 5 * retry, 2), 3600)


def _bgp(reading: Reading, router: _Router, block: _Block) -> None:
    value = block.words[2] if len(block.words) > 2 else "-"
    router.asn = reading.number(block.line, value, "our ASN", 1, 4294967294)
    for line, inner in block.inner:
        if inner[0] != "neighbor" or len(inner) < 4:
            continue
        known = router.neighbors.setdefault(inner[1], {})
        if inner[2] == "remote-as":
            asn = reading.number(line, inner[3], "the neighbor's ASN", 1, 4294967294)
            if asn is not None:
                known["asn"] = asn
        elif inner[2] == "timers" and len(inner) > 4:
            for key, text, least in (("keepalive", inner[3], 1), ("hold", inner[4], 3)):
                seconds = reading.number(line, text, f"the {key} timer", least, 65535)
                if seconds is not None:
                    known[key] = seconds


def _tunnel(
    reading: Reading, router: _Router, profiles: dict[str, _Block], block: _Block
) -> Tunnel | None:
    tunnel = Tunnel(block.line)
    profile = None
    for line, inner in block.inner:
        if inner[:2] == ["ip", "address"] and len(inner) == 4:
            tunnel.inside = reading.interface(line, "/".join(inner[2:4]), "the inside address")
        elif inner[:2] == ["tunnel", "destination"] and len(inner) > 2:
            tunnel.headend = reading.address(line, inner[2], "the destination")
        elif inner[:2] == ["tunnel", "source"] and inner[2:3] and inner[2][0].isdecimal():
            tunnel.local = reading.address(line, inner[2], "the source")
        elif inner[:3] == ["ip", "tcp", "adjust-mss"] and len(inner) > 3:
            tunnel.mss = reading.number(line, inner[3], "the MSS", 536, 9000)
        elif inner[:4] == ["tunnel", "protection", "ipsec", "profile"] and len(inner) > 4:
            profile = profiles.get(inner[4])
            if profile is None:
                reading.say(line, "no IPsec profile of this name is in the file")
    if profile is None:
        # GRE, or something else that is no VPN's.
        return None
    if tunnel.headend is not None:
        tunnel.psk = router.keys.get(str(tunnel.headend))
    if (second := any(i[:2] == ["set", "ikev2-profile"] for _, i in profile.inner)) or router.ike:
        tunnel.ike_version = 2 if second else 1
    tunnel.ike = list(dict.fromkeys(router.ike2 if second else router.ike))
    tunnel.ike_lifetime_s = router.ike2_lifetime_s if second else router.ike_lifetime_s
    if router.dpd is not None:
        tunnel.dpd_delay_s, tunnel.dpd_timeout_s = router.dpd
    _phase_two(reading, router, profile, tunnel)
    _session(router, tunnel)
    return tunnel


def _phase_two(reading: Reading, router: _Router, profile: _Block, tunnel: Tunnel) -> None:
    dh: str | None = None
    names: list[tuple[Line, str]] = []
    for line, inner in profile.inner:
        if inner[:2] == ["set", "pfs"] and len(inner) > 2:
            dh = group(inner[2])
            if dh is None:
                reading.say(line, "no group of this name is known (set pfs)")
        elif inner[:4] == ["set", "security-association", "lifetime", "seconds"] and inner[4:]:
            tunnel.esp_lifetime_s = reading.seconds(line, inner[4], "ESP's lifetime")
        elif inner[:2] == ["set", "transform-set"]:
            names += [(line, name) for name in inner[2:]]
    for line, name in names:
        if name not in router.transforms:
            reading.say(line, "no transform set of this name is in the file")
            continue
        try:
            tunnel.esp.append(esp_proposal(*router.transforms[name], dh))
        except ValueError as error:
            reading.say(line, str(error))


def _session(router: _Router, tunnel: Tunnel) -> None:
    """The BGP neighbor that stands in the tunnel's network."""
    if tunnel.inside is None:
        return
    for text, known in router.neighbors.items():
        try:
            address = ip_address(text)
        except ValueError:
            continue
        if address in tunnel.inside.network and address != tunnel.inside.ip:
            tunnel.peer, tunnel.asn = address, router.asn
            tunnel.cloud_asn = known.get("asn")
            tunnel.keepalive_s, tunnel.hold_s = known.get("keepalive"), known.get("hold")
