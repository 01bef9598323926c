"""What the agent asks of a service: a daemon, or a few that belong together, with their files.

A service is told the plan and the texts of its files; when the plan does not want it, it stops. It
compares first and changes only what differs, so that a second apply does nothing, and says what it
did in words.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bongsu.model.base import Prefix, SecretRef
from bongsu.plan.node import NodePlan

Texts = Mapping[Path, str]


@dataclass
class Request:
    """One apply, as a service sees it."""

    plan: NodePlan
    texts: Texts
    """All files that are in place, secrets filled in: a service takes its own."""
    changed: Callable[[str], None]
    """To be told of each change, in words."""
    settle: Callable[[str], None] = field(default=lambda _: None)
    """To be called with an interface that was made anew: its settings are the machine's defaults."""
    secret: Callable[[SecretRef], str] = field(default=lambda _: "")
    """A value that goes elsewhere than into a file of the bundle's."""


class Service(Protocol):
    """A part of the node that runs."""

    @property
    def name(self) -> str:
        """As steps and events call it."""

    def owns(self, path: Path) -> bool:
        """Whether a bundle's file at this path is the service's."""

    def wanted(self, plan: NodePlan) -> bool:
        """Whether the plan asks for it."""

    def check(self, plan: NodePlan, texts: Texts, scratch: Path) -> None:
        """Let the daemon's own parser read files that are not in place yet. RunError, ValueError."""

    async def apply(self, request: Request) -> None:
        """Have it run as the plan says, or not at all. RunError, OSError, NotReadyError and others."""

    async def stop(self) -> bool:
        """End it for good; False if it did not run. RunError."""

    def close(self) -> None:
        """Start nothing any more."""

    def detach(self) -> None:
        """Leave it running and stop watching it."""

    def status(self) -> list[dict[str, Any]]:
        """Of each of its daemons: name, pid, uptime and so on."""

    def clean(self) -> None:
        """Remove what a stopped one left outside its files."""


def specifics(plan: NodePlan, vpn: str, family: int) -> list[Prefix]:
    """What a connection announces besides while one of its tunnels is down."""
    parts = [part for peer in plan.cloud_peers if peer.vpn == vpn for part in peer.more_specifics]
    return list(dict.fromkeys(part for part in parts if part.version == family))


def identity(path: Path) -> list[int] | None:
    """Names a file's content without repeating it: files are replaced, never rewritten."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return [status.st_ino, status.st_mtime_ns]


def meaning(text: str) -> str:
    """Names what a configuration says: its comments, the plan's digest among them, left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(("#", "!"))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
