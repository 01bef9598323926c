"""What BIRD's sessions went through, as events: the part of "why is it down?" that BIRD knows.

BIRD does not say when a BFD session changes, so its tables are compared with what they were. A session
that fell and rose between two looks is seen by the time it is up since.
"""

from bongsu.agent.events import EventLog, Level
from bongsu.system.daemons.birdctl import BfdSession, ProtocolState


class SessionWatch:
    """Remembers the last look. The first one is no news."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._seen: dict[tuple[str, str], tuple[str, str]] | None = None

    def look(self, protocols: list[ProtocolState], bfd: list[BfdSession]) -> None:
        """Compare with the last look, one event for each session that changed."""
        now: dict[tuple[str, str], tuple[str, str]] = {}
        for session in bfd:
            now["bfd", f"{session.interface} {session.address}"] = (session.state, session.since)
        for protocol in protocols:
            if protocol.kind == "BGP":
                info = " ".join(protocol.info.split())
                now["bgp", protocol.name] = (info or protocol.state, protocol.since)
        before, self._seen = self._seen, now
        for key, (state, since) in now.items() if before is not None else ():
            old = (before or {}).get(key)
            if old == (state, since):
                continue
            self._tell(*key, state, since, None if old is None else old[0])
        for kind, subject in (before or {}).keys() - now.keys():
            self._events.add(kind, subject, "the session is gone", level="warning")

    def _tell(self, kind: str, subject: str, state: str, since: str, old: str | None) -> None:
        healthy = state in ("Up", "Established")
        level: Level = "info" if healthy else "warning"
        cause = f"{old} -> {state}" if old is not None else state
        if old == state and healthy:
            cause, level = f"was down for a moment, {state} again", "warning"
        elif old == state:
            return  # tried again and still not up: no news
        self._events.add(kind, subject, cause, level=level, since=since)
