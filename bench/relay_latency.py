"""What the accelerators' relay adds to a packet's time: p50 and p99 of round trips, against the bare path.

Client, entry PoP, egress PoP and endpoint are namespaces joined by virtual Ethernet, three times over:
routed by the kernel with no relay ("bare"), with the relay behind socket buffers ("tc") and in the
drivers ("XDP"). One datagram of 100 bytes is away at a time; a process of its own sends it back. A round
trip passes each PoP twice. Batches take turns in an order that changes, so that what else the machine
does falls on all; what is added is the difference of one round's figures.

    python bench/relay_latency.py [--rounds N] [--trips N]
"""

import argparse
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path

import numpy as np

from bongsu.model.accelerator import Mesh
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
from bongsu.system.gre import offload
from bongsu.system.relay import LiveEndpoint, RelayPlane
from bongsu.system.run import run
from common import Figure, machine, report

ACCELERATED, OFF, ENDPOINT, ECHO = "203.0.113.10", "203.0.113.20", "10.9.0.2", 7
SIZE = 100
ENDS = {
    # device: machine, its far end's machine and device, addresses
    "c": ("c", "e", "ec", "198.51.100.2/24", "198.51.100.1/24"),
    "ex": ("e", "x", "xe", "192.0.2.1/24", "192.0.2.2/24"),
    "xs": ("x", "s", "s", "10.9.0.1/24", f"{ENDPOINT}/24"),
}
ROUTES = {
    "c": ["default via 198.51.100.1"],
    "e": ["10.9.0.0/24 via 192.0.2.2"],
    "x": ["198.51.100.0/24 via 192.0.2.1"],
    "s": ["default via 10.9.0.1"],
}


def plan(where: str) -> RelayPlan:
    """Of e or x."""
    other = {"e": "x", "x": "e"}[where]
    own = {"e": "192.0.2.1", "x": "192.0.2.2"}
    listener = ListenerPlan(
        name="echo",
        protocol="udp",
        ranges=[(ECHO, ECHO)],
        endpoints=[EndpointPlan(name="s", address=ip_address(ENDPOINT), weight=100)],
        affinity="client",
        idle_s=86400,
        validation="none",
        amplification=None,
        health=None,
        repair=None,
    )
    region = RegionPlan(
        name="here",
        node="e",
        number=number("node", "e"),
        address=ip_address(ACCELERATED),
        public=ip_address(ACCELERATED),
    )
    peer = RelayPeer(
        node=other,
        number=number("node", other),
        local=ip_address(own[where]),
        remote=ip_address(own[other]),
    )
    accelerator = AcceleratorPlan(
        name="bench",
        number=number("accelerator", "bench"),
        bandwidth_bps=None,
        regions=[region],
        egress="x",
        egress_number=number("node", "x"),
        off_address=ip_address(OFF),
        off_public=ip_address(OFF),
        listeners=[listener],
    )
    return RelayPlan(
        number=number("node", where),
        port=4610,
        key=None,
        mesh=Mesh(),
        peers=[peer],
        accelerators=[accelerator],
    )


@contextmanager
def line(kind: str) -> Iterator[socket.socket]:
    """A client's socket, connected to the echo by one of the three ways."""
    prefix = f"bst-rlat{os.getpid()}-{kind}"
    names = {where: f"{prefix}-{where}" for where in "cexs"}
    with ExitStack() as stack:
        for name in names.values():
            netns.create(name)
            stack.callback(netns.remove, name)
        _wire(names)
        if kind != "bare":
            for where in "ex":
                with netns.in_netns(names[where]):
                    plane = RelayPlane.open(xdp=kind == "xdp", records=1024)
                    stack.callback(_closed, names[where], plane)
                    plane.apply(plan(where), b"a bench's secret, no more")
                    if where == "x":
                        live = [LiveEndpoint("s", ip_address(ENDPOINT))]
                        plane.set_endpoints(number("accelerator", "bench"), "echo", live)
        stack.callback(_ended, _echo(names["s"]))
        near = netns.socket_in(names["c"], socket.AF_INET, socket.SOCK_DGRAM)
        stack.callback(near.close)
        near.settimeout(5)
        near.connect((ENDPOINT if kind == "bare" else ACCELERATED, ECHO))
        yield near


def _wire(names: dict[str, str]) -> None:
    for name in names.values():
        run(["ip", "-n", name, "link", "set", "lo", "up"])
        with netns.in_netns(name):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    for device, (one, two, far, own, other) in ENDS.items():
        pair = f"link add {device} type veth peer name {far} netns {names[two]}"
        run(["ip", "-n", names[one], *pair.split()])
        for where, what, address in ((one, device, own), (two, far, other)):
            lines = [f"addr add {address} dev {what}", f"link set {what} up"]
            run(["ip", "-n", names[where], "-batch", "-"], input="\n".join(lines) + "\n")
            with netns.in_netns(names[where]):
                offload.set_features(what, {"rx-gro": True, "tx-checksum-ip-generic": False})
    for where, routes in ROUTES.items():
        lines = [f"route add {route}" for route in routes]
        run(["ip", "-n", names[where], "-batch", "-"], input="\n".join(lines) + "\n")
    for where, address in (("e", ACCELERATED), ("x", OFF)):
        run(["ip", "-n", names[where], "addr", "add", address, "dev", "lo"])


def _closed(name: str, plane: RelayPlane) -> None:
    with netns.in_netns(name):
        plane.close()


def _echo(name: str) -> int:
    """A process that sends back what it gets; its number."""
    far = netns.socket_in(name, socket.AF_INET, socket.SOCK_DGRAM)
    far.bind((ENDPOINT, ECHO))
    child = os.fork()
    if child:
        far.close()
        return child
    try:
        while True:
            data, sender = far.recvfrom(2048)
            far.sendto(data, sender)
    finally:
        os._exit(0)


def _ended(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def trips(near: socket.socket, count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Round trips, one at a time, in microseconds."""
    told = np.empty(count)
    said = bytes(SIZE - 28)
    clock = time.perf_counter_ns
    for each in range(count):
        begin = clock()
        near.send(said)
        near.recv(2048)
        told[each] = clock() - begin
    return told / 1000


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--trips", type=int, default=3000)
    arguments = parser.parse_args()
    before, order = machine(), random.Random(1)
    kinds = ["bare", "tc", "xdp"]
    runs: dict[str, list[float]] = {}
    with ExitStack() as stack:
        lines = {kind: stack.enter_context(line(kind)) for kind in kinds}
        for near in lines.values():
            trips(near, 200)
        for _ in range(arguments.rounds):
            order.shuffle(kinds)
            seen = {kind: trips(lines[kind], arguments.trips) for kind in kinds}
            for quantile in (50, 99):
                told = {kind: float(np.percentile(each, quantile)) for kind, each in seen.items()}
                for kind, value in told.items():
                    runs.setdefault(f"{kind}, p{quantile}", []).append(value)
                for kind in ("tc", "xdp"):
                    added = told[kind] - told["bare"]
                    runs.setdefault(f"added by {kind}, p{quantile}", []).append(added)
    figures = [
        Figure(name, "µs", values, lower_is_better=True) for name, values in sorted(runs.items())
    ]
    notes = [
        f"{arguments.trips} round trips a run, {arguments.rounds} rounds; a round trip passes each of the"
        " two PoPs twice, where the bare path is routed by the kernel",
    ]
    report("relay_latency", figures, before=before, notes=notes)


if __name__ == "__main__":
    main()
