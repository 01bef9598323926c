"""Every dialect in every variant: built by scapy as well, read by scapy as well, and answered.

What a dialect looks like is written down here a second time, on purpose.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE
from scapy.packet import Packet, Raw

from bongsu.model.base import Address
from bongsu.model.tunnel import Dialect
from bongsu.protocol.gre_keepalive import (
    FORMS,
    Ends,
    Evidence,
    Reason,
    RefusedError,
    gre_payload,
    inner,
    parse_reply,
    parse_request,
    reflect,
    request,
)

OUTER: dict[int, tuple[Address, Address]] = {
    4: (IPv4Address("192.168.1.1"), IPv4Address("192.168.1.2")),
    6: (IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")),
}
INSIDE: dict[int, tuple[Address, Address]] = {
    4: (IPv4Address("10.10.10.1"), IPv4Address("10.10.10.2")),
    6: (IPv6Address("fd00::1"), IPv6Address("fd00::2")),
}
NONCE = bytes.fromhex("00ff10203040506f")

LOOKS = {
    # dialect: outer type before IPv4 and before IPv6, inner type in IPv4 and in IPv6
    Dialect.CISCO: (0x0800, 0x86DD, 0, 0),
    Dialect.HUAWEI: (0x0004, 0x86DD, 0, 0),
    Dialect.MIKROTIK: (0x0800, 0x86DD, 0, 0x86DD),
    Dialect.VELOCLOUD: (0x0800, 0x86DD, 0, 0),
    Dialect.HPE: (0x0800, 0x86DD, 0, 0),
}


@dataclass(frozen=True)
class Variant:
    """One way to make a request. A is us, B is the far end."""

    dialect: Dialect
    family: int
    inside: int
    key: int | None
    checksum: bool
    nonce: bytes | None

    @property
    def a(self) -> Ends:
        return Ends(*OUTER[self.family], self.key, INSIDE[self.inside], self.checksum)

    @property
    def b(self) -> Ends:
        """The same tunnel from the other side."""
        a = self.a
        assert a.inside
        return Ends(a.remote, a.local, a.key, a.inside[::-1], a.checksum)

    @property
    def inner_family(self) -> int:
        return self.inside if self.dialect is Dialect.VELOCLOUD else self.family

    @property
    def inner_addresses(self) -> tuple[Address, Address]:
        pair = INSIDE if self.dialect is Dialect.VELOCLOUD else OUTER
        return pair[self.inner_family]

    def __str__(self) -> str:
        words = [self.dialect.value, f"over{self.family}"]
        words += [f"inside{self.inside}"] * (self.dialect is Dialect.VELOCLOUD)
        words += [f"key{self.key}"] * (self.key is not None) + ["sum"] * self.checksum
        return "-".join(words + ["nonce"] * (self.nonce is not None))


def variants() -> Iterator[Variant]:
    for dialect in Dialect:
        for family in (4, 6):
            for inside in (4, 6) if dialect is Dialect.VELOCLOUD else (4,):
                for key in (None, 0, 0xDEADBEEF):
                    for checksum in (False, True):
                        for nonce in (None, NONCE):
                            yield Variant(dialect, family, inside, key, checksum, nonce)


VARIANTS = list(variants())
every = pytest.mark.parametrize("variant", VARIANTS, ids=str)
# Over IPv4 and IPv6, but no option: for what does not depend on them.
plain = pytest.mark.parametrize(
    "variant",
    [v for v in VARIANTS if v.key is None and not v.checksum and v.nonce is None],
    ids=str,
)

ID = 0xBEE7
TOS = 0xB8


def ip(source: Address, destination: Address, *, mark: int = 0, ttl: int = 255) -> Packet:
    """By scapy."""
    if source.version == 6:
        return IPv6(src=str(source), dst=str(destination), tc=TOS, fl=mark, hlim=ttl, nh=47)
    return IP(src=str(source), dst=str(destination), tos=TOS, id=mark, ttl=ttl, proto=47)


def gre(variant: Variant, kind: int) -> Packet:
    key = {} if variant.key is None else {"key_present": 1, "key": variant.key}
    return GRE(proto=kind, chksum_present=int(variant.checksum), **key)


def scapy_inner(variant: Variant, ttl: int = 255) -> Packet:
    ours, theirs = variant.inner_addresses
    kind = LOOKS[variant.dialect][2 if variant.inner_family == 4 else 3]
    packet = ip(theirs, ours, mark=ID, ttl=ttl) / gre(variant, kind)
    return packet / Raw(variant.nonce) if variant.nonce else packet


def scapy_request(variant: Variant) -> Packet:
    kind = LOOKS[variant.dialect][0 if variant.inner_family == 4 else 1]
    return ip(*OUTER[variant.family], ttl=64) / gre(variant, kind) / scapy_inner(variant)


def scapy_answer(variant: Variant) -> Packet:
    packet = scapy_inner(variant, ttl=254)
    if variant.dialect is not Dialect.VELOCLOUD:
        return packet
    # A route leads to A's inside address, and it leads into the tunnel.
    kind = 0x0800 if variant.inner_family == 4 else 0x86DD
    ours, theirs = OUTER[variant.family]
    return ip(theirs, ours, ttl=64) / gre(variant, kind) / packet


def ours(variant: Variant) -> bytes:
    return request(
        variant.a, ID, TOS, ttl=64, nonce=variant.nonce, dialect=variant.dialect
    )  # fmt: skip


def refused(data: bytes, ends: Ends, dialect: Dialect) -> Reason:
    with pytest.raises(RefusedError) as caught:
        reflect(data, ends, dialect)
    return caught.value.reason


def test_the_variants_are_all_there() -> None:
    assert set(LOOKS) == set(FORMS) == set(Dialect)
    assert len(VARIANTS) == (4 * 2 + 4) * 3 * 2 * 2
    assert len({str(variant) for variant in VARIANTS}) == len(VARIANTS)


@every
def test_an_independent_builder_agrees(variant: Variant) -> None:
    assert ours(variant) == bytes(scapy_request(variant))
    assert inner(
        variant.a, ID, TOS, nonce=variant.nonce, dialect=variant.dialect
    ) == bytes(scapy_inner(variant))  # fmt: skip
    header = 20 if variant.family == 4 else 40
    assert (
        gre_payload(variant.a, ID, TOS, nonce=variant.nonce, dialect=variant.dialect)
        == bytes(scapy_request(variant))[header:]
    )


def fields(packet: Packet, ttl: int, mark: int) -> None:
    """Check an IP header as scapy reads it, its checksum by having it made again."""
    if packet.version == 6:
        assert (packet.tc, packet.fl, packet.hlim, packet.nh) == (TOS, mark, ttl, 47)
        assert packet.plen == len(bytes(packet)) - 40
    else:
        assert (packet.tos, packet.id, packet.ttl, packet.proto) == (TOS, mark, ttl, 47)
        assert (packet.len, packet.ihl, packet.flags, packet.frag) == (
            len(bytes(packet)), 5, 0, 0,
        )  # fmt: skip
        fresh = packet.copy()
        del fresh.chksum
        assert IP(bytes(fresh)).chksum == packet.chksum


@every
def test_an_independent_parser_reads_the_same(variant: Variant) -> None:
    layers = {4: IP, 6: IPv6}
    kinds = LOOKS[variant.dialect]
    first = layers[variant.family](ours(variant))
    fields(first, 64, 0)
    assert (first.src, first.dst) == tuple(str(address) for address in OUTER[variant.family])
    outer = first[GRE]
    # scapy does not look into types that it does not know.
    second = layers[variant.inner_family](bytes(outer.payload))
    fields(second, 255, ID)
    ours_, theirs = variant.inner_addresses
    assert (second.src, second.dst) == (str(theirs), str(ours_))
    mark = second[GRE]
    for header, kind in ((outer, kinds[variant.inner_family == 6]),
                         (mark, kinds[2 + (variant.inner_family == 6)])):  # fmt: skip
        assert header.proto == kind
        assert header.key_present == (variant.key is not None)
        assert header.key == variant.key
        assert header.chksum_present == variant.checksum
        assert (header.routing_present, header.seqnum_present, header.version) == (0, 0, 0)
        if variant.checksum:
            fresh = header.copy()
            del fresh.chksum
            assert GRE(bytes(fresh)).chksum == header.chksum
    assert bytes(mark.payload) == (variant.nonce or b"")


@every
def test_our_answer_to_such_a_request(variant: Variant) -> None:
    got = reflect(bytes(scapy_request(variant)), variant.b, variant.dialect, tos=TOS, ttl=64)
    assert got == bytes(scapy_answer(variant))


@every
def test_what_a_request_is_taken_for(variant: Variant) -> None:
    found = parse_request(bytes(scapy_request(variant)) + bytes(9), variant.b, variant.dialect)
    assert found.inner == bytes(scapy_inner(variant))
    assert (found.destination, found.ttl) == (variant.inner_addresses[0], 255)
    assert found.tunnelled is (variant.dialect is Dialect.VELOCLOUD)


@every
def test_we_know_our_answer_again(variant: Variant) -> None:
    reply = parse_reply(bytes(scapy_answer(variant)), variant.dialect)
    reply.check(variant.a, ID, variant.nonce, variant.dialect)
    assert (reply.source, reply.destination) == OUTER[variant.family][::-1]
    assert (reply.key, reply.checksum, reply.ttl) == (variant.key, variant.checksum, 254)
    assert (reply.identification, reply.nonce) == (ID, variant.nonce)
    inside = INSIDE[variant.inside] if variant.dialect is Dialect.VELOCLOUD else None
    assert reply.inside == inside


@plain
def test_a_request_is_no_reply_and_a_reply_is_no_request(variant: Variant) -> None:
    """Sent back as it is, or seen by its own sender, neither does anything."""
    asked = bytes(scapy_request(variant))
    if variant.dialect is Dialect.VELOCLOUD:
        # Both are encapsulated: the inside addresses tell which is which.
        with pytest.raises(RefusedError) as caught:
            parse_reply(asked, variant.dialect).check(variant.b, ID, dialect=variant.dialect)
        assert caught.value.reason is Reason.WRONG_INNER
    else:
        with pytest.raises(RefusedError) as caught:
            parse_reply(asked, variant.dialect)
        assert caught.value.reason is Reason.NOT_KEEPALIVE
    answer = bytes(scapy_answer(variant))
    assert refused(answer, variant.a, variant.dialect) in (
        Reason.NOT_KEEPALIVE, Reason.TRUNCATED, Reason.WRONG_INNER,
    )  # fmt: skip


@plain
def test_every_dialect_answers_ciscos_form(variant: Variant) -> None:
    data = request(variant.a, ID)
    answer = reflect(data, variant.b, variant.dialect)
    parse_reply(answer).check(variant.a, ID)


@pytest.mark.parametrize(
    ("sent", "known", "reason"),
    [
        # What Cisco does not know: a type that stands for nothing, one for data, inside addresses.
        (Dialect.HUAWEI, Dialect.CISCO, Reason.NOT_KEEPALIVE),
        (Dialect.VELOCLOUD, Dialect.CISCO, Reason.WRONG_INNER),
        (Dialect.HUAWEI, Dialect.MIKROTIK, Reason.NOT_KEEPALIVE),
        (Dialect.VELOCLOUD, Dialect.HUAWEI, Reason.WRONG_INNER),
    ],
)
def test_a_form_is_known_only_where_it_was_agreed_on(
    sent: Dialect, known: Dialect, reason: Reason
) -> None:
    variant = Variant(sent, 4, 4, None, False, None)
    assert refused(ours(variant), variant.b, known) is reason


def test_mikrotiks_mark_is_known_only_in_its_own_dialect() -> None:
    variant = Variant(Dialect.MIKROTIK, 6, 4, None, False, None)
    assert refused(ours(variant), variant.b, Dialect.CISCO) is Reason.NOT_KEEPALIVE
    answer = reflect(ours(variant), variant.b, Dialect.MIKROTIK)
    with pytest.raises(RefusedError) as caught:
        parse_reply(answer)
    assert caught.value.reason is Reason.NOT_KEEPALIVE


def test_in_mikrotiks_dialect_ciscos_mark_is_no_reply_of_ours() -> None:
    ends = Ends(*OUTER[6])
    with pytest.raises(RefusedError) as caught:
        parse_reply(inner(ends), Dialect.MIKROTIK)
    assert caught.value.reason is Reason.NOT_KEEPALIVE


def test_data_in_gre6_is_no_keepalive_of_mikrotik() -> None:
    """The type is that of data; only where no IPv6 header can follow is it a mark."""
    ends = Variant(Dialect.MIKROTIK, 6, 4, None, False, None).a
    for length in (1, 7, 9, 39, 40, 60):
        packet = ip(ends.remote, ends.local) / GRE(proto=0x86DD) / Raw(bytes([0x60] * length))
        with pytest.raises(RefusedError) as caught:
            parse_reply(bytes(packet), Dialect.MIKROTIK)
        assert caught.value.reason is Reason.NOT_KEEPALIVE
        nested = ip(ends.local, ends.remote) / GRE(proto=0x86DD) / packet
        swapped = Ends(ends.remote, ends.local)
        assert refused(bytes(nested), swapped, Dialect.MIKROTIK) is Reason.NOT_KEEPALIVE


def test_a_mikrotik_behind_a_nat_is_answered_at_its_public_address() -> None:
    """It writes the only address it knows; the answer goes to the peer, and the NAT does the rest."""
    peer, us, private = "203.0.113.7", "192.0.2.1", "192.168.5.15"
    ends = Ends(IPv4Address(us), IPv4Address(peer))

    def made(destination: str, source: str = us) -> bytes:
        packet = IP(src=source, dst=destination, ttl=255, id=ID) / GRE(proto=0)
        return bytes(IP(src=peer, dst=us) / GRE(proto=0x0800) / packet)

    expected = IP(src=us, dst=peer, ttl=254, id=ID) / GRE(proto=0)
    for destination in (private, "8.8.8.8", peer):
        assert reflect(made(destination), ends, Dialect.MIKROTIK) == bytes(expected)
    assert refused(made(private), ends, Dialect.CISCO) is Reason.WRONG_INNER
    assert refused(made(private, private), ends, Dialect.MIKROTIK) is Reason.WRONG_INNER


def test_velocloud_as_captured() -> None:
    """linux-gre-keepalive#1: 192.168.1.64 is the Edge, and 172.22.74.137 its inside address."""
    ends = Ends(
        IPv4Address("192.168.1.252"),
        IPv4Address("192.168.1.64"),
        inside=(IPv4Address("172.22.74.138"), IPv4Address("172.22.74.137")),
    )
    packet = IP(src="172.22.74.138", dst="172.22.74.137") / GRE(proto=0)
    asked = IP(src="192.168.1.64", dst="192.168.1.252") / GRE(proto=0x0800) / packet
    answer = IP(reflect(bytes(asked), ends, Dialect.VELOCLOUD))
    assert (answer.src, answer.dst) == ("192.168.1.252", "192.168.1.64")
    assert (answer[GRE].proto, len(answer[GRE])) == (0x0800, 28)
    assert (answer[IP:2].src, answer[IP:2].dst) == ("172.22.74.138", "172.22.74.137")
    assert (answer[GRE:2].proto, len(answer[GRE:2])) == (0, 4)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (GRE(proto=0), Reason.NOT_KEEPALIVE),
        (GRE(proto=0x0004) / IP() / GRE(proto=0), Reason.NOT_KEEPALIVE),
        (GRE(proto=0x86DD) / IP() / GRE(proto=0), Reason.NOT_IP),
        (GRE(proto=0x0800) / IPv6() / GRE(proto=0), Reason.NOT_IP),
        (GRE(proto=0x0800) / IP(proto=1) / Raw(bytes(8)), Reason.NOT_GRE),
        (GRE(proto=0x0800) / IP() / GRE(proto=0x0800), Reason.NOT_KEEPALIVE),
        (GRE(proto=0x0800) / IP() / GRE(proto=0, key_present=1, key=5), Reason.WRONG_KEY),
        (GRE(proto=0x0800) / IP() / GRE(proto=0, chksum_present=1), Reason.WRONG_KEY),
        (GRE(proto=0x0800, key_present=1, key=5) / IP() / GRE(proto=0), Reason.WRONG_KEY),
        (GRE(proto=0x0800) / IP() / GRE(proto=0) / Raw(b"x"), Reason.TRAILING),
    ],
)
def test_what_comes_out_of_a_tunnel_and_is_no_reply(packet: Packet, reason: Reason) -> None:
    a, b = OUTER[4]
    with pytest.raises(RefusedError) as caught:
        parse_reply(bytes(IP(src=str(b), dst=str(a)) / packet), Dialect.VELOCLOUD)
    assert caught.value.reason is reason


@plain
@pytest.mark.parametrize("change", ["source", "destination", "key", "checksum", "inside"])
def test_a_request_of_another_tunnel_is_not_answered(variant: Variant, change: str) -> None:
    data, b = bytes(scapy_request(variant)), variant.b
    other = OUTER[variant.family][0] + 2
    inside = INSIDE[variant.inside][0] + 8
    assert b.inside
    ends, reason = {
        "source": (Ends(b.local, other, None, b.inside), Reason.WRONG_ENDS),
        "destination": (Ends(other, b.remote, None, b.inside), Reason.WRONG_ENDS),
        "key": (Ends(b.local, b.remote, 0, b.inside), Reason.WRONG_KEY),
        "checksum": (Ends(b.local, b.remote, None, b.inside, True), Reason.WRONG_KEY),
        "inside": (Ends(b.local, b.remote, None, (b.inside[0], inside)), Reason.WRONG_INNER),
    }[change]
    if change == "inside" and variant.dialect is not Dialect.VELOCLOUD:
        reflect(data, ends, variant.dialect)
    else:
        assert refused(data, ends, variant.dialect) is reason


@plain
@pytest.mark.parametrize(("ttl", "after"), [(255, 254), (2, 1), (1, None), (0, None)])
def test_an_answer_is_one_hop_older(variant: Variant, ttl: int, after: int | None) -> None:
    kind = LOOKS[variant.dialect][0 if variant.inner_family == 4 else 1]
    asked = ip(*OUTER[variant.family]) / gre(variant, kind) / scapy_inner(variant, ttl)
    if after is None:
        assert refused(bytes(asked), variant.b, variant.dialect) is Reason.TTL_SPENT
    else:
        answer = reflect(bytes(asked), variant.b, variant.dialect)
        assert parse_reply(answer, variant.dialect).ttl == after


def test_what_is_inside_goes_back_as_it_is() -> None:
    """Options of another's making: DF, class, a payload, a key left out, a sum of its own."""
    a, b = OUTER[4]
    for keyed in (None, 5):
        inside = (
            IP(src=str(b), dst=str(a), flags="DF", tos=3, id=1, ttl=9)
            / GRE(proto=0, chksum_present=1)
            / Raw(b"whatever a vendor likes to get back")
        )
        key = {} if keyed is None else {"key_present": 1, "key": keyed}
        asked = IP(src=str(a), dst=str(b)) / GRE(proto=0x0800, **key) / inside
        answer = reflect(bytes(asked), Ends(b, a, keyed))
        inside.ttl = 8
        assert answer == bytes(inside)


def test_a_request_behind_the_encapsulation_limit_of_linux_is_answered() -> None:
    a, b = OUTER[6]
    limit = bytes([47, 0, 4, 1, 4, 1, 1, 0])
    inside = IPv6(src=str(b), dst=str(a), nh=47, hlim=255) / GRE(proto=0)
    asked = IPv6(src=str(a), dst=str(b), nh=60) / limit / GRE(proto=0x86DD) / inside
    answer = reflect(bytes(asked), Ends(b, a))
    inside.hlim = 254
    assert answer == bytes(inside)


def test_what_lies_behind_the_inner_packet_does_not_go_back() -> None:
    """Padding, which an Ethernet on the way may have put inside the tunnel."""
    a, b = OUTER[4]
    inside = IP(src=str(b), dst=str(a), len=24) / GRE(proto=0)
    asked = IP(src=str(a), dst=str(b)) / GRE(proto=0x0800) / inside / Raw(bytes(18))
    assert len(reflect(bytes(asked), Ends(b, a))) == 24


def test_another_key_inside_is_refused() -> None:
    a, b = OUTER[4]
    inside = IP(src=str(b), dst=str(a)) / GRE(proto=0, key_present=1, key=6)
    asked = IP(src=str(a), dst=str(b)) / GRE(proto=0x0800, key_present=1, key=5) / inside
    assert refused(bytes(asked), Ends(b, a, 5), Dialect.CISCO) is Reason.WRONG_KEY


def test_data_is_no_request() -> None:
    a, b = OUTER[4]
    outer = IP(src=str(a), dst=str(b))
    ends = Ends(b, a)
    # Linux's own tunnel header in front of the inner GRE: only an outer one may have it.
    limit = bytes([47, 0, 4, 1, 4, 1, 1, 0])
    for packet, reason in (
        (outer / GRE(proto=0x86DD) / IPv6(nh=60) / limit / GRE(proto=0), Reason.NOT_GRE),
        (outer / GRE(proto=0x0800) / IP(src=str(b), dst=str(a), proto=6) / Raw(bytes(20)),
         Reason.NOT_GRE),
        (outer / GRE(proto=0x0800) / IP(src=str(b), dst=str(a)) / GRE(proto=0x0800),
         Reason.NOT_KEEPALIVE),
        (outer / GRE(proto=0x0800) / IP(src=str(b), dst="8.8.8.8") / GRE(proto=0),
         Reason.WRONG_INNER),
        (outer / GRE(proto=0x0800) / IP(src="8.8.8.8", dst=str(a)) / GRE(proto=0),
         Reason.WRONG_INNER),
        (outer / GRE(proto=0x86DD) / IP(src=str(b), dst=str(a)) / GRE(proto=0), Reason.NOT_IP),
        (outer / GRE(proto=0x6558) / Raw(bytes(40)), Reason.NOT_KEEPALIVE),
        (outer / GRE(proto=0), Reason.NOT_KEEPALIVE),
    ):  # fmt: skip
        assert refused(bytes(packet), ends, Dialect.CISCO) is reason


def test_inside_addresses_of_one_family_do_not_lead_out_by_the_other() -> None:
    """A NAT does not turn IPv6 into IPv4: not even MikroTik's answer changes its family."""
    packet = IPv6(src="2001:db8::2", dst="2001:db8::1") / GRE(proto=0)
    asked = IP(src="192.168.1.1", dst="192.168.1.2") / GRE(proto=0x86DD) / packet
    ends = Ends(IPv4Address("192.168.1.2"), IPv4Address("192.168.1.1"))
    assert refused(bytes(asked), ends, Dialect.MIKROTIK) is Reason.WRONG_INNER


def test_every_dialect_says_what_it_rests_on() -> None:
    for dialect, form in FORMS.items():
        kinds = {kind for kind, _ in form.sources}
        assert kinds - {Evidence.INFERRED}, dialect
        # Nobody publishes all of it: whoever claims that has not looked.
        assert Evidence.INFERRED in kinds, dialect
        assert form.differs
