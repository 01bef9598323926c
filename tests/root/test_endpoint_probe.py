"""Questions to endpoints: real IKE daemons answer them and keep no state, and so do TCP and echoes."""

import asyncio
import socket
from collections.abc import Coroutine, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bongsu.agent.relay.probe import ask_echo, ask_ike, ask_tcp
from bongsu.protocol.health.ike import Version
from bongsu.system import netns
from tests.root.agent_box import Box, boxes, cable
from tests.root.vpn_world import plans, world

pytestmark = pytest.mark.root

WAIT_S = 10.0
T = TypeVar("T")


def inside(box: Box, question: Coroutine[Any, Any, T]) -> T:
    """The answer to a question that is asked in a box."""
    with netns.in_netns(box.netns):
        return asyncio.run(question)


@pytest.mark.parametrize("configured", [1, 2])
def test_a_gateway_answers_and_its_tunnels_stay(tmp_path: Path, configured: int) -> None:
    """Whichever version of IKE its connections have, and whichever it is asked in."""
    both: tuple[Version, Version] = (1, 2)
    with world(tmp_path) as made:
        cpe, cloud = plans(version=configured)
        made.start(cpe, cloud)
        made.wait_up()
        before = made.cloud.client.call("vpn")["tunnels"]
        source = ip_address("192.0.2.10")
        for asked in both:
            for headend in ("198.51.100.2", "198.51.100.6"):
                question = ask_ike(asked, source, ip_address(headend), 4500, WAIT_S)
                assert inside(made.cpe, question) == ""
        after = made.cloud.client.call("vpn")["tunnels"]
        for old, new in zip(before, after, strict=True):
            assert [old["ike"][key] for key in ("id", "remote")] == [
                new["ike"][key] for key in ("id", "remote")
            ]
            assert new["state"] != "down"
            assert new["falls"] == 0


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Box, Box]]:
    with boxes(tmp_path, "egress", "endpoint") as (egress, endpoint):
        cable(egress, "wan", endpoint, "wan")
        for box, last in ((egress, 1), (endpoint, 2)):
            box.ip(f"addr add 192.0.2.{last}/24 dev wan")
            box.ip(f"addr add 2001:db8::{last}/64 dev wan nodad")
        # the off address is the egress's own, and the endpoint knows it only
        egress.ip("addr add 198.51.100.9/32 dev lo")
        endpoint.ip("route add 198.51.100.9/32 via 192.0.2.1")
        yield egress, endpoint


HERE, OFF, THERE = map(ip_address, ("192.0.2.1", "198.51.100.9", "192.0.2.2"))
HERE6, THERE6 = ip_address("2001:db8::1"), ip_address("2001:db8::2")


def test_a_handshake(pair: tuple[Box, Box]) -> None:
    egress, endpoint = pair
    with netns.socket_in(endpoint.netns, socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.bind((str(THERE), 8443))
        listening.listen()
        assert inside(egress, ask_tcp(OFF, THERE, 8443, WAIT_S)) == ""
        accepted, sender = listening.accept()
        accepted.close()
        assert sender[0] == str(OFF)
    assert inside(egress, ask_tcp(OFF, THERE, 8443, WAIT_S)) == "connection refused"


def test_an_echo(pair: tuple[Box, Box]) -> None:
    egress, endpoint = pair
    assert inside(egress, ask_echo(OFF, THERE, WAIT_S)) == ""
    assert inside(egress, ask_echo(HERE6, THERE6, WAIT_S)) == ""
    endpoint.ip("link set wan down")
    assert inside(egress, ask_echo(OFF, THERE, 0.3)) == "no answer"


def test_nobody_speaks_ike_there(pair: tuple[Box, Box]) -> None:
    egress, _ = pair
    assert inside(egress, ask_ike(2, OFF, THERE, 500, WAIT_S)) == "connection refused"
    assert inside(egress, ask_ike(2, HERE6, THERE6, 4500, WAIT_S)) == "connection refused"


def test_an_off_address_that_the_machine_has_not_is_no_hindrance(pair: tuple[Box, Box]) -> None:
    egress, _ = pair
    assert inside(egress, ask_echo(ip_address("203.0.113.9"), THERE, WAIT_S)) == ""
