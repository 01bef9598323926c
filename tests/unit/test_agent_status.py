"""What an agent says of a tunnel: the line is up if keepalives and recursive routing both let it be."""

from types import SimpleNamespace
from typing import Any

import pytest

from bongsu.agent.status import Status
from tests.unit.test_agent_keepalive import plan


class Backend:
    """One that holds these tunnels."""

    name = "ebpf"

    def __init__(self, *names: str) -> None:
        self.names = set(names)

    def held(self) -> set[str]:
        return self.names


def tunnel(backend: Backend | None, line: str | None) -> dict[str, Any]:
    keepalive = {"line_protocol": line} if line else None
    status: Any = Status.__new__(Status)
    status.backend, status._keepalive = backend, SimpleNamespace(status=lambda _: keepalive)
    return dict(status._tunnel(plan(), {}, status._read_held(), []))


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
