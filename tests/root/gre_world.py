"""A small world for the GRE tests, and eyes and hands in it.

    h (host) ---- a (end) ---- r (router) ---- b (end)

h and a:  10.1.0.2 / 10.1.0.1,          2001:db8:1::2 / ::1
a and r:  192.0.2.1 / 192.0.2.254,      2001:db8:a::1 / ::fe     devices ua, ra
r and b:  198.51.100.254 / 198.51.100.1, 2001:db8:b::fe / ::1    devices rb, ub
Inside:   a is .1, b is .2. b also has 10.2.0.1 and 2001:db8:2::1, for h to speak to.
"""

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any, TypeVar

from scapy.layers.l2 import Ether

from bongsu.plan.tunnel import TunnelPlan
from bongsu.system import netns
from bongsu.system.gre.base import GreBackend, TunnelCounters
from bongsu.system.gre.ebpf import EbpfBackend
from bongsu.system.run import run

T = TypeVar("T")
OUTER = {
    "a": {4: "192.0.2.1", 6: "2001:db8:a::1"},
    "b": {4: "198.51.100.1", 6: "2001:db8:b::1"},
}
GATE = {
    "a": {4: "192.0.2.254", 6: "2001:db8:a::fe"},
    "b": {4: "198.51.100.254", 6: "2001:db8:b::fe"},
}
INNER = {"a": {4: "10.9.0.1", 6: "fd00:9::1"}, "b": {4: "10.9.0.2", 6: "fd00:9::2"}}
BEHIND = {4: "10.2.0.1", 6: "2001:db8:2::1"}
MACS = {
    device: f"02:00:00:00:00:{number:02x}"
    for number, device in enumerate(("hh", "ha", "ua", "ra", "rb", "ub"), 1)
}
NEIGHBOURS = {
    "h": (("hh", "ha", "10.1.0.1", "2001:db8:1::1"),),
    "a": (("ha", "hh", "10.1.0.2", "2001:db8:1::2"), ("ua", "ra", "192.0.2.254", "2001:db8:a::fe")),
    "r": (
        ("ra", "ua", "192.0.2.1", "2001:db8:a::1"),
        ("rb", "ub", "198.51.100.1", "2001:db8:b::1"),
    ),
    "b": (("ub", "rb", "198.51.100.254", "2001:db8:b::fe"),),
}
UNDERLAY = {"a": "ua", "b": "ub"}
OTHER = {"a": "b", "b": "a"}
ETH_P_ALL = 3
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
SO_RCVBUFFORCE = 33
PATIENCE_S = 10.0
"""How long a test waits for what must come; what must not come is waited for behind a marker."""


def overhead(family: int, key: int | None) -> int:
    return (20 if family == 4 else 40) + (4 if key is None else 8)


def plan(
    where: str, name: str = "t", family: int = 4, key: int | None = None, **changes: Any
) -> TunnelPlan:
    other = OTHER[where]
    values: dict[str, Any] = {
        "name": name,
        "peer": other,
        "underlay": UNDERLAY[where],
        "local": ip_address(OUTER[where][family]),
        "remote": ip_address(OUTER[other][family]),
        "key": key,
        "ttl": 255,
        "tos": "inherit",
        "mtu": 1500 - overhead(family, key),
        "overhead": overhead(family, key),
        "addresses": [ip_interface(f"{INNER[where][4]}/24"), ip_interface(f"{INNER[where][6]}/64")],
        "peer_addresses": [ip_address(INNER[other][4]), ip_address(INNER[other][6])],
        "inner_sources": [ip_network("0.0.0.0/0"), ip_network("::/0")],
        "inner_destinations": [],
        "keepalive": None,
        "peer_keepalive": None,
        "bfd": None,
        "bgp": False,
        "egress": False,
        "preference": 100,
        "insecure": True,
    }
    return TunnelPlan(**(values | changes))


class Eye:
    """Sees the frames that arrive at an interface."""

    def __init__(self, where: str, device: str) -> None:
        self._socket = netns.socket_in(where, socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
        with contextlib.suppress(OSError), netns.in_netns(where):
            self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        with netns.in_netns(where):
            self._socket.bind((device, ETH_P_ALL))

    def until(self, found: Callable[[bytes], Any]) -> list[bytes]:
        """All frames up to the first that is found, that one included."""
        frames: list[bytes] = []
        deadline = time.monotonic() + PATIENCE_S
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                raise AssertionError(f"it did not come; instead: {[f.hex() for f in frames[-3:]]}")
            frames.append(self._socket.recv(1 << 17))
            if found(frames[-1]):
                return frames

    def one(self, found: Callable[[bytes], Any]) -> bytes:
        return self.until(found)[-1]

    def close(self) -> None:
        self._socket.close()


@dataclass
class World:
    prefix: str
    backends: dict[str, GreBackend] = field(default_factory=dict)
    eyes: list[Eye] = field(default_factory=list)

    def ns(self, where: str) -> str:
        return f"{self.prefix}-{where}"

    def at(self, where: str, act: Callable[[], T]) -> T:
        with netns.in_netns(self.ns(where)):
            return act()

    def ip(self, where: str, *lines: str, family: int | None = None) -> None:
        only = [f"-{family}"] if family else []
        command = ["ip", *only, "-n", self.ns(where), "-batch", "-"]
        run(command, input="\n".join(lines) + "\n")

    def backend(self, where: str) -> GreBackend:
        if where not in self.backends:
            self.backends[where] = self.at(where, EbpfBackend)
        return self.backends[where]

    def create(self, where: str, **arguments: Any) -> bool:
        backend = self.backend(where)
        return self.at(where, lambda: backend.create(plan(where, **arguments)))

    def tunnel(self, **arguments: Any) -> None:
        for where in ("a", "b"):
            self.create(where, **arguments)

    def counters(self, where: str, name: str = "t") -> TunnelCounters:
        return self.at(where, lambda: self.backend(where).counters()[name])

    def set_line(self, where: str, up: bool, name: str = "t") -> None:
        self.at(where, lambda: self.backend(where).set_line(name, up))

    def eye(self, where: str, device: str) -> Eye:
        self.eyes.append(Eye(self.ns(where), device))
        return self.eyes[-1]

    def throw(self, where: str, device: str, *frames: bytes) -> None:
        """Sends frames out of an interface, as they are."""
        with netns.socket_in(self.ns(where), socket.AF_PACKET, socket.SOCK_RAW) as hand:
            self.at(where, lambda: hand.bind((device, 0)))
            for frame in frames:
                hand.send(frame)

    def frames_to_b(self, *packets: Any) -> list[bytes]:
        """Outer packets (scapy) in frames that b accepts from the router."""
        head = {"dst": MACS["ub"], "src": MACS["rb"]}
        return [bytes(Ether(**head) / packet) for packet in packets]

    def udp(self, where: str, family: int = 4) -> socket.socket:
        af = socket.AF_INET if family == 4 else socket.AF_INET6
        made = netns.socket_in(self.ns(where), af, socket.SOCK_DGRAM)
        made.settimeout(PATIENCE_S)
        return made

    def echo(self, family: int = 4, size: int = 100, behind: bool = False) -> bytes:
        """One datagram from a (or h) to b and back; what came back."""
        target = (BEHIND if behind else INNER["b"])[family]
        with self.udp("h" if behind else "a", family) as near, self.udp("b", family) as far:
            far.bind((target, 7))
            near.connect((target, 7))
            near.send(os.urandom(size))
            data, back = far.recvfrom(1 << 17)
            far.sendto(data, back)
            return near.recv(1 << 17)

    def close(self) -> None:
        for eye in self.eyes:
            eye.close()
        for backend in self.backends.values():
            backend.close()
        for where in "harb":
            netns.remove(self.ns(where))

    def build(self) -> None:
        for where in "harb":
            netns.create(self.ns(where))
            with netns.in_netns(self.ns(where)):
                # neither routers nor neighbours are to be asked for in the middle of a test
                for scope in ("all", "default"):
                    Path(f"/proc/sys/net/ipv6/conf/{scope}/router_solicitations").write_text("0")
                    Path(f"/proc/sys/net/ipv6/conf/{scope}/accept_dad").write_text("0")
                    Path(f"/proc/sys/net/ipv4/conf/{scope}/rp_filter").write_text("1")
                Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
                Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
        r, h, b = (self.ns(w) for w in "rhb")
        self.ip(
            "a",
            "link set lo up",
            f"link add ua address {MACS['ua']} type veth peer name ra address {MACS['ra']} netns {r}",
            f"link add ha address {MACS['ha']} type veth peer name hh address {MACS['hh']} netns {h}",
            "addr add 192.0.2.1/24 dev ua",
            "addr add 2001:db8:a::1/64 dev ua nodad",
            "addr add 10.1.0.1/24 dev ha",
            "addr add 2001:db8:1::1/64 dev ha nodad",
            "link set ua up",
            "link set ha up",
        )
        self.ip(
            "r",
            "link set lo up",
            f"link add rb address {MACS['rb']} type veth peer name ub address {MACS['ub']} netns {b}",
            "addr add 192.0.2.254/24 dev ra",
            "addr add 2001:db8:a::fe/64 dev ra nodad",
            "addr add 198.51.100.254/24 dev rb",
            "addr add 2001:db8:b::fe/64 dev rb nodad",
            "link set ra up",
            "link set rb up",
        )
        self.ip(
            "b",
            "link set lo up",
            "addr add 198.51.100.1/24 dev ub",
            "addr add 2001:db8:b::1/64 dev ub nodad",
            "addr add 10.2.0.1/32 dev lo",
            "addr add 2001:db8:2::1/128 dev lo",
            "link set ub up",
            "route add default via 198.51.100.254",
            "route add default via 2001:db8:b::fe",
        )
        self.ip(
            "h",
            "link set lo up",
            "addr add 10.1.0.2/24 dev hh",
            "addr add 2001:db8:1::2/64 dev hh nodad",
            "link set hh up",
            "route add default via 10.1.0.1",
            "route add default via 2001:db8:1::1",
        )
        self.ip("a", "route add default via 192.0.2.254", "route add default via 2001:db8:a::fe")
        # New links learn IPv6 neighbours a second late: multicast waits for the carrier's news.
        for where, neighbours in NEIGHBOURS.items():
            self.ip(
                where,
                *(
                    f"neigh replace {address} lladdr {MACS[other]} dev {own} nud permanent"
                    for own, other, *addresses in neighbours
                    for address in addresses
                ),
            )

    def routes_inside(self, name: str = "t") -> None:
        """h and what is behind b reach each other through the tunnel."""
        self.ip("a", f"route add 10.2.0.0/24 dev {name}", f"route add 2001:db8:2::/64 dev {name}")
        self.ip("b", f"route add 10.1.0.0/24 dev {name}", f"route add 2001:db8:1::/64 dev {name}")


_count = 0


@contextlib.contextmanager
def world() -> Iterator[World]:
    global _count
    _count += 1
    made = World(f"bst-gre{os.getpid()}-{_count}")
    try:
        made.build()
        yield made
    finally:
        made.close()


def eventually(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.01)
