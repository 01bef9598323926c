"""News of the kernel's, as bytes: which are told, and how."""

import struct
from ipaddress import ip_address, ip_network
from typing import Any
from unittest.mock import patch

import pytest

from bongsu.agent.events import EventLog
from bongsu.agent.netlog import NetLog
from bongsu.system import netwatch, rtnl
from bongsu.system.netwatch import CarrierChange, Hop, NetWatch, RouteChange, route_change

BIRD, KERNEL = 12, 2
UNICAST, UNREACHABLE = 1, 7


@pytest.fixture(autouse=True)
def interfaces() -> object:
    with patch("socket.if_indextoname", lambda index: f"eth{index}") as names:
        yield names


def route(
    attributes: bytes, *, family: int = 2, length: int = 24, protocol: int = BIRD, kind: int = 1
) -> bytes:
    return struct.pack("=BBBBBBBBI", family, length, 0, 0, 254, protocol, 0, kind, 0) + attributes


def packed(kind: int, address: str) -> bytes:
    return rtnl.attribute(kind, ip_address(address).packed)


WAY = rtnl.number(4, 1) + packed(5, "172.31.0.6")


def test_a_route_of_birds() -> None:
    body = route(packed(1, "172.16.2.0") + WAY)
    net = ip_network("172.16.2.0/24")
    hop = Hop("eth1", ip_address("172.31.0.6"))
    assert route_change(True, body) == RouteChange(True, 254, net, (hop,))
    assert route_change(False, body) == RouteChange(False, 254, net, (hop,))


def test_a_default_route_of_a_table_with_a_long_number() -> None:
    body = route(rtnl.number(15, 1000) + rtnl.number(4, 3), length=0, family=10)
    assert route_change(True, body) == RouteChange(
        True, 1000, ip_network("::/0"), (Hop("eth3", None),)
    )


def test_a_route_with_two_next_hops() -> None:
    hops = b"".join(
        struct.pack("=HBBi", 8 + len(inside), 0, 0, index) + inside
        for index, inside in ((1, packed(5, "10.0.0.1")), (2, b""))
    )
    found = route_change(True, route(packed(1, "172.16.2.0") + rtnl.attribute(9, hops)))
    assert found is not None
    assert found.hops == (Hop("eth1", ip_address("10.0.0.1")), Hop("eth2", None))


def test_a_route_that_refuses_has_no_next_hop() -> None:
    found = route_change(True, route(packed(1, "172.16.2.0") + WAY, kind=UNREACHABLE))
    assert found is not None
    assert found.hops == ()


@pytest.mark.parametrize(
    "body",
    [
        route(packed(1, "172.16.2.0") + WAY, protocol=KERNEL),
        route(packed(1, "172.16.2.0") + WAY, family=28),
        route(rtnl.attribute(1, b"\1\2\3") + WAY),
        route(packed(1, "172.16.2.1") + WAY),
    ],
    ids=["not BIRD's", "no IP", "no address", "host bits"],
)
def test_what_is_passed_over(body: bytes) -> None:
    assert route_change(True, body) is None


class Deaf(NetWatch):
    """Without a socket: what the kernel says is given to it."""

    def __init__(self, *said: bytes | OSError) -> None:
        self._carriers = {}
        self.overrun = 0
        self.asked: list[bytes] = []
        self._said = iter(said)
        self._socket = self  # type: ignore[assignment]

    def send(self, question: bytes) -> None:
        self.asked.append(question)

    def recv(self, _size: int) -> bytes:
        said = next(self._said, BlockingIOError())
        if isinstance(said, OSError):
            raise said
        return said

    def hear(self, kind: int, body: bytes, flags: int = 0) -> list[netwatch.Change]:
        return self._parse(message(body, kind, flags))


def message(body: bytes, kind: int = 16, flags: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body


def link(index: int, carrier: int, family: int = 0) -> bytes:
    head = struct.pack("=BBHiII", family, 0, 1, index, 0, 0)
    return head + rtnl.text(3, "tunnel0") + rtnl.attribute(33, bytes([carrier]))


def test_a_carrier_is_told_when_it_changes_and_not_before() -> None:
    watch = Deaf()
    assert watch.hear(16, link(5, 1), flags=2) == []  # the answer to the first question
    assert watch.hear(16, link(5, 1)) == []
    assert watch.hear(16, link(5, 0, family=7)) == []
    assert watch.hear(16, link(5, 0)) == [CarrierChange(False, "tunnel0")]
    assert watch.hear(16, link(5, 0)) == []
    assert watch.hear(16, link(5, 1)) == [CarrierChange(True, "tunnel0")]
    assert watch.hear(17, link(5, 1)) == []
    assert watch.hear(16, link(5, 0)) == []  # another interface by now, and a new one


def test_what_was_lost_is_asked_for_again() -> None:
    """The carrier came back unheard: its next loss must not be taken for what is known already."""
    watch = Deaf(message(link(5, 1), flags=2), message(link(5, 0)))
    assert watch.read() == [CarrierChange(False, "tunnel0")]
    assert watch.asked == []
    watch._said = iter([OSError(105, "No buffer space available"), message(link(5, 1), flags=2)])
    assert watch.read() == [CarrierChange(True, "tunnel0")]
    assert watch.overrun == len(watch.asked) == 1
    watch._said = iter([message(link(5, 0))])
    assert watch.read() == [CarrierChange(False, "tunnel0")]


def test_a_datagram_that_was_cut_off() -> None:
    watch = Deaf()
    whole = message(link(5, 1))
    for size in range(len(whole)):
        watch._parse(whole[:size])


class Told:
    """A watch that has these news."""

    overrun = 0

    def __init__(self, news: list[netwatch.Change]) -> None:
        self.news = news

    def read(self) -> list[netwatch.Change]:
        return self.news


def told(*news: list[netwatch.Change]) -> list[tuple[str, str, str]]:
    events = EventLog(None, None)
    log = NetLog(events)
    log.follow(["tunnel0"])
    for each in news:
        log._watch = Told(each)  # type: ignore[assignment]
        log._read()
    return [(event.kind, event.subject, event.cause) for event in events.since()]


def test_events_of_a_failover() -> None:
    net, wire = ip_network("172.16.2.0/24"), Hop("eth1", ip_address("172.31.0.6"))
    into = RouteChange(True, 254, net, (Hop("tunnel0", None),))
    assert told(
        [into],
        [CarrierChange(False, "tunnel0"), CarrierChange(False, "tunnel0-x")],
        [RouteChange(True, 254, net, (wire,)), RouteChange(False, 254, net, (wire,))],
        [RouteChange(True, 254, net, ())],
    ) == [
        ("route", "172.16.2.0/24", "by tunnel0"),
        ("link", "tunnel0", "carrier is gone"),
        ("route", "172.16.2.0/24", "by eth1 via 172.31.0.6"),
        ("route", "172.16.2.0/24", "no more by eth1 via 172.31.0.6"),
        ("route", "172.16.2.0/24", "refused"),
    ]


def test_what_a_route_replaces_is_said() -> None:
    events = EventLog(None, None)
    log = NetLog(events)
    net = ip_network("172.16.2.0/24")
    for interface in ("tunnel0", "eth1"):
        log._tell(RouteChange(True, 254, net, (Hop(interface, None),)))
    assert [event.details["before"] for event in events.since()] == [None, "by tunnel0"]


def test_a_storm_is_one_event() -> None:
    net = ip_network("172.16.2.0/24")
    storm: list[netwatch.Change] = [RouteChange(True, 254, net, ())] * 100
    assert told(storm) == [("route", "", "100 routes changed at once")]


def test_a_storm_does_not_hide_what_it_came_from() -> None:
    routes: list[netwatch.Change] = [
        RouteChange(True, 254, ip_network(f"172.16.{n}.0/24"), ()) for n in range(100)
    ]
    gone = CarrierChange(False, "tunnel0")
    assert told([*routes[:50], gone, *routes[50:]]) == [
        ("link", "tunnel0", "carrier is gone"),
        ("route", "", "100 routes changed at once"),
    ]


def test_what_a_storm_has_changed_is_known_after_it() -> None:
    events = EventLog(None, None)
    log = NetLog(events)
    nets = [ip_network(f"172.16.{n}.0/24") for n in range(100)]

    def by(interface: str) -> list[netwatch.Change]:
        return [RouteChange(True, 254, net, (Hop(interface, None),)) for net in nets]

    for news in (by("eth0")[:1], by("tunnel0"), by("eth1")[:1]):
        log._watch = Told(news)  # type: ignore[assignment]
        log._read()
    assert events.since()[-1].details["before"] == "by tunnel0"
    lost: Any = Told(by("eth2")[:1])
    lost.overrun = 1
    log._watch = lost
    log._read()
    assert events.since()[-1].details["before"] is None, "it may have gone another way meanwhile"
