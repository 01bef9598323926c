"""Keepalive packets byte for byte, against bytes written by hand and against scapy."""

from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import GRE

from bongsu.protocol.checksum import checksum
from bongsu.protocol.gre_keepalive import Ends, Reason, RefusedError, parse_reply, request

A, B = IPv4Address("192.0.2.1"), IPv4Address("198.51.100.2")
PLAIN = Ends(A, B)
KEYED = Ends(A, B, 0xDEADBEEF)


def reflected(ends: Ends, identification: int = 7, ttl: int = 254) -> bytes:
    """What the far end sends: the inner packet, forwarded."""
    packet = IP(request(ends, identification)[24 if ends.key is None else 28 :])
    packet.ttl = ttl
    del packet.chksum
    return bytes(packet)


def test_request_without_key_byte_for_byte() -> None:
    expected = (
        "4500 0030 0000 0000 ff2f cf67 c000 0201 c633 6402 0000 0800"
        "4500 0018 1234 0000 ff2f bd4b c633 6402 c000 0201 0000 0000"
    )
    assert request(PLAIN, 0x1234) == bytes.fromhex(expected)


def test_request_with_key_has_it_in_both_headers() -> None:
    data = request(KEYED, 1)
    assert len(data) == 56
    assert data[20:28] == data[48:50] + b"\x08\x00" + data[52:56]
    assert data[48:56] == bytes.fromhex("20000000deadbeef")


@pytest.mark.parametrize("ends", [PLAIN, KEYED])
def test_an_independent_builder_agrees(ends: Ends) -> None:
    gre = {"key_present": 1, "key": ends.key} if ends.key is not None else {}
    inner = IP(src=str(B), dst=str(A), ttl=255, id=99, proto=47) / GRE(proto=0, **gre)
    outer = IP(src=str(A), dst=str(B), ttl=255, id=0, proto=47) / GRE(proto=0x0800, **gre) / inner
    assert request(ends, 99) == bytes(outer)


def test_checksums_are_right_in_both_headers() -> None:
    data = request(PLAIN, 4242, tos=0xC0)
    assert checksum(data[:20]) == 0
    assert checksum(data[24:44]) == 0
    assert data[1] == data[25] == 0xC0


@pytest.mark.parametrize("ends", [PLAIN, KEYED])
def test_the_reflected_inner_packet_is_a_reply(ends: Ends) -> None:
    reply = parse_reply(reflected(ends))
    reply.check(ends, 7)
    assert (reply.source, reply.destination, reply.key, reply.ttl) == (B, A, ends.key, 254)


def test_ethernet_padding_does_not_matter() -> None:
    parse_reply(reflected(PLAIN) + bytes(22)).check(PLAIN, 7)


def gre(**fields: int) -> bytes:
    return bytes(IP(src=str(B), dst=str(A), id=7) / GRE(**fields))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.TRUNCATED),
        (reflected(PLAIN)[:19], Reason.TRUNCATED),
        (reflected(PLAIN)[:23], Reason.TRUNCATED),
        (reflected(KEYED)[:27], Reason.TRUNCATED),
        (b"\x60" + bytes(40), Reason.NOT_IPV4),
        (b"\x44" + bytes(40), Reason.TRUNCATED),
        (reflected(PLAIN)[:10] + b"\0\0" + reflected(PLAIN)[12:], Reason.BAD_CHECKSUM),
        (bytes(IP(src=str(B), dst=str(A), frag=1, proto=47) / bytes(4)), Reason.FRAGMENT),
        (bytes(IP(src=str(B), dst=str(A), flags="MF", proto=47) / bytes(4)), Reason.FRAGMENT),
        (bytes(IP(src=str(B), dst=str(A), proto=17) / bytes(4)), Reason.NOT_GRE),
        (gre(proto=0x0800), Reason.NOT_KEEPALIVE),
        (gre(proto=0, version=1), Reason.BAD_FLAGS),
        (gre(proto=0, chksum_present=1, chksum=0), Reason.BAD_FLAGS),
        (gre(proto=0, seqnum_present=1, sequence_number=1), Reason.BAD_FLAGS),
        (bytes(IP(src=str(B), dst=str(A)) / GRE(proto=0) / b"xx"), Reason.TRAILING),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, Reason) else f"{len(value)}-bytes",
)
def test_what_is_no_reply_is_refused_by_its_reason(data: bytes, reason: Reason) -> None:
    with pytest.raises(RefusedError) as caught:
        parse_reply(data)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("ends", "identification", "reason"),
    [
        (Ends(A, A), 7, Reason.WRONG_ENDS),
        (Ends(B, A), 7, Reason.WRONG_ENDS),
        (Ends(A, B, 0), 7, Reason.WRONG_KEY),
        (PLAIN, 8, Reason.NOT_OURS),
    ],
)
def test_a_reply_for_somebody_else(ends: Ends, identification: int, reason: Reason) -> None:
    reply = parse_reply(reflected(PLAIN))
    with pytest.raises(RefusedError) as caught:
        reply.check(ends, identification)
    assert caught.value.reason is reason
