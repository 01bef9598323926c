"""A tower that runs, and an end for everything that was started."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bongsu.agent.uplink.home import Home
from bongsu.system.clock import Clock

from .world import Node, RunningTower


@pytest.fixture
def tower(tmp_path: Path) -> Iterator[RunningTower]:
    made = RunningTower(tmp_path / "tower")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def node() -> Iterator[Callable[..., Node]]:
    made: list[Node] = []

    def make(home: Home, clock: Clock | None = None) -> Node:
        made.append(Node(home, clock))
        return made[-1]

    yield make
    for each in made:
        each.stop()
