"""Three PoPs, each linked to the two others by links that lose, and a repair engine in each."""

import contextlib
import itertools
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
from pyroute2 import IPRoute

from bongsu.lab.link.emulator import Emulator
from bongsu.lab.link.spec import LinkSpec, mac
from bongsu.model.accelerator import Mesh
from bongsu.model.base import Address
from bongsu.model.lab import Impairment
from bongsu.plan.relay import AcceleratorPlan, RelayPeer, RelayPlan, number
from bongsu.protocol.repair.packet import Header
from bongsu.system import netns
from bongsu.system.repair.engine import DEVICE, RepairEngine

POPS = ("a", "b", "c")
PORT = 4610
SECRET = b"what the PoPs of this test share"
ACCELERATOR = 4711
PROTOCOL = 0x0003
"""ETH_P_ALL."""
PATIENCE_S = 60.0
"""Far more than anything takes here, on the slowest machine."""


class Pop:
    """A namespace with an engine, and the relay's side of its device."""

    def __init__(self, world: "World", name: str) -> None:
        self.world, self.name = world, name
        self.space = world.spaces[name]
        self.state = world.state / name
        self.engine = self.start()
        self.relay = self._device()

    def start(self) -> RepairEngine:
        """An engine, as the agent starts it."""
        with netns.in_netns(self.space):
            return RepairEngine.start(self.world.plan(self.name), SECRET, self.state)

    def restart(self) -> None:
        """As after the agent's end, whatever that was."""
        self.relay.close()
        self.engine.close()
        self.engine = self.start()
        self.relay = self._device()

    def _device(self) -> socket.socket:
        made = netns.socket_in(self.space, socket.AF_PACKET, socket.SOCK_RAW, 0)
        made.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        made.bind((DEVICE, PROTOCOL))
        made.setblocking(False)
        return made

    def header(self, to: str, kind: int = 0, accelerator: int = ACCELERATOR) -> Header:
        """Of a packet from here."""
        return Header(kind, number("node", to), number("node", self.name), accelerator)

    def send(self, packet: bytes) -> None:
        """As the relay's BPF program does it. The device holds some thousand packets."""
        while True:
            try:
                self.relay.send(packet)
                return
            except (BlockingIOError, OSError):
                time.sleep(0.001)

    def received(self) -> list[bytes]:
        """What the engine wrote into its device since the last look."""
        found = []
        while True:
            try:
                packet, (_, _, kind, *_) = self.relay.recvfrom(65535)
            except BlockingIOError:
                return found
            if kind != socket.PACKET_OUTGOING:
                found.append(packet)

    def receive(self, count: int) -> list[bytes]:
        """At least so many, unless they do not come."""
        found = self.received()
        end = time.monotonic() + PATIENCE_S
        while len(found) < count and time.monotonic() < end:
            select.select([self.relay], [], [], 0.1)
            found += self.received()
        return found

    def row(self, table: str) -> dict[str, Any]:
        """The only stream of `sent` or `received`; nothing but zeros before there is one."""
        rows = getattr(self.engine.counters(), table)
        assert len(rows) <= 1, rows
        rows = rows if len(rows) else np.zeros(1, rows.dtype)
        return {name: rows[0][name].tolist() for name in rows.dtype.names}

    def udp(self, to: str, *, port: int = PORT + 2) -> socket.socket:
        """A socket of this PoP's address towards another."""
        local, remote = self.world.address(self.name, to), self.world.address(to, self.name)
        made = netns.socket_in(
            self.space, socket.AF_INET if local.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM
        )
        made.bind((str(local), port))
        made.connect((str(remote), PORT + 2))
        return made


class World:
    """Its namespaces, links and engines."""

    def __init__(self, state: Path, spaces: dict[str, str], emulator: Emulator, family: int):
        self.state, self.spaces, self.emulator, self.family = state, spaces, emulator, family
        self.pops: dict[str, Pop] = {}

    def address(self, pop: str, towards: str) -> Address:
        """On the link between the two."""
        net = POPS.index(pop) + POPS.index(towards)
        end = 1 if pop < towards else 2
        return ip_address(f"10.78.{net}.{end}" if self.family == 4 else f"fd78:0:0:{net}::{end}")

    def plan(self, pop: str) -> RelayPlan:
        """A node's, as far as the engine reads it."""
        peers = [
            RelayPeer(
                node=other,
                number=number("node", other),
                local=self.address(pop, other),
                remote=self.address(other, pop),
            )
            for other in POPS
            if other != pop
        ]
        accelerator = AcceleratorPlan(
            name="test",
            number=ACCELERATOR,
            bandwidth_bps=None,
            regions=[],
            egress="b",
            egress_number=number("node", "b"),
            off_address=self.address("b", "a"),
            off_public=self.address("b", "a"),
            listeners=[],
        )
        return RelayPlan(
            number=number("node", pop),
            port=PORT,
            key=None,
            mesh=Mesh(),
            peers=peers,
            accelerators=[accelerator],
        )

    def lossy(self, a: str, b: str, loss: float) -> None:
        """Let a link lose so much in each direction."""
        self.emulator.set("".join(sorted(a + b)), Impairment(delay_ms=1, loss=loss))

    def meet(self) -> None:
        """Waits until every engine knows of the others'."""
        wait(lambda: all(all(p.engine.counters().alive.values()) for p in self.pops.values()))


def wait(until: Callable[[], bool]) -> None:
    """Until it is so; AssertionError if it never is."""
    end = time.monotonic() + PATIENCE_S
    while not until():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.01)


@contextlib.contextmanager
def repair_world(state: Path, family: int = 4) -> Iterator[World]:
    """Made for one test, and removed whatever happens."""
    spaces = {pop: f"bst-r-{os.getpid()}-{pop}" for pop in POPS}
    with contextlib.ExitStack() as stack:
        for name in spaces.values():
            netns.create(name)
            stack.callback(netns.remove, name)
            with netns.in_netns(name), IPRoute() as ip:
                ip.link("set", index=ip.link_lookup(ifname="lo")[0], state="up")
                Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")
        emulator = Emulator.start(state)
        stack.callback(Emulator.end, state)
        stack.callback(emulator.close)
        world = World(state, spaces, emulator, family)
        specs = [
            LinkSpec(a + b, spaces[a], f"to-{b}", spaces[b], f"to-{a}", Impairment(delay_ms=1))
            for a, b in itertools.combinations(POPS, 2)
        ]
        emulator.create(specs)
        for a, b in itertools.permutations(POPS, 2):
            _configure(world, a, b)
        for pop in POPS:
            world.pops[pop] = Pop(world, pop)
            stack.callback(lambda pop=pop: world.pops[pop].engine.close())
            stack.callback(lambda pop=pop: world.pops[pop].relay.close())
        world.meet()
        yield world


def _configure(world: World, pop: str, towards: str) -> None:
    link = "".join(sorted(pop + towards))
    with netns.in_netns(world.spaces[pop]), IPRoute() as ip:
        index = ip.link_lookup(ifname=f"to-{towards}")[0]
        length = 24 if world.family == 4 else 64
        ip.addr("add", index=index, address=str(world.address(pop, towards)), prefixlen=length)
        # a neighbour that is asked for over a link that loses would be lost itself
        ip.neigh(
            "add",
            dst=str(world.address(towards, pop)),
            lladdr=mac(link, "a" if pop > towards else "b"),
            ifindex=index,
            state="permanent",
        )
