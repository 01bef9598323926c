"""Echo packets and what is counted from them."""

import os
import signal
import struct
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6EchoReply, IPv6

from bongsu.lab.outage import _calm
from bongsu.lab.probe import pinger
from bongsu.lab.probe.echo import EchoError, EchoReply, parse, request
from bongsu.lab.probe.pinger import Pinger, Series, Source
from bongsu.protocol.checksum import checksum

A = ip_address("192.0.2.1")
SOURCE = Source("busan", "none", A, A)
MS = 1_000_000


def series(answers: str, step_ms: int = 10) -> Series:
    """A probe every `step_ms`; `.` answered, `x` lost."""
    return Series(
        SOURCE,
        [number * step_ms * MS for number in range(len(answers))],
        [MS if answer == "." else -1 for answer in answers],
    )


def test_request_is_what_scapy_reads() -> None:
    packet = ICMP(request(4, 7, 0x1122334455667788, 70000))
    assert (packet.type, packet.code, packet.id, packet.seq) == (8, 0, 7, 70000 & 0xFFFF)
    assert bytes(packet.payload) == struct.pack("!QQ", 0x1122334455667788, 70000)
    rebuilt = packet.copy()
    del rebuilt.chksum
    assert ICMP(bytes(rebuilt)).chksum == packet.chksum


def test_reply_with_ip_options_is_understood() -> None:
    reply = IP(src="192.0.2.9", dst="192.0.2.1", options=[("NOP")] * 4) / ICMP(type=0, id=7, seq=1)
    data = bytes(reply / struct.pack("!QQ", 5, 65537))
    assert parse(4, data) == EchoReply(7, 5, 65537)


def test_reply6() -> None:
    reply = IPv6(src="2001:db8::2", dst="2001:db8::1") / ICMPv6EchoReply(
        id=9, seq=3, data=struct.pack("!QQ", 1, 3)
    )
    assert parse(6, bytes(reply)[40:]) == EchoReply(9, 1, 3)


def test_time_exceeded_names_the_probe() -> None:
    probe = IP(src="192.0.2.1", dst="103.178.34.10", ttl=1) / ICMP(request(4, 7, 1, 4))
    error = IP(src="198.19.0.1", dst="192.0.2.1") / ICMP(type=11) / bytes(probe)[:28]
    assert parse(4, bytes(error)) == EchoError(11, 0, 7, 4)


def test_errors_about_other_peoples_packets_are_not_ours() -> None:
    other = IP(src="192.0.2.1", dst="103.178.34.10") / ICMP(type=13)
    error = IP(src="198.19.0.1", dst="192.0.2.1") / ICMP(type=11) / bytes(other)
    assert parse(4, bytes(error)) is None


@given(st.sampled_from([4, 6]), st.binary(max_size=120))
def test_no_bytes_break_the_parser(family: int, data: bytes) -> None:
    parse(family, data)


@given(st.binary(max_size=64))
def test_a_packet_with_its_checksum_sums_to_zero(data: bytes) -> None:
    data += b"\0" * (len(data) % 2)
    assert checksum(data + struct.pack("!H", checksum(data))) == 0


@pytest.mark.parametrize(
    ("answers", "gap_ms"),
    [
        ("......", 0),
        ("..xx..", 20),
        ("..x.xxx.", 30),
        ("...xxx", 20),
        ("xx....", 20),
    ],
)
def test_longest_gap(answers: str, gap_ms: int) -> None:
    assert series(answers).longest_gap_ns() == gap_ms * MS


def test_a_gap_before_the_fault_does_not_count() -> None:
    assert series("xxxx...x..").longest_gap_ns(50 * MS) == 10 * MS


def test_calm_judges_only_what_has_had_time(monkeypatch: pytest.MonkeyPatch) -> None:
    calm, unrest = series("." * 50 + "x" * 10), series("." * 30 + "x" + "." * 29)
    monkeypatch.setattr("bongsu.lab.outage.time.monotonic_ns", lambda: 890 * MS)
    assert _calm(calm, 0)  # the lost ones are younger than 400 ms
    assert not _calm(unrest, 0)
    assert _calm(unrest, 310 * MS)
    assert not _calm(series(""), 0)


class Silent:
    """In the place of a source: it has a descriptor that nothing comes from, and sends nothing."""

    def __init__(self, sent: Callable[[int], None]) -> None:
        self.series = series("")
        self.socket = os.fdopen(os.open(os.devnull, os.O_RDONLY), "rb")
        self._sent = sent

    def send(self) -> None:
        self.series.sent_ns.append(0)
        self._sent(len(self.series.sent_ns))


def silent(monkeypatch: pytest.MonkeyPatch, sent: Callable[[int], None]) -> Pinger:
    class Nothing:
        """No descriptor is ever ready."""

        def register(self, *_: object) -> None: ...
        def unregister(self, *_: object) -> None: ...
        def close(self) -> None: ...
        def poll(self, wait_s: float) -> list[tuple[int, int]]:
            time.sleep(wait_s)
            return []

    monkeypatch.setattr(pinger.select, "epoll", Nothing)
    monkeypatch.setattr(pinger, "_Endpoint", lambda _: Silent(sent))
    return Pinger([SOURCE], 0.001)


def test_ctrl_c_does_not_end_what_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted wait says nothing of the thread: it runs, and is still to be stopped."""
    main = threading.main_thread().ident
    assert main is not None

    def interrupt(number: int) -> None:
        if number == 50:
            signal.pthread_kill(main, signal.SIGINT)

    probing = silent(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        probing.start().running(60)
    assert probing.running(0)
    before = probing.done()
    (found,) = probing.stop()
    assert not probing.running(0)
    assert len(found.sent_ns) >= before >= 50


def test_what_ended_a_pinger_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> None:
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        silent(monkeypatch, broken).start().wait()
