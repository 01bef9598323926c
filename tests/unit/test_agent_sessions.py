"""Changes of BIRD's sessions become events, also those that nobody saw happen."""

import pytest

from bongsu.agent.events import EventLog
from bongsu.agent.sessions import SessionWatch
from bongsu.system.daemons.birdctl import BfdSession, ProtocolState


def bfd(state: str, since: str) -> BfdSession:
    return BfdSession("bfd1", "10.99.1.2", "gre-seoul", state, since, 0.03, 0.09)


def bgp(info: str, since: str) -> ProtocolState:
    return ProtocolState("external_vultr", "BGP", "up", since, info)


def told(*looks: tuple[list[ProtocolState], list[BfdSession]]) -> list[tuple[str, str, str, str]]:
    events = EventLog(None, None)
    watch = SessionWatch(events)
    for protocols, sessions in looks:
        watch.look(protocols, sessions)
    return [(e.kind, e.subject, e.cause, e.level) for e in events.since()]


def test_the_first_look_is_no_news() -> None:
    assert told(([bgp("Established", "1")], [bfd("Up", "1")])) == []


def test_down_and_up() -> None:
    assert told(([], [bfd("Up", "1")]), ([], [bfd("Down", "2")]), ([], [bfd("Up", "3")])) == [
        ("bfd", "gre-seoul 10.99.1.2", "Up -> Down", "warning"),
        ("bfd", "gre-seoul 10.99.1.2", "Down -> Up", "info"),
    ]


def test_a_fall_between_two_looks_is_seen() -> None:
    assert told(([], [bfd("Up", "1")]), ([], [bfd("Up", "2")])) == [
        ("bfd", "gre-seoul 10.99.1.2", "was down for a moment, Up again", "warning")
    ]


def test_trying_again_is_no_news() -> None:
    looks = [([bgp("Active        Socket: timeout", since)], []) for since in "123"]
    assert told(*looks) == []


def test_bgp_says_why() -> None:
    assert told(
        ([bgp("Established", "1")], []), ([bgp("Idle          BFD session down", "2")], [])
    ) == [("bgp", "external_vultr", "Established -> Idle BFD session down", "warning")]


def test_a_session_that_is_no_more() -> None:
    assert told(([], [bfd("Up", "1")]), ([], [])) == [
        ("bfd", "gre-seoul 10.99.1.2", "the session is gone", "warning")
    ]


@pytest.mark.parametrize(
    ("first", "second", "fell"),
    [
        # One instant, reckoned twice.
        ("07:17:35.222", "07:17:35.223", False),
        ("07:17:35.999", "07:17:36.000", False),
        ("00:00:00.000", "23:59:59.999", False),
        ("2026-11-22 07:17:35.222", "2026-11-22 07:17:35.221", False),
        # What is long ago is a date, and near midnight the date wavers.
        ("07:17:35.222", "2026-11-21", False),
        ("2026-11-21", "2026-11-22", False),
        # A fall.
        ("07:17:35.222", "07:17:35.242", True),
        ("07:17:35", "07:17:36", True),
        ("2026-11-21", "07:17:35.222", True),
        ("2026-11-22 07:17:35.222", "2026-11-23 07:17:35.222", True),
    ],
)
def test_only_a_time_that_has_moved_is_a_fall(first: str, second: str, fell: bool) -> None:
    assert bool(told(([], [bfd("Up", first)]), ([], [bfd("Up", second)]))) is fell
