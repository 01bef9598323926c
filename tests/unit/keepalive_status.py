"""What an agent says of a tunnel's keepalives, for the tests of what people are shown."""

from typing import Any


def tunnel(name: str = "tunnel0", peer: str = "b", **own: Any) -> dict[str, Any]:
    """An entry of `tunnels` of a status; `own` changes its keepalive."""
    keepalive: dict[str, Any] = {
        "line_protocol": "up",
        "since_s": 12.4,
        "interval_ms": 5000,
        "retries": 4,
        "up_after": 1,
        "dialect": "cisco",
        "nonce": False,
        "counter": 0,
        "sent": 1204,
        "received": 1203,
        "lost": 1,
        "refused": {},
        "reflected": 1100,
        "rtt_ms": {"last": 0.31, "min": 0.1234, "avg": 0.256, "max": 13.14},
        "last_change": None,
        "send_errors": 0,
        "last_error": "",
        "scheduler": "fifo",
    }
    return {
        "name": name,
        "peer": peer,
        "local": "192.168.1.1",
        "remote": "192.168.1.2",
        "held": False,
        "keepalive": keepalive | own,
    }


def down(**own: Any) -> dict[str, Any]:
    """A tunnel whose line protocol keepalives have taken down."""
    change = {
        "time": "2026-01-31T01:19:16+00:00",
        "state": "down",
        "cause": "4 keepalives unanswered",
    }
    values = {"line_protocol": "down", "since_s": 200.0, "counter": 44, "last_change": change}
    return tunnel(**(values | own))


class FakeAgent:
    """Answers as an agent would, from a list; what it was asked is kept."""

    def __init__(self, *tunnels: dict[str, Any], node: str = "a") -> None:
        self.status: dict[str, Any] = {"node": node, "tunnels": list(tunnels)}
        self.answers: list[list[dict[str, Any]]] = []
        self.asked: list[dict[str, Any]] = []

    def call(self, request: str, **arguments: Any) -> Any:
        """Status, or the next answer to `keepalive_debug`; after the last, Ctrl-C."""
        if request == "status":
            return self.status
        self.asked.append({"request": request, **arguments})
        if not self.answers:
            raise KeyboardInterrupt
        return {"lines": self.answers.pop(0)}
