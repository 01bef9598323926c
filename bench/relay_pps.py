"""Packets a second on one core: the accelerators' relay against nftables, socat and Envoy.

ESP in UDP to port 4500 of an accelerated address, one session, in frames of 64 bytes and in IP packets
of 1,400. How frames are made, counted and timed is told in gre_pps.py: XDP live frames, a pinned
thread, the core's own time with all softirq work in it. Every frame is given its first 102 bytes
anew, in every path alike. The paths take turns:

entry up      in from the client, found in the table, 52 bytes put on, out to the other PoP
egress up     in from the other PoP, peer and tag checked, 52 bytes off, addresses, ports and checksums
              changed, per-session and per-SPI counters, out to the endpoint
egress down   the answer: translated back, 52 bytes on
entry down    checked, 52 bytes off, out to the client

each in the driver ("XDP") and, as where XDP is not to be had, behind a socket buffer ("tc"). A relayed
packet passes two PoPs; each of the four is one machine's share, as is the yardstick's:

nft           DNAT of the client's packet and SNAT to the off address with connection tracking, through
              the kernel's stack; `down` is the answer. It does a PoP's translation, without carrying to
              another PoP, proof of clients, counters or a tag.

User space, by the clock on the wall, each with a core to itself while the kernel's receiving runs on
the other and offers it a million a second: socat (UDP4-LISTEN to UDP4) and Envoy's UDP proxy (if its
program is found on PATH or in $ENVOY).

    python bench/relay_pps.py [--rounds N] [--frames N]
"""

import argparse
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

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
from bongsu.system.bpf import testrun
from bongsu.system.bpf.objects import Program
from bongsu.system.gre import offload
from bongsu.system.relay import LiveEndpoint, RelayPlane
from bongsu.system.run import run
from common import Figure, Ratio, compiled, machine, report
from gre_pps import Tools, index, tc, xdp

PID = os.getpid()
PROGRAMS = ("begin", "swallow_xdp", "swallow_tc")
E, X, N, U, S = (f"bst-rpps{PID}-{name}" for name in "exnus")
CLIENT, ACCELERATED, OFF, ENDPOINT = "198.51.100.9", "203.0.113.10", "203.0.113.20", "10.9.0.9"
PORT, ESP_PORT = 4610, 4500
SECRET = b"a bench's secret, no more"
DEVICES = {
    # device: its namespace, the far end (in S), address, neighbour
    "ein": (E, "c0", "198.51.100.1/24", CLIENT),
    "ewire": (E, "w0", "192.0.2.1/24", "192.0.2.2"),
    "xwire": (X, "x0", "192.0.2.2/24", "192.0.2.1"),
    "xout": (X, "s0", "10.9.0.1/24", ENDPOINT),
    "nin": (N, "n0", "198.51.100.1/24", CLIENT),
    "nout": (N, "m0", "10.9.0.1/24", ENDPOINT),
    "uin": (U, "u0", "198.51.100.1/24", CLIENT),
    "uout": (U, "v0", "10.9.0.1/24", ENDPOINT),
}
MAC = {name: f"02:00:00:00:00:{n:02x}" for n, name in enumerate(DEVICES, 16)}
FAR = {each[1]: f"02:00:00:00:01:{n:02x}" for n, each in enumerate(DEVICES.values(), 16)}
SIZES = {"64 B": 60 - 14 - 28 - 8, "1,400 B": 1400 - 28 - 8}
"""Bytes behind ESP's header; a frame has four more on the wire that no software sees."""
NFT = f"""
table ip relay {{
  chain pre {{ type nat hook prerouting priority dstnat;
    ip daddr {ACCELERATED} udp dport {ESP_PORT} dnat to {ENDPOINT}
  }}
  chain post {{ type nat hook postrouting priority srcnat;
    oifname nout snat to {OFF}
  }}
}}
"""


def plan(where: str) -> RelayPlan:
    """Of PoP e or x."""
    other = {"e": "x", "x": "e"}[where]
    own = {"e": "192.0.2.1", "x": "192.0.2.2"}
    listener = ListenerPlan(
        name="vpn",
        protocol="udp",
        ranges=[(500, 500), (4500, 4500)],
        endpoints=[EndpointPlan(name="s", address=ip_address(ENDPOINT), weight=100)],
        affinity="client",
        idle_s=86400,
        validation="ike",
        amplification=3,
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
    accelerator = AcceleratorPlan(
        name="bench",
        number=number("accelerator", "bench"),
        bandwidth_bps=100_000_000_000,
        regions=[region],
        egress="x",
        egress_number=number("node", "x"),
        off_address=ip_address(OFF),
        off_public=ip_address(OFF),
        listeners=[listener],
    )
    peer = RelayPeer(
        node=other,
        number=number("node", other),
        local=ip_address(own[where]),
        remote=ip_address(own[other]),
    )
    return RelayPlan(
        number=number("node", where),
        port=PORT,
        key=None,
        mesh=Mesh(),
        peers=[peer],
        accelerators=[accelerator],
    )


@contextmanager
def network() -> Iterator[tuple[RelayPlane, RelayPlane]]:
    """All machines, none speaking to another but by this bench's hands."""
    planes = []
    try:
        for name in (E, X, N, U, S):
            netns.create(name)
            run(["ip", "-n", name, "link", "set", "lo", "up"])
            with netns.in_netns(name):
                Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
                for scope in ("all", "default"):
                    Path(f"/proc/sys/net/ipv4/conf/{scope}/rp_filter").write_text("0")
                    Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6").write_text("1")
        for device, (name, far, address, neighbour) in DEVICES.items():
            lines = [
                f"link add {device} address {MAC[device]} type veth peer name {far}"
                f" address {FAR[far]} netns {S}",
                f"addr add {address} dev {device}",
                f"link set {device} up",
                f"neigh add {neighbour} lladdr {FAR[far]} dev {device} nud permanent",
            ]
            run(["ip", "-n", name, "-batch", "-"], input="\n".join(lines) + "\n")
            run(["ip", "-n", S, "link", "set", far, "up"])
            for where, what in ((name, device), (S, far)):
                with netns.in_netns(where):
                    offload.set_features(what, {"rx-gro": True, "tx-checksum-ip-generic": False})
        for name, address in ((E, ACCELERATED), (X, OFF), (N, OFF), (U, ACCELERATED), (U, OFF)):
            run(["ip", "-n", name, "addr", "add", address, "dev", "lo"])
        run(["nft", "-f", "-"], input=NFT, netns=N)
        for name, which in ((E, "e"), (X, "x")):
            with netns.in_netns(name):
                plane = RelayPlane.open(xdp=True)
                planes.append(plane)
                plane.apply(plan(which), SECRET)
        with netns.in_netns(X):
            planes[1].set_endpoints(
                number("accelerator", "bench"), "vpn", [LiveEndpoint("s", ip_address(ENDPOINT))]
            )
        yield planes[0], planes[1]
    finally:
        for name, plane in zip((E, X), planes, strict=False):
            with netns.in_netns(name):
                plane.close()
        for name in (E, X, N, U, S):
            netns.remove(name)


class Hands:
    """Frames at the far ends of all devices."""

    def __init__(self) -> None:
        self._sockets = {}
        for far in FAR:
            made = netns.socket_in(S, socket.AF_PACKET, socket.SOCK_RAW)
            with netns.in_netns(S):
                made.bind((far, 3))
            made.settimeout(5)
            self._sockets[far] = made

    def through(self, device: str, packet: bytes, out: str) -> bytes:
        """Gives an IP packet to a device; the IP packet that another one sends."""
        far = DEVICES[device][1]
        frame = bytes(Ether(dst=MAC[device], src=FAR[far]))[:12] + b"\x08\x00" + packet
        self._sockets[far].send(frame)
        while True:
            seen = self._sockets[DEVICES[out][1]].recv(4096)
            if seen[6:12] == bytes.fromhex(MAC[out].replace(":", "")):
                return seen[14:]

    def close(self) -> None:
        """Frees them, and what they were sent."""
        for each in self._sockets.values():
            each.close()


def ip(source: str, target: str, sport: int, dport: int, payload: bytes) -> bytes:
    """An IP packet with UDP; NAT traversal's checksum is zero (RFC 3948, 2.1)."""
    packet = IP(src=source, dst=target, ttl=64) / UDP(sport=sport, dport=dport, chksum=0)
    return bytes(packet / payload)


def esp(spi: int, sequence: int, size: int) -> bytes:
    """An ESP packet's beginning, and as many bytes."""
    return struct.pack(">II", spi, sequence) + bytes(size)


def ike(responder: bytes) -> bytes:
    """An IKE header behind its marker."""
    return bytes(4) + b"initiat1" + responder + struct.pack(">BBBBII", 33, 32, 34, 8, 0, 28)


def up(payload: bytes) -> bytes:
    """The client's."""
    return ip(CLIENT, ACCELERATED, ESP_PORT, ESP_PORT, payload)


def down(payload: bytes) -> bytes:
    """The endpoint's."""
    return ip(ENDPOINT, OFF, ESP_PORT, ESP_PORT, payload)


def frames(hands: Hands) -> dict[str, dict[str, bytes]]:
    """Makes the session, proves its client, and keeps what each path's packets look like, by size."""

    def there(payload: bytes) -> bytes:
        wrapped = hands.through("ein", up(payload), "ewire")
        hands.through("xwire", wrapped, "xout")
        return wrapped

    def back(payload: bytes) -> bytes:
        wrapped = hands.through("xout", down(payload), "xwire")
        hands.through("ewire", wrapped, "ein")
        return wrapped

    there(ike(bytes(8)))
    back(ike(b"respond1"))
    there(ike(b"respond1"))
    found: dict[str, dict[str, bytes]] = {}
    for name, size in SIZES.items():
        for sequence in (1, 2):
            over, returned = there(esp(5, sequence, size)), back(esp(6, sequence, size))
        hands.through("nin", up(esp(5, 1, size)), "nout")
        hands.through("nout", down(esp(6, 1, size)), "nin")
        found[name] = {
            "entry up": up(esp(5, 3, size)),
            "egress up": over,
            "egress down": down(esp(6, 3, size)),
            "entry down": returned,
            "nft up": up(esp(5, 3, size)),
            "nft down": down(esp(6, 3, size)),
        }
    return found


WAYS = {
    "entry up": ("ein", "ewire"),
    "egress up": ("xwire", "xout"),
    "egress down": ("xout", "xwire"),
    "entry down": ("ewire", "ein"),
    "nft up": ("nin", "nout"),
    "nft down": ("nout", "nin"),
}


class Bench:
    """Each path a function from a number of frames to million frames a second of core time."""

    def __init__(self, tools: Tools, programs: dict[str, Program]) -> None:
        self.tools, self.programs = tools, programs
        self.lost = 0
        name = f"ksoftirqd/{next(iter(os.sched_getaffinity(0)))}"
        (self.softirq,) = (
            each.parent / "schedstat"
            for each in Path("/proc").glob("[0-9]*/comm")
            if each.read_text().strip() == name
        )

    def rate(self, way: str, packet: bytes, count: int, *, fast: bool) -> float:
        """Sends so many and counts what comes out."""
        device, out = WAYS[way]
        where, far = DEVICES[device][0], DEVICES[out][1]
        head = bytes.fromhex((MAC[device] + FAR[DEVICES[device][1]]).replace(":", ""))
        frame = (head + b"\x08\x00" + packet).ljust(60, b"\0")
        program = self.programs[where] if fast else None
        self.tools.begin_with(frame, program)
        swallow = self.tools.programs["swallow_xdp" if fast else "swallow_tc"]
        ifindex = index(where, device)
        with (xdp if fast else tc)(S, far, swallow), netns.in_netns(where):
            begin = self.tools.programs["begin"]
            testrun.live(begin, frame, ifindex, 1000)  # caches, page pool
            before, spent = self.tools.swallowed(), self._core_s()
            testrun.live(begin, frame, ifindex, count)
            spent = self._core_s() - spent
            arrived = min(count, self.tools.swallowed() - before)
        if arrived < 0.99 * count:
            raise SystemExit(f"{way}: of {count} frames only {arrived} arrived: {frame.hex()}")
        self.lost += count - arrived
        return arrived / spent / 1e6

    def _core_s(self) -> float:
        return time.thread_time() + int(self.softirq.read_text().split()[0]) / 1e9


# user space


def socat() -> list[str]:
    """A relay of one client."""
    return [
        "socat",
        f"UDP4-LISTEN:{ESP_PORT},bind={ACCELERATED}",
        f"UDP4:{ENDPOINT}:{ESP_PORT},bind={OFF}:{ESP_PORT}",
    ]


def envoy(program: str, directory: str) -> list[str]:
    """Envoy's UDP proxy, one worker."""
    proxy = {
        "@type": "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig",
        "stat_prefix": "relay",
        "matcher": {
            "on_no_match": {
                "action": {
                    "name": "route",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route",
                        "cluster": "endpoint",
                    },
                }
            }
        },
    }

    def address(host: str) -> dict[str, object]:
        told = {"protocol": "UDP", "address": host, "port_value": ESP_PORT}
        return {"socket_address": told}

    document = {
        "static_resources": {
            "listeners": [
                {
                    "name": "relay",
                    "address": address(ACCELERATED),
                    "listener_filters": [{"name": "udp", "typed_config": proxy}],
                }
            ],
            "clusters": [
                {
                    "name": "endpoint",
                    "type": "STATIC",
                    "load_assignment": {
                        "cluster_name": "endpoint",
                        "endpoints": [
                            {"lb_endpoints": [{"endpoint": {"address": address(ENDPOINT)}}]}
                        ],
                    },
                }
            ],
        }
    }
    path = Path(directory) / "envoy.json"
    path.write_text(json.dumps(document))
    options = ["--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
    return [program, "-c", str(path), *options]


def user_space(bench: Bench, command: list[str], packet: bytes, core: int, count: int) -> float:
    """Thousand packets a second that a program carries when it is offered more."""
    head = bytes.fromhex((MAC["uin"] + FAR["u0"]).replace(":", ""))
    frame = (head + b"\x08\x00" + packet).ljust(60, b"\0")
    bench.tools.begin_with(frame, None)
    begin, ifindex = bench.tools.programs["begin"], index(U, "uin")
    with netns.in_netns(U):
        started = subprocess.Popen(["taskset", "-c", str(core), *command])
    try:
        with tc(S, "v0", bench.tools.programs["swallow_tc"]), netns.in_netns(U):
            deadline = time.monotonic() + 20
            before = bench.tools.swallowed()
            while bench.tools.swallowed() == before:
                if time.monotonic() > deadline or started.poll() is not None:
                    raise SystemExit(f"{command[0]} carries nothing")
                testrun.live(begin, frame, ifindex, 64)
                time.sleep(0.05)
            time.sleep(0.2)
            before = bench.tools.swallowed()
            seconds = testrun.live(begin, frame, ifindex, count)
            return (bench.tools.swallowed() - before) / seconds / 1e3
    finally:
        started.terminate()
        started.wait()


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--frames", type=int, default=1_500_000)
    arguments = parser.parse_args()
    before, order = machine(), random.Random(1)
    cores = sorted(os.sched_getaffinity(0))
    core, other = cores[-1], cores[0]
    os.sched_setaffinity(0, {core})
    with network() as planes, ExitStack() as stack:
        tools = Tools(compiled(__file__), PROGRAMS)
        programs = {E: planes[0]._programs["relay_fast"], X: planes[1]._programs["relay_fast"]}
        bench = Bench(tools, programs)
        hands = Hands()
        packets = frames(hands)
        hands.close()
        paths: dict[str, Callable[[], float]] = {}
        for size, ways in packets.items():
            for way, packet in ways.items():
                slow = partial(bench.rate, way, packet, arguments.frames // 4, fast=False)
                if way.startswith("nft"):
                    paths[f"{size}: {way}"] = slow
                else:
                    paths[f"{size}: {way}, tc"] = slow
                    fast = partial(bench.rate, way, packet, arguments.frames, fast=True)
                    paths[f"{size}: {way}, XDP"] = fast
        runs: dict[str, list[float]] = {name: [] for name in paths}
        user: dict[str, list[float]] = {}
        programs_there = {"socat": socat()} if shutil.which("socat") else {}
        found = os.environ.get("ENVOY") or shutil.which("envoy")
        if found:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="bongsu-bench-"))
            programs_there["Envoy"] = envoy(found, directory)
        for turn in range(arguments.rounds):
            names = list(paths)
            order.shuffle(names)
            for name in names:
                runs[name].append(paths[name]())
            if turn < 3:
                for size in packets:
                    for name, command in programs_there.items():
                        packet = packets[size]["nft up"]
                        user.setdefault(f"{size}: {name}", []).append(
                            user_space(bench, command, packet, other, arguments.frames)
                        )
        lost = bench.lost
        up_then = planes[1].counters()["bench"]
    if up_then.up.drops or up_then.down.drops:
        raise SystemExit(f"the egress dropped: {up_then}")
    figures = {name: Figure(name, "Mpps", values) for name, values in runs.items()}
    by_wall = [Figure(name, "kpps", values, note="wall clock") for name, values in user.items()]
    ratios = []
    for size in packets:
        for way in ("entry up", "egress up", "egress down", "entry down"):
            yard = figures[f"{size}: nft {way.split()[1]}"]
            for kind, goal in (("XDP", 4.0), ("tc", None)):
                name = f"{size}: {way}, {kind}"
                ratios.append(Ratio(f"{name} / nft", figures[name], yard, goal))
    notes = [
        f"one core (CPU {core}), {arguments.rounds} rounds in random order; {lost} frames lost in all",
        "nft, and the relay by tc, allocate a socket buffer for each frame; XDP carries the frame alone",
    ]
    if not user:
        notes.append("neither socat nor Envoy is installed")
    report("relay_pps", [*figures.values(), *by_wall], ratios, before=before, notes=notes)


if __name__ == "__main__":
    main()
