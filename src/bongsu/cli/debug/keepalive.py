"""`bongsu debug keepalive`: every keepalive as it is sent and answered, until Ctrl-C.

The agent records them only while somebody has a lease, so that one who went away without a word
costs nothing for longer than that.
"""

import time
from collections.abc import Callable
from itertools import chain
from typing import Annotated, Any, TypeVar

import typer

from bongsu.cli.agent import STATE
from bongsu.cli.agents import LabOption, NodeOption, StateOption, find_agents
from bongsu.cli.debug.keepalive_lines import line as told
from bongsu.cli.output import EXIT_USAGE, err, fail, line
from bongsu.system.agent_client import AgentClient, AgentError

_T = TypeVar("_T")

LEASE_S = 5
POLL_S = 0.2
"""The lines carry their own time; this is only how late they are seen."""


def keepalive(
    tunnel: Annotated[str | None, typer.Argument(help="Only this tunnel.")] = None,
    lab: LabOption = None,
    node: NodeOption = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="End after so long; without it, at Ctrl-C.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many lines.")] = None,
    state: StateOption = STATE,
) -> None:
    """Print keepalives as they are sent and answered, and what the line protocol makes of them."""
    agents = find_agents(lab, node, state)
    feeds = [Feed(name if len(agents) > 1 else "", agent) for name, agent in agents.items()]
    names = list(dict.fromkeys(chain.from_iterable(_each(feeds, Feed.sending))))
    if tunnel is not None and tunnel.lower() not in names:
        known = ", ".join(names) or "none"
        fail(f"no tunnel {tunnel} sends keepalives here", f"there are: {known}", EXIT_USAGE)
    _each(feeds, Feed.skip)
    err.print("Tunnel keepalive debugging is on", markup=False)
    deadline = None if seconds is None else time.monotonic() + seconds
    left = count
    try:
        while left is None or left > 0:
            fresh = list(chain.from_iterable(_each(feeds, Feed.read)))
            shown = [
                f"{prefix}{told(record)}"
                if "missed" not in record
                else f"{prefix}{_missed(record)}"
                for prefix, record in sorted(fresh, key=lambda item: item[1]["monotonic_ns"])
                if tunnel is None or record.get("tunnel") in (None, tunnel.lower())
            ][:left]
            for text in shown:
                line(text)
            if left is not None:
                left -= len(shown)
            if deadline is not None and time.monotonic() >= deadline:
                return
            if left != 0:
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        return


class Feed:
    """One agent's records, each told once. `prefix` names the node where there are several."""

    def __init__(self, node: str, agent: AgentClient) -> None:
        self.prefix = f"{node}: " if node else ""
        self._agent = agent
        self._since = 0

    def sending(self) -> list[str]:
        """Names of the tunnels that send keepalives."""
        tunnels = self._agent.call("status")["tunnels"]
        return [tunnel["name"] for tunnel in tunnels if tunnel["keepalive"] is not None]

    def skip(self) -> None:
        """Take the lease, and leave out what an earlier one has recorded."""
        for record in self._call():
            self._since = max(self._since, record["sequence"])

    def read(self) -> list[tuple[str, dict[str, Any]]]:
        """What has been recorded since, oldest first; a gap is a record with `missed`."""
        found: list[tuple[str, dict[str, Any]]] = []
        for record in self._call():
            missed = record["sequence"] - self._since - 1
            if missed > 0 and self._since > 0:
                gap = {"missed": missed, "monotonic_ns": record["monotonic_ns"]}
                found.append((self.prefix, gap))
            self._since = record["sequence"]
            found.append((self.prefix, record))
        return found

    def _call(self) -> list[dict[str, Any]]:
        answer = self._agent.call("keepalive_debug", since=self._since, seconds=LEASE_S)
        lines: list[dict[str, Any]] = answer["lines"]
        return lines


def _each(feeds: list[Feed], ask: Callable[[Feed], _T]) -> list[_T]:
    """What each answers. Who does not is told and left out from now on; AgentError if nobody is left."""
    answers = []
    for feed in list(feeds):
        try:
            answers.append(ask(feed))
        except AgentError as error:
            feeds.remove(feed)
            if not feeds:
                raise
            err.print(f"{feed.prefix}{error}", markup=False)
    return answers


def _missed(record: dict[str, Any]) -> str:
    return f"... {record['missed']} lines were overtaken"
