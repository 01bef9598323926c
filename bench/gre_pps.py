"""Packets a second on one core: GRE by XDP against the kernel's VXLAN, 64-byte frames.

Frames are XDP live frames (BPF_F_TEST_XDP_LIVE_FRAMES): the kernel hands recycled pages to an XDP
program as if a driver had just received them, and does with them what it answers. The thread is
pinned, all softirq work that a frame causes happens on its core, and the time is that core's: the
thread's own, softirqs in it included, and that of the core's ksoftirqd. So what others do on the
machine costs caches but is not counted; rates by the clock on the wall are kept beside. A million
frames and more a run, so that setting up a run (milliseconds) does not count.

What is counted is what arrived: a program at the end swallows and counts, at the earliest place
that each path has, XDP for frames and tc for socket buffers. A recycled page is as its last user left it:
GRE encapsulation does not mind, behind decapsulation the swallower puts the headers back, and where
the stack is in the path each frame is given its headers anew before, which costs it some 20 ns of
more than 700. The paths take turns:

encap
  GRE, XDP            gre_encap_xdp where it is attached: header parsed, tunnel found, route and
                      neighbour from its cache, 24 bytes put on, sent by a veth; swallowed at its
                      other end. There is no routing decision into the tunnel.
  GRE, tc             the same packet through the stack: routed into the tunnel interface, over the
                      pair, gre_encap, sent.
  VXLAN, routed       through the stack: routed into the VXLAN interface, encapsulated, sent.
  VXLAN, bare         redirected by tc into the VXLAN interface, with no routing: its best.
decap
  GRE, XDP            gre_decap_xdp on the underlay: 24 bytes off, to the tunnel interface;
                      swallowed there.
  GRE, XDP, routed    the same, then by the stack out of another interface; swallowed behind it.
  GRE, tc             into the stack, gre_decap, swallowed at the tunnel interface.
  VXLAN, bare         into the stack, IP, UDP, VXLAN, swallowed at the VXLAN interface: its best.
  VXLAN, routed       the same, then by the stack out of another interface; swallowed behind it.

    python bench/gre_pps.py [--rounds N] [--frames N]
"""

import argparse
import ctypes
import os
import random
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_interface
from pathlib import Path

from pyroute2 import IPRoute
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import GRE, Ether
from scapy.layers.vxlan import VXLAN

from bongsu.plan.tunnel import TunnelPlan
from bongsu.system import netns
from bongsu.system.bpf import attach, libbpf, testrun
from bongsu.system.bpf.objects import Object, Program
from bongsu.system.gre import offload
from bongsu.system.gre.ebpf import POLLED, EbpfBackend, far
from bongsu.system.run import run
from common import Figure, Ratio, compiled, machine, report

PID = os.getpid()
PROGRAMS = ("begin", "swallow_xdp", "swallow_again", "swallow_tc", "send_on")
A, B = f"bst-pps{PID}-a", f"bst-pps{PID}-b"
MAC = {"in": "02:00:00:00:00:01", "a": "02:00:00:00:00:0a", "b": "02:00:00:00:00:0b"}
INSIDE = {1: "02:00:00:00:01:01", 2: "02:00:00:00:01:02"}
FRAME = 60
"""64 on the wire, with the four bytes of check sum that no software sees."""
PRIORITY = 7
"""Of this bench's own tc programs."""


def plan(end: int) -> TunnelPlan:
    """One end (1 or 2) of the tunnel."""
    other = 3 - end
    return TunnelPlan(
        name="gre",
        peer="peer",
        underlay="wire",
        local=ip_address(f"192.0.2.{end}"),
        remote=ip_address(f"192.0.2.{other}"),
        key=None,
        ttl=255,
        tos="inherit",
        mtu=1400,
        overhead=24,
        addresses=[ip_interface(f"10.9.0.{end}/24")],
        peer_addresses=[ip_address(f"10.9.0.{other}")],
        inner_sources=[],
        inner_destinations=[],
        keepalive=None,
        peer_keepalive=None,
        bfd=None,
        bgp=False,
        egress=False,
        preference=100,
        insecure=True,
    )


class Tools:
    """The bench's own programs, and the maps by which they are told what to do."""

    def __init__(self, image: bytes, names: tuple[str, ...]) -> None:
        with Object(image, "pps") as opened:
            opened.load()
            self.programs = {name: opened.program(name) for name in names}
            self.maps = opened.maps()
        self.cpus = libbpf.call("count CPUs", "libbpf_num_possible_cpus")

    def swallowed(self) -> int:
        """Frames counted so far, on all CPUs."""
        values = (ctypes.c_uint64 * self.cpus)()
        key, what = ctypes.c_uint32(0), "read the counter"
        fd = self.maps["swallowed"].fd
        libbpf.call(what, "bpf_map_lookup_elem", fd, ctypes.byref(key), values)
        return sum(values)

    def send_on_to(self, ifindex: int) -> None:
        """Where `send_on` sends."""
        self.maps["onward"].update(bytes(4), struct.pack("=I", ifindex))

    def begin_with(self, frame: bytes, program: Program | None) -> None:
        """What every frame begins with, and the program it is given to, else the stack."""
        head = self.maps["heads"]
        head.update(bytes(4), frame[: head.value_size].ljust(head.value_size, b"\0"))
        if program is None:
            self.maps["then"].delete(bytes(4))
        else:
            self.maps["then"].update(bytes(4), struct.pack("=I", program.fd))


@contextmanager
def network() -> Iterator[tuple[EbpfBackend, EbpfBackend]]:
    """A sends to B; `in` is where A's frames come from."""
    backends = []
    try:
        for name in (A, B):
            netns.create(name)
        veth = f"type veth peer name wire address {MAC['b']} netns {B}"
        lines = {
            A: [
                f"link add wire address {MAC['a']} {veth}",
                f"link add in address {MAC['in']} type veth peer name out",
                "addr add 192.0.2.1/24 dev wire",
                "addr add 198.51.100.1/24 dev in",
                "link set in up",
                "link set out up",
            ],
            B: [
                "addr add 192.0.2.2/24 dev wire",
                "link add out type veth peer name end",
                "addr add 203.0.113.1/24 dev out",
                "link set out up",
                "link set end up",
                "neigh add 203.0.113.9 lladdr 02:00:00:00:00:0e dev out nud permanent",
            ],
        }
        for end, name in ((1, A), (2, B)):
            other = {1: MAC["b"], 2: MAC["a"]}[end]
            vxlan = f"link add vx address {INSIDE[end]} type vxlan id 5 dstport 4789 dev wire"
            lines[name] += [
                "link set lo up",
                "link set wire up",
                f"neigh add 192.0.2.{3 - end} lladdr {other} dev wire nud permanent",
                f"{vxlan} local 192.0.2.{end} remote 192.0.2.{3 - end}",
                f"addr add 10.8.0.{end}/24 dev vx",
                "link set vx up",
                f"neigh add 10.8.0.{3 - end} lladdr {INSIDE[3 - end]} dev vx nud permanent",
            ]
        for name in (A, B):
            run(["ip", "-n", name, "-batch", "-"], input="\n".join(lines[name]) + "\n")
            with netns.in_netns(name):
                Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
                # B is asked from where it would not answer
                for scope in ("all", "default", "vx"):
                    Path(f"/proc/sys/net/ipv4/conf/{scope}/rp_filter").write_text("0")
        for end, name in ((1, A), (2, B)):
            with netns.in_netns(name):
                backends.append(EbpfBackend())
                backends[-1].create(plan(end))
        yield backends[0], backends[1]
    finally:
        for backend in backends:
            backend.close()
        for name in (A, B):
            netns.remove(name)


def index(namespace: str, interface: str) -> int:
    """The interface's number in its namespace."""
    with netns.in_netns(namespace), IPRoute() as ipr:
        return int(ipr.link_lookup(ifname=interface)[0])


def inner(target: str) -> IP:
    """A frame's worth of UDP."""
    packet = IP(src="198.51.100.9", dst=target, ttl=64) / UDP(sport=5, dport=6)
    return packet / bytes(FRAME - 14 - 28)


@contextmanager
def xdp(namespace: str, interface: str, program: Program) -> Iterator[int]:
    """An XDP program on an interface, natively; its number."""
    number = index(namespace, interface)
    with netns.in_netns(namespace):
        attach.xdp_attach(number, program)
    try:
        yield number
    finally:
        with netns.in_netns(namespace):
            attach.xdp_detach(number)


@contextmanager
def tc(namespace: str, interface: str, program: Program) -> Iterator[int]:
    """A tc program on an interface's ingress, before any other; its number."""
    number = index(namespace, interface)
    with netns.in_netns(namespace):
        attach.tc_attach(number, "ingress", program, PRIORITY)
    try:
        yield number
    finally:
        with netns.in_netns(namespace):
            attach.tc_detach(number, "ingress", PRIORITY)


class Bench:
    """All paths, each a function from a number of frames to frames a second that arrived."""

    def __init__(self, backends: tuple[EbpfBackend, EbpfBackend], own: Tools) -> None:
        self.own = own
        self.planes = [backend._plane._programs for backend in backends]
        self.backends = backends
        self.lost, self.wall = 0, 0.0
        name = f"ksoftirqd/{next(iter(os.sched_getaffinity(0)))}"
        (self.softirq,) = (
            each.parent / "schedstat"
            for each in Path("/proc").glob("[0-9]*/comm")
            if each.read_text().strip() == name
        )

    def rate(
        self,
        where: str,
        program: Program | None,
        frame: bytes,
        ifindex: int,
        count: int,
        *,
        anew: bool = True,
    ) -> float:
        """Runs frames through the program, or into the stack, and counts at the far end."""
        first = self.own.programs["begin"] if anew or program is None else program
        self.own.begin_with(frame, program)
        with netns.in_netns(where):
            testrun.live(first, frame, ifindex, 1000)  # caches, neighbours, page pool
            before, spent = self.own.swallowed(), self.core_s()
            seconds = testrun.live(first, frame, ifindex, count)
            spent = self.core_s() - spent
        arrived = min(count, self.own.swallowed() - before)
        if arrived < 0.99 * count:
            raise SystemExit(f"of {count} frames only {arrived} arrived: {frame.hex()}")
        self.lost += count - arrived
        self.wall = arrived / seconds / 1e6
        return arrived / spent / 1e6

    def core_s(self) -> float:
        """Seconds that this thread and its core's ksoftirqd have run."""
        return time.thread_time() + int(self.softirq.read_text().split()[0]) / 1e9

    def encap_xdp(self, count: int) -> float:
        """GRE on."""
        program = self.planes[0]["gre_encap_xdp"]
        frame = bytes(Ether(dst=MAC["in"], src=MAC["in"]) / inner("10.9.0.2"))
        swallow = self.own.programs["swallow_xdp"]
        with xdp(B, "wire", swallow), xdp(A, far("gre"), program) as number:
            return self.rate(A, program, frame, number, count, anew=False)

    def routed(self, target: str, count: int) -> float:
        """Through A's stack to wherever the target is routed."""
        begin = self.own.programs["begin"]
        frame = bytes(Ether(dst=MAC["in"], src="02:00:00:00:00:09") / inner(target))
        with tc(B, "wire", self.own.programs["swallow_tc"]), xdp(A, "in", begin) as number:
            return self.rate(A, None, frame, number, count)

    def encap_tc(self, count: int) -> float:
        """GRE on, by tc behind the stack."""
        return self.routed("10.9.0.2", count)

    def vxlan_routed(self, count: int) -> float:
        """VXLAN on, behind the stack."""
        return self.routed("10.8.0.2", count)

    def vxlan_bare(self, count: int) -> float:
        """VXLAN on, by redirection."""
        self.own.send_on_to(index(A, "vx"))
        with tc(A, "in", self.own.programs["send_on"]):
            return self.routed("10.8.0.2", count)

    def decap_xdp(self, count: int) -> float:
        """GRE off."""
        program = self.planes[1]["gre_decap_xdp"]
        outer = Ether(dst=MAC["b"], src=MAC["a"]) / IP(src="192.0.2.1", dst="192.0.2.2")
        frame = bytes(outer / GRE() / inner("10.9.0.2"))
        swallow = self.own.programs["swallow_again"]
        with xdp(B, "gre", swallow), xdp(B, "wire", program) as number:
            return self.rate(B, program, frame, number, count, anew=False)

    def decap_xdp_routed(self, count: int) -> float:
        """GRE off, and on by the stack."""
        program = self.planes[1]["gre_decap_xdp"]
        outer = Ether(dst=MAC["b"], src=MAC["a"]) / IP(src="192.0.2.1", dst="192.0.2.2")
        frame = bytes(outer / GRE() / inner("203.0.113.9"))
        swallow = self.own.programs["swallow_tc"]
        with tc(B, "end", swallow), xdp(B, "wire", program) as number:
            return self.rate(B, program, frame, number, count)

    def to_b(self, frame: bytes, interface: str, count: int) -> float:
        """Into B's stack, swallowed at an interface."""
        begin, swallow = self.own.programs["begin"], self.own.programs["swallow_tc"]
        with tc(B, interface, swallow), xdp(B, "wire", begin) as number:
            return self.rate(B, None, frame, number, count)

    def decap_tc(self, count: int) -> float:
        """GRE off, by tc."""
        outer = Ether(dst=MAC["b"], src=MAC["a"]) / IP(src="192.0.2.1", dst="192.0.2.2")
        return self.to_b(bytes(outer / GRE() / inner("10.9.0.2")), "gre", count)

    def vxlan_decap(self, target: str, interface: str, count: int) -> float:
        """VXLAN off, and swallowed at an interface."""
        outer = Ether(dst=MAC["b"], src=MAC["a"]) / IP(src="192.0.2.1", dst="192.0.2.2")
        outer = outer / UDP(sport=4444, dport=4789, chksum=0) / VXLAN(vni=5, flags="Instance")
        inside = Ether(dst=INSIDE[2], src=INSIDE[1]) / inner(target)
        return self.to_b(bytes(outer / inside), interface, count)

    def vxlan_decap_bare(self, count: int) -> float:
        """VXLAN off."""
        return self.vxlan_decap("10.8.0.2", "vx", count)

    def vxlan_decap_routed(self, count: int) -> float:
        """VXLAN off, and on by the stack."""
        return self.vxlan_decap("203.0.113.9", "end", count)


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--frames", type=int, default=2_000_000)
    arguments = parser.parse_args()
    before, order = machine(), random.Random(1)
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    with network() as backends:
        with netns.in_netns(B):
            offload.set_features("gre", {POLLED: True})
        bench = Bench(backends, Tools(compiled(__file__), PROGRAMS))
        paths: dict[str, tuple[Callable[[int], float], int]] = {
            "encap: GRE, XDP": (bench.encap_xdp, arguments.frames),
            "encap: GRE, tc": (bench.encap_tc, arguments.frames // 2),
            "encap: VXLAN, routed": (bench.vxlan_routed, arguments.frames // 2),
            "encap: VXLAN, bare": (bench.vxlan_bare, arguments.frames // 2),
            "decap: GRE, XDP": (bench.decap_xdp, arguments.frames),
            "decap: GRE, XDP, routed": (bench.decap_xdp_routed, arguments.frames // 2),
            "decap: GRE, tc": (bench.decap_tc, arguments.frames // 2),
            "decap: VXLAN, bare": (bench.vxlan_decap_bare, arguments.frames // 2),
            "decap: VXLAN, routed": (bench.vxlan_decap_routed, arguments.frames // 2),
        }
        runs: dict[str, list[float]] = {name: [] for name in paths}
        walls: dict[str, list[float]] = {name: [] for name in paths}
        for _ in range(arguments.rounds):
            names = list(paths)
            order.shuffle(names)
            for name in names:
                measure, count = paths[name]
                runs[name].append(measure(count))
                walls[name].append(bench.wall)
        lost = bench.lost
    figures = {name: Figure(name, "Mpps", values) for name, values in runs.items()}
    by_wall = [
        Figure(f"{name} (wall)", "Mpps", values, note="others' time included")
        for name, values in walls.items()
    ]
    ratios = (
        ("encap: GRE, XDP", "encap: VXLAN, routed", 8.0),
        ("encap: GRE, XDP", "encap: VXLAN, bare", 8.0),
        ("encap: GRE, tc", "encap: VXLAN, routed", None),
        ("decap: GRE, XDP", "decap: VXLAN, routed", 8.0),
        ("decap: GRE, XDP", "decap: VXLAN, bare", 8.0),
        ("decap: GRE, XDP, routed", "decap: VXLAN, routed", None),
        ("decap: GRE, tc", "decap: VXLAN, bare", None),
    )
    report(
        "gre_pps",
        [*figures.values(), *by_wall],
        [Ratio(f"{one} / {two}", figures[one], figures[two], goal) for one, two, goal in ratios],
        before=before,
        notes=[
            f"{FRAME + 4}-byte inner frames, one core (CPU {core}), {arguments.rounds} rounds in "
            f"random order; counted at the far end, {lost} frames lost in all",
            "XDP carries the frame alone; the VXLAN paths and 'GRE, tc' allocate a socket buffer "
            "for each and pass the stack, as they would behind a driver without XDP",
        ],
    )


if __name__ == "__main__":
    main()
