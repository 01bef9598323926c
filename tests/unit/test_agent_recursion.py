"""Recursive routing: held when it is found, let go when the way is elsewhere, longer each time."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bongsu.agent.events import EventLog
from bongsu.agent.recursion import FIRST_S, MOST_S, RecursionGuard
from bongsu.system.gre.base import GreError


class Backend:
    """A node whose way to the peer of `t` leads into `t` whenever `t` is not held."""

    def __init__(self) -> None:
        self.holds: set[str] = set()
        self.elsewhere = False
        self.gone = False

    def recursive(self) -> dict[str, str]:
        return {} if self.elsewhere or self.holds or self.gone else {"t": "t"}

    def held(self) -> set[str]:
        return set(self.holds)

    def reaches(self, name: str) -> bool:
        if self.gone:
            raise GreError(f"there is no tunnel {name}")
        return self.elsewhere

    def hold(self, name: str, held: bool) -> None:
        (self.holds.add if held else self.holds.discard)(name)


class Scene:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.backend = Backend()
        self.events = EventLog(None, None)
        self.guard = RecursionGuard(self.events)
        monkeypatch.setattr("bongsu.agent.recursion.time.monotonic", lambda: self.now)

    def look(self, after: float = 1.0) -> bool:
        """One look, `after` seconds later; whether `t` is held then."""
        self.now += after
        backend: Any = self.backend
        with ThreadPoolExecutor(1) as worker:
            asyncio.run(self.guard.look(backend, worker))
        return bool(self.backend.holds)

    def told(self) -> list[tuple[str, str, Any]]:
        return [
            (event.details["state"], event.level, event.details.get("hold_s"))
            for event in self.events.since()
            if (event.kind, event.subject) == ("recursion", "t")
        ]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_held_until_the_way_is_elsewhere(scene: Scene) -> None:
    assert scene.look()
    (event,) = scene.events.since()
    assert event.cause == (
        "temporarily disabled due to recursive routing: the way to its peer leads into itself"
    )
    for _ in range(30):
        assert scene.look(), "no way yet"
    scene.backend.elsewhere = True
    assert not scene.look()
    assert not scene.look()
    assert scene.told() == [("down", "warning", FIRST_S), ("up", "info", None)]


def test_not_let_go_before_its_time(scene: Scene) -> None:
    assert scene.look()
    scene.backend.elsewhere = True
    assert scene.look(FIRST_S - 1)
    assert not scene.look(1)


def test_again_is_twice_as_long(scene: Scene) -> None:
    seconds = FIRST_S
    for _ in range(8):
        scene.backend.elsewhere = False
        assert scene.look(1)
        scene.backend.elsewhere = True
        assert scene.look(seconds - 1)
        assert not scene.look(1)
        seconds = min(seconds * 2, MOST_S)
    asked = [hold for state, _, hold in scene.told() if state == "down"]
    assert asked == [10, 20, 40, 80, 160, 300, 300, 300]
    # a good while of quiet, and it is another trouble
    scene.look(10 * MOST_S)
    scene.backend.elsewhere = False
    assert scene.look()
    assert scene.told()[-1][2] == FIRST_S


def test_what_an_agent_before_held(scene: Scene) -> None:
    scene.backend.hold("t", True)
    scene.backend.elsewhere = True
    assert scene.look()
    assert scene.look(FIRST_S - 1)
    assert not scene.look(1)


def test_gone_while_it_was_held(scene: Scene) -> None:
    assert scene.look()
    scene.backend.gone = True
    assert scene.look(FIRST_S)


def test_in_a_row_counts_from_when_it_was_let_go(scene: Scene) -> None:
    """Held for longer than it had to be, for there was no way at all: what follows is no new trouble."""
    assert scene.look()
    assert scene.look(10 * FIRST_S)
    scene.backend.elsewhere = True
    assert not scene.look()
    scene.backend.elsewhere = False
    assert scene.look()
    assert scene.told()[-1] == ("down", "warning", 2 * FIRST_S)
