"""Random and mutated packets: the data plane does what the pure machine says, byte for byte.

One PoP, run packet by packet (BPF_PROG_TEST_RUN), by tc alone and by XDP with tc behind it. It is at once
the egress of one accelerator, the entry of another, and both of a third.
"""

import os
import random
import struct
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bongsu.model.accelerator import Mesh
from bongsu.model.base import Address
from bongsu.plan.relay import (
    AcceleratorPlan,
    EndpointPlan,
    ListenerPlan,
    RegionPlan,
    RelayPeer,
    RelayPlan,
    number,
)
from bongsu.protocol.relay import ip
from bongsu.protocol.relay.machine import Drop, Machine, Pass, Send
from bongsu.protocol.relay.packet import Header, derive, seal
from bongsu.system import netns
from bongsu.system.bpf import testrun
from bongsu.system.relay import LiveEndpoint, RelayPlane, layout
from bongsu.system.relay.tables import digest
from bongsu.system.run import run

pytestmark = pytest.mark.root
PORT, SECRET = 4610, b"a secret of some bytes"
UNSPEC, SHOT, REDIRECT = 0xFFFFFFFF, 2, 7
XDP_DROP, XDP_PASS, XDP_REDIRECT = 1, 2, 4
MAC = bytes.fromhex("020000000001")


@dataclass(frozen=True)
class Cast:
    """The addresses of one family."""

    clients: tuple[str, ...]
    endpoints: tuple[str, ...]
    far: str  # the accelerated address of another PoP, that leaves here
    near: str  # of this PoP, that leaves at another
    both: str
    off: str
    own_off: str
    pops: dict[str, str]


CAST = {
    4: Cast(
        ("198.51.100.2", "198.51.100.3", "203.0.113.99"), ("10.9.0.2", "10.9.0.3"),
        "203.0.113.10", "203.0.113.30", "203.0.113.40", "203.0.113.20", "203.0.113.50",
        {"x": "192.0.2.2", "e": "192.0.2.1", "t": "192.0.2.3"},
    ),
    6: Cast(
        ("2001:db8:c::2", "2001:db8:c::3", "2001:db8:c::4"), ("2001:db8:9::2", "2001:db8:9::3"),
        "2001:db8:a::10", "2001:db8:a::30", "2001:db8:a::40", "2001:db8:a::20", "2001:db8:a::50",
        {"x": "2001:db8:f::2", "e": "2001:db8:f::1", "t": "2001:db8:f::3"},
    ),
}  # fmt: skip


def _listeners(cast: Cast) -> list[ListenerPlan]:
    def one(name: str, **values: Any) -> ListenerPlan:
        ends = [
            EndpointPlan(name=f"s{n}", address=ip_address(a), weight=100)
            for n, a in enumerate(cast.endpoints)
        ]
        common = {"endpoints": ends, "idle_s": 300, "health": None, "repair": None}
        return ListenerPlan(name=name, **(common | values))

    return [
        one(
            "vpn", protocol="udp", ranges=[(500, 500), (4500, 4500)], affinity="client",
            validation="ike", amplification=3,
        ),
        one(
            "web", protocol="tcp", ranges=[(80, 90)], affinity="none", validation="tcp",
            amplification=3,
        ),
        one(
            "any", protocol="udp", ranges=[(7, 7), (1000, 1100)], affinity="none",
            validation="none", amplification=2,
        ),
    ]  # fmt: skip


def _plan(inner: int, outer: int) -> RelayPlan:
    cast, pops = CAST[inner], CAST[outer].pops

    def accelerator(name: str, regions: dict[str, str], egress: str, off: str) -> AcceleratorPlan:
        return AcceleratorPlan(
            name=name,
            number=number("accelerator", name),
            bandwidth_bps=None,
            regions=[
                RegionPlan(
                    name=node,
                    node=node,
                    number=number("node", node),
                    address=ip_address(address),
                    public=ip_address(address),
                )
                for node, address in regions.items()
            ],
            egress=egress,
            egress_number=number("node", egress),
            off_address=ip_address(off),
            off_public=ip_address(off),
            listeners=_listeners(cast),
        )

    return RelayPlan(
        number=number("node", "x"),
        port=PORT,
        key=None,
        mesh=Mesh(),
        peers=[
            RelayPeer(
                node=node,
                number=number("node", node),
                local=ip_address(pops["x"]),
                remote=ip_address(pops[node]),
            )
            for node in ("e", "t")
        ],
        accelerators=[
            accelerator("leaves", {"e": cast.far, "t": cast.far}, "x", cast.off),
            accelerator("enters", {"x": cast.near}, "e", cast.far),
            accelerator("both", {"x": cast.both}, "x", cast.own_off),
        ],
    )


@dataclass(eq=False)
class Stage:
    """The PoP, and the machine that says what it should do."""

    namespace: str
    plane: RelayPlane
    plan: RelayPlan
    ifindex: int
    xdp: bool
    inner: int
    machine: Machine = field(init=False)
    seen: Counter[str] = field(default_factory=Counter)
    """What was expected, so far: a test of drops alone would prove little."""

    def __post_init__(self) -> None:
        self.wheels = self._wheels()

    def reset(self) -> None:
        live = self.plane._book._live()
        self.plane._book.end(live)
        self.plane.expire()
        self.plane.expire()
        for key in [key for key, _ in self.plane._maps["rl_pieces"].items()]:
            self.plane._maps["rl_pieces"].delete(key)
        hosted = frozenset({ip_address(CAST[self.inner].both)})
        self.machine = Machine(self.plan, SECRET, self.wheels, hosted, room=1024)

    def _wheels(self) -> dict[tuple[int, str], list[Address | None]]:
        """As the plane has them."""
        wheels: dict[tuple[int, str], list[Address | None]] = {}
        table = self.plane._shared["rl_endpoints"]
        for each in self.plan.accelerators:
            slot = self.plane._where.accelerators[each.number]
            for listener in each.listeners:
                place = self.plane._where.listeners[slot, digest(listener.name)]
                places = self.plane._shared["rl_wheels"][place]["endpoint"]
                first = place * layout.ENDPOINTS
                wheels[each.number, listener.name] = [
                    None if n == layout.NOBODY else layout.address(table[first + int(n)]["address"])
                    for n in places
                ]
        return wheels

    def drops(self) -> np.ndarray[Any, Any]:
        rows = self.plane._rows()[:8]["drops"]
        return rows.sum(axis=(0, 1, 2))  # type: ignore[no-any-return]

    def silence(self) -> None:
        records = self.plane._shared["rl_records"]
        live = records["state"] == layout.LIVE
        records["last_up"] -= np.where(live, 2 * 10**9, 0).astype("u8")
        for each in self.machine.book.sessions.values():
            each.last_up -= 2 * 10**9

    def try_packet(self, packet: bytes) -> None:
        packet = packet.ljust(46, b"\0")  # no frame is shorter
        expected = self.machine.receive(packet, time.monotonic_ns())
        six = packet[0] >> 4 == 6
        frame = MAC + bytes(6) + (b"\x86\xdd" if six else b"\x08\x00") + packet
        before = self.drops()
        programs = self.plane._programs
        verdict = XDP_PASS
        if self.xdp:
            answer = testrun.once(programs["relay_fast"], frame, self.ifindex)
            verdict = answer.verdict
            assert verdict in (XDP_PASS, XDP_REDIRECT)
            if verdict == XDP_PASS:
                assert answer.packet == frame
                assert (self.drops() == before).all()
        fast = verdict == XDP_REDIRECT
        if not fast:
            answer = testrun.ingress(programs["relay_ingress"], frame, self.ifindex)
            verdict = {UNSPEC: XDP_PASS, SHOT: XDP_DROP, REDIRECT: XDP_REDIRECT}[
                answer.verdict & 0xFFFFFFFF
            ]
        after = self.drops() - before
        told = [why for why, n in zip(layout.DROPS, after, strict=True) if n]
        self.seen["fast"] += fast
        self.seen[expected.reason if isinstance(expected, Drop) else type(expected).__name__] += 1
        match expected:
            case Pass():
                assert (verdict, told) == (XDP_PASS, [])
                assert answer.packet == frame
            case Drop(reason):
                assert (verdict, told) == (XDP_DROP, [reason])
            case Send(out):
                assert (verdict, told) == (XDP_REDIRECT, [])
                got = answer.packet[14 : 14 + len(out)]
                assert _labelless(got) == _labelless(out)
                if fast:  # by tc, the neighbour's output writes it
                    assert answer.packet[12:14] == (
                        b"\x86\xdd" if out[0] >> 4 == 6 else b"\x08\x00"
                    )
                self._to_nobody_else(got)

    def _to_nobody_else(self, packet: bytes) -> None:
        """Where the packet goes is an endpoint, a client that has sent something, or a PoP."""
        sent = ip.parse(packet)
        assert sent is not None
        clients = {each.flow[2] for each in self.machine.book.sessions.values()}
        ends = {ip_address(a) for a in CAST[self.inner].endpoints}
        pops = {peer.remote for peer in self.plan.peers}
        assert sent.target in clients | ends | pops

    def agree(self) -> None:
        """The tables are the machine's."""
        records = self.plane._shared["rl_records"]
        live = records[records["state"] == layout.LIVE]
        ours = sorted(
            (
                str(layout.address(r["client"])), int(r["client_port"]), str(layout.address(r["address"])),
                int(r["port"]), int(r["protocol"]), int(r["role"]), int(r["proof"]),
                int(r["up_packets"]), int(r["up_bytes"]), int(r["down_packets"]), int(r["down_bytes"]),
                int(r["off_port"]) if r["role"] == layout.EGRESS else 0,
            )
            for r in live
        )  # fmt: skip
        proofs = {"new": layout.NEW, "twoway": layout.TWOWAY, "proved": layout.PROVED}
        theirs = sorted(
            (
                str(s.flow[2]), s.flow[3], str(s.flow[4]), s.flow[5], s.flow[6],
                {"entry": layout.ENTRY, "egress": layout.EGRESS}[s.role], proofs[s.proof],
                s.up_packets, s.up_bytes, s.down_packets, s.down_bytes, s.off_port,
            )
            for s in self.machine.book.sessions.values()
        )  # fmt: skip
        assert ours == theirs


def _labelless(packet: bytes) -> bytes:
    """An IPv6 flow label is the sender's own affair."""
    if (
        packet[:1]
        and packet[0] >> 4 == 6
        and packet[6] == ip.UDP
        and packet[40:44] == struct.pack(">HH", PORT, PORT)
    ):
        return packet[:1] + bytes([packet[1] & 0xF0, 0, 0]) + packet[4:]
    return packet


_made: dict[tuple[int, int, bool], Stage] = {}


@pytest.fixture(
    scope="module", params=[(4, 4), (6, 4), (4, 6), (6, 6)], ids=lambda p: f"{p[0]}in{p[1]}"
)
def families(request: pytest.FixtureRequest) -> tuple[int, int]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module", params=[False, True], ids=["tc", "xdp"])
def stage(request: pytest.FixtureRequest, families: tuple[int, int]) -> Iterator[Stage]:
    inner, outer = families
    name = f"bst-rlyh{os.getpid()}-{inner}{outer}{int(request.param)}"
    netns.create(name)
    try:
        with netns.in_netns(name):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
        lines = [
            "link set lo up",
            "link add u0 address 02:00:00:00:00:01 type veth peer name u1",
            "link set u0 up",
            "link set u1 up",
            "addr add 192.0.2.254/24 dev u0",
            "addr add 2001:db8:f::fe/64 dev u0 nodad",
            f"addr add {CAST[inner].both} dev lo",
            "neigh add 192.0.2.253 lladdr 02:00:00:00:00:02 dev u0 nud permanent",
            "neigh add 2001:db8:f::fd lladdr 02:00:00:00:00:02 dev u0 nud permanent",
            "route add default via 192.0.2.253",
            "route add default via 2001:db8:f::fd",
        ]
        lines += [
            f"neigh add {CAST[f].pops[n]} lladdr 02:00:00:00:00:02 dev u0 nud permanent"
            for f in (4, 6)
            for n in ("e", "t")
        ]
        run(["ip", "-n", name, "-batch", "-"], input="\n".join(lines) + "\n")
        plan = _plan(inner, outer)
        with netns.in_netns(name):
            plane = RelayPlane.open(xdp=request.param, records=1024)
            plane.apply(plan, SECRET)
            for each in plan.accelerators:
                for listener in each.listeners:
                    live = [LiveEndpoint(a, ip_address(a)) for a in CAST[inner].endpoints]
                    plane.set_endpoints(each.number, listener.name, live)
            made = Stage(name, plane, plan, _index(name), request.param, inner)
            yield made
            plane.close()
            print(made.seen)
    finally:
        netns.remove(name)


def _index(name: str) -> int:
    told = run(["ip", "-n", name, "-o", "link", "show", "u0"]).stdout
    return int(told.split(":")[0])


# packets


def _udp(sport: int, dport: int, payload: bytes, check: int) -> bytes:
    return struct.pack(">HHHH", sport, dport, 8 + len(payload), check) + payload


def _tcp(sport: int, dport: int, payload: bytes, flags: int, sequence: int, ack: int) -> bytes:
    return struct.pack(">HHIIBBHHH", sport, dport, sequence, ack, 0x50, flags, 100, 7, 0) + payload


def _packet(
    source: str, target: str, protocol: int, body: bytes, ttl: int, part: int, tos: int
) -> bytes:
    """`part`: 0 whole, 1 first fragment, 2 later fragment."""
    one, other = ip_address(source), ip_address(target)
    if one.version == 4:
        bits = {0: 0, 1: 0x2000, 2: 0x0040}[part]
        head = struct.pack(">BBHHHBBH", 0x45, tos, 20 + len(body), 77, bits, ttl, protocol, 0xBEEF)
        return head + one.packed + other.packed + body
    if part:
        bits = {1: 1, 2: 0x0208}[part]
        body = struct.pack(">BBHI", protocol, 0, bits, 77) + body
        protocol = ip.FRAGMENT_HEADER
    head = struct.pack(">IHBB", 6 << 28 | tos << 20 | 5, len(body), protocol, ttl)
    return head + one.packed + other.packed + body


WRONG: dict[str, dict[str, Any]] = {
    "another accelerator": {"accelerator": number("accelerator", "enters")},
    "no accelerator": {"accelerator": 5},
    "another PoP": {"source": number("node", "t")},
    "no PoP": {"source": 5},
    "to another PoP": {"destination": number("node", "t")},
    "to no PoP": {"destination": 5},
    "kind": {"kind": 2},
    "down": {"kind": 1},
    "version": {"version": 2},
    "hops": {"hops": 2},
    "no hops": {"hops": 0},
    "region": {},
    "secret": {},
}
SPIS = [b"initiat1", b"initiat2"]
REPLIES = [bytes(8), b"respond1", b"respond2"]


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, Any]:
    kind = draw(st.sampled_from(["ike", "ike", "esp", "esp", "keepalive", "bytes", "tcp", "tcp"]))
    if kind == "ike":
        head = draw(st.sampled_from(SPIS)) + draw(st.sampled_from(REPLIES)) + bytes(12)
        return "ike", head + bytes(draw(st.sampled_from([0, 0, 1, 28, 84, 200])))
    if kind == "esp":
        spi, sequence = draw(st.sampled_from([0xC0FFEE, 0xBEEF])), draw(st.integers(0, 6))
        return "nat", struct.pack(">II", spi, sequence) + bytes(draw(st.integers(0, 60)))
    if kind == "keepalive":
        return "nat", b"\xff"
    if kind == "tcp":
        flags = draw(st.sampled_from([0x02, 0x12, 0x10, 0x18, 0x11, 0x04]))
        return "tcp", (
            flags,
            draw(st.integers(0, 3)),
            draw(st.integers(0, 4)),
            draw(st.integers(0, 2)),
        )
    return "any", draw(st.binary(max_size=40))


@dataclass(frozen=True)
class Step:
    what: str
    client: int
    sport: int
    port: int
    body: tuple[str, Any]
    ttl: int
    part: int
    check: int
    entry: str
    mutate: int
    silent: bool
    wrong: str | None


@st.composite
def steps(draw: st.DrawFn) -> Step:
    body = draw(bodies())
    ports = {"ike": [500, 4500], "nat": [4500], "tcp": [80, 85], "any": [7, 1000, 1100, 9, 500]}
    return Step(
        what=draw(
            st.sampled_from(
                ["far", "far", "far", "near", "near", "both", "back", "back", "down", "transit"]
            )
        ),
        client=draw(st.integers(0, 2)),
        sport=draw(st.sampled_from([0, 500, 4500, 40000, 40001])),
        port=draw(st.sampled_from(ports[body[0]])),
        body=body,
        ttl=draw(st.sampled_from([64, 64, 64, 2, 1])),
        part=draw(st.sampled_from([0, 0, 0, 0, 1, 2])),
        check=draw(st.sampled_from([0, 0xFFFF, 0x1234])),
        entry=draw(st.sampled_from(["e", "e", "t", "relayed"])),
        mutate=draw(st.sampled_from([0, 0, 0, 0, 0, 0, draw(st.integers(1, 1 << 30))])),
        silent=draw(st.sampled_from([False, False, False, True])),
        wrong=draw(st.sampled_from([None] * 20 + list(WRONG))),
    )


def _body(step: Step, up: bool, sport: int, dport: int) -> tuple[int, bytes]:
    kind, value = step.body
    if kind == "tcp":
        flags, sequence, ack, size = value
        return ip.TCP, _tcp(sport, dport, bytes(size), flags, sequence, ack)
    accelerated = dport if up else sport
    if kind == "ike" and accelerated == 4500:
        value = bytes(4) + value
    return ip.UDP, _udp(sport, dport, value, step.check)


def _wrapped(stage: Stage, inner: bytes, step: Step, **changes: Any) -> bytes:
    pops = {peer.node: peer for peer in stage.plan.peers}
    sender = "t" if step.entry in ("t", "relayed") else "e"
    head = Header(
        kind=0,
        hops=0 if step.entry == "relayed" else 1,
        destination=stage.plan.number,
        source=number("node", "e" if step.entry == "relayed" else sender),
        accelerator=number("accelerator", "leaves"),
    )
    if step.wrong is not None:
        changes |= WRONG[step.wrong]
    key = derive(SECRET if step.wrong != "secret" else SECRET[1:])
    inside = seal(replace(head, **changes), inner, key) + inner
    peer = pops[sender]
    return ip.outer(peer.remote, peer.local, PORT, 0, inside)


def _make(stage: Stage, step: Step, dice: random.Random) -> bytes:
    cast = CAST[stage.inner]
    client = cast.clients[step.client]

    def up(target: str) -> bytes:
        protocol, body = _body(step, True, step.sport, step.port)
        return _packet(client, target, protocol, body, step.ttl, step.part, 0xB8)

    def down(source: str, target: str, sport: int, dport: int) -> bytes:
        protocol, body = _body(step, False, sport, dport)
        return _packet(source, target, protocol, body, step.ttl, step.part, 0x28)

    sessions = sorted(stage.machine.book.sessions.values(), key=lambda s: str(s.flow))
    if step.what == "near":
        packet = up(cast.near)
    elif step.what == "both":
        packet = up(cast.both)
    elif step.what == "far":
        target = {"region": cast.near, "another accelerator": cast.both}.get(step.wrong or "")
        packet = _wrapped(stage, up(target or cast.far), step)
    elif step.what == "transit":
        to = number("node", "t" if step.entry == "e" else "e")
        packet = _wrapped(stage, up(cast.far), step, destination=to)
    elif step.what == "back":
        leaving = [s for s in sessions if s.role == "egress"]
        if leaving:
            s = dice.choice(leaving)
            packet = down(str(s.endpoint), str(s.accelerator.off_address), s.flow[5], s.off_port)
        else:
            packet = down(cast.endpoints[0], cast.off, step.port, step.sport)
    else:
        entering = [s for s in sessions if s.role == "entry"]
        if entering:
            s = dice.choice(entering)
            inner = down(cast.near, str(s.flow[2]), s.flow[5], s.flow[3])
        else:
            inner = down(cast.near, client, step.port, step.sport)
        packet = _wrapped(
            stage,
            inner,
            replace(step, entry="e"),
            kind=1,
            accelerator=number("accelerator", "enters"),
        )
    if step.mutate:
        wreck = random.Random(step.mutate)
        data = bytearray(packet)
        for _ in range(wreck.randint(1, 3)):
            data[wreck.randrange(len(data))] = wreck.choice(
                [0, 1, 0x45, 0x60, 0xFF, wreck.randrange(256)]
            )
        if wreck.random() < 0.3:
            del data[wreck.randrange(1, len(data)) :]
        packet = bytes(data)
    return packet


@settings(
    max_examples=int(os.environ.get("BONGSU_HOSTILE", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(sequence=st.lists(steps(), min_size=8, max_size=40), seed=st.integers(0, 1 << 30))
def test_the_data_plane_does_what_the_machine_says(
    stage: Stage, sequence: list[Step], seed: int
) -> None:
    stage.reset()
    dice = random.Random(seed)
    for step in sequence:
        if step.silent:
            stage.silence()
        stage.try_packet(_make(stage, step, dice))
    stage.agree()


@settings(max_examples=int(os.environ.get("BONGSU_HOSTILE", "60")) * 5, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(data=st.binary(min_size=1, max_size=120), version=st.sampled_from([0x45, 0x60, 0x46, None]),
       target=st.sampled_from(["far", "near", "both", "off", "own_off", "pop", None]))  # fmt: skip
def test_noise(stage: Stage, data: bytes, version: int | None, target: str | None) -> None:
    stage.reset()
    packet = bytearray(data)
    if version is not None:
        packet[0] = version
    if target is not None and version in (0x45, 0x60):
        cast = CAST[stage.inner]
        wanted = stage.plan.peers[0].local if target == "pop" else ip_address(getattr(cast, target))
        at = 16 if wanted.version == 4 else 24
        packet[at : at + len(wanted.packed)] = wanted.packed
    stage.try_packet(bytes(packet))
