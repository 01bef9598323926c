"""Keepalive packets byte for byte, against bytes written by hand."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import GRE

from bongsu.model.base import Address
from bongsu.model.tunnel import Dialect
from bongsu.protocol.checksum import checksum
from bongsu.protocol.gre_keepalive import (
    Ends,
    Reason,
    RefusedError,
    gre_payload,
    identify,
    inner,
    parse_reply,
    request,
    slot_of,
)

A, B = IPv4Address("192.0.2.1"), IPv4Address("198.51.100.2")
A6, B6 = IPv6Address("2001:db8:a::1"), IPv6Address("2001:db8:b::2")
PLAIN, KEYED = Ends(A, B), Ends(A, B, 0xDEADBEEF)
SUMMED, BOTH = Ends(A, B, checksum=True), Ends(A, B, 7, checksum=True)
PLAIN6 = Ends(A6, B6)
NONCE = bytes(range(1, 9))


def reflected(ends: Ends, identification: int = 7, ttl: int = 254, **options: bytes) -> bytes:
    """What the far end sends: the inner packet, forwarded, by scapy."""
    data = inner(ends, identification, **options)  # type: ignore[arg-type]
    if ends.local.version == 6:
        packet = IPv6(data)
        packet.hlim = ttl
    else:
        packet = IP(data)
        packet.ttl = ttl
        del packet.chksum
    return bytes(packet)


def test_request_without_key() -> None:
    expected = (
        "4500 0030 0000 0000 ff2f cf67 c000 0201 c633 6402 0000 0800"
        "4500 0018 1234 0000 ff2f bd4b c633 6402 c000 0201 0000 0000"
    )
    assert request(PLAIN, 0x1234) == bytes.fromhex(expected)


def test_request_with_key_has_it_in_both_headers() -> None:
    expected = (
        "4500 0038 0000 0000 ff2f cf5f c000 0201 c633 6402 2000 0800 dead beef"
        "4500 001c 1234 0000 ff2f bd47 c633 6402 c000 0201 2000 0000 dead beef"
    )
    assert request(KEYED, 0x1234) == bytes.fromhex(expected)


def test_request_with_checksum_has_it_in_both_headers() -> None:
    # A right IPv4 header adds up to 0xffff, which is 0: the outer sum is that of 0x8000 and 0x0800.
    expected = (
        "4500 0038 0000 0000 ff2f cf5f c000 0201 c633 6402 8000 0800 77ff 0000"
        "4500 001c 1234 0000 ff2f bd47 c633 6402 c000 0201 8000 0000 7fff 0000"
    )
    assert request(SUMMED, 0x1234) == bytes.fromhex(expected)


def test_request_over_ipv6_has_its_identification_in_the_flow_label() -> None:
    a, b = "20010db8000a00000000000000000001", "20010db8000b00000000000000000002"
    expected = f"6000 0000 0030 2fff {a} {b} 0000 86dd" + f"600a bcde 0004 2fff {b} {a} 0000 0000"
    assert request(PLAIN6, 0xABCDE) == bytes.fromhex(expected)


def test_the_nonce_follows_the_inner_header() -> None:
    data = request(PLAIN, 0x1234, nonce=NONCE)
    plain = request(PLAIN, 0x1234)
    assert data[-8:] == NONCE
    assert len(data) == len(plain) + 8
    assert (data[2:4], data[26:28]) == (b"\0\x38", b"\0\x20")
    assert data[44:48] == plain[44:48] == bytes(4)


def test_class_and_ttl() -> None:
    data = request(PLAIN, 4242, 0xC0, ttl=64)
    assert checksum(data[:20]) == checksum(data[24:44]) == 0
    # The tunnel's TTL is for the way there; the answer starts afresh.
    assert (data[1], data[8], data[25], data[32]) == (0xC0, 64, 0xC0, 255)
    data = request(PLAIN6, 0, 0xC0, ttl=64)
    assert (data[:2], data[7], data[44:46], data[51]) == (b"\x6c\0", 64, b"\x6c\0", 255)


@pytest.mark.parametrize("ends", [PLAIN, KEYED, BOTH, PLAIN6])
def test_a_request_is_ip_gre_and_inner(ends: Ends) -> None:
    assert request(ends, 9, 8)[20 if ends.local.version == 4 else 40 :] == gre_payload(ends, 9, 8)
    assert gre_payload(ends, 9, 8).endswith(inner(ends, 9, 8))


@pytest.mark.parametrize(
    ("ends", "nonce", "length"),
    [
        (PLAIN, None, 24),
        (KEYED, None, 28),
        (BOTH, None, 32),
        (BOTH, NONCE, 40),
        (PLAIN6, None, 44),
        (PLAIN6, NONCE, 52),
    ],
)
def test_the_reflected_inner_packet_is_a_reply(
    ends: Ends, nonce: bytes | None, length: int
) -> None:
    data = reflected(ends, nonce=nonce)  # type: ignore[arg-type]
    assert len(data) == length
    reply = parse_reply(data)
    reply.check(ends, 7, nonce)
    assert (reply.source, reply.destination, reply.key) == (ends.remote, ends.local, ends.key)
    assert (reply.ttl, reply.identification, reply.nonce) == (254, 7, nonce)


def test_ethernet_padding_does_not_matter() -> None:
    for ends in (PLAIN, BOTH, PLAIN6):
        parse_reply(reflected(ends) + bytes(22)).check(ends, 7)


def test_a_reply_in_another_class_is_ours_all_the_same() -> None:
    for ends in (PLAIN, PLAIN6):
        parse_reply(inner(ends, 7, tos=0xB8)).check(ends, 7)


def test_the_encapsulation_limit_of_linux_is_read_over() -> None:
    # RFC 2473, 4.1.1: next header, length 0, option 4 of 1 byte, the limit; option 1 pads.
    options = bytes([47, 0, 4, 1, 4, 1, 1, 0])
    packet = IPv6(src=str(B6), dst=str(A6), nh=60, fl=7) / options / GRE(proto=0)
    parse_reply(bytes(packet)).check(PLAIN6, 7)


def v4(**fields: object) -> IP:
    return IP(src=str(B), dst=str(A), id=7, **fields)


def v6(**fields: object) -> IPv6:
    return IPv6(src=str(B6), dst=str(A6), fl=7, **fields)


def damaged(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.TRUNCATED),
        (reflected(PLAIN)[:19], Reason.TRUNCATED),
        (reflected(PLAIN)[:23], Reason.TRUNCATED),
        (reflected(KEYED)[:27], Reason.TRUNCATED),
        (reflected(PLAIN6)[:39], Reason.TRUNCATED),
        (reflected(PLAIN6)[:43], Reason.TRUNCATED),
        (bytes(v4(len=23) / GRE(proto=0)), Reason.TRUNCATED),
        (bytes(v4(len=19) / GRE(proto=0)), Reason.TRUNCATED),
        (bytes(v4(len=28) / GRE(proto=0)), Reason.TRUNCATED),
        (bytes(v4() / GRE(proto=0, key_present=1, key=5))[:24] + b"", Reason.TRUNCATED),
        (bytes(v4(len=24) / GRE(proto=0, key_present=1, key=5)), Reason.TRUNCATED),
        (bytes(v6(plen=3) / GRE(proto=0)), Reason.TRUNCATED),
        (bytes(v6(nh=60, plen=7) / bytes(8)), Reason.TRUNCATED),
        (b"\x44" + bytes(40), Reason.TRUNCATED),
        (b"\x50" + bytes(40), Reason.NOT_IP),
        (b"\0" * 60, Reason.NOT_IP),
        (bytes(v4(options=b"\x01\x01\x01\0") / GRE(proto=0)), Reason.OPTIONS),
        (damaged(reflected(PLAIN), 10), Reason.BAD_CHECKSUM),
        (bytes(v4(frag=1, proto=47) / bytes(4)), Reason.FRAGMENT),
        (bytes(v4(flags="MF", proto=47) / bytes(4)), Reason.FRAGMENT),
        (bytes(v6() / IPv6ExtHdrFragment(nh=47) / GRE(proto=0)), Reason.FRAGMENT),
        (bytes(v4(proto=17) / bytes(4)), Reason.NOT_GRE),
        (bytes(v6(nh=17) / bytes(4)), Reason.NOT_GRE),
        (bytes(v6() / IPv6ExtHdrDestOpt(nh=17) / bytes(4)), Reason.NOT_GRE),
        (bytes(v6(nh=60) / b"\x2f\x01" / bytes(14) / GRE(proto=0)), Reason.NOT_GRE),
        (bytes(v4() / GRE(proto=0x0800)), Reason.NOT_KEEPALIVE),
        (bytes(v6() / GRE(proto=0x86DD)), Reason.NOT_KEEPALIVE),
        (bytes(v4() / GRE(proto=0, version=1)), Reason.BAD_FLAGS),
        (bytes(v4() / GRE(proto=0, seqnum_present=1, sequence_number=1)), Reason.BAD_FLAGS),
        (bytes(v4() / GRE(proto=0, routing_present=1)), Reason.BAD_FLAGS),
        (bytes(v4() / GRE(proto=0, chksum_present=1, offset=1)), Reason.BAD_FLAGS),
        (bytes(v4() / GRE(proto=0, chksum_present=1, chksum=0)), Reason.BAD_GRE_CHECKSUM),
        (damaged(reflected(BOTH, nonce=NONCE), 35), Reason.BAD_GRE_CHECKSUM),
        (bytes(v4() / GRE(proto=0) / b"xx"), Reason.TRAILING),
        (bytes(v4() / GRE(proto=0) / bytes(9)), Reason.TRAILING),
        (bytes(v4() / GRE(proto=0, chksum_present=1) / b"x"), Reason.TRAILING),
    ],
    ids=lambda value: value.name.lower() if isinstance(value, Reason) else f"{len(value)}-bytes",
)
def test_what_is_no_reply_is_refused_by_its_reason(data: bytes, reason: Reason) -> None:
    with pytest.raises(RefusedError) as caught:
        parse_reply(data)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("ends", "identification", "nonce", "reason"),
    [
        (Ends(A, A), 7, None, Reason.WRONG_ENDS),
        (Ends(B, A), 7, None, Reason.WRONG_ENDS),
        (Ends(A, B, 0), 7, None, Reason.WRONG_KEY),
        (SUMMED, 7, None, Reason.WRONG_KEY),
        (PLAIN, 8, None, Reason.NOT_OURS),
        (PLAIN, 7, NONCE, Reason.WRONG_NONCE),
    ],
)
def test_a_reply_for_somebody_else(
    ends: Ends, identification: int, nonce: bytes | None, reason: Reason
) -> None:
    reply = parse_reply(reflected(PLAIN))
    with pytest.raises(RefusedError) as caught:
        reply.check(ends, identification, nonce)
    assert caught.value.reason is reason


def test_a_nonce_that_nobody_asked_for() -> None:
    with pytest.raises(RefusedError) as caught:
        parse_reply(reflected(PLAIN, nonce=NONCE)).check(PLAIN, 7)
    assert caught.value.reason is Reason.WRONG_NONCE


@pytest.mark.parametrize(("family", "bits"), [(4, 16), (6, 20)])
def test_identification_holds_slot_and_random_bits(family: int, bits: int) -> None:
    for slot in (0, 1, 31):
        for random in (0, 1, 0x7FF, 0xFFFFFFFF):
            found = identify(slot, random, family)  # type: ignore[arg-type]
            assert slot_of(found) == slot
            assert found >> 5 == random % (1 << (bits - 5))
    for slot in (-1, 32):
        with pytest.raises(ValueError, match="slot"):
            identify(slot, 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: request(PLAIN, 0x10000),
        lambda: request(PLAIN, -1),
        lambda: request(PLAIN6, 0x100000),
        lambda: request(PLAIN, tos=256),
        lambda: request(PLAIN, ttl=0),
        lambda: request(PLAIN6, ttl=256),
        lambda: request(PLAIN, nonce=b"short"),
        lambda: Ends(A, B6),
        lambda: Ends(A, B, inside=(A, B6)),
        lambda: Ends(A, B, 1 << 32),
        lambda: Ends(A, B, -1),
        lambda: request(PLAIN, dialect=Dialect.VELOCLOUD),
    ],
)
def test_what_does_not_fit_is_not_cut_off(make: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        make()  # type: ignore[operator]


def test_a_key_of_0_is_a_key() -> None:
    zero = Ends(A, B, 0)
    assert len(request(zero)) == len(request(PLAIN)) + 8
    parse_reply(reflected(zero)).check(zero, 7)


def test_ends_are_found_by_what_a_reply_says() -> None:
    """As receivers look a session up."""
    sessions: dict[Ends, str] = {PLAIN: "plain", KEYED: "keyed", PLAIN6: "six"}
    for ends, name in sessions.items():
        reply = parse_reply(reflected(ends))
        local: Address = reply.destination
        assert sessions[Ends(local, reply.source, reply.key)] == name
