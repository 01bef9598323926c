"""The relay's machine at the edges that tests/root/test_relay_edges.py tries on the data plane."""

import struct
from ipaddress import ip_address

import pytest
from scapy.layers.inet import ICMP, IP, UDP

from bongsu.protocol.relay.ip import nowhere
from bongsu.protocol.relay.machine import Drop, Machine, Pass, Send
from tests.root.relay_world import ACCELERATED, CLIENT, ENDPOINT, OFF, listener, plan

SECRET = b"a secret of some bytes"


def machine(where: str, hosted: bool = False) -> Machine:
    made = plan(where, listeners=[listener(validation="ike", amplification=3)])
    wheels = {(each.number, "vpn"): [ip_address(ENDPOINT[4])] * 1021 for each in made.accelerators}
    own = frozenset({ip_address(ACCELERATED[4]), ip_address(OFF[4])} if hosted else ())
    return Machine(made, SECRET, wheels, own, room=64)


@pytest.mark.parametrize(
    ("source", "none"),
    [
        ("0.0.0.9", True), ("127.0.0.1", True), ("224.0.0.5", True), ("255.255.255.255", True),
        ("1.0.0.1", False), ("126.255.0.1", False), ("128.0.0.1", False), ("223.0.0.1", False),
        ("::", True), ("::1", True), ("fe80::1", True), ("febf::1", True), ("ff02::1", True),
        ("::2", False), ("fec0::1", False), ("fd00::1", False), ("2001:db8::1", False),
    ],
)  # fmt: skip
def test_where_nobody_is(source: str, none: bool) -> None:
    assert nowhere(ip_address(source)) == none
    if "." in source:
        packet = IP(src=source, dst=ACCELERATED[4]) / UDP(sport=5, dport=500, chksum=0) / b"?"
        got = machine("e").receive(bytes(packet), 0)
        assert got == Drop("malformed") if none else isinstance(got, Send)


@pytest.mark.parametrize(
    ("where", "target", "reason"),
    [("e", ACCELERATED[4], "unknown_listener"), ("x", OFF[4], "unknown_client")],
)
def test_an_address_of_nobody_takes_nothing_else(where: str, target: str, reason: str) -> None:
    for inside in (ICMP(), UDP(sport=9, dport=9)):
        packet = bytes(IP(src=CLIENT[4], dst=target) / inside)
        assert machine(where).receive(packet, 0) == Drop(reason)
        assert machine(where, hosted=True).receive(packet, 0) == Pass()


def test_a_stranger_has_two_spis() -> None:
    egress = machine("x")
    entry = machine("e")
    for spi in range(1, 9):
        esp = struct.pack(">II", spi, 1) + bytes(24)
        packet = IP(src=CLIENT[4], dst=ACCELERATED[4]) / UDP(sport=4500, dport=4500, chksum=0) / esp
        over = entry.receive(bytes(packet), 0)
        assert isinstance(over, Send)
        assert isinstance(egress.receive(over.packet, 0), Send)
    (session,) = egress.book.sessions.values()
    assert session.spis == {("up", 1), ("up", 2)}
    session.proof = "proved"
    assert [session.knows("up", spi) for spi in range(100, 170)].count(True) == 62
