"""The sockets of path probes: their times are the kernel's, whatever holds the process up."""

import os
import select
import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from pyroute2 import IPRoute

from bongsu.model.base import Address
from bongsu.protocol.path.flow import Flow, Kind, Protocol
from bongsu.system import netns
from bongsu.system.path_socket import PathSocket

pytestmark = pytest.mark.root

HELD_UP_S = 0.05


@pytest.fixture
def alone() -> Iterator[str]:
    """A namespace with nothing but its loopback."""
    name = f"bst-m-{os.getpid()}-alone"
    netns.create(name)
    try:
        with netns.in_netns(name), IPRoute() as ip:
            ip.link("set", index=1, state="up")
        yield name
    finally:
        netns.remove(name)


class Slow:
    """A socket whose process is held up right before it sends."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real

    def sendto(self, data: bytes, to: tuple[str, int]) -> int:
        time.sleep(HELD_UP_S)
        return self._real.sendto(data, to)

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


def flow_to(target: Address, protocol: Protocol, port: int) -> Flow:
    return Flow(protocol, target, target, b"k" * 16, ident=port or 77, constant=99)


def opened(space: str, target: Address, protocol: Protocol) -> tuple[PathSocket, Flow]:
    number = flow_to(target, protocol, 1).number
    made = PathSocket(space, target, target, number)
    return made, flow_to(target, protocol, made.port)


@pytest.mark.parametrize("target", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("protocol", ["icmp", "udp"])
def test_being_held_up_lengthens_no_round_trip(
    alone: str, target: str, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ip_address(target)
    made, one = opened(alone, there, protocol)
    monkeypatch.setattr(made, "_out", Slow(made._out))
    began = time.monotonic_ns()
    departed, error = made.send(one.encode(0), 0)
    assert error is None
    assert departed - began >= HELD_UP_S * 1e9
    time.sleep(HELD_UP_S)
    answers = [
        arrived
        for data, sender, arrived in made.receive()
        if (answer := one.decode(data, sender, 0)) and answer.kind is Kind.REPLY
    ]
    assert len(answers) == 1
    assert 0 <= answers[0] - departed < HELD_UP_S * 1e9 / 2
    made.close()


def test_no_stamp_is_left_that_would_keep_select_awake(alone: str) -> None:
    """One that came too late to be read after sending, as of a packet that waited for a neighbour."""
    made, one = opened(alone, ip_address("127.0.0.1"), "udp")
    for number in range(20):
        made._out.sendto(one.encode(number), ("127.0.0.1", 0))
    assert select.select([made._out], [], [], 0.05)[0] != []
    list(made.receive())
    assert select.select([made._out], [], [], 0.05)[0] == []
    made.close()
    echo, one = opened(alone, ip_address("127.0.0.1"), "icmp")
    echo._out.sendto(one.encode(0), ("127.0.0.1", 0))
    time.sleep(0.02)
    assert len(list(echo.receive())) == 1
    assert select.select([echo], [], [], 0.05)[0] == []
    echo.close()


def test_what_may_pass_is_told_and_what_may_not_is_raised(alone: str) -> None:
    nowhere = ip_address("192.0.2.1")
    made = PathSocket(alone, ip_address("127.0.0.1"), nowhere, 1)
    _, error = made.send(b"\x08\0" + bytes(30), 0)
    assert error is not None
    with pytest.raises(OSError, match="too long"):
        made.send(bytes(70_000), 0)
    made.close()


def test_a_source_that_is_not_ours_is_an_error(alone: str) -> None:
    with pytest.raises(OSError, match="assign"):
        PathSocket(alone, ip_address("192.0.2.7"), ip_address("127.0.0.1"), 1)


def test_only_errors_and_replies_come_in(alone: str) -> None:
    """A request to this machine is seen by a raw socket as well; the filter keeps it out."""
    made, one = opened(alone, ip_address("127.0.0.1"), "icmp")
    made.send(one.encode(0), 0)
    time.sleep(0.02)
    kinds = [data[20] for data, _, _ in made.receive()]
    assert kinds == [0]
    made.close()
