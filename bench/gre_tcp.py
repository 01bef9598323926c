"""TCP through the eBPF GRE tunnel, against the bare link under it and against VXLAN on it.

Two namespaces joined by one veth pair, as a lab's underlay or a host's containers are. One stream
of iperf3 at a time; bare link, tunnel and VXLAN take turns in an order that changes every round, so
that what else the machine does falls on all of them. VXLAN is the kernel's own driver with UDP
checksums off, which is its default and its best.

The sender and the receiver share the machine's cores with each other and with everybody else:
ratios of one round mean something, gigabits of one machine do not.

    python bench/gre_tcp.py [--rounds N] [--seconds S]
"""

import argparse
import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_interface

from bongsu.plan.tunnel import TunnelPlan
from bongsu.system import netns
from bongsu.system.gre.ebpf import EbpfBackend
from bongsu.system.run import run, spawn
from common import Figure, Ratio, machine, report

A, B = f"bst-tcp{os.getpid()}-a", f"bst-tcp{os.getpid()}-b"
TARGETS = {
    "bare link": "192.0.2.2",
    "GRE by eBPF": "10.9.0.2",
    "GRE by eBPF, IPv6 in IPv6": "fd00:9::2",
    "VXLAN": "10.8.0.2",
}
PORT = 5201
LIMIT_S = 30


def plan(end: int, family: int) -> TunnelPlan:
    """One end (1 or 2) of the tunnel over IPv4 or IPv6."""
    other = 3 - end
    outer = "192.0.2." if family == 4 else "2001:db8::"
    inner = "10.9.0." if family == 4 else "fd00:9::"
    size = 24 if family == 4 else 64
    overhead = 24 if family == 4 else 44
    return TunnelPlan(
        name=f"gre{family}",
        peer="peer",
        underlay="wire",
        local=ip_address(f"{outer}{end}"),
        remote=ip_address(f"{outer}{other}"),
        key=None,
        ttl=255,
        tos="inherit",
        mtu=1500 - overhead,
        overhead=overhead,
        addresses=[ip_interface(f"{inner}{end}/{size}")],
        peer_addresses=[ip_address(f"{inner}{other}")],
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


@contextmanager
def network() -> Iterator[list[EbpfBackend]]:
    """Both namespaces with link, tunnels and VXLAN."""
    backends = []
    try:
        for name in (A, B):
            netns.create(name)
        run(
            [
                "ip",
                "-n",
                A,
                "link",
                "add",
                "wire",
                "type",
                "veth",
                "peer",
                "name",
                "wire",
                "netns",
                B,
            ]
        )
        for end, name in ((1, A), (2, B)):
            vxlan = f"link add vx type vxlan id 5 dstport 4789 dev wire local 192.0.2.{end}"
            lines = [
                "link set lo up",
                f"addr add 192.0.2.{end}/24 dev wire",
                f"addr add 2001:db8::{end}/64 dev wire nodad",
                "link set wire up",
                f"{vxlan} remote 192.0.2.{3 - end}",
                f"addr add 10.8.0.{end}/24 dev vx",
                "link set vx up",
            ]
            run(["ip", "-n", name, "-batch", "-"], input="\n".join(lines) + "\n")
            with netns.in_netns(name):
                backends.append(EbpfBackend())
                for family in (4, 6):
                    backends[-1].create(plan(end, family))
        yield backends
    finally:
        for backend in backends:
            backend.close()
        for name in (A, B):
            netns.remove(name)


def throughput(target: str, seconds: float) -> float:
    """Gb/s that arrived, of payload."""
    command = ["iperf3", "-J", "-c", target, "-p", str(PORT), "-t", str(seconds), "-O", "0.5"]
    done = run(command, netns=A, timeout_s=seconds + LIMIT_S)
    return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]) / 1e9


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2)
    arguments = parser.parse_args()
    before = machine()
    order = random.Random(1)
    runs: dict[str, list[float]] = {name: [] for name in TARGETS}
    with network() as backends:
        server = spawn(["iperf3", "-s", "-p", str(PORT)], netns=B)
        try:
            for target in TARGETS.values():  # neighbours, and the server's start
                run(["ping", "-c", "1", "-W", "5", target], netns=A)
            for _ in range(arguments.rounds):
                names = list(TARGETS)
                order.shuffle(names)
                for name in names:
                    runs[name].append(throughput(TARGETS[name], arguments.seconds))
        finally:
            server.terminate(grace_s=1)
        carried = [backend.counters()["gre4"] for backend in backends]
    figures = {name: Figure(name, "Gb/s", values) for name, values in runs.items()}
    bare, vxlan = figures["bare link"], figures["VXLAN"]
    gre, six = figures["GRE by eBPF"], figures["GRE by eBPF, IPv6 in IPv6"]
    report(
        "gre_tcp",
        list(figures.values()),
        [
            Ratio("GRE by eBPF / bare link", gre, bare, 0.95),
            Ratio("GRE by eBPF / VXLAN", gre, vxlan, 1.0),
            Ratio("GRE by eBPF, IPv6 in IPv6 / bare link", six, bare),
            Ratio("VXLAN / bare link", vxlan, bare),
        ],
        before=before,
        notes=[
            f"one TCP stream, {arguments.seconds:g} s each, {arguments.rounds} rounds in random "
            "order; payload that arrived",
            f"through the tunnel over IPv4: {carried[0].tx_packets:,} packets in, "
            f"{carried[1].rx_packets:,} out, drops {carried[0].drops or carried[1].drops or 'none'}",
        ],
    )


if __name__ == "__main__":
    main()
