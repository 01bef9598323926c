"""Two ends between loopbacks, two wires between them, and a third interface of a that leads nowhere.

    a (w1) ---- (w1) b      10.0.1.1 and .2, 2001:db8:1::1 and ::2
    a (w2) ---- (w2) b      10.0.2.1 and .2, 2001:db8:2::1 and ::2
    a (w3) ---- (w3) b      b may send there, but no tunnel is planned over it

Loopbacks: a 192.168.1.1, 2001:db8:ff::1; b 192.168.1.2, 2001:db8:ff::2. Inside: 10.9.0.1 and .2,
fd00:9::1 and ::2. Who is reached by which wire is the test's to say, and to change.
"""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

from bongsu.plan.tunnel import TunnelPlan
from bongsu.system import netns
from bongsu.system.gre.base import TunnelCounters
from bongsu.system.gre.ebpf import EbpfBackend
from bongsu.system.run import run
from tests.root.gre_world import INNER, OTHER, PATIENCE_S, Eye
from tests.root.gre_world import plan as fixed

T = TypeVar("T")
LOOPBACK = {
    "a": {4: "192.168.1.1", 6: "2001:db8:ff::1"},
    "b": {4: "192.168.1.2", 6: "2001:db8:ff::2"},
}
NUMBER = {"a": 1, "b": 2}
WIRES = ("w1", "w2", "w3")
BITS = {4: 32, 6: 128}


def hop(where: str, wire: str, family: int) -> str:
    """The address of an end on a wire."""
    net = {4: f"10.0.{wire[1]}.", 6: f"2001:db8:{wire[1]}::"}[family]
    return f"{net}{NUMBER[where]}"


def plan(where: str, name: str = "t", family: int = 4, **changes: Any) -> TunnelPlan:
    ends = {
        "local": ip_address(LOOPBACK[where][family]),
        "remote": ip_address(LOOPBACK[OTHER[where]][family]),
        "underlay": "w1",
        "other_underlays": ["w2"],
    }
    return fixed(where, name, family, **(ends | changes))


@dataclass
class TwoWays:
    prefix: str
    backends: dict[str, EbpfBackend] = field(default_factory=dict)
    eyes: list[Eye] = field(default_factory=list)

    def ns(self, where: str) -> str:
        return f"{self.prefix}-{where}"

    def at(self, where: str, act: Callable[[], T]) -> T:
        with netns.in_netns(self.ns(where)):
            return act()

    def ip(self, where: str, *lines: str) -> None:
        run(["ip", "-n", self.ns(where), "-batch", "-"], input="\n".join(lines) + "\n")

    def to_peer(self, where: str, wire: str, family: int = 4) -> None:
        """The way to the other end's loopback, from now on."""
        other = OTHER[where]
        target = f"{LOOPBACK[other][family]}/{BITS[family]}"
        self.ip(where, f"route replace {target} via {hop(other, wire, family)}")

    def backend(self, where: str) -> EbpfBackend:
        if where not in self.backends:
            self.backends[where] = self.at(where, EbpfBackend)
        return self.backends[where]

    def do(self, where: str, act: Callable[[EbpfBackend], T]) -> T:
        backend = self.backend(where)
        return self.at(where, lambda: act(backend))

    def create(self, where: str, **arguments: Any) -> bool:
        return self.do(where, lambda backend: backend.create(plan(where, **arguments)))

    def counters(self, where: str, name: str = "t") -> TunnelCounters:
        return self.do(where, lambda backend: backend.counters()[name])

    def drops(self, where: str, why: str, name: str = "t") -> int:
        return self.counters(where, name).drops.get(why, 0)

    def eye(self, where: str, device: str) -> Eye:
        self.eyes.append(Eye(self.ns(where), device))
        return self.eyes[-1]

    def udp(self, where: str, family: int = 4) -> socket.socket:
        af = socket.AF_INET if family == 4 else socket.AF_INET6
        made = netns.socket_in(self.ns(where), af, socket.SOCK_DGRAM)
        made.settimeout(PATIENCE_S)
        return made

    def send(self, inner: int = 4, size: int = 32) -> bytes:
        """One datagram into a's tunnel; returns its payload, which nobody waits for."""
        mark = os.urandom(size)
        with self.udp("a", inner) as sock:
            sock.sendto(mark, (INNER["b"][inner], 9))
        return mark

    def passes(self, inner: int = 4) -> None:
        """One datagram from a to b, waited for."""
        with self.udp("a", inner) as near, self.udp("b", inner) as far:
            far.bind((INNER["b"][inner], 9))
            mark = os.urandom(16)
            near.sendto(mark, (INNER["b"][inner], 9))
            assert far.recv(100) == mark

    def close(self) -> None:
        for eye in self.eyes:
            eye.close()
        for backend in self.backends.values():
            backend.close()
        for where in "ab":
            netns.remove(self.ns(where))

    def build(self) -> None:
        for where in "ab":
            netns.create(self.ns(where))
            with netns.in_netns(self.ns(where)):
                for scope in ("all", "default"):
                    Path(f"/proc/sys/net/ipv6/conf/{scope}/router_solicitations").write_text("0")
                    Path(f"/proc/sys/net/ipv6/conf/{scope}/accept_dad").write_text("0")
                Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
                Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
        for wire in WIRES:
            self.ip("a", f"link add {wire} type veth peer name {wire} netns {self.ns('b')}")
        for where in "ab":
            self.ip(
                where,
                "link set lo up",
                f"addr add {LOOPBACK[where][4]}/32 dev lo",
                f"addr add {LOOPBACK[where][6]}/128 dev lo",
                *(
                    line
                    for wire in WIRES
                    for line in (
                        f"addr add {hop(where, wire, 4)}/30 dev {wire}",
                        f"addr add {hop(where, wire, 6)}/64 dev {wire} nodad",
                        f"link set {wire} up",
                    )
                ),
            )
        # New links learn IPv6 neighbours a second late: multicast waits for the carrier's news.
        macs = {(w, wire): self.at(w, partial(_mac, wire)) for w in "ab" for wire in WIRES}
        for where in "ab":
            other = OTHER[where]
            self.ip(
                where,
                *(
                    f"neigh replace {hop(other, wire, 6)} lladdr {macs[other, wire]} dev {wire}"
                    " nud permanent"
                    for wire in WIRES
                ),
            )


def _mac(device: str) -> str:
    shown = run(["ip", "-o", "link", "show", "dev", device]).stdout
    return shown.split("link/ether ")[1].split()[0]


_count = 0


@contextlib.contextmanager
def two_ways() -> Iterator[TwoWays]:
    global _count
    _count += 1
    made = TwoWays(f"bst-3c{os.getpid()}-{_count}")
    try:
        made.build()
        yield made
    finally:
        made.close()
