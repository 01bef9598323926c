"""The files for examples/hybrid-vpn.yaml against document E's own, option by option.

Every difference is listed here with its reason. One that is not listed fails, and so does a listed
one that is no difference: reasons must not outlive what they explain.
"""

import re
from collections.abc import Hashable, Mapping, Set
from typing import Any
from xml.etree import ElementTree

import pytest

from bongsu.render import render_node
from tests.golden import document_e
from tests.golden.networks import HERE, plans

NAMES = {"Tunnel-1": "vti1", "Tunnel-2": "vti2"}
"""A tunnel is called as its interface is."""

SAID = "said, where the document relies on a default"
DPD = "the cloud's side is asked whether it is there: without, a lost gateway goes unnoticed for hours"
LIBRESWAN: dict[tuple[str, str], str] = {
    (conn, key): reason
    for conn, right in (("vti1", "193.122.99.212"), ("vti2", "146.56.44.93"))
    for key, reason in (
        (f"+rightid={right}", SAID),
        ("+dpddelay=10", DPD),
        ("+dpdtimeout=30", DPD),
        ("+dpdaction=restart", DPD),
    )
}
LIBRESWAN["setup", "+ikev1-policy=accept"] = (
    "Libreswan refuses IKEv1 unless asked, since 4.10 of Debian and in later ones; 4.5 did not"
)

_ROUTER, _IPV4 = ("router bgp 65000",), ("router bgp 65000", "ipv4 unicast")
FILTERS = "maps are of each session, and take what is the cloud's instead of anything at all"
MARK = "active and standby: what comes by the first tunnel wins here"
PREPEND = "active and standby: the cloud prefers the first tunnel, too"
TIMERS = "the sessions' own timers say it: one place, not two"
LOG = "where to log is told on the daemons' command line, by whoever starts them"
BGPD: dict[tuple[str, ...], str] = {
    ("-hostname libreswancpe",): "the node's name in the file",
    ("+hostname cpe",): "the node's name in the file",
    ("+frr defaults traditional",): "so that what is left out means the same in every build",
    ("-log file //bgpd.log",): LOG,
    ("-log stdout",): LOG,
    (*_ROUTER, "-timers bgp 6 18"): TIMERS,
    (*_ROUTER, "+bgp log-neighbor-changes"): "a session that goes says why",
    ("-ip prefix-list BGP-OUT seq 10 permit 10.0.0.0/16",): FILTERS,
    ("-route-map BGP-ADVERTISE-OUT permit 10",): FILTERS,
    ("-route-map BGP-ADVERTISE-OUT permit 10", "match ip address prefix-list BGP-OUT"): FILTERS,
    ("-route-map ALLOW-ALL permit 100",): FILTERS,
    (*_IPV4, "+maximum-paths 1"): "one tunnel is active; FRR alone would balance over equal ones",
}
for _peer, _own, _list, _preference in (
    ("10.10.10.2", "10.10.10.1", "VTI1", 200),
    ("10.10.10.6", "10.10.10.5", "VTI2", 190),
):
    BGPD |= {
        (*_ROUTER, f"+neighbor {_peer} description hub {_list.lower()}"): "for who reads it",
        (*_ROUTER, f"+neighbor {_peer} update-source {_own}"): (
            "with multihop the session could leave by the default route, outside the tunnel"
        ),
        (*_ROUTER, f"+neighbor {_peer} timers connect 2"): (
            "FRR calls again after two minutes; a tunnel is back sooner"
        ),
        (*_IPV4, f"+neighbor {_peer} maximum-prefix 100"): "a mistake over there stays there",
        (*_IPV4, f"-neighbor {_peer} route-map ALLOW-ALL in"): FILTERS,
        (*_IPV4, f"-neighbor {_peer} route-map BGP-ADVERTISE-OUT out"): FILTERS,
        (*_IPV4, f"+neighbor {_peer} route-map {_list}-IN in"): FILTERS,
        (*_IPV4, f"+neighbor {_peer} route-map {_list}-OUT out"): FILTERS,
        (f"+ip prefix-list {_list}-IN seq 10 permit 172.16.0.0/24 le 32",): FILTERS,
        (f"+ip prefix-list {_list}-IN seq 20 permit 172.16.1.0/24 le 32",): FILTERS,
        (f"+ip prefix-list {_list}-OUT seq 10 permit 10.0.0.0/16",): FILTERS,
        (f"+route-map {_list}-IN permit 10",): FILTERS,
        (f"+route-map {_list}-IN permit 10", f"match ip address prefix-list {_list}-IN"): FILTERS,
        (f"+route-map {_list}-IN permit 10", f"set local-preference {_preference}"): MARK,
        (f"+route-map {_list}-OUT permit 10",): FILTERS,
        (f"+route-map {_list}-OUT permit 10", f"match ip address prefix-list {_list}-OUT"): FILTERS,
    }
BGPD["+route-map VTI2-OUT permit 10", "set as-path prepend 65000"] = PREPEND

LATER = "FRR 8 knows it; the document's 7.5 has no such daemon, or leaves it out"
DAEMONS = {f"+{name}=no": LATER for name in ("pim6d", "ldpd", "babeld", "vrrpd", "pathd")}
LOCAL = "as FRR's own file has it: the daemons' terminals are not for others"
DAEMONS |= {
    "+vtysh_enable=yes": "the configuration is one file, which vtysh loads",
    '+zebra_options="-A 127.0.0.1 -s 90000000"': LOCAL,
    '+staticd_options="-A 127.0.0.1"': LOCAL,
    '+bgpd_options="-A 127.0.0.1"': LOCAL,
    '+bfdd_options="-A 127.0.0.1"': LOCAL,
}

SYSCTL = {
    "-kernel.unknown_nmi_panic=1": "a habit of the cloud's images; nothing to do with a VPN",
}
for _vti in ("vti1", "vti2"):
    SYSCTL |= {
        f"+net.ipv4.conf.{_vti}.rp_filter=2": (
            "loose: answers come by the other tunnel. The document leaves it on, and its own"
            " verification complains"
        ),
        f"+net.ipv4.conf.{_vti}.accept_redirects=0": "made after `default` was read, or before",
        f"+net.ipv4.conf.{_vti}.send_redirects=0": "made after `default` was read, or before",
        f"+net.ipv4.conf.{_vti}.ignore_routes_with_linkdown=1": "a dead tunnel is no way",
        f"+net.ipv4.conf.{_vti}.disable_policy=1": "what Libreswan's own script sets on a VTI",
    }

FIREWALLD = {"+esp": "without a NAT on the way ESP comes by itself"}


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return render_node(plans("hybrid-vpn")["cpe"])


def differences(theirs: Set[Any], ours: Set[Any]) -> set[Hashable]:
    """What one has and the other has not; the last but outermost word begins with - or +."""
    return {_signed("-", item) for item in theirs - ours} | {
        _signed("+", item) for item in ours - theirs
    }


def _signed(sign: str, item: Any) -> Any:
    if isinstance(item, str):
        return sign + item
    # A command with its modes: the sign is at the mode that is ours alone, or at the command.
    *modes, command = item
    if modes and modes[0].startswith("route-map"):
        return (sign + modes[0], *modes[1:], command)
    return (*modes, sign + command)


def listed(found: set[Any], reasons: Mapping[Any, str]) -> None:
    assert found - set(reasons) == set(), "a difference without a reason"
    assert set(reasons) - found == set(), "a reason without a difference"
    assert all(reasons.values())


def test_libreswan(files: dict[str, str]) -> None:
    ours = sections(files["/etc/ipsec.d/bongsu.conf"])
    setup = ours.pop("config setup")
    theirs = {NAMES[name]: options for name, options in document_e.LIBRESWAN.items()}
    assert {name.removeprefix("conn ") for name in ours} == set(theirs)
    found = {("setup", item) for item in differences(set(), pairs(setup))}
    for name, options in theirs.items():
        found |= {(name, item) for item in differences(pairs(options), pairs(ours[f"conn {name}"]))}
    listed(found, LIBRESWAN)


def test_secrets(files: dict[str, str]) -> None:
    text = files["/etc/ipsec.d/bongsu.secrets"]
    found = re.findall(r'^(\S+) (\S+) : (PSK) "(BONGSU-SECRET-\w+)"$', text, re.M)
    assert [(left, right, kind.lower()) for left, right, kind, _ in found] == document_e.SECRETS
    # Each its own, and no value.
    assert len({marker for *_, marker in found}) == len(document_e.SECRETS)
    assert len([line for line in text.splitlines() if line and line[0] != "#"]) == len(found)


def test_bgp(files: dict[str, str]) -> None:
    listed(differences(document_e.BGPD, commands(files["/etc/frr/frr.conf"])), BGPD)


def test_daemons(files: dict[str, str]) -> None:
    listed(differences(pairs(document_e.DAEMONS), plain(files["/etc/frr/daemons"])), DAEMONS)


def test_sysctl(files: dict[str, str]) -> None:
    ours = {
        line.replace("/", ".").replace(" ", "")
        for line in plain(files["/etc/sysctl.d/60-bongsu.conf"])
    }
    listed(differences(pairs(document_e.SYSCTL), ours), SYSCTL)


def test_firewalld(files: dict[str, str]) -> None:
    root = ElementTree.fromstring(files["/etc/firewalld/services/bongsu-ipsec.xml"])
    ours = {f"{p.get('protocol')}/{p.get('port')}" for p in root.iter("port")}
    ours |= {str(p.get("value")) for p in root.iter("protocol")}
    listed(differences(document_e.FIREWALLD, ours), FIREWALLD)


def test_the_comparison_bites(files: dict[str, str]) -> None:
    """An option that is changed, lost or new is a difference that nobody has explained."""
    conf = files["/etc/ipsec.d/bongsu.conf"]
    for old, new in (
        ("vti-routing=no", "vti-routing=yes"),
        ("    encapsulation=yes\n", ""),
        ("auto=start", "auto=start\n    aggressive=yes"),
    ):
        with pytest.raises(AssertionError, match="without a reason"):
            test_libreswan({"/etc/ipsec.d/bongsu.conf": conf.replace(old, new)})
    with pytest.raises(AssertionError, match="without a difference"):
        test_libreswan({"/etc/ipsec.d/bongsu.conf": conf.replace("    dpdaction=restart\n", "")})
    frr = files["/etc/frr/frr.conf"]
    for old, new in (
        ("timers 6 18", "timers 10 30"),
        (" network 10.0.0.0/16\n", " network 10.0.0.0/8\n"),
        ("  neighbor 10.10.10.6 next-hop-self\n", ""),
        ("prefix-list VTI1-IN\n set", "prefix-list VTI2-IN\n set"),
    ):
        with pytest.raises(AssertionError, match="without a reason"):
            test_bgp({"/etc/frr/frr.conf": frr.replace(old, new)})


def test_the_reasons_are_told_to_users() -> None:
    page = " ".join((HERE.parents[1] / "docs/vpn-files.md").read_text().split())
    tables = (LIBRESWAN, BGPD, DAEMONS, SYSCTL, FIREWALLD)
    reasons = {reason for table in tables for reason in table.values()}
    assert len(reasons) > 20
    assert {reason for reason in reasons if reason not in page} == set()


def plain(text: str) -> set[str]:
    """Lines that say something."""
    return {line for line in text.splitlines() if line.strip() and line[0] != "#"}


def pairs(options: Mapping[str, str]) -> set[str]:
    return {f"{key}={value}" for key, value in options.items()}


def sections(text: str) -> dict[str, dict[str, str]]:
    """ipsec.conf(5): a section begins in the first column, its options are indented."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip()[0] == "#":
            continue
        if line[0] != " ":
            assert line not in found, f"{line} twice"
            found[line] = {}
            continue
        key, _, value = line.strip().partition("=")
        of_section = found[list(found)[-1]]
        assert key not in of_section, f"{key} twice"
        of_section[key] = value
    return found


def commands(text: str) -> set[tuple[str, ...]]:
    """FRR's commands, each with the modes it stands in."""
    found: set[tuple[str, ...]] = set()
    modes: list[str] = []
    for line in text.splitlines():
        command = line.strip()
        if not command or command[0] == "!":
            continue
        if command in ("exit", "exit-address-family"):
            modes.pop()
        elif command.startswith("address-family "):
            modes.append(command.removeprefix("address-family "))
        else:
            found.add((*modes, command))
            if command.startswith(("router bgp ", "route-map ")):
                modes.append(command)
    return found
