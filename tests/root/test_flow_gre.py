"""GRE of declared tunnels counts outside and inside, paired and named; on the tunnel too."""

import contextlib
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from bongsu.system import netns
from bongsu.system.flow import layout
from bongsu.system.flow.monitor import Ends, Monitor
from tests.root.flow_world import text
from tests.root.gre_world import INNER, OUTER, World, eventually, overhead, world

pytestmark = pytest.mark.root
TUNNEL = 77


@pytest.fixture
def w() -> Iterator[World]:
    with world() as made:
        yield made


def watched(w: World, family: int, key: int | None) -> Monitor:
    """b's underlay and its tunnel."""

    def start() -> Monitor:
        monitor = Monitor()
        monitor.watch("ub", underlay=True)
        monitor.watch("t", tunnel=TUNNEL)
        ends = Ends(ip_address(OUTER["b"][family]), ip_address(OUTER["a"][family]), key)
        other = Ends(ip_address(OUTER["b"][family]), ip_address(OUTER["a"][family]), 4242)
        monitor.declare({TUNNEL: ends, 5: other})
        return monitor

    return w.at("b", start)


def split(w: World, monitor: Monitor) -> dict[str, Any]:
    """Sums of the GRE, of UDP and TCP inside of it, and of those on the tunnel's own interface."""
    names = w.at("b", lambda: dict(socket.if_nameindex()))
    found: dict[str, Any] = {}
    for row in monitor.read().live:
        way = "out" if row["direction"] & layout.EGRESS else "in"
        where = names[int(row["ifindex"])]
        kind = "inner" if row["direction"] & layout.INNER else "outer"
        proto = int(row["proto"])
        label = f"{where} {kind} {proto} {way}"
        packets, octets, tunnels = found.get(label, (0, 0, set()))
        found[label] = (
            packets + int(row["packets"]),
            octets + int(row["bytes"]),
            tunnels | {int(row["tunnel"])},
        )
    return found


@pytest.mark.parametrize("key", [None, 0xDEADBEEF])
@pytest.mark.parametrize("family", [4, 6])
def test_both_are_counted(w: World, family: int, key: int | None) -> None:
    w.tunnel(family=family, key=key)
    monitor = watched(w, family, key)
    try:
        for inner, header in ((4, 28), (6, 48)):
            before = split(w, monitor)
            sizes = [0, 10, 1000]
            for size in sizes:
                assert len(w.echo(inner, size)) == size
            after = split(w, monitor)
            data = sum(sizes) + header * len(sizes)
            outer = data + overhead(family, key) * len(sizes)
            for way in ("in", "out"):
                for label, octets in (
                    (f"ub outer 47 {way}", outer),
                    (f"ub inner 17 {way}", data),
                    (f"t outer 17 {way}", data),
                ):
                    old = before.get(label, (0, 0, set()))
                    new = after[label]
                    assert (new[0] - old[0], new[1] - old[1]) == (len(sizes), octets), label
                    assert new[2] == {TUNNEL}, label
        inside = {
            (text(row, "saddr"), text(row, "daddr"))
            for row in monitor.read().live
            if row["direction"] == layout.INNER and row["family"] == 4
        }
        assert inside == {(INNER["a"][4], INNER["b"][4])}
    finally:
        w.at("b", monitor.close)


def test_aggregates_are_counted_as_segments(w: World) -> None:
    """A TCP aggregate inside GRE: outside and inside, headers of every segment counted."""
    w.tunnel()
    monitor = watched(w, 4, None)
    try:
        total, got = 3_000_000, 0
        with connection(w) as (client, served):
            client.setblocking(False)
            sent = 0
            while got < total:
                with contextlib.suppress(BlockingIOError):
                    sent += client.send(bytes(min(1 << 16, total - sent)))
                with contextlib.suppress(BlockingIOError):
                    got += len(served.recv(1 << 17, socket.MSG_DONTWAIT))

            def agree() -> bool:
                seen = split(w, monitor)
                for way in ("in", "out"):
                    outer, inner, own = (
                        seen[f"ub outer 47 {way}"],
                        seen[f"ub inner 6 {way}"],
                        seen[f"t outer 6 {way}"],
                    )
                    if not outer[0] == inner[0] == own[0] or inner[1] != own[1]:
                        return False
                    if outer[1] - inner[1] != 24 * outer[0]:
                        return False
                return bool(seen["ub inner 6 in"][1] >= total)

            eventually(agree, "three counts of the same segments")
            assert split(w, monitor)["ub inner 6 in"][0] >= total / 1436
    finally:
        w.at("b", monitor.close)


@contextlib.contextmanager
def connection(w: World) -> Iterator[tuple[socket.socket, socket.socket]]:
    """From a to b inside the tunnel: both ends."""
    server, client = (
        netns.socket_in(w.ns(where), socket.AF_INET, socket.SOCK_STREAM) for where in ("b", "a")
    )
    with server, client:
        server.bind((INNER["b"][4], 99))
        server.listen()
        client.settimeout(20)
        client.connect((INNER["b"][4], 99))
        served, _ = server.accept()
        with served:
            yield client, served


def test_others_are_not_named(w: World) -> None:
    """GRE between other ends, or with another key, is GRE and nothing else."""
    w.tunnel(key=1)
    monitor = watched(w, 4, 2)
    try:
        assert len(w.echo(4, 10)) == 10
        seen = split(w, monitor)
        assert seen["ub outer 47 in"] == (1, 38 + 28, {0})
        assert not any("inner" in label for label in seen)
        # declared now: no program was touched
        w.at(
            "b",
            lambda: monitor.declare(
                {9: Ends(ip_address(OUTER["b"][4]), ip_address(OUTER["a"][4]), 1)}
            ),
        )
        w.echo(4, 10)
        assert split(w, monitor)["ub inner 17 in"] == (1, 38, {9})
    finally:
        w.at("b", monitor.close)
