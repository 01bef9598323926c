"""The monitor does as it is told while packets pass, and leaves nothing behind."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from bongsu.system import netns
from bongsu.system.bpf import attach
from bongsu.system.flow.choice import Choice, Filter, FlowError
from bongsu.system.flow.monitor import Monitor, release
from bongsu.system.flow.seats import PRIORITY
from bongsu.system.gre import plane
from bongsu.system.relay import seats as relay
from bongsu.system.rtnl import Rtnl
from bongsu.system.run import run
from tests.root.flow_world import IN, MAC, Wire, counted, wire

pytestmark = pytest.mark.root


@pytest.fixture
def w() -> Iterator[Wire]:
    with wire() as made:
        yield made


def udp(
    sport: int, dport: int = 9, size: int = 0, source: str = "198.51.100.9", tos: int = 0
) -> bytes:
    packet = (
        IP(src=source, dst="203.0.113.1", tos=tos) / UDP(sport=sport, dport=dport) / bytes(size)
    )
    return bytes(Ether(src=MAC["wn"], dst=MAC["wf"]) / packet)


def seen(w: Wire) -> dict[tuple[Any, ...], tuple[int, int]]:
    """UDP by source and ports."""
    return {
        (key[0], key[1], key[3]): counted(row)
        for key, row in w.all().items()
        if row["proto"] == 17 and key[4] == IN
    }


def test_sampling_and_back(w: Wire) -> None:
    """Estimates are near, and say that they are; exact ones before and after stay exact."""
    monitor, sent = w.start(), 20000
    w.throw("near", "wn", *[udp(1)] * 100)
    monitor.choose(Choice(every=10))
    w.throw("near", "wn", *[udp(2, size=100)] * sent)
    skipped = monitor.stats()["unsampled"]
    monitor.choose(Choice())
    w.throw("near", "wn", *[udp(3)] * 50)
    flows = seen(w)
    assert flows["198.51.100.9", 1, 9] == (100, 2800)
    assert flows["198.51.100.9", 3, 9] == (50, 1400)
    packets, octets = flows["198.51.100.9", 2, 9]
    looked = packets // 10
    assert (packets, octets) == (looked * 10, looked * 10 * 128)
    assert skipped >= sent - looked
    # ten times the binomial's standard deviation
    assert abs(looked - sent / 10) < 10 * (sent * 0.1 * 0.9) ** 0.5
    flags = {int(row["sport"]): int(row["flags"]) for row in monitor.read().live}
    assert (flags[1], flags[2], flags[3]) == (0, 1, 0)


def test_filters_and_metrics(w: Wire) -> None:
    monitor = w.start()
    monitor.choose(
        Choice(filters=[Filter(17, 53), Filter(prefix=ip_network("198.51.100.0/25")), Filter(6)])
    )
    outside = "198.51.100.200"
    w.throw(
        "near",
        "wn",
        udp(1),
        udp(53, source=outside),
        udp(2, 53, source=outside),
        udp(3, source=outside),
    )
    assert set(seen(w)) == {("198.51.100.9", 1, 9), (outside, 53, 9), (outside, 2, 53)}
    assert monitor.stats()["filtered"] >= 1
    monitor.choose(Choice(ports=False, dscp=False))
    w.throw("near", "wn", udp(5, tos=0xB8), udp(6), udp(7, source=outside))
    flows = seen(w)
    assert flows["198.51.100.9", 0, 0] == (2, 56)
    monitor.choose(Choice())
    w.throw("near", "wn", udp(8, tos=0xB8), udp(8, tos=0xBB))
    marked = [r for r in monitor.read().live if r["sport"] == 8]
    assert {int(r["dscp"]) for r in marked} == {46}
    assert sum(int(r["packets"]) for r in marked) == 2


def test_a_refused_choice_changes_nothing(w: Wire) -> None:
    monitor = w.start()
    with pytest.raises(FlowError, match="1:0"):
        monitor.choose(Choice(every=0))
    w.throw("near", "wn", udp(1))
    assert seen(w) == {("198.51.100.9", 1, 9): (1, 28)}


def test_rtt_of_a_handshake_that_was_sent_again(w: Wire) -> None:
    """Neither end's answer says to which of the two it is one."""
    monitor = w.start()

    def segment(source: str, target: str, sport: int, dport: int, flags: str) -> bytes:
        packet = IP(src=source, dst=target) / TCP(sport=sport, dport=dport, flags=flags)
        return bytes(Ether(src=MAC["wn"], dst=MAC["wf"]) / packet)

    one, two = "198.51.100.9", "203.0.113.1"
    for port, syns in ((1, 1), (2, 2)):
        w.throw("near", "wn", *[segment(one, two, port, 80, "S")] * syns)
        w.throw("far", "wf", segment(two, one, 80, port, "SA"))
        w.throw("near", "wn", segment(one, two, port, 80, "A"))
    rtt = {
        key[:4:1][1:4:2]: int(row["rtt_us"]) for key, row in w.all().items() if row["proto"] == 6
    }
    assert rtt[1, 80] > 0
    assert rtt[80, 1] > 0
    assert rtt[80, 2] == 0
    assert rtt[2, 80] > 0
    assert monitor.stats()["malformed"] == 0


def test_before_what_redirects() -> None:
    assert plane.PRIORITY > PRIORITY
    assert relay.PRIORITY > PRIORITY


def filters(w: Wire) -> list[str]:
    shown = run(["tc", "-n", w.ns("far"), "-j", "qdisc", "show", "dev", "wf"]).stdout
    return [each["kind"] for each in json.loads(shown)]


def test_nothing_is_left(w: Wire) -> None:
    assert "clsact" not in filters(w)
    w.start()
    assert "clsact" in filters(w)
    w.throw("near", "wn", udp(1))
    w.at("far", lambda: w.monitor.ignore("wf"))
    assert "clsact" not in filters(w)
    w.throw("near", "wn", udp(1))
    assert seen(w)["198.51.100.9", 1, 9] == (1, 28)
    w.at("far", lambda: w.monitor.watch("wf"))
    w.at("far", w.monitor.close)
    assert "clsact" not in filters(w)
    w.monitor = None


def test_others_filters_stay(w: Wire) -> None:
    w.start()
    w.at(
        "far",
        lambda: attach.tc_attach(
            w.monitor.interfaces()[0], "ingress", w.monitor.programs["flow_http"], 9
        ),
    )
    w.at("far", lambda: w.monitor.ignore("wf"))
    assert "clsact" in filters(w)


def test_a_monitor_that_was_killed(w: Wire) -> None:
    """Its programs stay and harm nobody; the next takes their places, or clears them away."""
    script = (
        "import os, signal; from bongsu.system import netns\n"
        "from bongsu.system.flow.monitor import Monitor\n"
        f"with netns.in_netns({w.ns('far')!r}):\n"
        "    Monitor().watch('wf')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", script], check=False, env={**os.environ})
        assert done.returncode == -9
        assert "clsact" in filters(w)
    w.start()
    w.throw("near", "wn", udp(1))
    assert seen(w) == {("198.51.100.9", 1, 9): (1, 28)}
    w.at("far", w.monitor.close)
    w.monitor = None
    subprocess.run([sys.executable, "-c", script], check=False, env={**os.environ})
    with netns.in_netns(w.ns("far")), Rtnl() as kernel:
        assert len(release(kernel)) == 1
    assert "clsact" not in filters(w)


def test_frames_that_end_too_early(w: Wire) -> None:
    monitor = w.start()
    monitor.choose(Choice(http=True))
    whole = udp(1, size=30)
    w.throw("near", "wn", *(whole[:size] for size in range(15, len(whole))))
    assert seen(w) == {}
    assert monitor.stats()["malformed"] == len(whole) - 15


def test_interfaces_that_cannot_be_watched(w: Wire) -> None:
    monitor: Monitor = w.start()
    with pytest.raises(FlowError, match="no interface nope"):
        w.at("far", lambda: monitor.watch("nope"))
    with pytest.raises(FlowError, match="number 70000"):
        w.at("far", lambda: monitor.watch("wf", tunnel=70000))
    with pytest.raises(FlowError, match="power of two"):
        Monitor(sets=3)
    w.ip("near", "link del wn")
    assert len(w.at("far", monitor.forget_gone)) == 1
    assert monitor.interfaces() == []
