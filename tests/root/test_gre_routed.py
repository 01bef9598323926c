"""A tunnel between loopbacks: it goes where routing says, comes from where it may, and never round."""

import contextlib
import os
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Ether

from bongsu.render.sysctl.render import tunnel_settings
from bongsu.system import netns, sysctl
from bongsu.system.bpf import testrun
from bongsu.system.gre.base import GreError
from bongsu.system.gre.ebpf import EbpfBackend
from bongsu.system.run import run
from tests.root.gre_world import INNER, eventually
from tests.root.two_ways import LOOPBACK, TwoWays, hop, plan, two_ways

pytestmark = pytest.mark.root


@pytest.fixture
def w() -> Iterator[TwoWays]:
    with two_ways() as made:
        yield made


def contains(mark: bytes, frame: bytes) -> bool:
    return mark in frame


def outer(frame: bytes) -> Any:
    return Ether(frame).payload


@pytest.mark.parametrize("family", [4, 6])
def test_the_next_packet_takes_the_new_way(w: TwoWays, family: int) -> None:
    for where in "ab":
        w.to_peer(where, "w1", family)
        w.create(where, family=family)
    eyes = {wire: w.eye("b", wire) for wire in ("w1", "w2")}
    with w.udp("a") as near, w.udp("b") as far:
        far.bind((INNER["b"][4], 9))
        for wire in ("w1", "w2", "w1", "w2", "w2", "w1"):
            w.to_peer("a", wire, family)
            mark = os.urandom(16)
            near.sendto(mark, (INNER["b"][4], 9))
            assert far.recv(100) == mark, "whichever way it came"
            seen = outer(eyes[wire].one(partial(contains, mark)))
            assert (seen.src, seen.dst) == (LOOPBACK["a"][family], LOOPBACK["b"][family])
    assert w.counters("a").drops == w.counters("b").drops == {}
    assert w.counters("b").rx_packets == 6
    # and aggregates of TCP, in which the kernel has to find its place again
    assert w.counters("a").tx_packets == 6
    assert w.do("a", lambda backend: backend.recursive()) == {}


@pytest.mark.parametrize("family", [4, 6])
def test_the_answer_goes_its_own_way(w: TwoWays, family: int) -> None:
    # a keepalive that came by the one wire is sent back by the other
    w.to_peer("a", "w1", family)
    w.to_peer("b", "w2", family)
    w.create("b", family=family)
    ip, ttl = (IP, "ttl") if family == 4 else (IPv6, "hlim")
    ends = {"src": LOOPBACK["b"][family], "dst": LOOPBACK["a"][family]}
    reply = ip(**ends, **{ttl: 255}) / GRE(proto=0)
    request = ip(src=ends["dst"], dst=ends["src"]) / GRE() / reply
    eye = w.eye("a", "w2")
    af = socket.AF_INET if family == 4 else socket.AF_INET6
    with netns.socket_in(w.ns("a"), af, socket.SOCK_RAW, socket.IPPROTO_RAW) as hand:
        hand.sendto(bytes(request), (ends["src"], 0))
    seen = outer(eye.one(lambda frame: frame[20 if family == 6 else 23] == 47))
    setattr(reply, ttl, 254)
    assert bytes(seen) == bytes(ip(bytes(reply)))
    assert w.counters("b").keepalives_reflected == 1


def stray(w: TwoWays, where: str) -> dict[str, int]:
    return w.do(where, lambda backend: backend.stray())


@pytest.mark.parametrize("family", [4, 6])
def test_only_by_planned_underlays(w: TwoWays, family: int) -> None:
    for where in "ab":
        w.create(where, family=family)
    # the third has a tunnel of its own, so that our program sees what arrives there
    own = {"local": plan("b").local.__class__(hop("b", "w3", 4)), "underlay": "w3"}
    w.create("b", name="u", **own, other_underlays=[], addresses=[], remote=plan("b").remote)
    w.to_peer("a", "w3", family)
    for _ in range(3):
        w.send()
    eventually(lambda: stray(w, "b")["unknown"] == 3, "it came where nobody planned it")
    assert w.counters("b").rx_packets == 0
    w.to_peer("a", "w2", family)
    w.passes()


@pytest.mark.parametrize("family", [4, 6])
def test_into_itself(w: TwoWays, family: int) -> None:
    for where in "ab":
        w.to_peer(where, "w1", family)
        w.create(where, family=family)
    w.passes()
    assert w.do("a", lambda backend: backend.recursive()) == {}
    bits = 32 if family == 4 else 128
    eyes = [w.eye("b", wire) for wire in ("w1", "w2")]
    w.ip("a", f"route replace {LOOPBACK['b'][family]}/{bits} dev t")
    for _ in range(3):
        w.send()
    assert w.drops("a", "tx_recursive") == 3
    assert w.do("a", lambda backend: backend.recursive()) == {"t": "t"}
    assert not w.do("a", lambda backend: backend.reaches("t"))
    # nothing new was turned back, so nothing is said
    assert w.do("a", lambda backend: backend.recursive()) == {}
    w.to_peer("a", "w2", family)
    assert w.do("a", lambda backend: backend.reaches("t"))
    w.passes()
    assert w.do("a", lambda backend: backend.recursive()) == {}
    sizes = [len(frame) for frame in eyes[1].until(lambda frame: b"\x2f" in frame[20:24])]
    assert max(sizes) < 200, "nothing went round"


def test_into_another_tunnel(w: TwoWays) -> None:
    w.to_peer("a", "w1")
    w.create("a")
    w.create("a", name="u", key=7, addresses=[])
    w.ip("a", f"route replace {LOOPBACK['b'][4]}/32 dev u")
    w.send()
    assert w.drops("a", "tx_recursive") == 1
    assert w.do("a", lambda backend: backend.recursive()) == {"t": "u"}
    # gone with the tunnel that it led into
    w.do("a", lambda backend: backend.delete("u"))
    w.send()
    assert w.drops("a", "tx_recursive") == 1
    assert w.drops("a", "tx_no_route") == 1


def test_no_way(w: TwoWays) -> None:
    w.create("a")
    w.send()
    assert w.counters("a").drops == {"tx_no_route": 1}
    w.ip("a", f"route replace blackhole {LOOPBACK['b'][4]}/32")
    w.send()
    assert w.counters("a").drops == {"tx_no_route": 2}
    assert not w.do("a", lambda backend: backend.reaches("t"))


def test_nobody_is_answered_round(w: TwoWays) -> None:
    # the peer's keepalive, when the way back leads into the tunnel
    w.create("b")
    w.ip("b", f"route replace {LOOPBACK['a'][4]}/32 dev t")
    w.to_peer("a", "w1")
    reply = IP(src=LOOPBACK["b"][4], dst=LOOPBACK["a"][4]) / GRE(proto=0)
    request = IP(src=LOOPBACK["a"][4], dst=LOOPBACK["b"][4]) / GRE() / reply
    with netns.socket_in(w.ns("a"), socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as hand:
        hand.sendto(bytes(request), (LOOPBACK["b"][4], 0))
    eventually(lambda: w.drops("b", "tx_recursive") == 1, "counted")
    assert w.counters("b").keepalives_reflected == 0


@pytest.mark.parametrize("family", [4, 6])
def test_the_smallest_underlay_decides(w: TwoWays, family: int) -> None:
    w.ip("a", "link set w2 mtu 1400")
    w.to_peer("a", "w1", family)
    assert w.create("a", family=family)
    assert w.do("a", lambda backend: backend.mtu("t")) == 1400 - plan("a", family=family).overhead


def test_a_way_smaller_than_planned(w: TwoWays) -> None:
    # w3 is no underlay of the plan, but routing leads there, and it has less room
    w.ip("a", "link set w3 mtu 1400")
    w.to_peer("a", "w3")
    w.create("a")
    with w.udp("a") as near:
        near.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
        near.connect((INNER["b"][4], 9))
        near.send(bytes(1400))
        # the message comes back by the tunnel, as if the far end had sent it
        eventually(lambda: near.getsockopt(socket.IPPROTO_IP, 14) == 1400 - 24, "told")
        with contextlib.suppress(OSError):
            near.send(b"")  # takes the error that is still to be told
        near.send(bytes(1400 - 24 - 28))
    assert w.drops("a", "tx_too_big") == 1
    assert w.counters("a").too_big_received == 0, "nobody told us"
    assert w.do("a", lambda backend: backend.refresh()) == {"t": 1400 - 24}


def carrier(w: TwoWays) -> bool:
    def look() -> bool:
        with IPRoute() as ipr:
            return bool(ipr.link("get", ifname="t")[0]["flags"] & 0x10000)  # IFF_LOWER_UP

    return w.at("a", look)


def test_held(w: TwoWays) -> None:
    for where in "ab":
        w.to_peer(where, "w1")
        w.create(where)
    backend = w.backend("a")
    w.at("a", lambda: backend.hold("t", True))
    eventually(lambda: not carrier(w), "no carrier")
    assert w.at("a", backend.held) == {"t"}
    assert w.at("a", lambda: backend.line("t")), "the line's own state is another"
    w.at("a", lambda: backend.set_line("t", False))
    w.at("a", lambda: backend.set_line("t", True))
    assert not w.create("a"), "nor does the same plan let go"
    assert not carrier(w)
    # what comes to it meanwhile is not carried either
    w.to_peer("b", "w1")
    with w.udp("b") as far:
        far.sendto(b"x", (INNER["a"][4], 9))
    eventually(lambda: w.drops("a", "rx_line_down") == 1, "dropped")
    # the next agent finds it held
    w.backends.pop("a").close()
    backend = w.at("a", EbpfBackend)
    w.backends["a"] = backend
    assert w.at("a", backend.held) == {"t"}
    w.at("a", lambda: backend.set_line("t", False))
    w.at("a", lambda: backend.hold("t", False))
    assert not carrier(w), "both must let go"
    w.at("a", lambda: backend.set_line("t", True))
    eventually(lambda: carrier(w), "carrier")
    w.passes()


def filters(w: TwoWays, wire: str) -> str:
    return run(["tc", "-n", w.ns("a"), "filter", "show", "dev", wire, "ingress"]).stdout


def test_underlays_come_and_go(w: TwoWays) -> None:
    w.to_peer("b", "w2")
    for where in "ab":
        w.create(where)
    assert not w.create("a")
    assert "gre_decap" in filters(w, "w1")
    assert "gre_decap" in filters(w, "w2")
    assert w.create("a", other_underlays=["w3"])
    assert "gre_decap" not in filters(w, "w2")
    assert "gre_decap" in filters(w, "w3")
    with w.udp("b") as far:
        far.sendto(b"x", (INNER["a"][4], 9))
    assert w.create("a")
    # none has come by w2 while that was no underlay
    assert w.counters("a").rx_packets == 0
    w.do("a", lambda backend: backend.create(plan("a", name="u", key=3, addresses=[])))
    w.do("a", lambda backend: backend.delete("t"))
    assert "gre_decap" in filters(w, "w2"), "another tunnel uses it"
    w.do("a", lambda backend: backend.delete("u"))
    for wire in ("w1", "w2", "w3"):
        assert filters(w, wire) == ""


def test_the_kernel_must_forward_to_tell_the_way(w: TwoWays) -> None:
    w.at("a", lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("0"))
    with pytest.raises(GreError, match="IPv4 forwarding is off") as caught:
        w.create("a")
    assert caught.value.hint == "net.ipv4.conf.lo.forwarding = 1"
    assert w.create("a", other_underlays=[]), "one underlay needs no question"
    with pytest.raises(GreError, match="no underlay interface nowhere"):
        w.create("a", other_underlays=["nowhere"])


def test_in_the_driver(w: TwoWays) -> None:
    # gre_encap_xdp asks once a tick; a way into a tunnel is left to the program behind it
    w.to_peer("a", "w2")
    w.create("a")
    mark = bytes(IP(src=INNER["a"][4], dst=INNER["b"][4]) / UDP(dport=9) / b"mark")
    frame = bytes(12) + b"\x08\x00" + mark
    program = w.backend("a")._plane._programs["gre_encap_xdp"]

    def verdict() -> tuple[int, bytes]:
        peer = socket.if_nametoindex("t-x")
        answer = testrun.once(program, frame, peer)
        return answer.verdict, answer.packet

    xdp_pass, xdp_redirect = 2, 4
    # the neighbour is not known yet: the stack is to ask
    assert w.at("a", verdict) == (xdp_pass, frame)
    run(["ping", "-c", "1", "-W", "5", hop("b", "w2", 4)], netns=w.ns("a"))
    eventually(lambda: w.at("a", verdict)[0] == xdp_redirect, "redirected")
    seen = outer(w.at("a", verdict)[1])
    assert (seen.src, seen.dst) == (LOOPBACK["a"][4], LOOPBACK["b"][4])
    assert bytes(seen).endswith(mark)
    # a neighbour is known there as well, so that only the tunnel stands against it
    w.ip(
        "a",
        f"neigh replace {LOOPBACK['b'][4]} lladdr 02:00:00:00:00:99 dev t nud permanent",
        f"route replace {LOOPBACK['b'][4]}/32 dev t",
    )
    eventually(lambda: w.at("a", verdict) == (xdp_pass, frame), "left to tc")


@pytest.mark.parametrize("family", [4, 6])
def test_routes_into_a_tunnel_that_is_down_are_not_used(w: TwoWays, family: int) -> None:
    wanted = plan("a")
    w.to_peer("a", "w1")
    w.create("a")
    settings = [sysctl.Setting(s.key, str(s.value)) for s in tunnel_settings(wanted)]
    w.at("a", lambda: sysctl.apply(settings))
    target, length = {
        4: ("203.0.113.9", "203.0.113.0/24"),
        6: ("2001:db8:77::9", "2001:db8:77::/48"),
    }[family]
    w.ip(
        "a",
        f"route add {length} dev t metric 10",
        f"route add {length} via {hop('b', 'w2', family)} metric 200",
    )

    def used() -> str:
        shown = run(["ip", "-n", w.ns("a"), "-o", "route", "get", target]).stdout
        return shown.split(" dev ")[1].split()[0]

    assert used() == "t"
    for _ in range(3):
        w.do("a", lambda backend: backend.set_line("t", False))
        eventually(lambda: used() == "w2", "the other, once the kernel has heard of the carrier")
        w.do("a", lambda backend: backend.set_line("t", True))
        eventually(lambda: used() == "t", "and back")
