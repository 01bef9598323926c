"""In the guest: a GRE tunnel between two backends, through a router in the middle.

    python -m tests.vm.jobs.gre NEAR:FAR:OUTER ...     such as kernel:ebpf:4

Writes one JSON document: for each run what was seen. Reads the packets built outside from $JOB.

    A (va) ---- (ra) R (rb) ---- (vb) B
"""

import contextlib
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

from bongsu.plan.tunnel import TunnelPlan
from bongsu.system import netns
from bongsu.system.gre.base import GreBackend, TunnelCounters
from bongsu.system.run import run

A, R, B = "bst-vm-a", "bst-vm-r", "bst-vm-b"
OUTER = {4: ("192.0.2.1", "198.51.100.1"), 6: ("2001:db8:a::1", "2001:db8:b::1")}
INNER = {4: ("10.99.1.1", "10.99.1.2"), 6: ("2001:db8:99::1", "2001:db8:99::2")}
NAME, KEY, MTU, NARROW = "gre-t", 7, 1500, 1400
PORT = 9000
MARK = b"look at this packet, router".ljust(64)
ETH_P_ALL = 3
ARRIVES_S, LOST_S = 10.0, 0.4
"""How long a packet is waited for that should come, and one that should not."""


def backend(kind: str) -> GreBackend:
    if kind == "ebpf":
        from bongsu.system.gre.ebpf import EbpfBackend

        return EbpfBackend()
    from bongsu.system.gre.kernel import KernelBackend

    return KernelBackend()


@dataclass
class End:
    """One end of the tunnel. A backend is only spoken to from inside its namespace."""

    where: str
    backend: GreBackend
    plan: TunnelPlan

    def do(self, act: Callable[[GreBackend], Any]) -> Any:
        with netns.in_netns(self.where):
            return act(self.backend)

    def create(self, **changes: Any) -> bool:
        plan = self.plan.model_copy(update=changes)
        return bool(self.do(lambda backend: backend.create(plan)))

    def counters(self) -> TunnelCounters:
        return self.do(lambda backend: backend.counters()[NAME])  # type: ignore[no-any-return]

    def interfaces(self) -> set[str]:
        with netns.in_netns(self.where):
            return {name for _, name in socket.if_nameindex()}


def end(where: str, kind: str, outer: int, near: int) -> End:
    overhead = (20 if outer == 4 else 40) + 8
    plan = TunnelPlan(
        name=NAME,
        peer="peer",
        underlay="va" if where == A else "vb",
        local=ip_address(OUTER[outer][near]),
        remote=ip_address(OUTER[outer][1 - near]),
        key=KEY,
        ttl=255,
        tos="inherit",
        mtu=MTU - overhead,
        overhead=overhead,
        addresses=[ip_interface(f"{INNER[4][near]}/24"), ip_interface(f"{INNER[6][near]}/64")],
        peer_addresses=[ip_address(INNER[4][1 - near]), ip_address(INNER[6][1 - near])],
        inner_sources=[ip_network("0.0.0.0/0"), ip_network("::/0")],
        inner_destinations=[],
        keepalive=None,
        peer_keepalive=None,
        bfd=None,
        bgp=False,
        egress=False,
        preference=100,
        insecure=True,
    )
    with netns.in_netns(where):
        return End(where, backend(kind), plan)


def underlay() -> None:
    for name in (A, R, B):
        netns.create(name)
        with netns.in_netns(name):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
            # The checks of the reflection's conditions are elsewhere; here they hold.
            for setting, value in (("accept_local", "1"), ("rp_filter", "0")):
                for scope in ("all", "default"):
                    Path(f"/proc/sys/net/ipv4/conf/{scope}/{setting}").write_text(value)
    for where, device, inside, near in ((A, "va", "ra", 0), (B, "vb", "rb", 1)):
        four, six = OUTER[4][near], OUTER[6][near]
        gateways = f"{four.rpartition('.')[0]}.254", f"{six.rpartition('::')[0]}::fe"
        commands = [f"link add {device} type veth peer name {inside} netns {R}"]
        commands += [f"addr add {four}/24 dev {device}", f"addr add {six}/64 dev {device} nodad"]
        commands += ["link set lo up", f"link set {device} up"]
        run(["ip", "-n", where, "-batch", "-"], input="\n".join(commands) + "\n")
        commands = [f"addr add {gateways[0]}/24 dev {inside}", "link set lo up"]
        commands += [f"addr add {gateways[1]}/64 dev {inside} nodad", f"link set {inside} up"]
        run(["ip", "-n", R, "-batch", "-"], input="\n".join(commands) + "\n")
        commands = [f"route add default via {gateway}" for gateway in gateways]
        run(["ip", "-n", where, "-batch", "-"], input="\n".join(commands) + "\n")


def narrow(mtu: int) -> None:
    run(["ip", "-n", R, "link", "set", "rb", "mtu", str(mtu)])


@contextlib.contextmanager
def endpoints(family: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A datagram socket inside the tunnel at either end, each knowing the other."""
    af = socket.AF_INET if family == 4 else socket.AF_INET6
    with (
        netns.socket_in(A, af, socket.SOCK_DGRAM) as near,
        netns.socket_in(B, af, socket.SOCK_DGRAM) as far,
    ):
        for sock, (ours, theirs) in ((near, INNER[family]), (far, INNER[family][::-1])):
            sock.bind((ours, PORT))
            sock.connect((theirs, PORT))
        yield near, far


def echoed(family: int, timeout_s: float = ARRIVES_S, size: int = 64) -> bool:
    """Whether a datagram passes through the tunnel and its answer comes back."""
    try:
        with endpoints(family) as (near, far):
            near.settimeout(timeout_s)
            far.settimeout(timeout_s)
            near.send(bytes(size))
            far.send(far.recv(65536))
            return len(near.recv(65536)) == size
    except OSError:  # also where an address cannot be used, its interface being down
        return False


def outer_header(family: int, tos: int) -> dict[str, object]:
    """The outer packet of one inner packet with this TOS or traffic class, seen by the router."""
    with (
        netns.socket_in(R, socket.AF_PACKET, socket.SOCK_DGRAM) as tap,
        endpoints(family) as (near, far),
    ):
        with netns.in_netns(R):
            tap.bind(("ra", ETH_P_ALL))
        tap.settimeout(ARRIVES_S)
        far.settimeout(ARRIVES_S)
        if family == 4:
            near.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
        else:
            near.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tos)
        near.send(MARK)
        far.recv(2048)
        while MARK not in (packet := tap.recv(2048)):
            pass
    if packet[0] >> 4 == 4:
        facts: dict[str, object] = {
            "tos": packet[1],
            "df": bool(packet[6] & 0x40),
            "ttl": packet[8],
            "protocol": packet[9],
        }
        inside = packet[20:]
    else:
        facts = {
            "tos": struct.unpack_from("!I", packet)[0] >> 20 & 0xFF,
            "df": True,
            "ttl": packet[7],
            "protocol": packet[6],
        }
        inside = packet[40:]
    return facts | {"gre": inside[:8].hex()}


def counted(ends: tuple[End, End], count: int, size: int) -> list[int]:
    """Packets and bytes that the counters have more, at the sender and at the receiver."""
    before = [each.counters() for each in ends]
    with endpoints(4) as (near, far):
        far.settimeout(ARRIVES_S)
        for _ in range(count):
            near.send(bytes(size))
            far.recv(2048)
    after = [each.counters() for each in ends]
    return [
        after[0].tx_packets - before[0].tx_packets,
        after[0].tx_bytes - before[0].tx_bytes,
        after[1].rx_packets - before[1].rx_packets,
        after[1].rx_bytes - before[1].rx_bytes,
    ]


def path_mtu(family: int) -> int | None:
    """What a sender that may not fragment is told, once it has sent too much."""
    level, discover, do, mtu = (
        (socket.IPPROTO_IP, 10, 2, 14) if family == 4 else (socket.IPPROTO_IPV6, 23, 2, 24)
    )
    with endpoints(family) as (near, _):
        near.setsockopt(level, discover, do)
        size = near.getsockopt(level, mtu) - (28 if family == 4 else 48)
        deadline = time.monotonic() + ARRIVES_S
        while time.monotonic() < deadline:
            try:
                near.send(bytes(size))
            except OSError:
                return near.getsockopt(level, mtu)
            time.sleep(0.1)
    return None


def keepalive() -> list[str]:
    """Replies to one keepalive that A sends to B by hand; an echo after it ends the wait."""
    with (
        netns.socket_in(A, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as out,
        netns.socket_in(R, socket.AF_PACKET, socket.SOCK_DGRAM) as tap,
    ):
        with netns.in_netns(R):
            tap.bind(("rb", ETH_P_ALL))
        tap.settimeout(ARRIVES_S)
        for name in ("request", "echo"):
            out.sendto((Path(os.environ["JOB"]) / name).read_bytes(), (OUTER[4][1], 0))
        found: list[str] = []
        while True:
            packet, (_, _, kind, _, _) = tap.recvfrom(2048)
            if kind == socket.PACKET_OUTGOING or packet[0] != 0x45:
                continue
            if packet[9] == socket.IPPROTO_ICMP and packet[20] == 0:
                return found
            # Protocol type 0 is a keepalive's; the far end may also solicit routers (0x86dd).
            if packet[9] == socket.IPPROTO_GRE and packet[22:24] == b"\0\0":
                found.append(packet.hex())


def line(each: End) -> list[object]:
    """The line as the backend says it, and whether a routing daemon would use the interface."""
    (link,) = json.loads(run(["ip", "-j", "link", "show", NAME], netns=each.where).stdout)
    return [each.do(lambda backend: backend.line(NAME)), "LOWER_UP" in link["flags"]]


def tunnel(near_kind: str, far_kind: str, outer: int) -> dict[str, object]:
    near, far = end(A, near_kind, outer, 0), end(B, far_kind, outer, 1)
    before = [each.interfaces() for each in (near, far)]
    seen: dict[str, object] = {}
    seen["created"] = [each.create() for each in (near, far)]
    seen["created again"] = [each.create() for each in (near, far)]
    seen["names"] = [each.do(lambda backend: backend.names()) for each in (near, far)]
    seen["mtu"] = [each.do(lambda backend: backend.mtu(NAME)) for each in (near, far)]
    seen["echo"] = [echoed(4), echoed(6), echoed(4, size=MTU - near.plan.overhead - 28)]
    # Less than an IPv6 header inside IPv6: kernels before 6.3 are particular about it.
    seen["small"] = [echoed(4, size=1), echoed(6, size=1)]
    seen["counted"] = counted((near, far), 50, 100)
    seen["outer of v4"], seen["outer of v6"] = outer_header(4, 0xB8), outer_header(6, 0x48)

    seen["other key"] = [far.create(key=KEY + 1), echoed(4, LOST_S), echoed(6, LOST_S)]
    seen["key again"] = [far.create(), echoed(4)]

    if outer == 4:
        seen["keepalive"] = keepalive()
    far.do(lambda backend: backend.set_line(NAME, False))
    seen["line down"] = [line(far), echoed(4, LOST_S), echoed(6, LOST_S), far.create()]
    if outer == 4:
        seen["keepalive, line down"] = keepalive()
    far.do(lambda backend: backend.set_line(NAME, True))
    seen["line up"] = [line(far), echoed(4), echoed(6)]

    narrow(NARROW)
    seen["path mtu"] = [path_mtu(4), path_mtu(6)]
    seen["mtu learned"] = near.do(lambda backend: backend.mtu(NAME))
    seen["fits"] = echoed(4, size=NARROW - near.plan.overhead - 28)
    narrow(MTU)

    seen["deleted"] = [each.do(lambda backend: backend.delete(NAME)) for each in (near, far)]
    seen["deleted again"] = [each.do(lambda backend: backend.delete(NAME)) for each in (near, far)]
    for each in (near, far):
        each.do(lambda backend: backend.close())
    seen["left"] = [
        sorted(each.interfaces() - there) for each, there in zip((near, far), before, strict=True)
    ]
    return seen


def main(runs: list[str]) -> None:
    os.sched_setaffinity(0, {0})
    found = {}
    for name in runs:
        near, far, outer = name.split(":")
        underlay()
        try:
            found[name] = tunnel(near, far, int(outer))
        finally:
            # Fresh ones for the next run: no route cache remembers the last path.
            for where in (A, R, B):
                netns.remove(where)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
