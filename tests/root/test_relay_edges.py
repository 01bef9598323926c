"""The relay at its edges: tables that strangers fill, addresses that nobody has, marks of congestion,
aggregates of datagrams, a program of an earlier layout.
"""

import os
import socket
import struct
from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether

from bongsu.system import netns
from bongsu.system.bpf.objects import Program
from bongsu.system.gre import links, offload
from bongsu.system.relay import RelayPlane
from bongsu.system.relay import plane as planes
from bongsu.system.rtnl import Rtnl
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
    exchange,
    ike,
    listener,
    plan,
    world,
)

pytestmark = pytest.mark.root
VPN = {"validation": "ike", "amplification": 3, "ranges": [(500, 500), (4500, 4500)]}
UDP_SEGMENT = 103
I1, R1 = b"initiat1", b"respond1"


@pytest.fixture
def w() -> Iterator[World]:
    with world() as made:
        yield made


def throw(w: World, where: str, device: str, packet: bytes) -> None:
    """One IP packet as a frame out of a device, to whoever is at its other end."""
    ends = {"ce": ("01:01", "01:02"), "sx": ("03:02", "03:01")}
    source, target = (f"02:00:00:00:{end}" for end in ends[device])
    frame = Ether(src=source, dst=target, type=0x86DD if packet[0] >> 4 == 6 else 0x0800) / packet
    with netns.socket_in(w.ns(where), socket.AF_PACKET, socket.SOCK_RAW) as hand:
        w.at(where, lambda: hand.bind((device, 0)))
        hand.send(bytes(frame))


def handshake(w: World, near: socket.socket, far: socket.socket) -> None:
    near.sendto(ike(I1, marker=True), (ACCELERATED[4], 4500))
    _, seen = far.recvfrom(2000)
    far.sendto(ike(I1, R1, marker=True), seen)
    near.recvfrom(2000)
    near.sendto(ike(I1, R1, marker=True), (ACCELERATED[4], 4500))
    far.recvfrom(2000)


def test_one_stranger_does_not_take_every_spi(w: World) -> None:
    w.start(listeners=[listener(**VPN)], options={"records": 16})
    with w.udp("s", ENDPOINT[4], 4500) as far, w.udp("c", CLIENT[4], 4500) as near:
        with w.udp("c", "198.51.100.3", 4500) as stranger:
            for spi in range(1, 60):
                stranger.sendto(esp(0xBAD00000 + spi, 1), (ACCELERATED[4], 4500))
                far.recvfrom(2000)
        assert w.plane("x").occupancy().spis == 2
        handshake(w, near, far)
        near.sendto(esp(0xC0FFEE, 1), (ACCELERATED[4], 4500))
        far.recvfrom(2000)
        assert 0xC0FFEE in w.plane("x").spis()["spi"].tolist()


def test_nor_does_one_who_has_proved_himself(w: World) -> None:
    w.start(listeners=[listener(**VPN)], options={"records": 256})
    with w.udp("s", ENDPOINT[4], 4500) as far, w.udp("c", CLIENT[4], 4500) as near:
        handshake(w, near, far)
        for spi in range(1, 200):
            near.sendto(esp(0xBAD00000 + spi, 1), (ACCELERATED[4], 4500))
            far.recvfrom(2000)
    assert w.plane("x").occupancy().spis == 64
    # what is not used any more makes room for others
    plane = w.plane("x")
    plane._shared["rl_spis"]["last"] -= 400 * 10**9
    w.at("x", plane.expire)
    w.at("x", plane.expire)
    assert plane.occupancy().spis == 0
    with w.udp("s", ENDPOINT[4], 4500) as far, w.udp("c", CLIENT[4], 4500) as near:
        near.sendto(esp(0xC0FFEE, 1), (ACCELERATED[4], 4500))
        far.recvfrom(2000)
    assert plane.spis()["spi"].tolist() == [0xC0FFEE]


def test_routers_between_pops_may_not_mark_what_nobody_would_heed(w: World) -> None:
    # RFC 6040, 4.1, compatibility mode: a mark on the outer packet is not carried inside, so they drop
    w.start()
    eye = Eye(w.ns("x"), "xe")
    with w.udp("s", ENDPOINT[4], 7) as far, w.udp("c", CLIENT[4], 40000) as near:
        near.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xBA)  # EF and ECT(0)
        far.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        near.sendto(b"hello", (ACCELERATED[4], 7))
        _, notes, _, _ = far.recvmsg(100, 100)
    frame = eye.one(lambda f: struct.pack(">H", PORT) * 2 in f)
    eye.close()
    assert Ether(frame)[IP].tos == 0xB8
    assert notes[0][2][0] == 0xBA


@pytest.mark.parametrize("way", ["up", "down"])
def test_what_an_address_of_nobody_gets_is_not_routed_on(w: World, way: str) -> None:
    # by a default route it would come back until its time to live is spent
    where, device, address = ("e", "ce", ACCELERATED[4]) if way == "up" else ("x", "sx", OFF[4])
    w.ip(where, f"addr del {address} dev lo", "route add default via "
         + ("192.0.2.2" if way == "up" else "192.0.2.1"))  # fmt: skip
    w.start()
    source = CLIENT[4] if way == "up" else ENDPOINT[4]
    other = ("x", "xe") if way == "up" else ("e", "ex")
    eye = Eye(w.ns(other[0]), other[1])
    for packet in (
        IP(src=source, dst=address) / ICMP() / b"astray",
        IP(src=source, dst=address) / UDP(sport=9, dport=9) / b"astray",
        IP(src=source, dst=address, proto=47) / b"astray",
    ):
        throw(w, "c" if way == "up" else "s", device, bytes(packet))
    assert exchange(w) == (OFF[4], 40000)
    frames = eye.until(lambda f: struct.pack(">H", PORT) * 2 in f)
    eye.close()
    assert not [f for f in frames if b"astray" in f]
    assert sum(w.drops(where).values()) == 3


@pytest.mark.parametrize(
    "source", ["0.0.0.9", "127.0.0.1", "224.0.0.5", "255.255.255.255", "ff02::1", "::1", "fe80::9"]
)
def test_nobody_is_there(w: World, source: str) -> None:
    family = 6 if ":" in source else 4
    w.start(family)
    if family == 4:
        packet = IP(src=source, dst=ACCELERATED[4])
    else:
        from scapy.layers.inet6 import IPv6

        packet = IPv6(src=source, dst=ACCELERATED[6])
    throw(w, "c", "ce", bytes(packet / UDP(sport=5000, dport=7) / b"?"))
    assert exchange(w, family) == (OFF[family], 40000)
    assert w.drops("e") == {"malformed": 1}
    assert len(w.records("x")) == 1


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
def test_aggregates_of_datagrams(w: World, family: int, outer: int) -> None:
    w.start(family, outer=outer)
    # what is a wire behind the PoP gets single packets
    for where, device in (("e", "ex"), ("x", "xe"), ("e", "ec"), ("x", "xs")):
        with netns.in_netns(w.ns(where)):
            offload.set_features(
                device, {"tx-udp-segmentation": False, "tx-udp_tnl-segmentation": False}
            )
    with w.udp("s", ENDPOINT[family], 7) as far, w.udp("c", CLIENT[family], 40000) as near:
        _, port = again(near, far, family)
        for one, other, to in (
            (near, far, (ACCELERATED[family], 7)),
            (far, near, (OFF[family], port)),
        ):
            said = os.urandom(3300)
            one.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
            one.sendto(said, to)
            heard = [other.recv(5000) for _ in range(4)]
            assert [len(each) for each in heard] == [1000, 1000, 1000, 300]
            assert b"".join(heard) == said
    assert w.plane("x").counters()["seoul"].up.packets == 5


def test_another_layout_takes_the_drivers_programs_too(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    w.start(options={"xdp": True})
    w.at("x", w.planes.pop("x").detach)
    with monkeypatch.context() as patch:
        # as if the one that runs had been laid out otherwise
        patch.setattr(planes, "_adopted", lambda program: None)
        made = w.planes["x"] = w.at("x", lambda: RelayPlane.open(xdp=True, records=64))
    w.at("x", lambda: made.apply(plan("x"), SECRET))

    def held() -> set[bool]:
        with Rtnl() as kernel:
            found = set()
            for link in links.every(kernel):
                if link.xdp is not None:
                    program = Program.by_id(link.xdp)
                    program.close()
                    found.add(made._maps["rl_records"].id in program.map_ids)
            return found

    assert w.at("x", held) == {True}
    w.endpoints([ENDPOINT[4]])
    assert exchange(w) == (OFF[4], 40000)


def test_one_forged_message_does_not_make_a_path_useless(w: World) -> None:
    w.start()
    quoted = IP(src=OWN["e"][4], dst=OWN["x"][4], flags="DF", id=0, len=1500) / UDP(
        sport=PORT, dport=PORT, len=1480, chksum=0
    )
    forged = IP(src="198.51.100.77", dst=OWN["e"][4]) / ICMP(type=3, code=4, nexthopmtu=68)
    throw(w, "c", "ce", bytes(forged / bytes(quoted)))
    assert exchange(w) == (OFF[4], 40000)
    plane = w.plane("e")
    assert plane.stray().learned == 1
    assert int(plane._shared["rl_peers"]["pmtu"].max()) == 1280
