"""Probes as bytes, read by scapy; and which answers are taken for ours."""

from ipaddress import ip_address

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6

from bongsu.protocol.path.flow import MINIMUM, SHORT, TOO_BIG6, Answer, Kind, Protocol
from tests.unit.path_runs import ROUTER, TARGETS, error, flow, on_the_wire, reply

BOTH = pytest.mark.parametrize("family", [4, 6])
PROTOCOLS = pytest.mark.parametrize("protocol", ["icmp", "udp"])
NUMBERS = [0, 1, SHORT - 1, SHORT, 70_000, 1 << 40]


def checksum_field(packet: IP | IPv6) -> str:
    return "cksum" if hasattr(packet.payload, "cksum") else "chksum"


@BOTH
@PROTOCOLS
@pytest.mark.parametrize("sequence", NUMBERS)
def test_the_checksum_is_the_one_that_was_meant(
    protocol: Protocol, family: int, sequence: int
) -> None:
    """Two bytes of the payload make it right: scapy counts it anew and finds the same."""
    one = flow(protocol, family)
    packet = (IP if family == 4 else IPv6)(on_the_wire(one, sequence))
    field = checksum_field(packet)
    meant = getattr(packet.payload, field)
    again = packet.copy()
    delattr(again.payload, field)
    assert getattr(type(packet)(bytes(again)).payload, field) == meant


@BOTH
def test_echo_probes_look_alike_to_whoever_shares_load(family: int) -> None:
    headers = {flow("icmp", family).encode(sequence)[:6] for sequence in NUMBERS}
    assert len(headers) == 1


@BOTH
def test_udp_probes_have_the_same_ports(family: int) -> None:
    ports = {flow("udp", family).encode(sequence)[:6] for sequence in NUMBERS}
    assert len(ports) == 1
    packet = UDP(flow("udp", family).encode(5))
    assert (packet.sport, packet.dport) == (4321, 33434)


@BOTH
@PROTOCOLS
def test_no_two_in_flight_have_the_same_header(protocol: Protocol, family: int) -> None:
    one = flow(protocol, family)
    assert len({one.encode(sequence)[:8] for sequence in range(0, SHORT, 17)}) == len(
        range(0, SHORT, 17)
    )


@BOTH
@pytest.mark.parametrize("size", [0, 100, 1001, 1500])
def test_size_counts_the_ip_header(family: int, size: int) -> None:
    assert len(on_the_wire(flow("icmp", family, size), 9)) == max(size, 64, MINIMUM[family])


@BOTH
@pytest.mark.parametrize("sequence", NUMBERS)
def test_the_targets_reply(family: int, sequence: int) -> None:
    one = flow("icmp", family)
    answer = one.decode(reply(one, sequence), one.target, sequence)
    assert answer == Answer(sequence, Kind.REPLY, 0)


@BOTH
def test_a_reply_from_somebody_else_is_none(family: int) -> None:
    one = flow("icmp", family)
    assert one.decode(reply(one, 3), ROUTER[family], 3) is None


@BOTH
@PROTOCOLS
@pytest.mark.parametrize("quoted", ["all", "padded", "8 bytes", "12 bytes"])
@pytest.mark.parametrize("sequence", NUMBERS)
def test_a_router_quotes_the_probe(
    protocol: Protocol, family: int, quoted: str, sequence: int
) -> None:
    one = flow(protocol, family)
    whole = on_the_wire(one, sequence)
    start = 20 if family == 4 else 40
    quote = {
        "all": whole,
        "padded": whole + bytes(128 - len(whole)),  # RFC 4884
        "8 bytes": whole[: start + 8],
        "12 bytes": whole[: start + 12],
    }[quoted]
    answer = one.decode(error(one, quote), ROUTER[family], sequence + 100)
    assert answer == Answer(sequence, Kind.EXCEEDED, 0)


def test_a_reply_behind_ip_options() -> None:
    one = flow()
    packet = IP(reply(one, 7))
    optioned = IP(src=packet.src, dst=packet.dst, options=[("NOP")] * 4) / packet.payload
    assert one.decode(bytes(optioned), one.target, 7) == Answer(7, Kind.REPLY, 0)


@BOTH
def test_nobody_listens_is_the_udp_targets_reply(family: int) -> None:
    one = flow("udp", family)
    code = 3 if family == 4 else 4
    data = error(one, on_the_wire(one, 5), Kind.UNREACHABLE, code)
    assert one.decode(data, one.target, 5) == Answer(5, Kind.REPLY, code)
    assert one.decode(data, ROUTER[family], 5) == Answer(5, Kind.UNREACHABLE, code)


@BOTH
@PROTOCOLS
def test_unreachable_is_told_with_its_code(protocol: Protocol, family: int) -> None:
    one = flow(protocol, family)
    data = error(one, on_the_wire(one, 5), Kind.UNREACHABLE, 1)
    assert one.decode(data, ROUTER[family], 5) == Answer(5, Kind.UNREACHABLE, 1)


def test_too_big_in_ipv6_has_a_code_of_its_own() -> None:
    one = flow("icmp", 6)
    data = bytes([2, 0, 0, 0, 0, 0, 5, 0]) + on_the_wire(one, 5)
    assert one.decode(data, ROUTER[6], 5) == Answer(5, Kind.UNREACHABLE, TOO_BIG6)


def test_reassembly_that_took_too_long_says_nothing_of_the_hop() -> None:
    one = flow()
    data = bytes(IP(src=str(ROUTER[4])) / ICMP(type=11, code=1) / on_the_wire(one, 5))
    assert one.decode(data, ROUTER[4], 5) is None


def test_a_nat_may_rewrite_the_quoted_header_but_not_the_payload() -> None:
    one = flow("udp")
    whole = bytearray(on_the_wire(one, 5))
    whole[20:22] = (9999).to_bytes(2)
    whole[26:28] = b"\x12\x34"
    assert one.decode(error(one, bytes(whole)), ROUTER[4], 5) == Answer(5, Kind.EXCEEDED, 0)
    whole[40] ^= 1
    assert one.decode(error(one, bytes(whole)), ROUTER[4], 5) is None


@BOTH
@PROTOCOLS
def test_what_others_have_sent_is_not_ours(protocol: Protocol, family: int) -> None:
    one = flow(protocol, family)
    other = flow(protocol, family)
    object.__setattr__(other, "key", b"x" * 16)
    assert one.decode(error(one, on_the_wire(other, 5)), ROUTER[family], 5) is None
    if protocol == "icmp":
        assert one.decode(reply(other, 5), one.target, 5) is None


@BOTH
@PROTOCOLS
def test_a_quote_of_a_probe_to_somewhere_else_is_not_ours(protocol: Protocol, family: int) -> None:
    one = flow(protocol, family)
    elsewhere = flow(protocol, family)
    there = ip_address("198.51.100.10" if family == 4 else "2001:db8:9::a")
    object.__setattr__(elsewhere, "target", there)
    assert one.decode(error(one, on_the_wire(elsewhere, 5)), ROUTER[family], 5) is None


def test_a_broken_checksum_is_not_believed() -> None:
    one = flow()
    data = bytearray(error(one, on_the_wire(one, 5)))
    data[22] ^= 0xFF
    assert one.decode(bytes(data), ROUTER[4], 5) is None


def test_the_number_after_the_last_sent_is_nobodys() -> None:
    """With 8 bytes quoted, a header that no probe in flight has is taken for an older one's."""
    one = flow()
    quote = on_the_wire(one, 5)[:28]
    assert one.decode(error(one, quote), ROUTER[4], 4) is None
    assert one.decode(error(one, quote), TARGETS[4], 5) == Answer(5, Kind.EXCEEDED, 0)
