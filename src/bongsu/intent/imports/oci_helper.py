"""What Oracle's CPE configuration helper gives for Libreswan: ipsec.conf and ipsec.secrets, in one file
or two, with comments.

Of Libreswan's own language only what such a file has: sections `conn NAME` with `key=value`, and secrets
`OURS THEIRS: PSK "..."` (ipsec.conf(5), ipsec.secrets(5)).
"""

import re
from ipaddress import ip_address

from bongsu.intent.imports.algorithms import cipher, digest, esp_proposal, group, ike_proposal
from bongsu.intent.imports.imported import Imported, Secret, Tunnel
from bongsu.intent.imports.reading import PLACEHOLDER, Line, Reading
from bongsu.model.base import Address
from bongsu.model.vpn import Profile

_SECTION = re.compile(r"(conn|config)\s+(\S+)\s*")
_ITEM = re.compile(r"([A-Za-z0-9-]+)\s*=\s*(.*)")
_PSK = re.compile(r"(.*?)\s*:\s*PSK\s+(?:\"([^\"]*)\"|'([^']*)'|(\S+))\s*", re.I)
_MARK = re.compile(r"(0x[0-9a-fA-F]{1,8}|[0-9]{1,10})(?:/.*)?")
KNOWN_AND_IMPLIED = frozenset(
    {"authby", "auto", "leftsubnet", "rightsubnet", "type", "keyexchange", "pfs", "rightid",
     "dpdaction", "leftauth", "rightauth", "keyingtries", "rekey", "overlapip"}
)  # fmt: skip
"""Keys that say what bongsu does anyway, or that it says in its own way."""


def read_oci_helper(reading: Reading) -> Imported:
    """The connection. What is wrong is said to `reading`."""
    found = Imported(Profile.OCI, libreswan=True)
    defaults: list[tuple[Line, str, str]] = []
    keys: list[tuple[Line, list[str], str]] = []
    tunnel: Tunnel | None = None
    here = ""
    for line in reading.lines:
        text = line.text.strip()
        if secret := _PSK.fullmatch(text):
            value = next((part for part in secret.groups()[1:] if part is not None), "")
            keys.append((line, secret[1].split(), value))
            continue
        text = _uncommented(text)
        if section := _SECTION.fullmatch(text):
            here = f"{section[1]} {section[2]}"
            tunnel = None
            if section[1] == "conn" and section[2] != "%default":
                tunnel = Tunnel(line, name=section[2])
                found.tunnels.append(tunnel)
                for place, key, value in defaults:
                    _option(reading, found, tunnel, place, key, value)
        elif item := _ITEM.fullmatch(text):
            if tunnel is not None:
                _option(reading, found, tunnel, line, item[1].lower(), item[2].strip())
            elif here == "conn %default":
                defaults.append((line, item[1].lower(), item[2].strip()))
    _match_keys(reading, found, keys)
    return found


def _uncommented(text: str) -> str:
    """The line without its comment: a number sign at its beginning, or after a blank."""
    return re.sub(r"(?:^|\s)#.*$", "", text).strip()


def _option(
    reading: Reading, found: Imported, tunnel: Tunnel, line: Line, key: str, value: str
) -> None:
    value = value.strip('"')
    match key:
        case "left":
            if not value.startswith("%"):
                tunnel.local = reading.address(line, value, "left")
        case "leftid":
            tunnel.public = _identity(reading, line, value)
        case "right":
            tunnel.headend = reading.address(line, value, "right")
        case "leftvti":
            tunnel.inside = reading.interface(line, value, "leftvti")
        case "vti-interface":
            if value and not PLACEHOLDER.fullmatch(value):
                tunnel.name = value
        case "mark":
            tunnel.mark = _mark(reading, line, value)
        case "vti-routing":
            if value.lower() not in ("no", "yes"):
                reading.say(line, "vti-routing is neither yes nor no")
            elif value.lower() == "yes":
                found.notes.append(_note(line, "vti-routing=yes: routes decide here"))
        case "ikev2" | "keyexchange":
            tunnel.ike_version = _version(reading, line, value, tunnel.ike_version)
        case "ike":
            tunnel.ike = _proposals(reading, line, value, esp=False)
        case "phase2alg" | "esp":
            tunnel.esp = _proposals(reading, line, value, esp=True)
        case "ikelifetime":
            tunnel.ike_lifetime_s = reading.seconds(line, value, "ikelifetime")
        case "salifetime" | "keylife" | "lifetime":
            tunnel.esp_lifetime_s = reading.seconds(line, value, key)
        case "dpddelay":
            tunnel.dpd_delay_s = reading.number(line, value.rstrip("s"), "dpddelay", 1, 3600)
        case "dpdtimeout":
            tunnel.dpd_timeout_s = reading.number(line, value.rstrip("s"), "dpdtimeout", 2, 3600)
        case "encapsulation" | "forceencaps":
            tunnel.encapsulation = value.lower() in ("yes", "force")
        case "also":
            reading.say(line, "`also=` leads to another section", "write its options here")
        case "authby" if "secret" not in value.lower():
            reading.say(line, "only pre-shared keys can be imported (authby=secret)")
        case _ if key not in KNOWN_AND_IMPLIED:
            found.notes.append(_note(line, f"{key} is not taken over"))


def _identity(reading: Reading, line: Line, value: str) -> Address | None:
    return reading.address(line, value.removeprefix("@"), "leftid")


def _note(line: Line, words: str) -> str:
    return f"{line.file}:{line.number}: {words}"


def _mark(reading: Reading, line: Line, value: str) -> int | None:
    found = _MARK.fullmatch(value)
    number = int(found[1], 0) if found and not re.match(r"0[0-9]", found[1]) else 0
    if not 1 <= number <= 0xFFFFFFFE:
        reading.say(line, "mark is no number from 1", "such as 5/0xffffffff")
        return None
    return number


def _version(reading: Reading, line: Line, value: str, before: int | None) -> int | None:
    word = value.lower()
    if word in ("no", "never", "ikev1"):
        return 1
    if word in ("insist", "yes", "propose", "permit", "ikev2"):
        return 2
    if word != "ike":
        reading.say(line, "no version of IKE is called so", "ikev2=no or ikev2=insist")
    return before


def _proposals(reading: Reading, line: Line, value: str, *, esp: bool) -> list[str]:
    """`aes_cbc256-sha2_384;modp1536,...` or `aes256-sha2_384-ecp384!`."""
    found: list[str] = []
    for text in value.rstrip("!").split(","):
        words = [word for word in re.split(r"[-;+\s]", text.strip()) if word]
        encryption = integrity = dh = None
        wrong = not words
        for word in words:
            if encryption is None and (known := cipher(word)):
                encryption = known
            elif dh is None and (known := group(word) if word.lower()[:1] in "medc" else None):
                dh = known
            elif integrity is None and (known := digest(word)):
                integrity = known
            else:
                wrong = True
        try:
            if wrong or encryption is None or not (esp or dh):
                raise ValueError("no algorithms that are known here")
            made = (
                esp_proposal(encryption, integrity, dh)
                if esp
                else ike_proposal(encryption, integrity, dh or "")
            )
        except ValueError as error:
            words_of = "ESP" if esp else "IKE"
            reading.say(
                line, f"a proposal for {words_of}: {error}", "such as aes_cbc256-sha2_384;dh20"
            )
            continue
        found.append(made)
    return list(dict.fromkeys(found))


def _match_keys(reading: Reading, found: Imported, keys: list[tuple[Line, list[str], str]]) -> None:
    """Give each tunnel the key whose line names its headend."""
    for line, names, value in keys:
        if not value or PLACEHOLDER.fullmatch(value):
            continue
        addresses = {_address(name) for name in names}
        tunnels = [tunnel for tunnel in found.tunnels if tunnel.headend in addresses - {None}]
        if not tunnels:
            reading.say(
                line, "a key for no tunnel of the file", "its line names a tunnel's `right`"
            )
        for tunnel in tunnels:
            tunnel.psk = Secret(value)


def _address(name: str) -> Address | None:
    try:
        return ip_address(name.removeprefix("@"))
    except ValueError:
        return None
