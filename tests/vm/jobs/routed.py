"""In the guest: tunnels between loopbacks, carried by ip_gre without a device, over two wires.

    A (w1) ---- (w1) B      10.0.1.1 and .2
    A (w2) ---- (w2) B      10.0.2.1 and .2      loopbacks 192.168.1.1 and .2, inside 10.99.1.1 and .2

Writes one JSON document of what was seen. Reads a keepalive and an echo request from $JOB.
"""

import json
import os
import socket
import time
from collections.abc import Callable
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

from bongsu.plan.tunnel import TunnelPlan
from bongsu.system import netns
from bongsu.system.gre.kernel import KernelBackend
from bongsu.system.run import run

A, B = "bst-vm-a", "bst-vm-b"
NUMBER = {A: 1, B: 2}
PORT = 9000
ARRIVES_S, LOST_S = 10.0, 0.4
ETH_P_ALL = 3


def plan(where: str, **changes: Any) -> TunnelPlan:
    own, other = NUMBER[where], 3 - NUMBER[where]
    values: dict[str, Any] = {
        "name": "t",
        "peer": "peer",
        "underlay": "w1",
        "other_underlays": ["w2"],
        "local": ip_address(f"192.168.1.{own}"),
        "remote": ip_address(f"192.168.1.{other}"),
        "key": None,
        "ttl": 255,
        "tos": "inherit",
        "mtu": 1476,
        "overhead": 24,
        "addresses": [ip_interface(f"10.99.1.{own}/24")],
        "peer_addresses": [ip_address(f"10.99.1.{other}")],
        "inner_sources": [],
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


def build() -> None:
    for where in (A, B):
        netns.create(where)
        with netns.in_netns(where):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            for scope in ("all", "default"):
                Path(f"/proc/sys/net/ipv4/conf/{scope}/rp_filter").write_text("0")
    wires = [f"link add {wire} type veth peer name {wire} netns {B}" for wire in ("w1", "w2")]
    ip(A, *wires)
    for where, number in NUMBER.items():
        lines = ["link set lo up", f"addr add 192.168.1.{number}/32 dev lo"]
        for wire in ("w1", "w2"):
            lines += [f"addr add 10.0.{wire[1]}.{number}/30 dev {wire}", f"link set {wire} up"]
        ip(where, *lines)


def ip(where: str, *lines: str) -> None:
    run(["ip", "-n", where, "-batch", "-"], input="\n".join(lines) + "\n")


def to_peer(where: str, wire: str) -> None:
    other = 3 - NUMBER[where]
    ip(where, f"route replace 192.168.1.{other}/32 via 10.0.{wire[1]}.{other}")


def received(wire: str) -> int:
    """Packets that B has got by a wire."""
    (link,) = json.loads(run(["ip", "-j", "-s", "link", "show", wire], netns=B).stdout)
    return int(link["stats64"]["rx"]["packets"])


def passes(count: int = 1, timeout_s: float = ARRIVES_S) -> bool:
    with (
        netns.socket_in(A, socket.AF_INET, socket.SOCK_DGRAM) as near,
        netns.socket_in(B, socket.AF_INET, socket.SOCK_DGRAM) as far,
    ):
        far.bind(("10.99.1.2", PORT))
        far.settimeout(timeout_s)
        try:
            for _ in range(count):
                near.sendto(b"x", ("10.99.1.2", PORT))
                far.recv(10)
        except OSError:
            return False
        return True


def reflected() -> list[str]:
    """Keepalives that come home to A, by whichever wire, before the echo's answer does."""
    with (
        netns.socket_in(A, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as out,
        netns.socket_in(A, socket.AF_PACKET, socket.SOCK_DGRAM) as tap,
    ):
        with netns.in_netns(A):
            tap.bind(("w2", ETH_P_ALL))
        tap.settimeout(ARRIVES_S)
        for name in ("request", "echo"):
            out.sendto((Path(os.environ["JOB"]) / name).read_bytes(), ("192.168.1.2", 0))
        found: list[str] = []
        while True:
            packet, (_, _, kind, _, _) = tap.recvfrom(2048)
            if kind == socket.PACKET_OUTGOING or packet[0] != 0x45:
                continue
            if packet[9] == socket.IPPROTO_ICMP and packet[20] == 0:
                return found
            if packet[9] == socket.IPPROTO_GRE:
                found.append(packet.hex())


def until(true: Callable[[], object]) -> bool:
    deadline = time.monotonic() + ARRIVES_S
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def main() -> None:
    os.sched_setaffinity(0, {0})
    build()
    seen: dict[str, object] = {}
    backends: dict[str, KernelBackend] = {}
    for where in (A, B):
        with netns.in_netns(where):
            backends[where] = KernelBackend()
        to_peer(where, "w1")

    def do(where: str, act: Callable[[KernelBackend], Any]) -> Any:
        with netns.in_netns(where):
            return act(backends[where])

    ip(B, "link set w2 mtu 1400")

    def create(where: str, **changes: Any) -> Any:
        wanted = plan(where, **changes)
        return do(where, lambda b: b.create(wanted))

    seen["created"] = [create(where) for where in (A, B)]
    seen["again"] = [create(where) for where in (A, B)]
    (link,) = json.loads(run(["ip", "-j", "-d", "link", "show", "t"], netns=A).stdout)
    seen["bound to"] = link.get("link")
    seen["mtu"] = [do(w, lambda b: b.mtu("t")) for w in (A, B)]

    ways = []
    for wire in ("w1", "w2", "w1"):
        to_peer(A, wire)
        before = {each: received(each) for each in ("w1", "w2")}
        passed = passes(20)
        ways.append(
            [passed, wire, [each for each in before if received(each) - before[each] >= 20]]
        )
    seen["ways"] = ways
    to_peer(B, "w2")
    seen["reflected by the other wire"] = reflected()
    to_peer(B, "w1")

    ip(A, "route replace 192.168.1.2/32 dev t")
    seen["recursive, passes"] = passes(1, LOST_S)
    seen["recursive"] = do(A, lambda b: b.recursive())
    seen["recursive, counted"] = do(A, lambda b: b.counters())["t"].drops.get("tx_recursive", 0) > 0
    seen["recursive, reaches"] = do(A, lambda b: b.reaches("t"))
    create(A, name="u", key=7, addresses=[])
    ip(A, "route replace 192.168.1.2/32 dev u")
    seen["recursive by another"] = do(A, lambda b: b.recursive())
    do(A, lambda b: b.delete("u"))
    ip(A, "route replace 192.168.1.2/32 dev t")
    do(A, lambda b: b.hold("t", True))
    # with the interface its routes are gone, and the recursion with them
    seen["held"] = [sorted(do(A, lambda b: b.held())), do(A, lambda b: b.recursive())]
    do(A, lambda b: b.set_line("t", True))
    seen["held, passes"] = passes(1, LOST_S)
    to_peer(A, "w2")
    seen["elsewhere, reaches"] = do(A, lambda b: b.reaches("t"))
    do(A, lambda b: b.hold("t", False))
    seen["let go, passes"] = until(lambda: passes(1, LOST_S))
    seen["deleted"] = [do(w, lambda b: b.delete("t")) for w in (A, B)]
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
