"""Three PoPs in namespaces, each joined to both others by a link of our own making."""

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from pyroute2 import IPRoute

from bongsu.agent.events import EventLog
from bongsu.agent.relay.mesh import MeshShell
from bongsu.lab.link.emulator import Emulator
from bongsu.lab.link.spec import LinkSpec, mac
from bongsu.model.accelerator import Mesh
from bongsu.model.base import Address
from bongsu.model.lab import Impairment
from bongsu.plan.relay import RelayPeer, RelayPlan, number
from bongsu.system import netns

PLACES = ("shanghai", "tokyo", "seoul")
PAIRS = tuple(itertools.combinations(range(3), 2))
DELAY_MS = {(0, 1): 5.0, (1, 2): 5.0, (0, 2): 8.0}
PORT = 4610
PATIENCE_S = 60.0


def node(place: int) -> int:
    return number("node", PLACES[place])


@dataclass
class World:
    spaces: list[str]
    emulator: Emulator

    def address(self, a: int, b: int, family: int = 4) -> Address:
        """Of PoP a on its link to b."""
        low, high = sorted((a, b))
        last = 1 if a == low else 2
        return ip_address(
            f"10.78.{10 * low + high}.{last}" if family == 4 else f"fd78:{low}{high}::{last}"
        )

    def impair(self, a: int, b: int, loss: float = 0.0) -> None:
        pair = (min(a, b), max(a, b))
        self.emulator.set(f"l{pair[0]}{pair[1]}", Impairment(delay_ms=DELAY_MS[pair], loss=loss))

    def silence(self, a: int, b: int, on: bool = True) -> None:
        self.emulator.silence(f"l{min(a, b)}{max(a, b)}", on)

    def plan(self, place: int, mesh: Mesh, family: int = 4) -> RelayPlan:
        """As the compiler would make it, without accelerators."""
        peers = [
            RelayPeer(
                node=PLACES[other], number=node(other),
                local=self.address(place, other, family), remote=self.address(other, place, family),
            )
            for other in range(3)
            if other != place
        ]  # fmt: skip
        return RelayPlan(
            number=node(place), port=PORT, key=None, mesh=mesh, peers=peers, accelerators=[]
        )


class PlacedMesh(MeshShell):
    """A mesh whose sockets are in a namespace."""

    def __init__(self, space: str, events: EventLog, changed: Callable[[int, int], None]) -> None:
        super().__init__(events, changed)
        self._space = space

    def _open(self, local: Address) -> socket.socket:
        with netns.in_netns(self._space):
            return super()._open(local)


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for it, patiently."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"never: {what}"
        await asyncio.sleep(0.02)


@contextlib.contextmanager
def mesh_places(state: Path) -> Iterator[World]:
    """Made for one test, and removed whatever happens."""
    spaces = [f"bst-mp-{os.getpid()}-{place}" for place in PLACES]
    try:
        for name in spaces:
            netns.create(name)
            with netns.in_netns(name), IPRoute() as ip:
                ip.link("set", index=ip.link_lookup(ifname="lo")[0], state="up")
                for scope in ("all", "default"):
                    Path(f"/proc/sys/net/ipv6/conf/{scope}/accept_dad").write_text("0")
        emulator = Emulator.start(state)
        try:
            world = World(spaces, emulator)
            emulator.create(
                [
                    replace(
                        LinkSpec(f"l{a}{b}", spaces[a], f"to-{b}", spaces[b], f"to-{a}"),
                        impairment=Impairment(delay_ms=DELAY_MS[a, b]),
                    )
                    for a, b in PAIRS
                ]
            )
            for a, b in PAIRS:
                _join(world, a, b, "a")
                _join(world, b, a, "b")
            yield world
        finally:
            emulator.close()
            Emulator.end(state)
    finally:
        for name in spaces:
            netns.remove(name)


def _join(world: World, here: int, there: int, end: str) -> None:
    link = f"l{min(here, there)}{max(here, there)}"
    with netns.in_netns(world.spaces[here]), IPRoute() as ip:
        index = ip.link_lookup(ifname=f"to-{there}")[0]
        for family, length in ((4, 24), (6, 64)):
            ip.addr(
                "add", index=index, address=str(world.address(here, there, family)),
                prefixlen=length,
            )  # fmt: skip
            # a neighbour that is asked for over a link that loses would be lost itself
            ip.neigh(
                "add", dst=str(world.address(there, here, family)),
                lladdr=mac(link, "b" if end == "a" else "a"), ifindex=index, state="permanent",
            )  # fmt: skip
