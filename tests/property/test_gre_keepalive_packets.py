"""Hostile bytes: whatever arrives, a keepalive is taken for what it is or refused, and nothing else."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import assume, example, given
from hypothesis import strategies as st

from bongsu.model.base import Address
from bongsu.model.tunnel import Dialect
from bongsu.protocol.gre_keepalive import (
    Ends,
    RefusedError,
    Reply,
    gre_payload,
    identify,
    inner,
    parse_reply,
    parse_request,
    reflect,
    request,
    slot_of,
)

v4 = st.integers(0, (1 << 32) - 1).map(IPv4Address)
v6 = st.integers(0, (1 << 128) - 1).map(IPv6Address)


@st.composite
def tunnels(draw: st.DrawFn) -> Ends:
    outer: st.SearchStrategy[Address] = draw(st.sampled_from([v4, v6]))
    inside: st.SearchStrategy[Address] = draw(st.sampled_from([v4, v6]))
    ends = draw(outer), draw(outer), draw(inside), draw(inside)
    assume(len(set(ends)) == 4)
    key = draw(st.none() | st.integers(0, 0xFFFFFFFF))
    return Ends(ends[0], ends[1], key, (ends[2], ends[3]), draw(st.booleans()))


def reversed_(ends: Ends) -> Ends:
    assert ends.inside is not None
    return replace(ends, local=ends.remote, remote=ends.local, inside=ends.inside[::-1])


dialects = st.sampled_from(Dialect)
nonces = st.none() | st.binary(min_size=8, max_size=8)
identifications = st.integers(0, 0xFFFF)
classes = st.integers(0, 255)

Edit = tuple[str, int, int]
edits = st.lists(
    st.tuples(
        st.sampled_from(["set", "flip", "cut", "insert", "append"]),
        st.integers(0, 150),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=6,
)


def edited(data: bytes, edits: list[Edit]) -> bytes:
    changed = bytearray(data)
    for kind, at, value in edits:
        at %= max(len(changed), 1)
        if kind == "append":
            changed.append(value)
        elif kind == "insert":
            changed.insert(at, value)
        elif not changed:
            continue
        elif kind == "cut":
            del changed[-1 - at :]
        elif kind == "set":
            changed[at] = value
        else:
            changed[at] ^= 1 << value % 8
    return bytes(changed)


def address_of(packet: bytes) -> Address:
    """Where a packet goes, read from its bytes and by nothing of ours."""
    return ip_address(packet[16:20] if packet[0] >> 4 == 4 else packet[24:40])


@given(tunnels(), dialects, identifications, classes, st.integers(1, 255), nonces)
def test_there_and_back(
    a: Ends, dialect: Dialect, identification: int, tos: int, ttl: int, nonce: bytes | None
) -> None:
    asked = request(a, identification, tos, ttl=ttl, nonce=nonce, dialect=dialect)
    answer = reflect(asked, reversed_(a), dialect, tos=tos, ttl=ttl)
    reply = parse_reply(answer, dialect)
    reply.check(a, identification, nonce, dialect)
    assert reply.ttl == 254
    assert address_of(answer) == a.local
    # Nobody gets more out of a reflector than he puts in.
    assert len(answer) <= len(asked)
    assert asked.endswith(gre_payload(a, identification, tos, nonce=nonce, dialect=dialect))
    assert asked.endswith(inner(a, identification, tos, nonce=nonce, dialect=dialect))


@given(st.binary(max_size=200), tunnels(), dialects)
@example(b"", Ends(IPv4Address(0), IPv4Address(0), inside=(IPv4Address(0),) * 2), Dialect.CISCO)
def test_random_bytes_are_refused(data: bytes, ends: Ends, dialect: Dialect) -> None:
    for first in (data, b"\x45" + data, b"\x60" + data):
        for parse in (
            lambda data: parse_reply(data, dialect),
            lambda data: parse_request(data, ends, dialect),
        ):
            try:
                parse(first)
            except RefusedError:
                continue
            # Chance alone makes no header checksum and no tunnel's addresses.
            assert first[0] >> 4 == 6


def same(reply: Reply, other: Reply) -> bool:
    return replace(reply, ttl=0) == replace(other, ttl=0)


@given(tunnels(), dialects, identifications, nonces, edits)
def test_a_reply_that_was_tampered_with_is_refused_or_equal(
    a: Ends, dialect: Dialect, identification: int, nonce: bytes | None, edits: list[Edit]
) -> None:
    asked = request(a, identification, nonce=nonce, dialect=dialect)
    answer = reflect(asked, reversed_(a), dialect)
    right = parse_reply(answer, dialect)
    try:
        reply = parse_reply(edited(answer, edits), dialect)
        reply.check(a, identification, nonce, dialect)
    except RefusedError:
        return
    assert same(reply, right)


@given(tunnels(), dialects, identifications, nonces, st.data())
def test_every_bit_of_a_reply_matters_or_is_the_ways_own(
    a: Ends, dialect: Dialect, identification: int, nonce: bytes | None, data: st.DataObject
) -> None:
    """One bit turned: over IPv4 the header checksum, over IPv6 the fields themselves show it."""
    answer = reflect(
        request(a, identification, nonce=nonce, dialect=dialect), reversed_(a), dialect
    )
    right = parse_reply(answer, dialect)
    bit = data.draw(st.integers(0, 8 * len(answer) - 1))
    changed = bytearray(answer)
    changed[bit // 8] ^= 0x80 >> bit % 8
    try:
        reply = parse_reply(bytes(changed), dialect)
        reply.check(a, identification, nonce, dialect)
    except RefusedError:
        return
    assert same(reply, right)
    # What routers may change of an IPv6 header: the class, the hop limit, of an outer one the label.
    packet = len(inner(a, nonce=nonce, dialect=dialect))
    for start in {0, len(answer) - packet}:
        label = set() if len(answer) - start == packet else set(range(12, 32))
        if answer[start] >> 4 == 6 and bit - 8 * start in {*range(4, 12), *range(56, 64)} | label:
            return
    raise AssertionError(f"bit {bit} does not matter")


@given(tunnels(), dialects, identifications, nonces, edits)
def test_an_answer_goes_to_the_peer_and_to_nobody_else(
    a: Ends, dialect: Dialect, identification: int, nonce: bytes | None, edits: list[Edit]
) -> None:
    asked = edited(request(a, identification, nonce=nonce, dialect=dialect), edits)
    b = reversed_(a)
    try:
        answer = reflect(asked, b, dialect)
    except RefusedError:
        return
    assert address_of(answer) == b.remote
    assert len(answer) <= len(asked)


@given(st.integers(0, 31), st.integers(0, 1 << 32), st.sampled_from([4, 6]))
def test_slots_survive_the_way(slot: int, random: int, family: int) -> None:
    ends = {
        4: Ends(IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")),
        6: Ends(IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")),
    }[family]
    identification = identify(slot, random, family)  # type: ignore[arg-type]
    reply = parse_reply(inner(ends, identification))
    assert slot_of(reply.identification) == slot
    assert reply.identification == identification
