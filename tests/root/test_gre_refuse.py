"""What must not come out of an eBPF tunnel does not, and is counted where it belongs.

Frames are thrown at b's underlay as the router would send them; an honest packet at the end of each
batch is the marker behind which nothing is waited for.
"""

import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Raw

from tests.root.gre_world import INNER, MACS, OUTER, World, world

pytestmark = pytest.mark.root
KEY = 42
OPTION = [IPOption(b"\x01\x01\x01\x01")]


@pytest.fixture
def w() -> Iterator[World]:
    with world() as made:
        yield made


def outer(family: int, **fields: Any) -> Any:
    ends = {"src": OUTER["a"][family], "dst": OUTER["b"][family]}
    return IP(**(ends | fields)) if family == 4 else IPv6(**(ends | fields))


def inner(family: int = 4, **fields: Any) -> Any:
    ends = {"src": INNER["a"][family], "dst": INNER["b"][family]}
    return IP(**(ends | fields)) if family == 4 else IPv6(**(ends | fields))


def gre(key: int | None = KEY, **fields: Any) -> Any:
    keyed = {} if key is None else {"key_present": 1, "key": key}
    return GRE(**(keyed | fields))


def crossed(w: World, family: int, *packets: Any, key: int | None = KEY) -> list[bytes]:
    """The inner packets that came out of the tunnel, those of `packets` only."""
    mark, eye = os.urandom(16), w.eye("b", "t")
    marker = outer(family) / gre(key) / inner() / UDP(dport=9) / mark
    w.throw("r", "rb", *w.frames_to_b(*packets, marker))
    return [frame[14:] for frame in eye.until(lambda frame: mark in frame)[:-1]]


BODY = inner() / UDP(sport=1, dport=9) / b"x"
OPTIONS = IPv6ExtHdrDestOpt(options=[])


def cases(family: int) -> dict[str, tuple[Any, str | None]]:
    """Packet by name, and the reason it is counted under; None: left to the stack, uncounted."""
    good = outer(family)
    of4: dict[str, tuple[Any, str | None]] = {
        "options": (outer(4, options=OPTION) / gre() / BODY, "rx_header"),
        "header checksum": (outer(4, chksum=1) / gre() / BODY, "rx_header"),
        "longer than the frame": (outer(4, len=400) / gre() / BODY, "rx_header"),
        "shorter than its header": (outer(4, len=19) / gre() / BODY, "rx_header"),
        "no room for the inner": (outer(4, len=30) / gre() / BODY, "rx_malformed"),
        "first fragment": (outer(4, flags="MF") / gre() / BODY, None),
        "later fragment": (outer(4, frag=2) / gre() / BODY, None),
    }
    of6: dict[str, tuple[Any, str | None]] = {
        "longer than the frame": (outer(6, plen=400) / gre() / BODY, "rx_header"),
        "no room for the inner": (outer(6, plen=10) / gre() / BODY, "rx_malformed"),
        "fragment": (outer(6) / IPv6ExtHdrFragment(m=1) / gre() / BODY, None),
    }
    source = "192.0.2.9" if family == 4 else "2001:db8:a::9"
    return {
        "wrong key": (good / gre(KEY + 1) / BODY, None),
        "no key": (good / gre(None) / BODY, None),
        "wrong source": (outer(family, src=source) / gre() / BODY, None),
        "not GRE": (good / UDP(dport=47) / bytes(gre() / BODY), None),
        "checksum": (good / gre(chksum_present=1) / BODY, "rx_checksum"),
        "sequence": (good / gre(seqnum_present=1, sequence_number=1) / BODY, "rx_sequence"),
        "routing": (good / gre(routing_present=1) / BODY, "rx_header"),
        "strict source route": (good / gre(strict_route_source=1) / BODY, "rx_header"),
        "recursion": (good / gre(recursion_control=4) / BODY, "rx_header"),
        "version": (good / gre(version=1) / BODY, "rx_header"),
        "transparent bridging": (good / gre(proto=0x6558) / Raw(bytes(80)), "rx_protocol"),
        "arp inside": (good / gre(proto=0x0806) / Raw(bytes(28)), "rx_protocol"),
        "IPv6 said, IPv4 meant": (good / gre(proto=0x86DD) / BODY, "rx_malformed"),
        "IPv4 said, IPv6 meant": (good / gre(proto=0x0800) / inner(6) / UDP(), "rx_malformed"),
        "inner too long": (good / gre() / inner(len=200) / UDP(), "rx_malformed"),
        "inner too short": (good / gre() / inner(len=10) / UDP(), "rx_malformed"),
        "inner header length": (good / gre() / inner(ihl=4) / UDP(), "rx_malformed"),
        "inner IPv6 too long": (good / gre() / inner(6, plen=999) / UDP(), "rx_malformed"),
        "nothing inside": (good / gre(proto=0x0800), "rx_malformed"),
        **(of4 if family == 4 else of6),
    }


@pytest.mark.parametrize("family", [4, 6])
def test_refused(w: World, family: int) -> None:
    w.tunnel(family=family, key=KEY)
    for name, (packet, reason) in cases(family).items():
        before = w.counters("b")
        assert crossed(w, family, packet) == [], name
        after = w.counters("b")
        why = {
            each: count - before.drops.get(each, 0)
            for each, count in after.drops.items()
            if count != before.drops.get(each, 0)
        }
        assert why == ({reason: 1} if reason else {}), name
        assert after.rx_packets - before.rx_packets == 1, name


@pytest.mark.parametrize("family", [4, 6])
def test_ignored_bits_and_options(w: World, family: int) -> None:
    # RFC 2784: bits 6 to 12 are ignored on receipt; RFC 2473: the encapsulation limit may precede
    w.tunnel(family=family, key=KEY)
    reserved = bytearray(bytes(gre() / BODY))
    reserved[0] |= 0x03
    reserved[1] |= 0xF8
    packets = [outer(family, **_proto(family)) / Raw(bytes(reserved))]
    if family == 6:
        packets.append(outer(6) / IPv6ExtHdrDestOpt(nh=47) / gre() / BODY)
    assert crossed(w, family, *packets) == [bytes(BODY)] * len(packets)


def _proto(family: int) -> dict[str, int]:
    return {"proto": 47} if family == 4 else {"nh": 47}


def test_unkeyed_tunnel_takes_no_key(w: World) -> None:
    w.tunnel()
    assert crossed(w, 4, outer(4) / gre(0) / BODY, key=None) == []
    assert crossed(w, 4, outer(4) / gre(None) / BODY, key=None) == [bytes(BODY)]


def test_strays_are_counted(w: World) -> None:
    w.tunnel(key=KEY)
    backend: Any = w.backend("b")
    before = backend.stray()
    crossed(w, 4, outer(4) / gre(1) / BODY, outer(4, flags="MF") / gre() / BODY)
    after = backend.stray()
    assert {name: after[name] - before[name] for name in after} == {"unknown": 1, "fragments": 1}


def test_other_interfaces_do_not_decapsulate(w: World) -> None:
    # The same packet by an interface that is no underlay of this tunnel, but of another.
    w.tunnel(key=KEY)
    w.create("a", name="u", underlay="ha", key=1, addresses=[])
    mark, eye = os.urandom(16), w.eye("a", "t")
    ends = {"src": OUTER["b"][4], "dst": OUTER["a"][4]}
    body = IP(src=INNER["b"][4], dst=INNER["a"][4]) / UDP(dport=9) / mark
    packet = IP(**ends) / gre() / body
    wrong = bytes(Ether(dst=MACS["ha"], src=MACS["hh"]) / packet)
    right = bytes(Ether(dst=MACS["ua"], src=MACS["ra"]) / packet)
    w.throw("h", "hh", wrong, wrong)
    w.throw("r", "ra", right)
    eye.one(lambda frame: mark in frame)
    assert w.counters("a").rx_packets == 1


def ecn_expected(inside: int, outside: int) -> int | None:
    """RFC 6040, figure 4, by row; None: dropped."""
    table = {
        0b00: (0b00, 0b00, 0b00, None),
        0b10: (0b10, 0b01, 0b10, 0b11),
        0b01: (0b01, 0b01, 0b01, 0b11),
        0b11: (0b11, 0b11, 0b11, 0b11),
    }
    return table[inside][outside]


@pytest.mark.parametrize("family", [4, 6])
def test_ecn_out(w: World, family: int) -> None:
    w.tunnel(family=family, key=KEY)
    for kind in (4, 6):
        sent, wanted = [], []
        for inside in range(4):
            for outside in range(4):
                dscp, tos = 0x28, "tos" if kind == 4 else "tc"
                body = inner(kind, **{tos: dscp | inside}) / UDP(dport=9) / b"ecn"
                over = {("tos" if family == 4 else "tc"): 0xB8 | outside}
                sent.append(outer(family, **over) / gre() / body)
                becomes = ecn_expected(inside, outside)
                if becomes is not None:
                    wanted.append(
                        bytes(inner(kind, **{tos: dscp | becomes}) / UDP(dport=9) / b"ecn")
                    )
        before = w.counters("b").drops.get("rx_ecn", 0)
        assert crossed(w, family, *sent) == wanted
        assert w.counters("b").drops["rx_ecn"] - before == 1


def test_ecn_and_fixed_tos_in(w: World) -> None:
    w.tunnel(tos=0x60)
    for ecn in range(4):
        eye, mark = w.eye("r", "ra"), os.urandom(16)
        packet = inner(tos=0xB8 | ecn) / UDP(dport=9) / mark
        w.throw("a", "t", bytes(Ether(dst="02:00:00:00:00:00", type=0x0800) / packet))
        assert Ether(eye.one(lambda frame, m=mark: m in frame)).payload.tos == 0x60 | ecn


def test_other_protocols_do_not_enter(w: World) -> None:
    w.tunnel()
    w.throw("a", "t", bytes(Ether(type=0x0806) / Raw(bytes(28))), bytes(Ether(type=0x88CC) / b"x"))
    w.throw("a", "t", bytes(Ether(type=0x0800) / Raw(b"\x60" + bytes(60))))
    assert w.counters("a").drops == {"tx_protocol": 2, "tx_malformed": 1}
    assert w.counters("a").tx_packets == 0


def ones_sum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def oracle(frame: bytes) -> bytes | None:
    """The inner packet that must come out of the keyed IPv4 tunnel for this frame, if any.

    Written from the RFCs, on purpose unlike the program under test.
    """
    if frame[12:14] != b"\x08\x00" or len(frame) < 14 + 20 or frame[:6] != bytes.fromhex(MAC):
        return None
    ip = frame[14:]
    if ip[0] != 0x45 or ip[9] != 47 or int.from_bytes(ip[6:8], "big") & 0x3FFF:
        return None
    size = int.from_bytes(ip[2:4], "big")
    if not 20 <= size <= len(ip) or ones_sum(ip[:20]) != 0xFFFF:
        return None
    packed = [bytes(map(int, OUTER[where][4].split("."))) for where in "ab"]
    if ip[12:16] != packed[0] or ip[16:20] != packed[1]:
        return None
    header, inside = ip[20:size][:8], ip[20:size][8:]
    if len(header) < 8 or header[0] & 0xFC != 0x20 or header[1] & 0x07:
        return None
    if header[4:8] != KEY.to_bytes(4, "big"):
        return None
    outer_ecn = ip[1] & 3
    if header[2:4] == b"\x08\x00":
        if len(inside) < 20 or inside[0] >> 4 != 4 or inside[0] & 15 < 5:
            return None
        length = int.from_bytes(inside[2:4], "big")
        if length < (inside[0] & 15) * 4 or length > len(inside):
            return None
        ecn = inside[1] & 3
    elif header[2:4] == b"\x86\xdd":
        if len(inside) < 40 or inside[0] >> 4 != 6:
            return None
        length = 40 + int.from_bytes(inside[4:6], "big")
        if length > len(inside):
            return None
        ecn = inside[1] >> 4 & 3
    else:
        return None
    becomes = ecn_expected(ecn, outer_ecn)
    if becomes is None:
        return None
    if becomes == ecn:
        return inside[:length]
    return b"?"  # the header is rewritten; compared by count only


MAC = "020000000006"


def mutate(rng: random.Random, frame: bytes) -> bytes:
    data = bytearray(frame)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        kind = rng.randrange(4)
        place = rng.randrange(14, min(len(data), 90)) if len(data) > 14 else 14
        if kind == 0 and len(data) > 40:
            del data[rng.randrange(15, len(data)) :]
        elif kind == 1 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 2 and place < len(data):
            data[place] = rng.randrange(256)
        elif kind == 3 and len(data) > 62:
            at = rng.randrange(34, 62)
            data[at : at + 2] = rng.randbytes(2)
    if rng.random() < 0.5 and len(data) >= 34:
        # half of them pass the first check
        data[24:26] = b"\0\0"
        data[24:26] = (ones_sum(bytes(data[14:34])) ^ 0xFFFF).to_bytes(2, "big")
    return bytes(data)


@pytest.mark.parametrize("seed", [1, 2])
def test_mutations_never_cross(w: World, seed: int) -> None:
    w.tunnel(key=KEY)
    # else a mutated destination is routed back into the tunnel, and from there again
    w.at("b", no_forwarding)
    rng = random.Random(seed)
    seeds = w.frames_to_b(
        outer(4) / gre() / inner() / UDP(dport=9) / bytes(40),
        outer(4, tos=2) / gre() / inner(tos=2) / TCP(dport=9, flags="S"),
        outer(4) / gre() / inner(6) / UDP(dport=9) / bytes(40),
        outer(4) / gre() / inner() / ICMP() / bytes(8),
        outer(4) / gre(seqnum_present=1, sequence_number=1) / inner() / UDP(dport=9) / bytes(40),
        outer(4) / gre(chksum_present=1) / inner() / UDP(dport=9) / bytes(40),
        outer(4) / gre() / IP(src=OUTER["b"][4], dst=OUTER["a"][4]) / GRE(proto=0),
    )
    frames = [mutate(rng, rng.choice(seeds)) for _ in range(3000)]
    expected = [packet for frame in frames if (packet := oracle(frame)) is not None]
    expected = [packet for packet in expected if not _reflected(packet)]
    before = w.counters("b")
    mark, eye = os.urandom(16), w.eye("b", "t")
    w.throw("r", "rb", *frames)
    w.throw("r", "rb", *w.frames_to_b(outer(4) / gre() / inner() / UDP(dport=9) / mark))
    seen = [frame[14:] for frame in eye.until(lambda frame: mark in frame)[:-1]]
    assert len(seen) == len(expected) > 100
    for packet, wanted in zip(seen, expected, strict=True):
        if wanted != b"?":
            assert packet[: len(wanted)] == wanted
    assert w.counters("b").rx_packets - before.rx_packets == len(expected) + 1


def no_forwarding() -> None:
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
    Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("0")


def _reflected(packet: bytes) -> bool:
    """Whether an inner packet is a keepalive of this tunnel, which goes back instead of up."""
    source, target = (bytes(map(int, OUTER[where][4].split("."))) for where in "ba")
    if packet[0] != 0x45 or packet[12:16] != source or packet[16:20] != target:
        return False
    if int.from_bytes(packet[6:8], "big") & 0x3FFF or ones_sum(packet[:20]) != 0xFFFF:
        return False
    return packet[20:24] in (bytes(4), b"\x20\0\0\0" + KEY.to_bytes(4, "big"))
