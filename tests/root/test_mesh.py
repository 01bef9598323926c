"""The mesh on real sockets over real links: what is measured, where paths go, what is not believed."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bongsu.agent.events import EventLog
from bongsu.model.accelerator import Mesh
from bongsu.protocol.mesh.packet import Leg, Probe, State, encode_answer, encode_probe, mesh_key
from bongsu.protocol.mesh.packet import pack_vector as packed
from bongsu.system import netns
from tests.root.mesh_places import (
    DELAY_MS,
    PORT,
    PlacedMesh,
    World,
    mesh_places,
    node,
    until,
)

pytestmark = pytest.mark.root

SHANGHAI, TOKYO, SEOUL = 0, 1, 2
SECRET = b"a secret of this test's"
QUICK = Mesh(interval_ms=20, rate=1000, window_s=5, dead_after=5, hold_s=2)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with mesh_places(tmp_path / "links") as made:
        yield made


class Run:
    """The three meshes of a test, in one loop."""

    def __init__(self, world: World, mesh: Mesh = QUICK, family: int = 4) -> None:
        self.world = world
        self.moves: list[tuple[int, int, int]] = []
        self.logs = [EventLog(None, None) for _ in range(3)]
        self.meshes = [
            PlacedMesh(world.spaces[place], self.logs[place], self._changed(place))
            for place in range(3)
        ]
        for place, shell in enumerate(self.meshes):
            shell.follow(world.plan(place, mesh, family), SECRET, {})

    def _changed(self, place: int):  # type: ignore[no-untyped-def]
        return lambda to, hop: self.moves.append((place, to, hop))

    def figures(self, a: int, b: int):  # type: ignore[no-untyped-def]
        machine = self.meshes[a].machine
        assert machine is not None
        return machine.figures()[node(b)]

    def next_hop(self, a: int, b: int) -> int:
        return self.meshes[a].next_hops()[node(b)]

    def paths(self, place: int) -> list[str]:
        return [
            f"{event.subject}: {event.cause}"
            for event in self.logs[place].since()
            if event.kind == "path"
        ]

    def close(self) -> None:
        for shell in self.meshes:
            shell.close()


@pytest.mark.parametrize("family", [4, 6])
def test_every_path_is_measured(world: World, family: int) -> None:
    async def go() -> None:
        run = Run(world, family=family)
        for (a, b), delay in DELAY_MS.items():
            for here, there in ((a, b), (b, a)):
                await until(lambda h=here, t=there: run.figures(h, t).sent > 50, "fifty probes")
                seen = run.figures(here, there)
                assert seen.p50_ns / 1e6 == pytest.approx(2 * delay, abs=1)
                assert (seen.state, seen.loss) == (State.ALIVE, 0)
        told = run.meshes[SHANGHAI].machine.told_legs  # type: ignore[union-attr]
        now = asyncio.get_running_loop().time()
        legs = told(int(now * 1e9))
        assert legs[node(TOKYO)][node(SEOUL)].rtt_ns / 1e6 == pytest.approx(10, abs=1)
        assert not any(shell.refused for shell in run.meshes)
        run.close()

    asyncio.run(go())


def test_loss_leads_through_a_third_pop_and_says_why(world: World) -> None:
    async def go() -> None:
        run = Run(world)
        await until(lambda: run.figures(SHANGHAI, SEOUL).sent > 50, "fifty probes")
        assert run.next_hop(SHANGHAI, SEOUL) == node(SEOUL)
        world.impair(SHANGHAI, SEOUL, 0.3)
        await until(lambda: run.next_hop(SHANGHAI, SEOUL) == node(TOKYO), "shanghai moves")
        await until(lambda: run.next_hop(SEOUL, SHANGHAI) == node(TOKYO), "seoul moves")
        assert (SHANGHAI, node(SEOUL), node(TOKYO)) in run.moves
        (said,) = run.paths(SHANGHAI)
        assert said.startswith("seoul: through tokyo, direct lost ")
        assert said.endswith(" % of the last 5 s")
        world.impair(SHANGHAI, SEOUL, 0.0)
        await until(lambda: run.next_hop(SHANGHAI, SEOUL) == node(SEOUL), "shanghai moves back")
        assert len(run.paths(SHANGHAI)) == 2
        run.close()

    asyncio.run(go())


def test_a_dead_path_is_left_before_the_hold_is_over(world: World) -> None:
    async def go() -> None:
        long = QUICK.model_copy(update={"hold_s": 3600})
        run = Run(world, long)
        await until(lambda: run.figures(SHANGHAI, SEOUL).sent > 50, "fifty probes")
        world.silence(SHANGHAI, SEOUL)
        await until(lambda: run.next_hop(SHANGHAI, SEOUL) == node(TOKYO), "shanghai moves")
        assert run.paths(SHANGHAI) == ["seoul: through tokyo, direct was dead: 5 probes unanswered"]
        # its third PoP dies too: back to the direct one as soon as that lives
        world.silence(SHANGHAI, SEOUL, False)
        await until(lambda: run.figures(SHANGHAI, SEOUL).state is State.ALIVE, "direct lives")
        assert run.next_hop(SHANGHAI, SEOUL) == node(TOKYO)
        world.silence(TOKYO, SEOUL)
        await until(lambda: run.next_hop(SHANGHAI, SEOUL) == node(SEOUL), "shanghai moves back")
        run.close()

    asyncio.run(go())


def test_forged_and_recorded_packets_are_not_believed(world: World) -> None:
    """Tokyo's machine sends Shanghai what Seoul's packets look like, and keeps what it has seen."""
    here, tokyo = world.address(SHANGHAI, TOKYO), world.address(TOKYO, SHANGHAI)

    async def go() -> None:
        shell = PlacedMesh(world.spaces[SHANGHAI], EventLog(None, None), lambda *_: None)
        slow = Mesh(interval_ms=60000, window_s=3600)
        shell.follow(world.plan(SHANGHAI, slow), SECRET, {})
        await until(lambda: bool(shell._sockets), "its sockets are open")
        key, other = mesh_key(SECRET), mesh_key(b"not the secret, of 16 bytes or so")
        probe = Probe(node(SHANGHAI), node(TOKYO), 7, 0)
        with netns.socket_in(world.spaces[TOKYO], socket.AF_INET, socket.SOCK_DGRAM) as right:
            right.bind((str(tokyo), PORT + 1))
            right.setblocking(False)

            def send(data: bytes) -> None:
                right.sendto(data, (str(here), PORT + 1))

            send(encode_probe(probe, other))
            send(b"x" * 2000)
            await until(lambda: shell.refused["mac"] + shell.refused["version"] == 2, "refused")
            # in Seoul's name, from Tokyo's address
            send(encode_probe(Probe(node(SHANGHAI), node(SEOUL), 7, 0), key))
            await until(lambda: shell.refused["sender"] == 1, "refused")
            machine = shell.machine
            assert machine is not None
            # an answer to what was not asked
            vector = packed([(node(SEOUL), Leg(State.ALIVE, 0.0, 1, 1))])
            send(
                encode_answer(Probe(node(TOKYO), node(SHANGHAI), machine.epoch, 99), 0, vector, key)
            )
            await until(lambda: machine.told.again == 1, "refused")
            send(encode_probe(probe, key))
            loop = asyncio.get_running_loop()
            answers = []
            while len(answers) < 1:
                data = await asyncio.wait_for(loop.sock_recv(right, 2048), 30)
                answers += [data] if data[1] == 1 else []
            send(encode_probe(probe, key))
            await until(lambda: machine.told.again == 2, "a recorded one is refused")
            assert 1 not in _kinds(right)
        with netns.socket_in(world.spaces[TOKYO], socket.AF_INET, socket.SOCK_DGRAM) as wrong:
            wrong.bind((str(tokyo), 0))
            wrong.sendto(encode_probe(Probe(node(SHANGHAI), node(TOKYO), 7, 1), key),
                         (str(here), PORT + 1))  # fmt: skip
            await until(lambda: shell.refused["sender"] == 2, "refused")
        assert machine.told_legs(0)[node(TOKYO)] == {}
        shell.close()

    asyncio.run(go())


def _kinds(waiting: socket.socket) -> list[int]:
    """Of the packets that are there already."""
    found = []
    while True:
        try:
            found.append(waiting.recv(2048)[1])
        except BlockingIOError:
            return found
