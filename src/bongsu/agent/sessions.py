"""What BIRD's sessions went through, as events: the part of "why is it down?" that BIRD knows.

BIRD does not say when a BFD session changes, so its tables are compared with what they were. A session
that fell and rose between two looks is seen by the time it is up since. BIRD reckons that time anew
for every answer, so it wavers by a millisecond; in its short formats an old time becomes a date.
"""

import re
from datetime import datetime

from bongsu.agent.events import EventLog, Level
from bongsu.system.daemons.birdctl import BfdSession, ProtocolState

SAME_S = 0.01
"""Two times nearer than this are one. A real fall takes longer: three packets have to be missed."""
DAY_S = 86400.0
_CLOCK = re.compile(r"(\d\d):(\d\d):(\d\d(?:\.\d+)?)")


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
            if old is not None and old[0] == state and _same_time(old[1], since):
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


def _same_time(old: str, new: str) -> bool:
    """Whether two answers of BIRD mean one instant (`12:34:56.789`, a date, or both).

    A date alone is what becomes of a time that is long ago: nothing has begun anew.
    """
    if old == new or re.fullmatch(r"\d{4}-\d\d-\d\d", new):
        return True
    clocks = _CLOCK.fullmatch(old), _CLOCK.fullmatch(new)
    if clocks[0] and clocks[1]:
        apart = abs(_seconds(clocks[0]) - _seconds(clocks[1]))
        return min(apart, DAY_S - apart) < SAME_S
    try:
        apart = abs((datetime.fromisoformat(old) - datetime.fromisoformat(new)).total_seconds())
    except ValueError:
        return False
    return apart < SAME_S


def _seconds(clock: re.Match[str]) -> float:
    return int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3])
