"""The relay end to end: client, entry, egress and endpoint in namespaces of their own."""

import errno
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether

from bongsu.plan.relay import EndpointPlan, number
from bongsu.system import netns
from bongsu.system.gre import offload
from bongsu.system.relay import RelayPlane, layout
from tests.root.gre_world import Eye
from tests.root.relay_world import (
    ACCELERATED,
    CLIENT,
    ENDPOINT,
    OFF,
    OWN,
    PORT,
    SECRET,
    World,
    again,
    esp,
    eventually,
    exchange,
    ike,
    listener,
    plan,
    world,
)

pytestmark = pytest.mark.root
VPN = {"validation": "ike", "amplification": 3, "ranges": [(500, 500), (4500, 4500)]}
I1, R1 = b"initiat1", b"respond1"


@pytest.fixture
def w() -> Iterator[World]:
    with world() as made:
        yield made


def physical(w: World) -> None:
    """Virtual Ethernet as a wire is: no checksum left to fill in, and frames taken from XDP."""
    for where, *devices in (
        ("c", "ce"), ("e", "ec", "ex", "et"), ("x", "xe", "xs", "xt"), ("s", "sx"), ("t", "te", "tox"),
    ):  # fmt: skip
        with netns.in_netns(w.ns(where)):
            for device in devices:
                offload.set_features(
                    device,
                    {"tx-checksum-ip-generic": False, "rx-gro": True, "tx-tcp-segmentation": False},
                )


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
def test_a_datagram_goes_and_its_answer_comes(w: World, family: int, outer: int) -> None:
    w.start(family, outer=outer)
    assert exchange(w, family) == (OFF[family], 40000)
    (session,) = w.records("x")
    assert (session["role"], session["off_port"], session["port"]) == ("egress", 40000, 7)
    assert (session["accelerator"], session["listener"]) == ("seoul", "vpn")
    assert str(layout.address(session["off"])) == OFF[family]
    assert str(layout.address(session["client"])) == CLIENT[family]
    size = 128 if family == 4 else 148
    for where in "ex":
        carried = w.plane(where).counters()["seoul"]
        assert (carried.up.packets, carried.up.bytes) == (1, size)
        assert (carried.down.packets, carried.down.bytes) == (1, size)
        assert w.drops(where) == {}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
def test_xdp_carries_what_is_plain(w: World, family: int, outer: int) -> None:
    physical(w)
    w.start(family, outer=outer, options={"xdp": True})
    with w.udp("s", ENDPOINT[family], 7) as far, w.udp("c", CLIENT[family], 40000) as near:
        again(near, far, family)
        again(near, far, family)
        # from here on tc would not carry anything
        for where in "ex":
            for device in ("ec", "ex") if where == "e" else ("xe", "xs"):
                w.ip(where, f"link set {device} up")
                _without_tc(w, where, device)
        for size in (1, 2, 3, 100, 1000, 1400 if family == outer == 4 else 1380):
            again(near, far, family, size=size)
    carried = w.plane("x").counters()["seoul"]
    assert (carried.up.packets, carried.down.packets) == (8, 8)
    assert w.drops("x") == w.drops("e") == {}


def _without_tc(w: World, where: str, device: str) -> None:
    from bongsu.system.run import run

    run(["tc", "-n", w.ns(where), "filter", "del", "dev", device, "ingress", "pref", "2785"])


def test_the_outer_packet(w: World) -> None:
    w.start()
    eye = Eye(w.ns("x"), "xe")
    with w.udp("s", ENDPOINT[4], 7) as far, w.udp("c", CLIENT[4], 40000) as near:
        near.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xB9)  # EF and ECT(1)
        near.sendto(b"hello", (ACCELERATED[4], 7))
        far.recvfrom(100)
    frame = eye.one(lambda f: struct.pack(">H", PORT) * 2 in f)
    eye.close()
    outer = Ether(frame)[IP]
    assert (outer.src, outer.dst, outer.tos, outer.ttl) == (OWN["e"][4], OWN["x"][4], 0xB8, 64)
    assert outer.flags == "DF"
    assert outer[UDP].chksum == 0
    assert outer.chksum == IP(bytes(outer.copy()))[IP].chksum
    header = bytes(outer[UDP].payload)[:24]
    assert header[:4] == bytes([1, 0, 1, 0])
    assert struct.unpack(">III", header[4:16]) == (
        number("node", "x"),
        number("node", "e"),
        number("accelerator", "seoul"),
    )
    inner = IP(bytes(outer[UDP].payload)[24:])
    assert (inner.src, inner.dst, inner.ttl) == (CLIENT[4], ACCELERATED[4], 64)


def test_only_one_hop_is_taken_on_the_whole_way(w: World) -> None:
    w.start()
    eye = Eye(w.ns("s"), "sx")
    with w.udp("s", ENDPOINT[4], 7), w.udp("c", CLIENT[4], 40000) as near:
        near.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 2)
        near.sendto(b"hello", (ACCELERATED[4], 7))
        frame = eye.one(lambda f: b"hello" in f)
        assert Ether(frame)[IP].ttl == 1
        near.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        near.sendto(b"hello", (ACCELERATED[4], 7))
        eventually(lambda: w.drops("x") == {"ttl": 1}, "the drop")
    eye.close()


# who may send what


def _outer(w: World, packet: Any, *, secret: bytes = SECRET, **header: Any) -> Any:
    """A relayed packet from e to x."""
    from bongsu.protocol.relay.packet import Header, derive, seal

    head = Header(
        **(
            {
                "kind": 0,
                "hops": 1,
                "destination": number("node", "x"),
                "source": number("node", "e"),
                "accelerator": number("accelerator", "seoul"),
            }
            | header
        )
    )
    inner = bytes(packet)
    outer = IP(src=OWN["e"][4], dst=OWN["x"][4]) / UDP(sport=PORT, dport=PORT, chksum=0)
    return outer / (seal(head, inner, derive(secret)) + inner)


def _throw(w: World, packet: Any) -> None:
    frame = Ether(src="02:00:00:00:02:01", dst="02:00:00:00:02:02") / packet
    with netns.socket_in(w.ns("e"), socket.AF_PACKET, socket.SOCK_RAW) as hand:
        w.at("e", lambda: hand.bind(("ex", 0)))
        hand.send(bytes(frame))


def _inner(client: str = CLIENT[4], target: str = ACCELERATED[4], port: int = 7) -> Any:
    return IP(src=client, dst=target) / UDP(sport=40000, dport=port) / b"inside"


def _wrong_port(w: World) -> Any:
    packet = _outer(w, _inner())
    packet[UDP].sport = PORT + 1
    return packet


def _stranger(w: World) -> Any:
    packet = _outer(w, _inner())
    packet[IP].src = "192.0.2.99"
    return packet


def _tampered(w: World) -> Any:
    packet = _outer(w, _inner())
    load = bytearray(bytes(packet[UDP].payload))
    load[24 + 12] ^= 1  # the client's address
    return (
        IP(src=OWN["e"][4], dst=OWN["x"][4]) / UDP(sport=PORT, dport=PORT, chksum=0) / bytes(load)
    )


REFUSED = {
    "the wrong source port": (_wrong_port, "unknown_peer"),
    "a stranger": (_stranger, "unknown_peer"),
    "another secret": (lambda w: _outer(w, _inner(), secret=b"x" * 16), "bad_tag"),
    "another client": (_tampered, "bad_tag"),
    "the wrong version": (lambda w: _outer(w, _inner(), version=2), "header"),
    "the wrong kind": (lambda w: _outer(w, _inner(), kind=2), "header"),
    "too many hops": (lambda w: _outer(w, _inner(), hops=2), "header"),
    "no listener's port": (lambda w: _outer(w, _inner(port=8)), "unknown_listener"),
    "no region's address": (lambda w: _outer(w, _inner(target="203.0.113.11")), "unknown_region"),
    "another accelerator": (lambda w: _outer(w, _inner(), accelerator=5), "unknown_region"),
    "another PoP's region": (
        lambda w: _outer(w, _inner(), source=number("node", "t"), hops=0),
        "unknown_region",
    ),
    "a third PoP's name without its hop": (
        lambda w: _outer(w, _inner(), source=number("node", "t")),
        "unknown_node",
    ),
    "an unknown PoP": (lambda w: _outer(w, _inner(), source=77), "unknown_node"),
    "to an unknown PoP": (lambda w: _outer(w, _inner(), destination=77), "unknown_node"),
    "no hop left": (
        lambda w: _outer(w, _inner(), destination=number("node", "t"), hops=0),
        "hops_spent",
    ),
    "back where it came from": (
        lambda w: _outer(w, _inner(), destination=number("node", "e")),
        "recursive",
    ),
    "an answer to a client that was not seen": (lambda w: _outer(w, _inner(), kind=1), "unknown_client"),
    "ICMP inside": (lambda w: _outer(w, IP(dst=ACCELERATED[4]) / ICMP()), "malformed"),
    "nothing inside": (lambda w: _outer(w, b"E" + bytes(40)), "malformed"),
    "options inside": (
        lambda w: _outer(w, IP(dst=ACCELERATED[4], options=[b"\x01"] * 4) / UDP(dport=7)),
        "malformed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_refused_and_counted(w: World, what: str) -> None:
    make, reason = REFUSED[what]
    w.start()
    eye = Eye(w.ns("s"), "sx")
    _throw(w, make(w))
    _throw(w, _outer(w, _inner()))  # a right one: what came before has been seen by then
    frames = eye.until(lambda f: b"inside" in f)
    eye.close()
    assert sum(b"inside" in f for f in frames) == 1
    assert w.drops("x") == {reason: 1}
    assert len(w.records("x")) == 1


@pytest.mark.parametrize("xdp", [False, True], ids=["tc", "xdp"])
def test_a_session_that_is_known_is_no_excuse(w: World, xdp: bool) -> None:
    physical(w)
    w.start(options={"xdp": xdp})
    exchange(w)
    exchange(w)
    eye = Eye(w.ns("s"), "sx")
    _throw(w, _outer(w, _inner(), secret=b"x" * 16))
    _throw(w, _outer(w, _inner(), source=number("node", "t")))
    _throw(w, _outer(w, _inner()))
    frames = eye.until(lambda f: b"inside" in f)
    eye.close()
    assert sum(b"inside" in f for f in frames) == 1
    assert w.drops("x") == {"bad_tag": 1, "unknown_node": 1}


def test_without_a_key_the_peers_addresses_have_to_do(w: World) -> None:
    w.start(key=None)
    assert exchange(w) == (OFF[4], 40000)


def test_ports_of_no_listener_are_the_machines_own(w: World) -> None:
    w.start()
    with w.udp("e", ACCELERATED[4], 9) as own, w.udp("c", CLIENT[4], 40000) as near:
        near.sendto(b"for the machine", (ACCELERATED[4], 9))
        assert own.recvfrom(100)[0] == b"for the machine"
    assert w.plane("e").stray().left == 1
    w.ip("e", f"addr del {ACCELERATED[4]} dev lo")
    w.start()
    with w.udp("c", CLIENT[4], 40000) as near:
        near.sendto(b"for nobody", (ACCELERATED[4], 9))
        eventually(lambda: w.drops("e") == {"unknown_listener": 1}, "the drop")
        assert exchange(w, source=40001) == (OFF[4], 40001)


def test_no_endpoint_no_session(w: World) -> None:
    w.start(live=False)
    with w.udp("c", CLIENT[4], 40000) as near:
        near.sendto(b"?", (ACCELERATED[4], 7))
        eventually(lambda: w.drops("x") == {"no_endpoint": 1}, "the drop")
    assert len(w.records("x")) == 0
    w.endpoints([ENDPOINT[4]])
    assert exchange(w) == (OFF[4], 40000)
    w.endpoints([])
    assert len(w.records("x")) == 0


# sessions


def test_an_agent_that_restarts_finds_its_sessions(w: World) -> None:
    w.start()
    with w.udp("s", ENDPOINT[4], 7) as far, w.udp("c", CLIENT[4], 40000) as near:
        again(near, far)
        before = w.records("x")["serial"].tolist()
        for where in "ex":
            w.at(where, w.planes.pop(where).detach)
            again(near, far)  # nobody is there
        for where in "ex":
            plane = w.at(where, lambda: RelayPlane.open(records=16))
            w.planes[where] = plane
            again(near, far)
            w.at(where, lambda p=plane, n=where: p.apply(plan(n), SECRET))
        again(near, far)
    assert w.records("x")["serial"].tolist() == before
    assert w.plane("x").occupancy().capacity == 256
    assert w.plane("x").counters()["seoul"].up.packets == 6


def test_the_same_client_gets_the_same_off_port_after_a_reboot(w: World) -> None:
    ports = []
    for _ in range(2):
        w.start()
        # a port that the first client has already
        exchange(w, source=40000)
        with w.udp("s", ENDPOINT[4], 7) as far, w.udp("c", "198.51.100.3", 40000) as near:
            ports.append(again(near, far)[1])
        for where in "ext":
            w.at(where, w.planes.pop(where).close)
    assert ports[0] == ports[1] != 40000
    assert 1024 <= ports[0] < 32768


def test_500_and_4500_of_a_client_go_to_one_endpoint(w: World) -> None:
    w.ip("s", "addr add 10.9.0.3/24 dev sx", "addr add 10.9.0.4/24 dev sx")
    ends = [EndpointPlan(name=f"s{n}", address=f"10.9.0.{n}", weight=1) for n in (2, 3, 4)]
    w.ip("c", *(f"addr add 198.51.100.{n}/24 dev ce" for n in range(10, 40)))
    w.start(listeners=[listener(endpoints=ends)])
    w.endpoints(["10.9.0.2", "10.9.0.3", "10.9.0.4"])
    for n in range(10, 40):
        with w.udp("c", f"198.51.100.{n}", 500) as near, w.udp("c", f"198.51.100.{n}", 4500) as nat:
            near.sendto(b"1", (ACCELERATED[4], 500))
            nat.sendto(b"2", (ACCELERATED[4], 4500))
    eventually(lambda: len(w.records("x")) == 60, "all sessions")
    by_client: dict[bytes, set[bytes]] = {}
    for each in w.records("x"):
        by_client.setdefault(bytes(each["client"]), set()).add(bytes(each["endpoint"]))
    assert all(len(ends) == 1 for ends in by_client.values())
    assert len(set.union(*by_client.values())) == 3


def test_idle_sessions_are_forgotten_and_their_place_is_free(w: World) -> None:
    w.start(listeners=[listener(idle_s=5)])
    plane = w.plane("x")
    exchange(w)
    assert w.at("x", plane.expire) == 0
    records = plane._shared["rl_records"]
    records["last_up"] -= np.where(records["state"] == layout.LIVE, 6 * 10**9, 0).astype("u8")
    records["last_down"] -= np.where(records["state"] == layout.LIVE, 4 * 10**9, 0).astype("u8")
    assert w.at("x", plane.expire) == 0  # the answer was later
    records["last_down"] -= np.where(records["state"] == layout.LIVE, 2 * 10**9, 0).astype("u8")
    assert w.at("x", plane.expire) == 1
    assert len(w.records("x")) == 0
    assert plane.occupancy().records == 0
    for name in ("rl_flows", "rl_backs"):
        assert list(plane._maps[name].items()) == []
    assert exchange(w) == (OFF[4], 40000)


def test_a_flood_of_strangers_takes_a_share_and_no_more(w: World) -> None:
    w.start(listeners=[listener(**VPN)], options={"records": 64})
    with w.udp("s", ENDPOINT[4], 500) as far, w.udp("c", CLIENT[4], 500) as near:
        _handshake(near, far, 500)
        for source in range(20000, 20100):
            with w.udp("c", CLIENT[4], source) as stranger:
                stranger.sendto(ike(os.urandom(8)), (ACCELERATED[4], 500))
        eventually(lambda: w.drops("e").get("unproved") == 100 - 32, "the refusals")
        assert w.plane("e").occupancy().unproved == 32
        # who has proved himself is not pushed out, and sends on
        near.sendto(ike(I1, R1), (ACCELERATED[4], 500))
        while far.recvfrom(1000)[0] != ike(I1, R1):
            pass
        plane = w.plane("e")
        records = plane._shared["rl_records"]
        live = records["state"] == layout.LIVE
        records["last_up"] -= np.where(live, 11 * 10**9, 0).astype("u8")
        records["last_down"] -= np.where(live, 11 * 10**9, 0).astype("u8")
        assert w.at("e", plane.expire) == 32
        assert plane.occupancy().unproved == 0
        with w.udp("c", CLIENT[4], 30000) as late:
            late.sendto(ike(b"later..."), (ACCELERATED[4], 500))
            eventually(lambda: len(w.records("e")) == 2, "room again")


def _handshake(near: socket.socket, far: socket.socket, port: int, marker: bool = False) -> Any:
    """IKE_SA_INIT, and a packet that repeats the responder's SPI; whom the endpoint saw."""
    near.sendto(ike(I1, marker=marker), (ACCELERATED[4], port))
    _, seen = far.recvfrom(2000)
    far.sendto(ike(I1, R1, marker=marker), seen)
    near.recvfrom(2000)
    near.sendto(ike(I1, R1, marker=marker), (ACCELERATED[4], port))
    far.recvfrom(2000)
    return seen


def test_ike_proves_a_client_and_a_guess_does_not(w: World) -> None:
    w.start(listeners=[listener(**VPN)])
    with w.udp("s", ENDPOINT[4], 500) as far, w.udp("c", CLIENT[4], 500) as near:
        near.sendto(ike(I1), (ACCELERATED[4], 500))
        _, seen = far.recvfrom(2000)
        far.sendto(ike(I1, R1), seen)
        near.recvfrom(2000)
        near.sendto(ike(I1, b"guessing"), (ACCELERATED[4], 500))
        far.recvfrom(2000)
        assert not w.records("x")["proved"].any()
        near.sendto(ike(I1, R1), (ACCELERATED[4], 500))
        far.recvfrom(2000)
        assert w.records("x")["proved"].all()
        assert w.records("e")["proved"].all()
        # and with that the same client's other port
        with w.udp("s", ENDPOINT[4], 4500) as nat, w.udp("c", CLIENT[4], 4500) as out:
            out.sendto(ike(I1, R1, marker=True), (ACCELERATED[4], 4500))
            nat.recvfrom(2000)
        assert w.records("x")["proved"].tolist() == [True, True]
        # not that of another client that has seen it go by
        with w.udp("c", "198.51.100.3", 500) as other:
            other.sendto(ike(I1, R1), (ACCELERATED[4], 500))
            far.recvfrom(2000)
        assert sorted(w.records("x")["proved"].tolist()) == [False, True, True]


def test_no_more_goes_to_an_unproved_client_than_came_three_times(w: World) -> None:
    w.start(listeners=[listener(**VPN)])
    with w.udp("s", ENDPOINT[4], 500) as far, w.udp("c", CLIENT[4], 500) as near:
        near.sendto(ike(I1, size=172), (ACCELERATED[4], 500))  # 228 bytes of IP
        _, seen = far.recvfrom(2000)
        for _ in range(5):
            far.sendto(ike(I1, R1, size=172), seen)
        for _ in range(3):
            near.recvfrom(2000)
        eventually(lambda: w.drops("x") == {"amplified": 2}, "the drops")
        (session,) = w.records("x")
        assert (session["amplified"], session["down_bytes"]) == (2, 3 * 228)
        near.sendto(ike(I1, R1), (ACCELERATED[4], 500))
        far.recvfrom(2000)
        for _ in range(50):
            far.sendto(ike(I1, R1, size=1000), seen)
            near.recvfrom(2000)
        assert w.drops("x") == {"amplified": 2}


def test_kinds_and_spis_are_counted(w: World) -> None:
    w.start(listeners=[listener(**VPN)])
    with w.udp("s", ENDPOINT[4], 4500) as far, w.udp("c", CLIENT[4], 4500) as near:
        seen = _handshake(near, far, 4500, marker=True)
        for sequence in (1, 2, 3):
            near.sendto(esp(0xC0FFEE01, sequence), (ACCELERATED[4], 4500))
            far.recvfrom(2000)
        near.sendto(esp(0xC0FFEE02, 9), (ACCELERATED[4], 4500))  # after a rekeying
        far.recvfrom(2000)
        near.sendto(esp(0xC0FFEE01, 4), (ACCELERATED[4], 4500))
        far.recvfrom(2000)
        near.sendto(b"\xff", (ACCELERATED[4], 4500))
        far.recvfrom(2000)
        far.sendto(esp(0xBEEF, 7), seen)
        near.recvfrom(2000)
    (session,) = w.records("x")
    assert session["ike"]
    assert session["esp"]
    spis = {
        (int(s["spi"]), str(s["direction"])): (
            int(s["packets"]),
            int(s["bytes"]),
            int(s["sequence"]),
        )
        for s in w.plane("x").spis()
    }
    size = 28 + 72
    assert spis == {
        (0xC0FFEE01, "up"): (4, 4 * size, 4),
        (0xC0FFEE02, "up"): (1, size, 9),
        (0xBEEF, "down"): (1, size, 7),
    }
    assert set(w.plane("x").spis()["serial"].tolist()) == {int(session["serial"])}


# a client that moves


def _silent(w: World, where: str = "x") -> None:
    """The clients have not been heard for a while."""
    records = w.plane(where)._shared["rl_records"]
    records["last_up"] -= np.where(records["state"] == layout.LIVE, 2 * 10**9, 0).astype("u8")


@pytest.fixture
def tunnel(w: World) -> Iterator[tuple[World, socket.socket, Any]]:
    w.start(listeners=[listener(**VPN)])
    with w.udp("s", ENDPOINT[4], 4500) as far, w.udp("c", CLIENT[4], 4500) as near:
        seen = _handshake(near, far, 4500, marker=True)
        near.sendto(esp(0xC0FFEE01, 100), (ACCELERATED[4], 4500))
        far.recvfrom(2000)
        yield w, far, seen


@pytest.mark.parametrize("what", ["esp", "ike"])
@pytest.mark.parametrize("address", [CLIENT[4], "198.51.100.3"])
def test_a_client_behind_a_nat_goes_on_from_another_address(
    tunnel: tuple[World, socket.socket, Any], what: str, address: str
) -> None:
    w, far, seen = tunnel
    _silent(w)
    said = esp(0xC0FFEE01, 101) if what == "esp" else ike(I1, R1, marker=True)
    before = w.records("x")["serial"].tolist()
    with w.udp("c", address, 61234) as near:
        near.sendto(said, (ACCELERATED[4], 4500))
        data, still = far.recvfrom(2000)
        assert (data, still) == (said, seen)
        far.sendto(esp(0xBEEF, 1), seen)
        assert near.recvfrom(2000)[0] == esp(0xBEEF, 1)
    (session,) = w.records("x")
    assert [session["serial"]] == before
    assert session["client_port"] == 61234
    assert session["up_packets"] == 4
    assert w.plane("x").counters()["seoul"].moved == 1
    w.at("x", w.plane("x").expire)
    w.at("x", w.plane("x").expire)
    assert w.plane("x").occupancy().records == 1


@pytest.mark.parametrize(
    ("said", "silent"),
    [
        (esp(0xC0FFEE01, 101), False),
        (esp(0xC0FFEE01, 100), True),
        (esp(0xC0FFEE01, 5), True),
        (esp(0xC0FFEE09, 101), True),
        (ike(I1, marker=True), True),
        (ike(I1, b"guessing", marker=True), True),
        (b"\xff", True),
    ],
)
def test_nobody_else_takes_a_session_over(
    tunnel: tuple[World, socket.socket, Any], said: bytes, silent: bool
) -> None:
    w, far, seen = tunnel
    if silent:
        _silent(w)
    with w.udp("c", "198.51.100.3", 61234) as thief:
        thief.sendto(said, (ACCELERATED[4], 4500))
        data, other = far.recvfrom(2000)
        assert data == said
        assert other != seen
        thief.settimeout(0)
        far.sendto(esp(0xBEEF, 1), seen)
        eventually(lambda: w.plane("e").counters()["seoul"].down.packets == 2, "the answer")
        with pytest.raises(BlockingIOError):
            thief.recvfrom(2000)
    assert len(w.records("x")) == 2
    assert w.plane("x").counters()["seoul"].moved == 0


# rates, sizes, pieces


def test_what_exceeds_the_bandwidth_is_dropped(w: World) -> None:
    w.start(bandwidth=1_000_000)  # 125 bytes a millisecond; 6,250 at once
    with w.udp("c", CLIENT[4], 40000) as near:
        for _ in range(100):
            near.sendto(bytes(972), (ACCELERATED[4], 7))
    eventually(
        lambda: w.plane("e").counters()["seoul"].up.packets + w.drops("e").get("rate", 0) == 100,
        "all of them",
    )
    passed = w.plane("e").counters()["seoul"].up.packets
    assert 6 <= passed < 60
    # and refills
    time.sleep(0.1)
    with w.udp("c", CLIENT[4], 40000) as near:
        for _ in range(5):
            near.sendto(bytes(972), (ACCELERATED[4], 7))
    eventually(lambda: w.plane("e").counters()["seoul"].up.packets >= passed + 5, "more")


@pytest.mark.parametrize("family", [4, 6])
def test_fragments_follow_the_first(w: World, family: int) -> None:
    w.start(family)
    # nobody fragments IPv6 on the way
    w.ip("c", "route replace default via 2001:db8:c::1 mtu 1400")
    w.ip("s", "route replace default via 2001:db8:9::1 mtu 1400")
    for size in (3000, 9000):
        assert exchange(w, family, size=size, source=40000 + size) == (OFF[family], 40000 + size)
    for where in "ex":
        assert w.plane(where).counters()["seoul"].fragments >= 2 * (3 + 7)
        assert w.drops(where) == {}


def test_a_fragment_without_its_first_is_dropped(w: World) -> None:
    w.start()
    piece = IP(src=CLIENT[4], dst=ACCELERATED[4], proto=17, id=7, frag=100) / bytes(64)
    w.ip("e", f"addr del {ACCELERATED[4]} dev lo")
    w.start()
    frame = Ether(src="02:00:00:00:01:01", dst="02:00:00:00:01:02") / piece
    with netns.socket_in(w.ns("c"), socket.AF_PACKET, socket.SOCK_RAW) as hand:
        w.at("c", lambda: hand.bind(("ce", 0)))
        hand.send(bytes(frame))
    eventually(lambda: w.drops("e") == {"fragment": 1}, "the drop")
    _throw(w, _outer(w, piece))
    eventually(lambda: w.drops("x") == {"fragment": 1}, "the drop at the egress")


@pytest.mark.parametrize("way", ["up", "down"])
def test_what_may_be_fragmented_is(w: World, way: str) -> None:
    w.start()
    with w.udp("s", ENDPOINT[4], 7) as far, w.udp("c", CLIENT[4], 40000) as near:
        for each in (near, far):
            each.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER: IP_PMTUDISC_DONT
        again(near, far, size=1472 if way == "up" else 100)
        if way == "down":
            said = os.urandom(1472)
            far.sendto(said, (OFF[4], 40000))
            assert near.recvfrom(2000)[0] == said
    where = "e" if way == "up" else "x"
    assert w.plane(where).counters()["seoul"].fragmented >= 1
    assert w.drops(where) == {}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("way", ["up", "down"])
def test_who_sends_too_much_at_once_is_told(w: World, family: int, way: str) -> None:
    w.start(family)
    fits = 1500 - (52 if family == 4 else 72)
    with w.udp("s", ENDPOINT[family], 7) as far, w.udp("c", CLIENT[family], 40000) as near:
        again(near, far, family)
        sender = near if way == "up" else far
        level, option = (socket.IPPROTO_IP, 10) if family == 4 else (socket.IPPROTO_IPV6, 23)
        sender.setsockopt(level, option, 2)  # PMTUDISC_DO
        target = (ACCELERATED[family], 7) if way == "up" else (OFF[family], 40000)
        head = 28 if family == 4 else 48
        eye = Eye(w.ns("c" if way == "up" else "s"), "ce" if way == "up" else "sx")
        sender.sendto(bytes(fits - head + 1), target)
        kind = ICMP if family == 4 else ICMPv6PacketTooBig
        frame = eye.one(lambda f: kind in Ether(f))
        eye.close()
        told = Ether(frame)[kind]
        assert (told.nexthopmtu if family == 4 else told.mtu) == fits
        layer = Ether(frame)[IP if family == 4 else IPv6]
        assert layer.src == target[0]
        eventually(lambda: _too_long(sender, fits - head + 1, target), "the refusal")
        sender.sendto(bytes(fits - head), target)
        assert len((far if way == "up" else near).recvfrom(2000)[0]) == fits - head
    assert w.drops("e" if way == "up" else "x")["too_big"] >= 1


def _too_long(sender: socket.socket, size: int, target: tuple[str, int]) -> bool:
    """Whether the sender's own stack knows by now."""
    try:
        sender.sendto(bytes(size), target)
    except OSError as error:
        return error.errno == errno.EMSGSIZE
    return False


def test_a_path_that_says_it_is_narrow_is_believed(w: World) -> None:
    w.start()
    outer = IP(src=OWN["e"][4], dst=OWN["x"][4], flags="DF", len=1400) / UDP(
        sport=PORT, dport=PORT, len=1380, chksum=0
    )
    told = IP(src="192.0.2.2", dst=OWN["e"][4]) / ICMP(type=3, code=4, nexthopmtu=1300) / outer
    forged = told.copy()
    forged[IP].payload[ICMP].payload.dst = "192.0.2.77"
    with netns.socket_in(w.ns("x"), socket.AF_PACKET, socket.SOCK_RAW) as hand:
        w.at("x", lambda: hand.bind(("xe", 0)))
        for packet in (forged, told):
            del packet.chksum
            hand.send(bytes(Ether(src="02:00:00:00:02:02", dst="02:00:00:00:02:01") / packet))
    eventually(lambda: w.plane("e").stray().learned == 1, "the message")
    with w.udp("s", ENDPOINT[4], 7) as far, w.udp("c", CLIENT[4], 40000) as near:
        near.setsockopt(socket.IPPROTO_IP, 10, 2)
        near.sendto(bytes(1300 - 52 - 28), (ACCELERATED[4], 7))
        assert len(far.recvfrom(2000)[0]) == 1300 - 52 - 28
        eventually(lambda: _too_long(near, 1300 - 52 - 27, (ACCELERATED[4], 7)), "the refusal")


# other ways


@pytest.mark.parametrize("family", [4, 6])
def test_a_third_pop_carries_on(w: World, family: int) -> None:
    w.start(family)
    for where, other in (("e", "x"), ("x", "e")):
        plane = w.plane(where)
        plane.set_path(number("node", other), number("node", "t"))
    eye = Eye(w.ns("x"), "xt")
    assert exchange(w, family) == (OFF[family], 40000)
    assert w.plane("t").stray().transit == 2
    frame = eye.one(lambda f: struct.pack(">H", PORT) * 2 in f)
    eye.close()
    assert struct.pack(">BBBB", 1, 0, 0, 0) in frame  # no hop is left
    for where in "ext":
        assert w.drops(where) == {}
    # and the session stays as it is when the direct way is back
    serial = w.records("x")["serial"].tolist()
    w.plane("e").set_path(number("node", "x"), number("node", "x"))
    assert exchange(w, family) == (OFF[family], 40000)
    assert w.records("x")["serial"].tolist() == serial
    assert w.plane("t").stray().transit == 3


def test_a_client_that_comes_by_another_entry_keeps_its_session(w: World) -> None:
    both = plan("x").accelerators[0]
    there = plan("x", entry="t").accelerators[0].regions
    shared = both.model_copy(update={"regions": [*both.regions, *there]})
    w.start()
    for where in "ext":
        plane = w.plane(where)
        w.at(where, lambda p=plane, n=where: p.apply(plan(n, accelerators=[shared]), SECRET))
    w.ip("t", f"addr add {ACCELERATED[4]} dev lo")
    with w.udp("s", ENDPOINT[4], 7) as far, w.udp("c", CLIENT[4], 40000) as near:
        seen = again(near, far)
        # the same client, by the other PoP
        packet = IP(src=CLIENT[4], dst=ACCELERATED[4]) / UDP(sport=40000, dport=7) / b"elsewhere"
        frame = Ether(src="02:00:00:00:04:01", dst="02:00:00:00:04:02") / packet
        with netns.socket_in(w.ns("e"), socket.AF_PACKET, socket.SOCK_RAW) as hand:
            w.at("e", lambda: hand.bind(("et", 0)))
            hand.send(bytes(frame))
        data, same = far.recvfrom(2000)
        assert (data, same) == (b"elsewhere", seen)
        eye = Eye(w.ns("e"), "et")
        w.ip("t", "route add 198.51.100.0/24 via 192.0.2.129")
        far.sendto(b"back by the other", seen)
        frame = eye.one(lambda f: b"back by the other" in f)
        eye.close()
        assert Ether(frame)[IP].dst == CLIENT[4]
    assert len(w.records("x")) == 1
    assert w.plane("t").counters()["seoul"].down.packets == 1


@pytest.mark.parametrize("family", [4, 6])
def test_entry_and_egress_in_one_pop(w: World, family: int) -> None:
    w.ip("x", *(f"addr add {a} dev lo" for a in ACCELERATED.values()))
    w.ip("e", *(f"addr del {a} dev lo" for a in ACCELERATED.values()))
    w.ip("e", "route add 203.0.113.10 via 192.0.2.2", "route add 2001:db8:a::10 via 2001:db8:e::2")
    w.ip(
        "x",
        "route add 198.51.100.0/24 via 192.0.2.1",
        "route add 2001:db8:c::/64 via 2001:db8:e::1",
    )
    w.start(family, entry="x")
    assert exchange(w, family) == (OFF[family], 40000)
    assert exchange(w, family, size=3000, source=40001) == (OFF[family], 40001)
    assert [r["role"] for r in w.records("x")] == ["egress", "egress"]
    assert w.drops("x") == {}


@pytest.mark.parametrize("family", [4, 6])
def test_tcp_with_aggregates(w: World, family: int) -> None:
    w.start(
        family,
        listeners=[listener(protocol="tcp", validation="tcp", amplification=3, ranges=[(80, 90)])],
    )
    af = socket.AF_INET if family == 4 else socket.AF_INET6
    with (
        netns.socket_in(w.ns("s"), af, socket.SOCK_STREAM) as door,
        netns.socket_in(w.ns("c"), af, socket.SOCK_STREAM) as near,
    ):
        for each in (door, near):
            each.settimeout(20)
        door.bind((ENDPOINT[family], 85))
        door.listen()
        near.bind((CLIENT[family], 40000))
        near.connect((ACCELERATED[family], 85))
        far, seen = door.accept()
        far.settimeout(20)
        assert seen[:2] == (OFF[family], 40000)
        for one, other in ((near, far), (far, near)):
            said, heard = os.urandom(300_000), b""
            sender = threading.Thread(target=one.sendall, args=(said,))
            sender.start()
            while len(heard) < len(said):
                heard += other.recv(1 << 16)
            sender.join()
            assert heard == said
        far.close()
    (session,) = w.records("x")
    assert session["proved"]
    assert session["protocol"] == "tcp"
    assert set(w.drops("x")) | set(w.drops("e")) <= {"too_big"}


def test_an_unproved_tcp_client_gets_one_answer(w: World) -> None:
    w.start(
        listeners=[listener(protocol="tcp", validation="tcp", amplification=3, ranges=[(80, 80)])]
    )
    syn = IP(src="198.51.100.77", dst=ACCELERATED[4]) / TCP(sport=1000, dport=80, flags="S", seq=5)
    frame = Ether(src="02:00:00:00:01:01", dst="02:00:00:00:01:02") / syn
    with netns.socket_in(w.ns("c"), socket.AF_PACKET, socket.SOCK_RAW) as hand:
        w.at("c", lambda: hand.bind(("ce", 0)))
        hand.send(bytes(frame))
        eventually(lambda: len(w.records("x")) == 1, "the session")
        assert not w.records("x")["proved"].any()
        answer = IP(src=ENDPOINT[4], dst=OFF[4]) / TCP(
            sport=80, dport=1000, flags="SA", seq=9, ack=6
        )
        with netns.socket_in(w.ns("s"), socket.AF_PACKET, socket.SOCK_RAW) as other:
            w.at("s", lambda: other.bind(("sx", 0)))
            back = Ether(src="02:00:00:00:03:02", dst="02:00:00:00:03:01") / answer
            for _ in range(5):
                other.send(bytes(back))
            # SYN 40 bytes, SYN-ACK 40 bytes; the endpoint's own RST counts too
            eventually(lambda: w.drops("x").get("amplified", 0) >= 2, "the drops")
            syn[TCP].flags, syn[TCP].seq, syn[TCP].ack = "A", 6, 11
            hand.send(bytes(Ether(src="02:00:00:00:01:01", dst="02:00:00:00:01:02") / syn))
            time.sleep(0.1)
            assert not w.records("x")["proved"].any()
            syn[TCP].ack = 10
            del syn[TCP].chksum
            hand.send(
                bytes(Ether(src="02:00:00:00:01:01", dst="02:00:00:00:01:02") / IP(bytes(syn)))
            )
            eventually(lambda: w.records("x")["proved"].all(), "the proof")
