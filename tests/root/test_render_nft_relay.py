"""The rendered filter of a PoP that relays against real packets: the other PoPs', and strangers'."""

import json
import socket
import time
from collections.abc import Iterator

import pytest

from bongsu.render import render_node
from bongsu.system import netns
from bongsu.system.run import run
from tests.golden.networks import plans

pytestmark = pytest.mark.root

POP, WORLD = "bst-nft-relay-pop", "bst-nft-relay-world"
US, PEER, STRANGER = "203.0.113.138", "203.0.113.10", "203.0.113.99"
PORT = 4611
PATIENCE_S = 5.0


@pytest.fixture(scope="module", autouse=True)
def filtered() -> Iterator[None]:
    """The PoP behind its filter, and a world with the addresses of all others."""
    for name in (POP, WORLD):
        netns.remove(name)
        netns.create(name)
    try:
        run(["ip", "link", "add", "ens3", "type", "veth", "peer", "far", "netns", WORLD], netns=POP)
        for where, device, addresses in ((POP, "ens3", [US]), (WORLD, "far", [PEER, STRANGER])):
            for address in addresses:
                run(["ip", "addr", "add", f"{address}/24", "dev", device], netns=where)
            run(["ip", "link", "set", device, "up"], netns=where)
        rules = render_node(plans("accelerated-vpn")["pop-seoul"])
        run(["nft", "-f", "-"], input=rules["/etc/nftables.d/60-bongsu.nft"], netns=POP)
        yield
    finally:
        for name in (POP, WORLD):
            netns.remove(name)


def refused() -> int:
    listed = json.loads(run(["nft", "-j", "list", "counters"], netns=POP).stdout)["nftables"]
    (count,) = [
        item["counter"]["packets"]
        for item in listed
        if item.get("counter", {}).get("name") == "relay_foreign"
    ]
    return int(count)


def send(source: str, port: int) -> None:
    with netns.socket_in(WORLD, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        sender.sendto(b"probe", (US, port))


def test_another_pops_probe_arrives() -> None:
    with netns.socket_in(POP, socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((US, PORT))
        receiver.settimeout(PATIENCE_S)
        send(PEER, PORT)
        assert receiver.recvfrom(100)[1][0] == PEER


@pytest.mark.parametrize("port", [4610, 4611, 4612])
def test_a_strangers_is_dropped(port: int) -> None:
    before, deadline = refused(), time.monotonic() + PATIENCE_S
    send(STRANGER, port)
    while refused() == before:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_other_ports_are_not_ours_to_filter() -> None:
    before = refused()
    with netns.socket_in(POP, socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((US, 4613))
        receiver.settimeout(PATIENCE_S)
        send(STRANGER, 4613)
        assert receiver.recvfrom(100)[1][0] == STRANGER
    assert refused() == before
