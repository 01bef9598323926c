"""Two files -> the lines that differ, and no other: an unchanged session is never touched."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bongsu.system.daemons.frr_reload import changes
from bongsu.system.daemons.frr_vty import VtyError, neighbors

OLD = """\
! Made by bongsu
! Plan 1
!
frr defaults traditional
hostname cpe
!
ip route 172.20.0.0/16 vti1
!
router bgp 65000
 bgp router-id 10.9.9.1
 neighbor 10.9.9.2 remote-as 31898
 neighbor 10.9.9.2 password one
 neighbor 10.9.9.2 timers 6 18
 neighbor 10.9.9.2 timers connect 2
 neighbor 10.9.9.6 remote-as 31898
 neighbor 10.9.9.6 timers 6 18
 !
 address-family ipv4 unicast
  network 10.0.0.0/16
  neighbor 10.9.9.2 soft-reconfiguration inbound
  neighbor 10.9.9.2 route-map T1-IN in
  neighbor 10.9.9.6 route-map T2-IN in
 exit-address-family
exit
!
ip prefix-list T1-IN seq 5 permit 172.16.0.0/16 le 32
!
route-map T1-IN permit 10
 match ip address prefix-list T1-IN
 set local-preference 200
exit
!
route-map T2-IN permit 10
exit
!
"""


def edit(*pairs: tuple[str, str]) -> str:
    text = OLD
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


def test_what_says_the_same_is_no_command() -> None:
    assert changes(OLD, OLD) == []
    assert changes(OLD, OLD.replace("! Plan 1", "! Plan 2")) == []


def test_another_value_replaces_the_line_and_takes_nothing_away() -> None:
    assert changes(OLD, edit(("2 timers 6 18", "2 timers 5 15"))) == [
        "router bgp 65000", " neighbor 10.9.9.2 timers 5 15", "exit",
    ]  # fmt: skip
    assert changes(OLD, edit(("password one", "password two"))) == [
        "router bgp 65000", " neighbor 10.9.9.2 password two", "exit",
    ]  # fmt: skip
    assert changes(OLD, edit(("seq 5 permit 172.16.0.0/16", "seq 5 permit 172.17.0.0/16"))) == [
        "ip prefix-list T1-IN seq 5 permit 172.17.0.0/16 le 32"
    ]
    assert changes(OLD, edit(("T1-IN in", "NEW in"), ("set local-preference 200", "set metric 3"))) == [
        "router bgp 65000", " address-family ipv4 unicast", "  neighbor 10.9.9.2 route-map NEW in",
        " exit-address-family", "exit",
        "route-map T1-IN permit 10", " set metric 3", "exit",
        "route-map T1-IN permit 10", " no set local-preference 200", "exit",
    ]  # fmt: skip


def test_what_comes_goes_in_before_what_leaves() -> None:
    found = changes(OLD, edit(("172.20.0.0/16 vti1", "172.20.0.0/16 vti2"),
                              ("network 10.0.0.0/16", "network 10.1.0.0/16")))  # fmt: skip
    assert found == [
        "ip route 172.20.0.0/16 vti2",
        "router bgp 65000", " address-family ipv4 unicast", "  network 10.1.0.0/16",
        " exit-address-family", "exit",
        "no ip route 172.20.0.0/16 vti1",
        "router bgp 65000", " address-family ipv4 unicast", "  no network 10.0.0.0/16",
        " exit-address-family", "exit",
    ]  # fmt: skip


def test_a_neighbor_that_leaves_takes_its_lines_with_it() -> None:
    gone = edit(
        (" neighbor 10.9.9.6 remote-as 31898\n neighbor 10.9.9.6 timers 6 18\n", ""),
        ("  neighbor 10.9.9.6 route-map T2-IN in\n", ""),
        ("route-map T2-IN permit 10\nexit\n!\n", ""),
    )
    assert changes(OLD, gone) == [
        "router bgp 65000", " no neighbor 10.9.9.6", "exit", "no route-map T2-IN permit 10",
    ]  # fmt: skip
    back = changes(gone, OLD)
    assert " neighbor 10.9.9.6 remote-as 31898" in back
    assert not any(line.lstrip().startswith("no ") for line in back)


def test_another_as_number_is_another_router() -> None:
    found = changes(OLD, edit(("router bgp 65000", "router bgp 65001")))
    assert found[:2] == ["no router bgp 65000", "router bgp 65001"]
    assert " neighbor 10.9.9.2 remote-as 31898" in found


def test_what_was_said_with_no_is_taken_back_without() -> None:
    old = edit((" bgp router-id", " no bgp network import-check\n bgp router-id"))
    assert changes(old, OLD) == ["router bgp 65000", " bgp network import-check", "exit"]


LINES = [line for line in OLD.splitlines() if line.startswith((" neighbor", "  n", "ip "))]


@given(st.sets(st.sampled_from(LINES)))
def test_only_lines_that_differ_are_named(left_out: set[str]) -> None:
    new = "\n".join(line for line in OLD.splitlines() if line not in left_out)
    named = {line.strip().removeprefix("no ") for line in changes(OLD, new)}
    same = {line.strip() for line in LINES if line not in left_out}
    assert not named & same
    assert (changes(OLD, new) == []) == (not left_out)


SUMMARY = {
    "ipv4Unicast": {
        "routerId": "10.9.9.1", "as": 65000,
        "peers": {
            "10.9.9.2": {
                "remoteAs": 31898, "localAs": 65000, "version": 4, "msgRcvd": 12, "msgSent": 11,
                "peerUptime": "00:00:16", "peerUptimeMsec": 16000, "pfxRcd": 2, "pfxSnt": 1,
                "state": "Established", "peerState": "OK", "desc": "hub t1", "idType": "ipv4",
            },
            "10.9.9.6": {
                "remoteAs": 31898, "msgRcvd": 0, "msgSent": 0, "peerUptime": "never",
                "peerUptimeMsec": 0, "pfxRcd": 0, "pfxSnt": 0, "state": "Idle",
            },
        },
    },
    "ipv6Unicast": {"peers": {"10.9.9.2": {
        "remoteAs": 31898, "state": "Established", "peerUptimeMsec": 16000, "pfxRcd": 3, "pfxSnt": 0,
    }}},
}  # fmt: skip
"""Of FRR 8.4.4's `show bgp summary json`, what is read of it; the second family made up."""


def test_summary() -> None:
    first, second = neighbors(json.dumps(SUMMARY))
    assert (first.address, first.asn, first.state, first.since_s) == (
        "10.9.9.2", 31898, "Established", 16.0,
    )  # fmt: skip
    assert (first.received, first.sent, first.messages_received) == (5, 1, 12)
    assert (second.established, second.since_s, second.received) == (False, None, 0)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ipv4Unicast": {"peers": {"a": {}}}}'])
def test_a_summary_that_is_none(text: str) -> None:
    with pytest.raises(VtyError):
        neighbors(text)
