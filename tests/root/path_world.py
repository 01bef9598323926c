"""A small world to measure in: here, two routers, there, and links of our own making."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from pyroute2 import IPRoute

from bongsu.lab.link.emulator import Emulator
from bongsu.lab.link.spec import LinkSpec, mac
from bongsu.model.base import Address
from bongsu.model.lab import Impairment
from bongsu.protocol.path.flow import MINIMUM, Protocol
from bongsu.protocol.path.machine import MS, SECOND, Pace
from bongsu.protocol.path.run import Head
from bongsu.system import netns

DELAY_MS = 3.0
"""Of each link, one way."""
PLACES = ("here", "r1", "r2", "there")


@dataclass
class World:
    """Its namespaces by place, and the maker of its links."""

    spaces: dict[str, str]
    emulator: Emulator

    def address(self, place: str, family: int, *, left: bool = True) -> Address:
        """Of a place on the link towards `here` (left) or away from it."""
        link = PLACES.index(place) - (1 if left else 0)
        last = 2 if left else 1
        return ip_address(f"10.77.{link}.{last}" if family == 4 else f"fd77:0:0:{link}::{last}")

    def head(
        self,
        family: int = 4,
        protocol: Protocol = "icmp",
        pace: Pace | None = None,
        target: Address | None = None,
    ) -> Head:
        """A measurement from here to there."""
        pace = pace or Pace(interval_ns=20 * MS, round_ns=SECOND, wait_ns=500 * MS, count=30)
        return Head(
            source_name="here",
            target_name="there",
            source=str(self.address("here", family, left=False)),
            target=str(target or self.address("there", family)),
            protocol=protocol,
            interval_ns=pace.interval_ns,
            round_ns=pace.round_ns,
            wait_ns=pace.wait_ns,
            count=pace.count,
            max_hops=pace.max_hops,
            size=max(64, MINIMUM[family]),
            netns=self.spaces["here"],
        )

    def lossy(self, link: int, loss: float) -> None:
        """Let a link (0 is the one at `here`) lose so much in each direction."""
        self.emulator.set(f"l{link}", Impairment(delay_ms=DELAY_MS, loss=loss))


@contextlib.contextmanager
def path_world(state: Path) -> Iterator[World]:
    """Made for one test, and removed whatever happens."""
    spaces = {place: f"bst-m-{os.getpid()}-{place}" for place in PLACES}
    try:
        for name in spaces.values():
            netns.create(name)
            with netns.in_netns(name), IPRoute() as ip:
                ip.link("set", index=ip.link_lookup(ifname="lo")[0], state="up")
                _write("ipv4/ip_forward", "1")
                _write("ipv6/conf/all/forwarding", "1")
                _write("ipv6/conf/default/accept_dad", "0")
                _write("ipv6/conf/all/accept_dad", "0")
        emulator = Emulator.start(state)
        try:
            world = World(spaces, emulator)
            emulator.create(
                [
                    replace(
                        LinkSpec(f"l{at}", spaces[a], "right", spaces[b], "left"),
                        impairment=Impairment(delay_ms=DELAY_MS),
                    )
                    for at, (a, b) in enumerate(itertools.pairwise(PLACES))
                ]
            )
            for place in PLACES:
                _configure(world, place)
            yield world
        finally:
            emulator.close()
            Emulator.end(state)
    finally:
        for name in spaces.values():
            netns.remove(name)


def _configure(world: World, place: str) -> None:
    at = PLACES.index(place)
    with netns.in_netns(world.spaces[place]), IPRoute() as ip:
        for side, left in (("left", True), ("right", False)):
            if (left and at == 0) or (not left and at == len(PLACES) - 1):
                continue
            index = ip.link_lookup(ifname=side)[0]
            for family, length in ((4, 29), (6, 64)):
                address = str(world.address(place, family, left=left))
                ip.addr("add", index=index, address=address, prefixlen=length)
                # a neighbour that is asked for over a link that loses would be lost itself
                there = PLACES[at - 1 if left else at + 1]
                link = f"l{at - 1 if left else at}"
                ip.neigh(
                    "add",
                    dst=str(world.address(there, family, left=not left)),
                    lladdr=mac(link, "a" if left else "b"),
                    ifindex=index,
                    state="permanent",
                )
        for link in range(len(PLACES) - 1):
            for family in (4, 6):
                net = f"10.77.{link}.0/29" if family == 4 else f"fd77:0:0:{link}::/64"
                if link > at:
                    via = world.address(PLACES[at + 1], family)
                elif link < at - 1:
                    via = world.address(PLACES[at - 1], family, left=False)
                else:
                    continue
                ip.route("add", dst=net, gateway=str(via))


def _write(key: str, value: str) -> None:
    Path("/proc/sys/net", key).write_text(value)
