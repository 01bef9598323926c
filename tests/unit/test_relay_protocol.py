"""The relay's reference: header, tag, contents, wheel, and the machine on its own clock."""

import struct
from collections import Counter
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from bongsu.protocol.relay import ip
from bongsu.protocol.relay.content import classify
from bongsu.protocol.relay.machine import Drop, Machine, Pass, Send
from bongsu.protocol.relay.packet import Header, HeaderError, derive, seal, tag, unpack
from bongsu.protocol.siphash import siphash
from bongsu.system.relay.tables import derived
from bongsu.system.relay.wheel import fill
from tests.root.relay_world import (
    ACCELERATED,
    CLIENT,
    ENDPOINT,
    OFF,
    OWN,
    PORT,
    ike,
    listener,
    plan,
)

SECRET = b"a secret of some bytes"
S = 10**9


@pytest.mark.parametrize(
    ("length", "expected"),
    # the vectors of the paper's authors: key 00..0f, data 00 01 ..
    [
        (0, 0x726FDB47DD0E0E31),
        (1, 0x74F839C593DC67FD),
        (7, 0xAB0200F58B01D137),
        (8, 0x93F5F5799A932462),
        (15, 0xA129CA6149BE45E5),
        (63, 0x958A324CEB064572),
    ],
)
def test_siphash(length: int, expected: int) -> None:
    assert siphash(bytes(range(16)), bytes(range(length))) == expected.to_bytes(8, "little")


def test_siphash_wants_its_key() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        siphash(b"short", b"")


def test_both_sides_derive_one_key() -> None:
    low, high = derived(SECRET)
    assert derive(SECRET) == low.to_bytes(8, "little") + high.to_bytes(8, "little")
    assert derive(SECRET) != derive(SECRET + b"x")


HEAD = Header(kind=1, hops=1, destination=2, source=3, accelerator=4)
FOUR = bytes(IP(src="198.51.100.2", dst="203.0.113.10") / UDP(sport=1, dport=2) / b"x")
SIX = bytes(IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP(sport=1, dport=2) / b"x")


def test_a_header_comes_back() -> None:
    data = seal(HEAD, FOUR, derive(SECRET))
    assert len(data) == 24
    assert data[:16] == bytes.fromhex("01010100 00000002 00000003 00000004".replace(" ", ""))
    assert unpack(data + FOUR).tag == tag(HEAD, FOUR, derive(SECRET))


@pytest.mark.parametrize("inner", [FOUR, SIX])
def test_the_tag_covers_what_it_should(inner: bytes) -> None:
    key = derive(SECRET)
    right = tag(HEAD, inner, key)
    for field in ("kind", "destination", "source", "accelerator"):
        other = Header(**(vars(HEAD) | {field: 0}))
        assert tag(other, inner, key) != right
    assert tag(Header(**(vars(HEAD) | {"hops": 0})), inner, key) == right
    covered = range(12, 24) if inner is FOUR else range(8, 44)
    for at in range(len(inner)):
        changed = bytearray(inner)
        changed[at] ^= 0x01
        assert (tag(HEAD, bytes(changed), key) != right) == (at in covered), at
    assert tag(HEAD, inner, None) == bytes(8)


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [(0, 2, "version 2"), (1, 2, "kind 2"), (2, 2, "2 hops"), (3, 1, "byte 3")],
)
def test_headers_that_cannot_be(at: int, value: int, said: str) -> None:
    data = bytearray(HEAD.pack())
    data[at] = value
    with pytest.raises(HeaderError, match=said):
        unpack(bytes(data))
    with pytest.raises(HeaderError, match="23 bytes"):
        unpack(bytes(23))


IKE_MESSAGE = b"initiat1" + b"respond1" + bytes(12)


@pytest.mark.parametrize(
    ("payload", "port", "kind"),
    [
        (IKE_MESSAGE, 500, "ike"),
        (IKE_MESSAGE, 4500, "esp"),  # without the marker, the cookie is an SPI
        (bytes(4) + IKE_MESSAGE, 4500, "ike"),
        (bytes(4) + IKE_MESSAGE, 500, "ike"),
        (bytes(4) + IKE_MESSAGE[:27], 4500, "other"),
        (IKE_MESSAGE[:27], 500, "other"),
        (b"\xff", 4500, "keepalive"),
        (b"\xff", 500, "other"),
        (b"\x00", 4500, "other"),
        (b"\xff\xff", 4500, "other"),
        (struct.pack(">II", 7, 9), 4500, "esp"),
        (struct.pack(">II", 7, 9)[:7], 4500, "other"),
        (IKE_MESSAGE, 7, "other"),
    ],
)
def test_what_a_payload_is(payload: bytes, port: int, kind: str) -> None:
    found = classify(payload, port)
    assert found.kind == kind
    if kind == "esp" and len(payload) == 8:
        assert (found.spi, found.sequence) == (7, 9)


@pytest.mark.parametrize("layer", ["udp", "udp without checksum", "tcp"])
@pytest.mark.parametrize("family", [4, 6])
def test_a_translated_packet_has_the_right_checksums(family: int, layer: str) -> None:
    ends = [CLIENT, ACCELERATED, OFF, ENDPOINT]
    client, address, off, endpoint = (e[family] for e in ends)
    if layer == "udp without checksum" and family == 6:
        return
    kind = IP if family == 4 else IPv6
    inside = TCP(sport=1, dport=2) if layer == "tcp" else UDP(sport=1, dport=2)
    if layer == "udp without checksum":
        inside.chksum = 0
    packet = ip.parse(bytes(kind(src=client, dst=address) / inside / b"odd"))
    assert packet is not None
    out = ip.translate(packet, ip_address(off), 3, ip_address(endpoint), 4)
    seen = kind(out)
    assert (seen.src, seen.dst, seen[type(inside)].sport, seen[type(inside)].dport) == (
        off, endpoint, 3, 4,
    )  # fmt: skip
    assert (seen.ttl if family == 4 else seen.hlim) == 63
    again = kind(out)
    if layer != "udp without checksum":
        del again[type(inside)].chksum
    if family == 4:
        del again.chksum
    assert bytes(again) == out


# the wheel


def test_weights_are_shares() -> None:
    ends = [(ip_address(f"10.0.0.{n}"), weight, n) for n, weight in ((1, 100), (2, 100), (3, 50))]
    counts = Counter(fill(ends).tolist())
    assert counts[1] == pytest.approx(1021 * 0.4, abs=3)
    assert counts[3] == pytest.approx(1021 * 0.2, abs=3)
    assert set(Counter(fill([(ip_address("10.0.0.1"), 0, 5)]).tolist())) == {255}


def test_few_clients_change_their_endpoint() -> None:
    ends = [(ip_address(f"10.0.0.{n}"), 100, n) for n in range(1, 11)]
    before, after = fill(ends), fill(ends[1:])
    stays = before != 1
    assert (after != 1).all()
    assert ((before == after)[stays]).mean() > 0.9
    assert (fill(ends[::-1]) == before).all()


# the machine


def machine(where: str = "x", **changes: object) -> Machine:
    wheels = {}
    made = plan(where, listeners=[listener(validation="ike", amplification=3, **changes)])
    for each in made.accelerators:
        wheels[each.number, "vpn"] = [ip_address(ENDPOINT[4])] * 1021
    return Machine(made, SECRET, wheels, room=64)


def _up(payload: bytes, sport: int = 500, dport: int = 500, client: str = CLIENT[4]) -> bytes:
    return bytes(
        IP(src=client, dst=ACCELERATED[4]) / UDP(sport=sport, dport=dport, chksum=0) / payload
    )


def test_there_and_back_through_two_machines() -> None:
    entry, egress = machine("e"), machine("x")
    over = entry.receive(_up(ike(b"initiat1")), 0)
    assert isinstance(over, Send)
    out = egress.receive(over.packet, 0)
    assert isinstance(out, Send)
    seen = IP(out.packet)
    assert (seen.src, seen.dst, seen[UDP].sport, seen.ttl) == (OFF[4], ENDPOINT[4], 500, 63)
    answer = IP(src=ENDPOINT[4], dst=OFF[4]) / UDP(sport=500, dport=500, chksum=0)
    back = egress.receive(bytes(answer / ike(b"initiat1", b"respond1")), S)
    assert isinstance(back, Send)
    outer = IP(back.packet)
    assert (outer.src, outer.dst, outer[UDP].dport) == (OWN["x"][4], OWN["e"][4], PORT)
    delivered = entry.receive(back.packet, S)
    assert isinstance(delivered, Send)
    assert (IP(delivered.packet).src, IP(delivered.packet).dst) == (ACCELERATED[4], CLIENT[4])
    assert machine("e").receive(back.packet, S) == Drop("unknown_client")
    assert egress.receive(bytes(IP(dst="192.0.2.9") / UDP(dport=PORT)), S) == Pass()


def test_strangers_have_half_the_room_and_ten_seconds() -> None:
    entry = machine("e")
    for n in range(32):
        assert isinstance(entry.receive(_up(ike(b"initiat1"), sport=1000 + n), n * S // 10), Send)
    assert entry.receive(_up(ike(b"initiat1"), sport=2000), 4 * S) == Drop("unproved")
    assert entry.expire(10 * S) == 0
    assert entry.expire(10 * S + 1) == 1
    assert isinstance(entry.receive(_up(ike(b"initiat1"), sport=2000), 10 * S + 1), Send)
