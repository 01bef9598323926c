"""The commands of VyOS 1.4 and 1.5 that are rendered, written down from VyOS's documents.

Not from the renderer: a line that no form admits is an error of one of the two. No real VyOS is here,
so this and a tree built from the words, in which nothing may have two values, stand for one.
"""

import re
import shlex
from typing import Any

A = r"\d+\.\d+\.\d+\.\d+"
A6 = r"[0-9a-f:]*:[0-9a-f:]*"
IP = rf"(?:{A}|{A6})"
P = rf"{A}/\d{{1,2}}"
P6 = rf"{A6}/\d{{1,3}}"
LABEL = r"[A-Z0-9][A-Z0-9-]*"
N = r"\d{1,10}"
IDENTITY = r"[A-Za-z0-9.:@_=, /-]+"
SECRET = r"<(?:env:\w+|file:/[^<>']+)>"
ETHERNET = r"interfaces (?:ethernet eth\d+|bonding bond\d+)(?: vif \d{1,4})?"
IKE = rf"vpn ipsec ike-group {LABEL}"
ESP = rf"vpn ipsec esp-group {LABEL}"
PEER = rf"vpn ipsec site-to-site peer {LABEL}"
CIPHER = (
    r"(?:null|aes(?:128|192|256)|aes(?:128|256)ctr|aes(?:128|192|256)gcm(?:64|96|128)|3des|"
    r"chacha20poly1305)"
)
HASH = r"(?:md5|sha1|sha256|sha384|sha512)"
GROUP = r"(?:1|2|5|1[4-9]|2\d|3[0-2])"
NEIGHBOR = rf"protocols bgp neighbor {IP}"
UNICAST = r"address-family ipv[46]-unicast"

SINGLE = (
    r"system host-name [a-z][a-z0-9-]*",
    rf"{ETHERNET} mtu {N}",
    rf"interfaces vti vti\d+ description {IDENTITY}",
    rf"interfaces vti vti\d+ mtu {N}",
    rf"interfaces vti vti\d+ ip adjust-mss {N}",
    rf"interfaces vti vti\d+ ipv6 adjust-mss {N}",
    r"interfaces vti vti\d+ ip source-validation strict",
    rf"{IKE} key-exchange ikev[12]",
    rf"{IKE} lifetime {N}",
    rf"{IKE} close-action (?:none|trap|start)",
    rf"{IKE} dead-peer-detection action (?:trap|clear|restart)",
    rf"{IKE} dead-peer-detection interval {N}",
    rf"{IKE} dead-peer-detection timeout {N}",
    rf"{IKE} proposal {N} dh-group {GROUP}",
    rf"{IKE} proposal {N} encryption {CIPHER}",
    rf"{IKE} proposal {N} hash {HASH}",
    rf"{IKE} proposal {N} prf prf{HASH}",
    rf"{ESP} lifetime {N}",
    rf"{ESP} mode (?:tunnel|transport)",
    rf"{ESP} pfs (?:enable|disable|dh-group{GROUP})",
    rf"{ESP} proposal {N} encryption {CIPHER}",
    rf"{ESP} proposal {N} hash {HASH}",
    rf"vpn ipsec authentication psk {LABEL} secret {SECRET}",
    rf"{PEER} authentication local-id {IDENTITY}",
    rf"{PEER} authentication remote-id {IDENTITY}",
    rf"{PEER} authentication mode pre-shared-secret",
    rf"{PEER} connection-type (?:initiate|none)",
    rf"{PEER} default-esp-group {LABEL}",
    rf"{PEER} ike-group {LABEL}",
    rf"{PEER} local-address {IP}",
    rf"{PEER} remote-address {IP}",
    rf"{PEER} vti bind vti\d+",
    rf"protocols static route {P} next-hop {A} distance {N}",
    rf"protocols static route {P} interface vti\d+ distance {N}",
    rf"policy prefix-list {LABEL} rule {N} action permit",
    rf"policy prefix-list {LABEL} rule {N} prefix {P}",
    rf"policy prefix-list {LABEL} rule {N} le {N}",
    rf"policy prefix-list6 {LABEL} rule {N} action permit",
    rf"policy prefix-list6 {LABEL} rule {N} prefix {P6}",
    rf"policy prefix-list6 {LABEL} rule {N} le {N}",
    rf"policy route-map {LABEL} rule {N} action permit",
    rf"policy route-map {LABEL} rule {N} match ip address prefix-list {LABEL}",
    rf"policy route-map {LABEL} rule {N} match ipv6 address prefix-list {LABEL}",
    rf"policy route-map {LABEL} rule {N} set as-path prepend {N}(?: {N})*",
    rf"policy route-map {LABEL} rule {N} set local-preference {N}",
    rf"protocols bgp system-as {N}",
    rf"protocols bgp parameters router-id {A}",
    rf"protocols bgp {UNICAST} maximum-paths ebgp {N}",
    rf"{NEIGHBOR} remote-as {N}",
    rf"{NEIGHBOR} description {IDENTITY}",
    rf"{NEIGHBOR} update-source {IP}",
    rf"{NEIGHBOR} timers keepalive {N}",
    rf"{NEIGHBOR} timers holdtime {N}",
    rf"{NEIGHBOR} ebgp-multihop {N}",
    rf"{NEIGHBOR} password {SECRET}",
    rf"{NEIGHBOR} bfd profile {LABEL}",
    rf"{NEIGHBOR} {UNICAST} route-map import {LABEL}",
    rf"{NEIGHBOR} {UNICAST} route-map export {LABEL}",
    rf"{NEIGHBOR} {UNICAST} maximum-prefix {N}",
    rf"protocols bfd profile {LABEL} interval multiplier {N}",
    rf"protocols bfd profile {LABEL} interval receive {N}",
    rf"protocols bfd profile {LABEL} interval transmit {N}",
)
"""A node with one value: set again, it has the new one."""
MANY = (
    rf"{ETHERNET} address (?:{P}|{P6})",
    rf"interfaces loopback lo address (?:{P}|{P6})",
    rf"interfaces vti vti\d+ address (?:{P}|{P6})",
    r"vpn ipsec interface eth\d+",
    rf"vpn ipsec authentication psk {LABEL} id {IDENTITY}",
    rf"{PEER} tunnel {N} local prefix {P}",
    rf"{PEER} tunnel {N} remote prefix {P}",
    rf"protocols static route {P} next-hop {A}",
    rf"protocols static route6 {P6} next-hop {A6}",
    rf"protocols static route {P} interface vti\d+",
    rf"protocols bgp {UNICAST} network (?:{P}|{P6})",
)
"""A node that may have several values."""
BARE = (
    r"vpn ipsec options disable-route-autoinstall",
    rf"{PEER} force-udp-encapsulation",
    rf"{NEIGHBOR} {UNICAST} nexthop-self",
    rf"{NEIGHBOR} {UNICAST} soft-reconfiguration inbound",
)
"""A node without a value."""
HINTS = (
    rf"firewall ipv[46] input filter rule {N} action accept",
    rf"firewall ipv[46] input filter rule {N} source address {IP}",
    rf"firewall ipv[46] input filter rule {N} protocol (?:udp|esp)",
    rf"firewall ipv[46] input filter rule {N} destination port 500,4500",
    rf"firewall group network-group {LABEL} network {P}",
    rf"firewall ipv4 forward filter rule {N} action drop",
    rf"firewall ipv4 forward filter rule {N} inbound-interface name vti\d+",
    rf"firewall ipv4 forward filter rule {N} source group network-group !{LABEL}",
    rf"nat source rule {N} exclude",
    rf"nat source rule {N} outbound-interface name eth\d+",
    rf"nat source rule {N} source address {P}",
    rf"nat source rule {N} destination address {P}",
)
"""Rendered as comments only."""
FORMS = (*SINGLE, *MANY, *BARE)


def commands(text: str) -> list[list[str]]:
    """The words of every command, those of the secrets' comments too."""
    found = []
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        if bare.startswith("set ") and (bare == line or "<" in bare):
            found.append(shlex.split(bare)[1:])
    return found


def hinted(text: str) -> list[str]:
    """The commands in comments that are not a secret's."""
    return [
        line.removeprefix("# set ").replace("'", "")
        for line in text.splitlines()
        if line.startswith("# set ") and "<" not in line
    ]


def form_of(words: list[str] | str) -> str | None:
    """The form that a command has; None if VyOS has no such command."""
    line = words if isinstance(words, str) else " ".join(words)
    found = [form for form in (*FORMS, *HINTS) if re.fullmatch(form, line)]
    return found[0] if len(found) == 1 else None


def tree(text: str) -> dict[str, Any]:
    """The configuration as VyOS keeps it. AssertionError where a node would get a second value."""
    root: dict[str, Any] = {}
    for words in commands(text):
        single = any(re.fullmatch(form, " ".join(words)) for form in SINGLE)
        values = 1
        if single and "prepend" in words:
            values = len(words) - words.index("prepend") - 1
        here = root
        for word in words[:-values] if single else words:
            here = here.setdefault(word, {})
        if single:
            assert not here, f"{' '.join(words)}: has the value {next(iter(here))} already"
            here[" ".join(words[-values:])] = {}
    return root
