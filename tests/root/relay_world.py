"""A small world for the relay's tests, and hands in it.

    c (client) ---- e (entry) ---- x (egress) ---- s (endpoint)
                       \\           /
                        t (transit)

c and e:  198.51.100.2 / .1,  2001:db8:c::2 / ::1     e and x:  192.0.2.1 / .2,  2001:db8:e::1 / ::2
x and s:  10.9.0.1 / .2,      2001:db8:9::1 / ::2     e and t:  192.0.2.129 / .130, t and x: .193 / .194
The accelerated address is 203.0.113.10 (2001:db8:a::10), the off address 203.0.113.20 (2001:db8:a::20).
c also has 198.51.100.3, as another client. PoPs speak to each other from addresses of their own,
192.0.2.241 (e), .242 (x), .243 (t); 2001:db8:f::1, ::2, ::3.
"""

import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

from bongsu.model.accelerator import Mesh, Repair
from bongsu.plan.relay import (
    AcceleratorPlan,
    EndpointPlan,
    ListenerPlan,
    RegionPlan,
    RelayPeer,
    RelayPlan,
    number,
)
from bongsu.system import netns
from bongsu.system.relay import LiveEndpoint, RelayPlane
from bongsu.system.run import run

T = TypeVar("T")
PATIENCE_S = 10.0
PORT = 4610
SECRET = b"sixteen bytes and a few more"
POPS = {"e": 1, "x": 2, "t": 3}
OWN = {name: {4: f"192.0.2.{240 + n}", 6: f"2001:db8:f::{n}"} for name, n in POPS.items()}
ACCELERATED = {4: "203.0.113.10", 6: "2001:db8:a::10"}
OFF = {4: "203.0.113.20", 6: "2001:db8:a::20"}
CLIENT = {4: "198.51.100.2", 6: "2001:db8:c::2"}
SECOND = {4: "198.51.100.3", 6: "2001:db8:c::3"}
ENDPOINT = {4: "10.9.0.2", 6: "2001:db8:9::2"}
LINKS = (
    # both ends: namespace, device, addresses; and the network
    (("c", "ce", "198.51.100.2", "2001:db8:c::2"), ("e", "ec", "198.51.100.1", "2001:db8:c::1"), 24),
    (("e", "ex", "192.0.2.1", "2001:db8:e::1"), ("x", "xe", "192.0.2.2", "2001:db8:e::2"), 27),
    (("x", "xs", "10.9.0.1", "2001:db8:9::1"), ("s", "sx", "10.9.0.2", "2001:db8:9::2"), 24),
    (("e", "et", "192.0.2.129", "2001:db8:e1::1"), ("t", "te", "192.0.2.130", "2001:db8:e1::2"), 27),
    (("t", "tox", "192.0.2.193", "2001:db8:e2::1"), ("x", "xt", "192.0.2.194", "2001:db8:e2::2"), 27),
)  # fmt: skip


def listener(name: str = "vpn", **changes: Any) -> ListenerPlan:
    values: dict[str, Any] = {
        "name": name,
        "protocol": "udp",
        "ranges": [(7, 7), (500, 500), (4500, 4500)],
        "endpoints": [EndpointPlan(name="s", address=ip_address(ENDPOINT[4]), weight=100)],
        "affinity": "client",
        "idle_s": 300,
        "validation": "none",
        "amplification": None,
        "health": None,
        "repair": None,
    }
    return ListenerPlan(**(values | changes))


def plan(
    where: str,
    family: int = 4,
    listeners: list[ListenerPlan] | None = None,
    bandwidth: int | None = None,
    outer: int | None = None,
    entry: str = "e",
    repair: Repair | None = None,
    **changes: Any,
) -> RelayPlan:
    outer = outer or family
    accelerator = AcceleratorPlan(
        name="seoul",
        number=number("accelerator", "seoul"),
        bandwidth_bps=bandwidth,
        regions=[
            RegionPlan(
                name="here",
                node=entry,
                number=number("node", entry),
                address=ip_address(ACCELERATED[family]),
                public=ip_address(ACCELERATED[family]),
            )
        ],
        egress="x",
        egress_number=number("node", "x"),
        off_address=ip_address(OFF[family]),
        off_public=ip_address(OFF[family]),
        listeners=listeners or [listener(repair=repair)],
    )
    values: dict[str, Any] = {
        "number": number("node", where),
        "port": PORT,
        "key": None,
        "mesh": Mesh(),
        "peers": [
            RelayPeer(
                node=other,
                number=number("node", other),
                local=ip_address(OWN[where][outer]),
                remote=ip_address(OWN[other][outer]),
            )
            for other in POPS
            if other != where
        ],
        "accelerators": [accelerator] if where != "t" else [],
    }
    return RelayPlan(**(values | changes))


@dataclass
class World:
    prefix: str
    planes: dict[str, RelayPlane] = field(default_factory=dict)

    def ns(self, where: str) -> str:
        return f"{self.prefix}-{where}"

    def at(self, where: str, act: Callable[[], T]) -> T:
        with netns.in_netns(self.ns(where)):
            return act()

    def ip(self, where: str, *lines: str) -> None:
        run(["ip", "-n", self.ns(where), "-batch", "-"], input="\n".join(lines) + "\n")

    def plane(self, where: str, **options: Any) -> RelayPlane:
        if where not in self.planes:
            self.planes[where] = self.at(where, lambda: RelayPlane.open(**options))
        return self.planes[where]

    def start(
        self,
        family: int = 4,
        key: bytes | None = SECRET,
        options: dict[str, Any] | None = None,
        live: bool = True,
        **changes: Any,
    ) -> None:
        """Planes at all PoPs, and the endpoint alive."""
        for where in POPS:
            plane = self.plane(where, **({"records": 256} | (options or {})))
            self.at(where, lambda w=where, p=plane: p.apply(plan(w, family, **changes), key))  # type: ignore[misc]
        if live:
            wanted = plan("x", family, **changes).accelerators[0]
            for each in wanted.listeners:
                self.endpoints([ENDPOINT[family]], each.name)

    def endpoints(self, addresses: list[str], name: str = "vpn") -> None:
        live = [LiveEndpoint(a, ip_address(a)) for a in addresses]
        self.at(
            "x",
            lambda: self.plane("x").set_endpoints(number("accelerator", "seoul"), name, live),
        )

    def udp(self, where: str, address: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = netns.socket_in(self.ns(where), family, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.settimeout(PATIENCE_S)
        return made

    def drops(self, where: str) -> dict[str, int]:
        """By reason, of the accelerator both ways and of none."""
        plane = self.plane(where)
        found = dict(plane.stray().drops)
        for each in plane.counters().values():
            for way in (each.up, each.down):
                for why, count in way.drops.items():
                    found[why] = found.get(why, 0) + count
        return found

    def records(self, where: str) -> Any:
        return self.plane(where).sessions()

    def close(self) -> None:
        for where, plane in self.planes.items():
            self.at(where, plane.close)
        for where in "cexst":
            netns.remove(self.ns(where))

    def build(self) -> None:
        for where in "cexst":
            netns.create(self.ns(where))
            with netns.in_netns(self.ns(where)):
                for scope in ("all", "default"):
                    Path(f"/proc/sys/net/ipv6/conf/{scope}/router_solicitations").write_text("0")
                    Path(f"/proc/sys/net/ipv6/conf/{scope}/accept_dad").write_text("0")
                if where in POPS:
                    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
                    Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
            self.ip(where, "link set lo up")
        macs = {}
        for number_, (one, two, bits) in enumerate(LINKS, 1):
            macs[one[1]], macs[two[1]] = (f"02:00:00:00:{number_:02x}:0{n}" for n in (1, 2))
            self.ip(
                one[0],
                f"link add {one[1]} address {macs[one[1]]} type veth peer name {two[1]}"
                f" address {macs[two[1]]} netns {self.ns(two[0])}",
            )
            for where, device, four, six in (one, two):
                self.ip(
                    where,
                    f"addr add {four}/{bits} dev {device}",
                    f"addr add {six}/64 dev {device} nodad",
                    f"link set {device} up",
                )
        # new links learn IPv6 neighbours a second late: multicast waits for the carrier's news
        for one, two, _ in LINKS:
            for (where, device, *_a), (_w, other, *addresses) in ((one, two), (two, one)):
                self.ip(
                    where,
                    *(
                        f"neigh replace {a} lladdr {macs[other]} dev {device} nud permanent"
                        for a in addresses
                    ),
                )
        self.ip(
            "c",
            "addr add 198.51.100.3/24 dev ce",
            "addr add 2001:db8:c::3/64 dev ce nodad",
            "route add default via 198.51.100.1",
            "route add default via 2001:db8:c::1",
        )
        self.ip("e", *(f"neigh replace {a} lladdr {macs['ce']} dev ec nud permanent"
                       for a in SECOND.values()))  # fmt: skip
        self.ip("s", "route add default via 10.9.0.1", "route add default via 2001:db8:9::1")
        for where in POPS:
            for address in OWN[where].values():
                self.ip(where, f"addr add {address} dev lo")
            for other, via4, via6 in _WAYS[where]:
                self.ip(
                    where,
                    f"route add {OWN[other][4]} via {via4}",
                    f"route add {OWN[other][6]} via {via6}",
                )
        for address in ACCELERATED.values():
            self.ip("e", f"addr add {address} dev lo")
        for address in OFF.values():
            self.ip("x", f"addr add {address} dev lo")


_WAYS = {
    "e": (("x", "192.0.2.2", "2001:db8:e::2"), ("t", "192.0.2.130", "2001:db8:e1::2")),
    "x": (("e", "192.0.2.1", "2001:db8:e::1"), ("t", "192.0.2.193", "2001:db8:e2::1")),
    "t": (("e", "192.0.2.129", "2001:db8:e1::1"), ("x", "192.0.2.194", "2001:db8:e2::2")),
}
_count = 0


@contextlib.contextmanager
def world() -> Iterator[World]:
    global _count
    _count += 1
    made = World(f"bst-rly{os.getpid()}-{_count}")
    try:
        made.build()
        yield made
    finally:
        made.close()


def exchange(
    w: World, family: int = 4, size: int = 100, port: int = 7, source: int = 40000
) -> tuple[str, int]:
    """One datagram from the client to the endpoint and back; whom the endpoint saw."""
    with (
        w.udp("s", ENDPOINT[family], port) as far,
        w.udp("c", CLIENT[family], source) as near,
    ):
        return again(near, far, family, port, size)


def again(
    near: socket.socket, far: socket.socket, family: int = 4, port: int = 7, size: int = 100
) -> tuple[str, int]:
    """The same with sockets that are open."""
    said = os.urandom(size)
    near.sendto(said, (ACCELERATED[family], port))
    heard, seen = far.recvfrom(1 << 17)
    assert heard == said
    far.sendto(said[::-1], seen)
    answer, back = near.recvfrom(1 << 17)
    assert answer == said[::-1]
    assert back[:2] == (ACCELERATED[family], port)
    return seen[0], seen[1]


def eventually(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.01)


def esp(spi: int, sequence: int, size: int = 64) -> bytes:
    return struct.pack(">II", spi, sequence) + bytes(size)


def ike(
    initiator: bytes, responder: bytes = bytes(8), marker: bool = False, size: int = 0
) -> bytes:
    head = initiator + responder + struct.pack(">BBBBII", 33, 0x20, 34, 8, 0, 28 + size)
    return (bytes(4) if marker else b"") + head + bytes(size)
