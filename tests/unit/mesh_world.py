"""PoPs on one virtual clock, and wires between them that lose and delay as the test says."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from bongsu.model.accelerator import Mesh as Settings
from bongsu.protocol.mesh.machine import Mesh
from bongsu.protocol.mesh.packet import Probe, decode, encode_answer, encode_probe, mesh_key
from bongsu.protocol.mesh.path import Change

MS = 1_000_000
SECOND = 1000 * MS
KEY = mesh_key(b"a secret of the test's")
STEP = 10 * MS

Wire = tuple[float, int]
"""Loss (0 to 1) and delay one way, ns."""


@dataclass
class World:
    """`wire(a, b, now)` says what the way from a to b is like."""

    nodes: list[int]
    wire: Callable[[int, int, int], Wire]
    settings: Settings = field(default_factory=Settings)
    seed: int = 1
    now: int = 0
    sent: dict[int, int] = field(default_factory=dict)
    changes: list[tuple[int, int, Change]] = field(default_factory=list)
    """When, at whom, what."""

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.meshes = {node: Mesh(node, self.settings, 1000 + node) for node in self.nodes}
        for mesh in self.meshes.values():
            mesh.follow(self.nodes, 0)
        self.flying: list[tuple[int, int, int, bytes]] = []
        self.sent = dict.fromkeys(self.nodes, 0)

    def run(self, seconds: float, check: Callable[["World"], None] = lambda _: None) -> None:
        """Let time pass, calling `check` after each step."""
        end = self.now + int(seconds * SECOND)
        while self.now < end:
            self.now += STEP
            while self.flying and self.flying[0][0] <= self.now:
                when, _, to, data = heapq.heappop(self.flying)
                self._arrive(when, to, data)
            for node, mesh in self.meshes.items():
                for change in mesh.look(self.now):
                    self.changes.append((self.now, node, change))
                for probe in mesh.poll(self.now):
                    self.sent[node] += 1
                    self._carry(self.now, node, probe.destination, encode_probe(probe, KEY))
            check(self)

    def _arrive(self, when: int, to: int, data: bytes) -> None:
        mesh = self.meshes[to]
        packet = decode(data, KEY)
        if not isinstance(packet, Probe):
            mesh.take(packet, when)
        elif mesh.hear(packet, when):
            self._carry(when, to, packet.source, encode_answer(packet, 0, mesh.vector(), KEY))

    def _carry(self, when: int, a: int, b: int, data: bytes) -> None:
        loss, delay = self.wire(a, b, when)
        if self.chance.random() >= loss:
            heapq.heappush(self.flying, (when + delay, len(self.flying), b, data))
