"""The commands of IOS that are rendered, mode by mode, written down from Cisco's command references.

Not from the renderer: a line that no form admits is an error of one of the two. No real IOS is
here, so this and an independent parser of the structure are what stands for one.
"""

import re
from dataclasses import dataclass, field

A = r"\d+\.\d+\.\d+\.\d+"
A6 = r"[0-9a-f:]*:[0-9a-f:]*"
P6 = rf"{A6}/\d{{1,3}}"
WORD = r"[A-Za-z0-9][A-Za-z0-9_-]*"
PORT = (
    r"(?:GigabitEthernet|TenGigabitEthernet|HundredGigE|FastEthernet|Ethernet|Port-channel|Vlan|Serial)"
    r"\d+(?:/\d+){0,3}(?:\.\d+)?"
)
INTERFACE = rf"(?:{PORT}|Loopback\d+|Tunnel\d+)"
DOMAIN = r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
MAIL = rf"[A-Za-z0-9._-]+@{DOMAIN}"
WHO = rf"(?:any|host {A}|{A} {A})"
WHO6 = rf"(?:any|host {A6}|{P6})"
SECRET = r"<(?:env:\w+|file:/[^<>]+)>"


@dataclass(frozen=True)
class Mode:
    """Forms of one mode's commands; those that open a mode of their own have it beside them."""

    forms: tuple[str, ...] = ()
    modes: dict[str, "Mode"] = field(default_factory=dict)


ADDRESS_FAMILY = {r"address-family ipv[46]": Mode()}
ON_ANY_INTERFACE = (
    rf"vrf forwarding {WORD}",
    rf"ip address {A} {A}(?: secondary)?",
    rf"ipv6 address {P6}",
    r"ip mtu \d{2,5}",
    rf"ip policy route-map {WORD}",
    rf"ipv6 policy route-map {WORD}",
)
PORT_MODE = Mode(
    (
        *ON_ANY_INTERFACE,
        r"encapsulation dot1Q \d{1,4}",
        r"mtu \d{2,5}",
        rf"crypto map {WORD}",
        r"no shutdown",
    )
)
TUNNEL_MODE = Mode(
    (
        *ON_ANY_INTERFACE,
        r"description .{1,200}",
        r"ipv6 mtu \d{4,5}",
        r"ip tcp adjust-mss \d{3,4}",
        r"ipv6 tcp adjust-mss \d{2,4}",
        rf"ip access-group {WORD} in",
        rf"ipv6 traffic-filter {WORD} in",
        r"ip verify unicast source reachable-via (?:rx|any)",
        r"ipv6 verify unicast source reachable-via (?:rx|any)",
        r"keepalive [1-9]\d{0,4} [1-9]\d{0,2}",
        rf"tunnel source (?:{PORT}|Loopback\d+|{A}|{A6})",
        rf"tunnel destination (?:{A}|{A6})",
        r"tunnel mode gre (?:ipv6|multipoint)",
        r"tunnel mode ipsec ipv4",
        r"tunnel key \d{1,10}",
        r"tunnel ttl \d{1,3}",
        r"tunnel tos \d{1,3}",
        rf"tunnel vrf {WORD}",
        rf"tunnel protection ipsec profile {WORD}(?: shared)?",
        r"ip nhrp network-id \d+",
        rf"ip nhrp map {A} {A}",
    )
)
SET_CRYPTO = (rf"set transform-set {WORD}(?: {WORD})*", rf"set ikev2-profile {WORD}")
GROUP = r"(?:1|2|5|14|15|16|19|20|21|24)"
BGP_UNICAST = Mode(
    (
        rf"network {A} mask {A}",
        rf"neighbor {A} activate",
        rf"neighbor {A} next-hop-self",
        rf"neighbor {A} soft-reconfiguration inbound",
        rf"neighbor {A} route-map {WORD} (?:in|out)",
        rf"neighbor {A} maximum-prefix \d{{1,10}}",
        r"maximum-paths \d{1,2}",
    )
)
BGP = Mode(
    (
        rf"bgp router-id {A}",
        r"bgp log-neighbor-changes",
        r"no bgp default ipv4-unicast",
        rf"neighbor {A} remote-as \d{{1,10}}",
        rf"neighbor {A} description .{{1,80}}",
        rf"neighbor {A} ebgp-multihop \d{{1,3}}",
        rf"neighbor {A} update-source {INTERFACE}",
        rf"neighbor {A} timers \d{{1,5}} \d{{1,5}}",
        rf"neighbor {A} password {SECRET}",
        r"exit-address-family",
    ),
    {r"address-family ipv4": BGP_UNICAST},
)
GLOBAL = Mode(
    (
        rf"hostname {WORD}",
        r"ipv6 unicast-routing",
        rf"crypto isakmp key {SECRET} address (?:{A}|ipv6 {P6})",
        rf"crypto map {WORD} local-address {INTERFACE}",
        rf"ip route(?: vrf {WORD})? {A} {A} (?:{INTERFACE} {A}|{INTERFACE}|{A})(?: \d{{1,3}})?",
        rf"ip route {A} {A} Null0 \d{{1,3}}",
        r"crypto isakmp nat keepalive \d{1,4}",
        rf"ip prefix-list {WORD} seq \d{{1,5}} (?:permit|deny) {A}/\d{{1,2}}(?: le \d{{1,2}})?",
        rf"ipv6 route(?: vrf {WORD})? {P6} (?:{INTERFACE} {A6}|{INTERFACE}|{A6})(?: \d{{1,3}})?",
        r"end",
    ),
    {
        rf"vrf definition {WORD}": Mode((r"exit-address-family",), ADDRESS_FAMILY),
        r"crypto isakmp policy \d{1,5}": Mode(
            (
                r"encryption aes (?:128|192|256)",
                r"hash (?:sha256|sha384|sha512)",
                r"authentication pre-share",
                rf"group {GROUP}",
                r"lifetime \d{2,5}",
            )
        ),
        rf"crypto isakmp profile {WORD}": Mode(
            (
                rf"keyring {WORD}",
                rf"self-identity (?:address|fqdn {DOMAIN}|user-fqdn {MAIL})",
                rf"match identity (?:address {A} {A}|host {DOMAIN}|user {MAIL})",
                r"keepalive \d{2,4} retry \d{1,2}",
                rf"local-address {A}",
            )
        ),
        rf"crypto keyring {WORD}(?: vrf {WORD})?": Mode(
            (
                rf"local-address {A}",
                rf"pre-shared-key address (?:{A}|ipv6 {P6}) key {SECRET}",
            )
        ),
        rf"crypto ikev2 proposal {WORD}": Mode(
            (
                r"encryption aes-(?:cbc-(?:128|192|256)|gcm-(?:128|256))",
                r"(?:integrity|prf) (?:sha1|sha256|sha384|sha512)",
                rf"group {GROUP}",
            )
        ),
        rf"crypto ikev2 policy {WORD}": Mode((r"match fvrf any", rf"proposal {WORD}")),
        rf"crypto ikev2 keyring {WORD}": Mode(
            (), {rf"peer {WORD}": Mode((rf"address (?:{A}|{P6})", rf"pre-shared-key {SECRET}"))}
        ),
        rf"crypto ikev2 profile {WORD}": Mode(
            (
                rf"match fvrf {WORD}",
                rf"match address local (?:{A}|{A6})",
                rf"match identity remote (?:address (?:{A} {A}|{P6})|fqdn {DOMAIN}|email {MAIL})",
                rf"identity local (?:address (?:{A}|{A6})|fqdn {DOMAIN}|email {MAIL})",
                r"lifetime \d{3,5}",
                r"dpd \d{2,4} \d{1,2} periodic",
                r"nat keepalive \d{1,4}",
                r"nat force-encap",
                r"authentication (?:local|remote) pre-share",
                rf"keyring local {WORD}",
            )
        ),
        rf"crypto ipsec transform-set {WORD} "
        r"(?:esp-aes (?:128|192|256) esp-sha(?:256|384|512)-hmac|esp-gcm (?:128|192|256))": (
            Mode((r"mode (?:tunnel|transport)",))
        ),
        rf"crypto ipsec profile {WORD}": Mode(
            (
                *SET_CRYPTO,
                r"set security-association lifetime seconds \d{3,6}",
                rf"set pfs group{GROUP}",
                rf"set isakmp-profile {WORD}",
                r"responder-only",
            )
        ),
        rf"crypto map {WORD} \d{{1,5}} ipsec-isakmp": Mode(
            (*SET_CRYPTO, rf"set peer {A}", rf"match address {WORD}")
        ),
        rf"ip access-list extended {WORD}": Mode(
            (rf"permit (?:ip|gre|icmp|tcp|udp) {WHO} {WHO}", r"deny ip any any")
        ),
        rf"ipv6 access-list {WORD}": Mode(
            (rf"permit (?:ipv6|47|icmp|tcp|udp) {WHO6} {WHO6}", r"deny ipv6 any any")
        ),
        rf"route-map {WORD} permit \d{{1,5}}": Mode(
            (
                rf"match ip address {WORD}",
                rf"match ip address prefix-list {WORD}",
                r"set local-preference \d{1,10}",
                r"set as-path prepend \d{1,10}(?: \d{1,10})*",
                rf"match ipv6 address {WORD}",
                rf"set ip next-hop {A}(?: {A})*",
                rf"set ipv6 next-hop {A6}(?: {A6})*",
            )
        ),
        r"router bgp \d{1,10}": BGP,
        r"interface Loopback\d+": Mode(ON_ANY_INTERFACE),
        r"interface Tunnel\d+": TUNNEL_MODE,
        rf"interface {PORT}": PORT_MODE,
    },
)

Command = tuple[str, ...]
"""A command with those before it whose mode it is in: `("interface Tunnel0", "keepalive 5 4")`."""


def commands(text: str) -> list[Command]:
    """Every command of a configuration with its parents; the secrets' comments count as commands."""
    found: list[Command] = []
    stack: list[str] = []
    for line in text.splitlines():
        depth = len(line) - len(line.lstrip(" "))
        words = line.strip()
        if words.startswith("!"):
            words = words[1:].strip()
            if "<" not in words:
                continue
        del stack[depth:]
        assert len(stack) == depth, f"{line!r} is deeper than the mode that it follows"
        stack.append(words)
        found.append(tuple(stack))
    return found


def form_of(command: Command) -> str | None:
    """The form that a command has, with those of its parents; None if IOS has no such command."""
    mode, path = GLOBAL, []
    for place, words in enumerate(command):
        opened = [form for form in mode.modes if re.fullmatch(form, words)]
        plain = [form for form in mode.forms if re.fullmatch(form, words)]
        last = place == len(command) - 1
        if len(opened) == 1:
            path.append(opened[0])
            mode = mode.modes[opened[0]]
        elif last and len(plain) == 1 and not opened:
            path.append(plain[0])
        else:
            return None
    return " | ".join(path)
