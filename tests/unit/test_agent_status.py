"""What an agent says of a tunnel: the line is up if keepalives and recursive routing both let it be."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from bongsu.agent.status import Status
from bongsu.system.gre.base import GreError
from tests.unit.test_agent_keepalive import plan


class Backend:
    """One that holds these tunnels."""

    name = "ebpf"

    def __init__(self, *names: str) -> None:
        self.names = set(names)

    def held(self) -> set[str]:
        return self.names

    def counters(self) -> dict[str, Any]:
        raise GreError("no counters here")


def tunnel(backend: Backend | None, line: str | None) -> dict[str, Any]:
    keepalive = {"line_protocol": line} if line else None
    shell = SimpleNamespace(status=lambda _: keepalive, refused=dict)
    bundle = SimpleNamespace(digest="", plan=SimpleNamespace(
        node="a", network="n", role=SimpleNamespace(value="router"), digest=str, tunnels=[plan()],
    ))  # fmt: skip
    supervisor = SimpleNamespace(running=False, status=dict)
    with ThreadPoolExecutor(1) as worker:
        parts: Any = (SimpleNamespace(bundle=bundle), None, supervisor, shell)
        status = Status(*parts, worker)
        status.backend = backend  # type: ignore[assignment]
        (found,) = asyncio.run(status.full())["tunnels"]
    return dict(found)


@pytest.mark.parametrize(
    ("backend", "line", "held", "said"),
    [
        (Backend(), "up", False, "up"),
        (Backend(), "down", False, "down"),
        (Backend(), None, False, None),
        (Backend("t"), "up", True, "down"),
        (Backend("t"), None, True, "down"),
        (Backend("other"), "up", False, "up"),
        (None, None, False, None),
    ],
)
def test_the_line(backend: Backend | None, line: str | None, held: bool, said: str | None) -> None:
    found = tunnel(backend, line)
    assert (found["held"], found["line_protocol"]) == (held, said)
