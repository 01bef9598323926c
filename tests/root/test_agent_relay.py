"""PoPs with agents: an accelerator carries, paths move, endpoints die, agents come and go."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bongsu.intent.loader import load_text
from bongsu.plan.compile import compile_network
from bongsu.system import netns
from bongsu.system.run import run
from tests.root.agent_box import Box, boxes, cable, until

pytestmark = pytest.mark.root

CLIENT, ENTRY, OFF = "198.51.100.2", "203.0.113.10", "203.0.113.20"
ENDPOINTS = ("198.51.100.18", "198.51.100.22")
PORT = 7000
POPS = {"shanghai": "192.0.2.2", "tokyo": "192.0.2.6", "seoul": "192.0.2.10"}
PATIENCE_S = 60

# The boxes' agents have this one in their environment: it is longer than 16 bytes.
FILE = """
version: 1
name: relay-world
nodes:
  shanghai:
    role: pop
    interfaces:
      wan: {{role: uplink, addresses: [192.0.2.2/30, 203.0.113.10/32], gateway: 192.0.2.1}}
  tokyo:
    role: pop
    transit: true
    interfaces:
      wan: {{role: uplink, addresses: [192.0.2.6/30], gateway: 192.0.2.5}}
  seoul:
    role: pop
    interfaces:
      wan: {{role: uplink, addresses: [192.0.2.10/30, 203.0.113.20/32], gateway: 192.0.2.9}}
relay:
  key: env:SEOUL_BGP_PASSWORD
  mesh: {{interval_ms: 50, window_s: 5, hold_s: 2}}
accelerators:
  ga:
    bandwidth_mbps: 1000
    regions: {{shanghai: {{node: shanghai, address: 203.0.113.10}}}}
    egress: {{node: seoul, off_address: 203.0.113.20}}
    listeners:
      things:
        ports: ["7000-7010"]
        endpoints: {endpoints}
        health: {{probe: icmp, interval_s: 1, misses: 2}}
        idle_s: 60
        {repair}
"""
REPAIRED = "repair: {mode: reed-solomon, block: 8, overhead_percent: 100, delay_ms: 50}"
ONE = "{one: {address: 198.51.100.18}}"
TWO = "{one: {address: 198.51.100.18, weight: 255}, two: {address: 198.51.100.22, weight: 0}}"


class World:
    """Three PoPs, a client and two endpoints around one router, on which the paths are broken."""

    def __init__(self, found: list[Box], endpoints: str = ONE, repair: str = "") -> None:
        self.middle, self.client, self.one, self.two, *pops = found
        self.pops = dict(zip(POPS, pops, strict=True))
        sides = [
            (self.client, CLIENT, []),
            (self.one, ENDPOINTS[0], []),
            (self.two, ENDPOINTS[1], []),
            (self.pops["shanghai"], POPS["shanghai"], [ENTRY]),
            (self.pops["tokyo"], POPS["tokyo"], []),
            (self.pops["seoul"], POPS["seoul"], [OFF]),
        ]
        for number, (box, address, others) in enumerate(sides):
            cable(box, "wan", self.middle, f"m{number}")
            gateway = address.rpartition(".")[0] + f".{int(address.rpartition('.')[2]) - 1}"
            box.ip(f"addr add {address}/30 dev wan")
            box.ip(f"route add default via {gateway}")
            self.middle.ip(f"addr add {gateway}/30 dev m{number}")
            for other in others:
                box.ip(f"addr add {other}/32 dev wan")
                self.middle.ip(f"route add {other}/32 via {address}")
        run(["sysctl", "-qw", "net.ipv4.ip_forward=1"], netns=self.middle.netns)
        network = load_text(
            FILE.format(endpoints=endpoints, repair=repair), "relay-world.yaml"
        ).network
        self.plans = compile_network(network)

    def start(self, *names: str) -> None:
        chosen = names or tuple(self.pops)
        for name in chosen:
            box = self.pops[name]
            box.start(box.bundle(self.plans[name]))
        for name in chosen:
            self.pops[name].wait_ready()

    def lose(self, a: str, b: str, share: str = "") -> None:
        """Between two addresses, both ways: everything, or what a rule's `share` says."""
        rules = [
            f"add rule ip loss f ip saddr {x} ip daddr {y} {share} drop"
            for x, y in ((a, b), (b, a))
        ]
        begin = [
            "add table ip loss",
            "add chain ip loss f { type filter hook forward priority 0; }",
        ]
        run(["nft", "; ".join([*begin, *rules])], netns=self.middle.netns)

    def heal(self) -> None:
        run(["nft", "delete", "table", "ip", "loss"], netns=self.middle.netns, check=False)

    def ask(self, name: str, request: str, **arguments: Any) -> Any:
        return self.pops[name].client.call(request, **arguments)

    def way(self, a: str, b: str) -> dict[str, Any]:
        found = self.ask(a, "paths")["paths"]
        return next(path for path in found if path["to"] == b)

    def accelerator(self, name: str) -> dict[str, Any]:
        (found,) = self.ask(name, "accelerator")["accelerators"]
        return dict(found)

    def repair(self, name: str) -> dict[str, Any]:
        return dict(self.ask(name, "accelerator")["repair"])

    def said(self, name: str, kind: str) -> list[str]:
        return [f"{event['subject']}: {event['cause']}" for event in self.pops[name].events(kind)]

    def udp(self, box: Box, address: str, port: int) -> socket.socket:
        made = netns.socket_in(box.netns, socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE
        made.bind((address, port))
        made.settimeout(0.5)
        return made


@pytest.fixture
def found(tmp_path: Path) -> Iterator[list[Box]]:
    with boxes(tmp_path, "mid", "client", "one", "two", *POPS) as made:
        yield made


def exchange(near: socket.socket, far: socket.socket) -> tuple[str, int] | None:
    """A datagram there and back; whom the endpoint saw, None if it did not come."""
    try:
        near.sendto(b"there", (ENTRY, PORT))
        _, seen = far.recvfrom(100)
        far.sendto(b"back", seen)
        near.recvfrom(100)
    except TimeoutError:
        return None
    return str(seen[0]), int(seen[1])


def eventually(what: Callable[[], Any], why: str) -> Any:
    return until(what, why, PATIENCE_S)


def test_paths_move_and_agents_come_and_go_under_a_session(found: list[Box]) -> None:
    world = World(found)
    world.start()
    with (
        world.udp(world.client, CLIENT, 40000) as near,
        world.udp(world.one, ENDPOINTS[0], PORT) as far,
    ):
        seen = eventually(lambda: exchange(near, far), "nothing comes through")
        assert seen == (OFF, 40000)
        assert world.way("shanghai", "seoul")["way"] == "direct"
        (session,) = world.ask("seoul", "accelerator", sessions=True)["sessions"]
        assert (session["client"], session["client_port"], session["off_port"]) == (
            CLIENT, 40000, 40000,
        )  # fmt: skip
        assert session["endpoint"] == ENDPOINTS[0]
        # much of it is lost: both ends go through tokyo, and say why
        world.lose(POPS["shanghai"], POPS["seoul"], "numgen random mod 100 < 15")
        for a, b in (("shanghai", "seoul"), ("seoul", "shanghai")):
            eventually(lambda a=a, b=b: world.way(a, b)["way"] == "through tokyo", f"{a} stays")
            said = world.said(a, "path")[-1]
            assert said.startswith(f"{b}: through tokyo, direct lost ")
        assert [exchange(near, far) for _ in range(20)] == [seen] * 20
        assert world.ask("tokyo", "accelerator")["stray"]["transit"] >= 40
        # killed and begun anew: the plane carries meanwhile, the path is the one it was
        for name in ("seoul", "shanghai"):
            os.kill(world.pops[name].agent_pid(), signal.SIGKILL)
            world.pops[name].wait_end()
            assert exchange(near, far) == seen
            world.start(name)
            assert exchange(near, far) == seen
            assert world.said(name, "path") == []
        (again,) = world.ask("seoul", "accelerator", sessions=True)["sessions"]
        assert again["up"]["packets"] > session["up"]["packets"] + 20
        assert again["age_s"] >= session["age_s"]
        # the third PoP dies: what is lost on the direct way is the lesser evil
        world.pops["tokyo"].ip("link set wan down")
        eventually(lambda: world.way("shanghai", "seoul")["way"] == "direct", "shanghai stays")
        assert world.said("shanghai", "path")[-1].startswith(
            "seoul: direct, through tokyo was dead"
        )
        world.heal()
        eventually(lambda: exchange(near, far) == seen, "it does not go on")
        # an end in order leaves it as it is, a purge takes it away
        world.pops["seoul"].terminate()
        world.pops["seoul"].wait_end()
        assert exchange(near, far) == seen
        world.start("seoul")
        world.ask("seoul", "stop", purge=True)
        world.pops["seoul"].wait_end()
        assert exchange(near, far) is None
        assert "relay" not in world.pops["seoul"].text(
            "tc", "filter", "show", "dev", "wan", "ingress"
        )


def test_an_endpoint_that_dies_is_taken_out_and_comes_back(found: list[Box]) -> None:
    world = World(found, TWO)
    world.start()

    def states() -> dict[str, tuple[str, bool]]:
        (listener,) = world.accelerator("seoul")["listeners"]
        return {each["name"]: (each["state"], each["used"]) for each in listener["endpoints"]}

    with (
        world.udp(world.client, CLIENT, 40000) as near,
        world.udp(world.one, ENDPOINTS[0], PORT) as far,
    ):
        eventually(lambda: exchange(near, far), "nothing comes through")
        assert states() == {"one": ("up", True), "two": ("up", True)}
        world.lose(OFF, ENDPOINTS[1])
        eventually(lambda: states()["two"] == ("down", False), "it is not taken out")
        # the last that takes clients is kept, whether it answers or not
        world.lose(OFF, ENDPOINTS[0], "icmp type { echo-request, echo-reply }")
        eventually(lambda: states()["one"] == ("down", True), "nobody noticed")
        assert exchange(near, far) == (OFF, 40000)
        said = world.said("seoul", "endpoint")
        assert "ga things two: 198.51.100.22: 2 probes (icmp) unanswered: no answer" in said
        assert said[-1] == "ga things: no endpoint answers: all are used all the same"
        world.heal()
        eventually(lambda: states()["one"] == ("up", True), "it does not come back")
        eventually(lambda: states()["two"] == ("up", True), "it does not come back")
        assert (
            world.said("seoul", "endpoint").count("ga things one: 198.51.100.18 answers (icmp)")
            == 1
        )


def test_repaired_both_ways_and_carried_on_without_the_engine(found: list[Box]) -> None:
    world = World(found, repair=REPAIRED)
    # without tokyo there is no better way
    world.start("shanghai", "seoul")
    with (
        world.udp(world.client, CLIENT, 40000) as near,
        world.udp(world.one, ENDPOINTS[0], PORT) as far,
    ):
        seen = eventually(lambda: exchange(near, far), "nothing comes through")
        for name in ("shanghai", "seoul"):
            eventually(lambda n=name: any(world.repair(n)["alive"].values()), "no engine answers")
        world.lose(POPS["shanghai"], POPS["seoul"], "udp dport 4612 numgen random mod 100 < 8")
        counts = {"up": 0, "down": 0}
        for way, (source, sink, target) in {
            "up": (near, far, (ENTRY, PORT)),
            "down": (far, near, seen),
        }.items():
            for number in range(600):
                source.sendto(number.to_bytes(2), target)
                time.sleep(0.002)
            with contextlib.suppress(TimeoutError):
                while True:
                    sink.recv(100)
                    counts[way] += 1
            # the engine learns how much is lost while it goes on
            assert counts[way] > 600 * 0.97
        repaired = {row["kind"]: row["repaired"] for row in world.repair("seoul")["received"]}
        assert repaired["up"] > 10
        # the engines end with their agents, and the ordinary way is taken
        world.heal()
        for name in ("seoul", "shanghai"):
            os.kill(world.pops[name].agent_pid(), signal.SIGKILL)
            world.pops[name].wait_end()
            eventually(lambda: exchange(near, far) == seen, "it does not go on")
