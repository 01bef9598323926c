"""Any bytes whatever: the program counts what a plain reading of the RFCs counts, and nothing else."""

import random
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bongsu.protocol.flow.ledger import Ledger
from bongsu.system.bpf import testrun
from bongsu.system.flow import layout
from bongsu.system.flow.choice import Choice
from bongsu.system.flow.monitor import Monitor
from tests.root.flow_world import text

pytestmark = pytest.mark.root
LO = 1
EXTENSIONS = (0, 43, 44, 51, 60)
PORTS = (6, 17, 136, 33, 132)
UNSPEC = 0xFFFFFFFF


@pytest.fixture(scope="module")
def monitor() -> Iterator[Monitor]:
    with Monitor(sets=1024) as made:
        entry: Any = np.zeros((), layout.INTERFACE)
        entry["ifindex"], entry["offset"] = LO, 14
        entry["flags"] = layout.ON | layout.UNDERLAY | layout.HTTP_HERE
        made._devices.view("u8")[LO] = entry.view("u8")
        made.choose(Choice(http=True))
        yield made


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return Ledger(idle_ns=1 << 62)


def model(frame: bytes) -> tuple[Any, ...] | str:
    """(source, sport, destination, dport, protocol, octets, vlan), or why there is none."""
    kind, at, vlan = struct.unpack_from(">H", frame, 12)[0], 14, 0
    if kind in (0x8100, 0x88A8):
        if len(frame) < 18:
            return "malformed"
        vlan, kind = struct.unpack_from(">HH", frame, 14)
        vlan, at = vlan & 0xFFF, 18
    if kind not in (0x0800, 0x86DD):
        return "other"
    ip = frame[at:]
    if kind == 0x0800:
        if len(ip) < 20 or ip[0] >> 4 != 4:
            return "malformed"
        header, total = (ip[0] & 15) * 4, struct.unpack_from(">H", ip, 2)[0]
        if header < 20 or not header <= total <= len(ip):
            return "malformed"
        source, target, proto = ip[12:16], ip[16:20], ip[9]
        later = struct.unpack_from(">H", ip, 6)[0] & 0x1FFF
    else:
        if len(ip) < 40 or ip[0] >> 4 != 6:
            return "malformed"
        header, total = 40, struct.unpack_from(">H", ip, 4)[0] + 40
        if total > len(ip):
            return "malformed"
        source, target, proto, later = ip[8:24], ip[24:40], ip[6], 0
        for _ in range(6):
            if proto not in EXTENSIONS:
                break
            if header + 8 > total:
                return "malformed"
            size = {44: 8, 51: (ip[header + 1] + 2) * 4}.get(proto, (ip[header + 1] + 1) * 8)
            if proto == 44:
                later = struct.unpack_from(">H", ip, header + 2)[0] & 0xFFF8
            if at + header > 512:
                return "malformed"
            proto, header = ip[header], header + size
            if header > total:
                return "malformed"
            if later:
                break
    rest = ip[header:total]
    sport = dport = 0
    if not later:
        if at + header > 512:
            return "malformed"
        if proto in PORTS and len(rest) >= (20 if proto == 6 else 8):
            sport, dport = struct.unpack_from(">HH", rest)
        elif proto in (1, 58) and len(rest) >= 4:
            dport = struct.unpack_from(">H", rest)[0]
    names = str(ip_address(source)), str(ip_address(target))
    return names[0], sport, names[1], dport, proto, total, vlan


@st.composite
def frames(draw: Any) -> bytes:
    """Frames that are nearly right."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    family, proto = (
        chance.choice((4, 6)),
        chance.choice((1, 6, 17, 47, 50, 58, 132, 0, 43, 44, 51, 60)),
    )
    payload = bytes(
        chance.choice(b"\x00\x01\x06\x11\x2c\x3cGET /") for _ in range(chance.randrange(90))
    )
    if chance.random() < 0.3:
        payload = (
            b"".join(
                bytes([chance.choice((17, 6, *EXTENSIONS)), chance.randrange(3)]) + bytes(6)
                for _ in range(chance.randrange(9))
            )
            + payload
        )
    if family == 4:
        options = bytes(4 * chance.choice((0, 0, 0, 1, 10)))
        total = 20 + len(options) + len(payload) + chance.choice((0, 0, 0, -1, 1, -30))
        ip = (
            struct.pack(
                ">BBHHHBBH4s4s",
                0x45 + len(options) // 4,
                chance.randrange(256),
                max(0, total),
                0,
                chance.choice((0, 0x4000, 0x2000, 1)),
                64,
                proto,
                0,
                b"\x0a\0\0\1",
                b"\x0a\0\0\2",
            )
            + options
        )
    else:
        length = max(0, len(payload) + chance.choice((0, 0, 0, -1, 1)))
        ip = struct.pack(">IHBB", 0x6 << 28 | chance.randrange(256) << 20, length, proto, 64)
        ip += bytes([0x20, 1]) + bytes(14) + bytes([0x20, 2]) + bytes(14)
    kind = chance.choice((0x0800 if family == 4 else 0x86DD,) * 9 + (0x0806, 0x0800, 0x86DD))
    tag = struct.pack(">HH", 0x8100, chance.randrange(1 << 16)) if chance.random() < 0.2 else b""
    frame = bytearray(bytes(12) + tag + struct.pack(">H", kind) + ip + payload)
    for _ in range(chance.choice((0, 0, 0, 1, 3))):
        frame[chance.randrange(12, len(frame))] = chance.randrange(256)
    # a test run refuses frames without a whole IP header; those come over a wire elsewhere
    least = min(len(frame), 14 + 40)
    cut = len(frame) if chance.random() < 0.8 else chance.randrange(least, len(frame) + 1)
    return bytes(frame[:cut]).ljust(14 + 40, b"\0")


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frame=frames(), side=st.sampled_from(["flow_ingress", "flow_egress"]))
def test_against_the_model(monitor: Monitor, ledger: Ledger, frame: bytes, side: str) -> None:
    stats = monitor.stats()
    answer = testrun.once(monitor.programs[side], frame)
    # neither a verdict nor a byte of it is the monitor's business
    assert (answer.verdict, answer.packet) == (UNSPEC, frame)
    changed = fresh(monitor, ledger)
    expected = model(frame)
    if isinstance(expected, str):
        assert not changed
        assert monitor.stats()[expected] == stats[expected] + 1
    else:
        *key, octets, vlan = expected
        assert changed == {(*key, vlan, side == "flow_egress"): (1, octets)}


def fresh(monitor: Monitor, ledger: Ledger) -> dict[tuple[Any, ...], tuple[int, int]]:
    """Packets and octets since the last call, by what the model says."""
    reading = monitor.read()
    return {
        (
            text(row, "saddr"),
            int(row["sport"]),
            text(row, "daddr"),
            int(row["dport"]),
            int(row["proto"]),
            int(row["vlan"]),
            bool(row["direction"] & layout.EGRESS),
        ): (int(row["packets"]), int(row["bytes"]))
        for row in ledger.take(reading.spilled, reading.live, 0)
    }


def head(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """A plain reading of a request: method, path without its query, host."""
    line, _, rest = data.partition(b"\r\n")
    parts = line.split(b" ")
    if len(parts) != 3 or parts[2] != b"HTTP/1.1":
        return None
    path = parts[1].split(b"?")[0].split(b"#")[0]
    host = b""
    for each in rest.split(b"\r\n"):
        name, _, value = each.partition(b":")
        if name.lower() == b"host":
            host = value.strip()
            break
    return parts[0], path[:192], host[:96]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.builds(
        lambda method, path, query, fields, host: (
            method
            + b" /"
            + path
            + query
            + b" HTTP/1.1\r\n"
            + b"".join(b"X-%s: y\r\n" % f for f in fields)
            + b"HoSt: "
            + host
            + b"\r\n\r\n"
        ),
        st.sampled_from([b"GET", b"POST", b"DELETE", b"PROPFIND"]),
        st.binary(max_size=300).map(
            lambda b: bytes(33 + c % 93 for c in b).replace(b"?", b"!").replace(b"#", b"!")
        ),
        st.sampled_from([b"", b"?token=SECRET", b"#SECRET"]),
        st.lists(st.sampled_from([b"a", b"host", b"SECRET" * 30]), max_size=8),
        st.binary(min_size=1, max_size=120).map(lambda b: bytes(97 + c % 26 for c in b)),
    ),
    cuts=st.lists(st.integers(1, 700), max_size=4),
)
def test_requests_cut_anywhere(monitor: Monitor, data: bytes, cuts: list[int]) -> None:
    cuts = sorted({cut for cut in cuts if cut < len(data)})
    monitor.events()
    port = random.Random(data).randrange(1, 65536)
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        piece = data[begin:end]
        tcp = struct.pack(">HHIIBBHHH", port, 80, 1000 + begin, 1, 0x50, 0x18, 100, 0, 0)
        ip = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 40 + len(piece), 0, 0, 64, 6, 0, b"\x0a\0\0\1", b"\x0a\0\0\2"
        )
        testrun.once(monitor.programs["flow_ingress"], bytes(12) + b"\x08\0" + ip + tcp + piece)
    events = monitor.events()
    assert [(e["method"], e["path"], e["host"]) for e in events] == [head(data)]
    assert b"SECRET" not in events["path"].tobytes() + events["host"].tobytes()
    # the next example may have the same port
    for key, _ in list(monitor._maps["flow_pending"].items()):
        monitor._maps["flow_pending"].delete(key)
