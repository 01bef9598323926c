"""AWS's generic configuration ("Vendor: Generic"): prose with `- Name : value` lines, in sections.

IPSec Tunnel #1
#1: Internet Key Exchange Configuration   IKE
#2: IPSec Configuration                   ESP, DPD
#3: Tunnel Interface Configuration        outside and inside addresses
#4: Border Gateway Protocol (BGP) ...     or static routing
"""

import re
from dataclasses import dataclass, field

from bongsu.intent.imports.algorithms import cipher, digest, esp_proposal, group, ike_proposal
from bongsu.intent.imports.imported import Imported, Secret, Tunnel
from bongsu.intent.imports.reading import PLACEHOLDER, Line, Reading
from bongsu.model.vpn import Profile

_TUNNEL = re.compile(r"IPSec Tunnel #(\d{1,2})\b", re.I)
_SECTION = re.compile(r"#(\d): ")
_ITEM = re.compile(r"-\s*([^:]+?)\s*:(?:\s*:)?\s*(.*)")
_CONNECTION = re.compile(r"Your VPN Connection ID\s*:\s*(vpn-[0-9a-z]{1,27})\s*", re.I)


@dataclass(slots=True)
class _Phase:
    """The algorithms of a phase, as they are met one by one."""

    encryption: str | None = None
    integrity: str | None = None
    group: str | None = None
    line: Line | None = None


@dataclass(slots=True)
class _State:
    tunnel: Tunnel | None = None
    section: int = 0
    inside: bool = False
    ike: _Phase = field(default_factory=_Phase)
    esp: _Phase = field(default_factory=_Phase)
    dpd_retries: int | None = None


def read_aws_generic(reading: Reading) -> Imported:
    """The connection. What is wrong is said to `reading`."""
    found = Imported(Profile.AWS)
    state = _State()
    for line in reading.lines:
        text = line.text.strip()
        if (match := _CONNECTION.fullmatch(text)) and found.name is None:
            found.name = match[1].lower()
        elif _TUNNEL.match(text):
            _finish(reading, state)
            state = _State(Tunnel(line))
            if state.tunnel is not None:
                found.tunnels.append(state.tunnel)
        elif match := _SECTION.match(text):
            state.section, state.inside = int(match[1]), False
        elif state.tunnel is not None:
            if text.lower().startswith("inside ip addresses"):
                state.inside = True
            elif text.lower().startswith("outside ip addresses"):
                state.inside = False
            elif match := _ITEM.fullmatch(text):
                key = " ".join(match[1].lower().split())
                _item(reading, line, state, state.tunnel, key, match[2].strip())
    _finish(reading, state)
    return found


def _item(
    reading: Reading, line: Line, state: _State, tunnel: Tunnel, key: str, value: str
) -> None:
    if state.section == 1:
        _ike(reading, line, state, tunnel, key, value)
    elif state.section == 2:
        _esp(reading, line, state, tunnel, key, value)
    elif state.section == 3:
        _addresses(reading, line, state, tunnel, key, value)
    elif state.section == 4:
        _bgp(reading, line, tunnel, key, value)


def _ike(reading: Reading, line: Line, state: _State, tunnel: Tunnel, key: str, value: str) -> None:
    if key == "ike version":
        version = value.lower().removeprefix("ike").removeprefix("v")
        if version in ("1", "2"):
            tunnel.ike_version = int(version)
        else:
            reading.say(line, "the IKE version is neither IKEv1 nor IKEv2")
    elif key == "pre-shared key":
        if value and not PLACEHOLDER.fullmatch(value):
            tunnel.psk = Secret(value)
    elif key == "authentication method" and "pre-shared" not in value.lower():
        reading.say(line, "only pre-shared keys can be imported")
    elif key == "lifetime":
        tunnel.ike_lifetime_s = reading.seconds(line, value, "IKE's lifetime")
    else:
        _algorithm(reading, line, state.ike, key, value)


def _esp(reading: Reading, line: Line, state: _State, tunnel: Tunnel, key: str, value: str) -> None:
    if key == "lifetime":
        tunnel.esp_lifetime_s = reading.seconds(line, value, "ESP's lifetime")
    elif key == "protocol" and value.lower() != "esp":
        reading.say(line, "the protocol is not ESP")
    elif key == "mode" and value.lower() != "tunnel":
        reading.say(line, "the mode is not tunnel")
    elif key == "tcp mss adjustment":
        tunnel.mss = reading.number(line, value.removesuffix("bytes").strip(), "the MSS", 536, 9000)
    elif key == "dpd interval":
        tunnel.dpd_delay_s = reading.number(line, value, "the DPD interval", 1, 3600)
    elif key == "dpd retries":
        state.dpd_retries = reading.number(line, value, "the number of DPD retries", 1, 100)
    else:
        _algorithm(reading, line, state.esp, key, value)


def _algorithm(reading: Reading, line: Line, phase: _Phase, key: str, value: str) -> None:
    found: str | None = None
    if key == "encryption algorithm":
        found = phase.encryption = cipher(value)
    elif key == "authentication algorithm":
        found = phase.integrity = digest(value)
    elif key in ("perfect forward secrecy", "diffie-hellman"):
        found = phase.group = group(value)
    else:
        return
    phase.line = line
    if found is None:
        reading.say(line, f"no algorithm of this name is known ({key})")


def _addresses(
    reading: Reading, line: Line, state: _State, tunnel: Tunnel, key: str, value: str
) -> None:
    ours = key.startswith("customer gateway")
    theirs = key.startswith("virtual private gateway")
    if state.inside:
        if ours:
            tunnel.inside = reading.interface(line, value, "our inside address")
        elif theirs and (found := reading.interface(line, value, "the cloud's inside address")):
            tunnel.peer = found.ip
    elif ours:
        tunnel.local = reading.address(line, value, "the customer gateway")
    elif theirs:
        tunnel.headend = reading.address(line, value, "the virtual private gateway")


def _bgp(reading: Reading, line: Line, tunnel: Tunnel, key: str, value: str) -> None:
    if key == "customer gateway asn":
        tunnel.asn = reading.number(line, value, "the customer gateway's ASN", 1, 4294967294)
    elif key == "virtual private gateway asn":
        tunnel.cloud_asn = reading.number(line, value, "the gateway's ASN", 1, 4294967294)
    elif key == "neighbor ip address":
        found = reading.address(line, value, "the neighbor")
        if found is not None and tunnel.peer not in (None, found):
            reading.say(line, "the neighbor is not the cloud's inside address of section #3")
    elif key == "neighbor hold time":
        tunnel.hold_s = reading.number(line, value, "the hold time", 3, 65535)


def _finish(reading: Reading, state: _State) -> None:
    """Put a tunnel's parts together once all its lines were read."""
    tunnel = state.tunnel
    if tunnel is None:
        return
    ike, esp = state.ike, state.esp
    try:
        if ike.encryption and ike.group:
            tunnel.ike = [ike_proposal(ike.encryption, ike.integrity, ike.group)]
        if esp.encryption:
            tunnel.esp = [esp_proposal(esp.encryption, esp.integrity, esp.group)]
    except ValueError as error:
        reading.say(ike.line or tunnel.line, str(error))
    if tunnel.dpd_delay_s and state.dpd_retries:
        tunnel.dpd_timeout_s = min(tunnel.dpd_delay_s * state.dpd_retries, 3600)
