"""What loss repair brings and costs: two engines in namespaces, over a path that loses.

A sender paces packets into the device of one engine, as the relay's program would; the other engine's
device is watched by a packet socket with the kernel's time stamps. Between them every packet, data,
parity and report alike, passes a seeded chain of Gilbert and Elliott (repair.bpf.c), in both directions:
`independent` losses, or `bursts` of four packets on average. The first two seconds, in which the sender
learns what the path is like, do not count.

  lost            of the data packets, before any repair, as the receiving engine saw it
  left            of the packets that were sent, what never arrived
  overhead        packets of parity and copies over packets of data; a trailer of 20 bytes comes on each
  late            what a repaired packet was later than it would have come without loss: the time from
                  its sending less the median of those that came by themselves
  all, p99        the same for all packets, whether repaired or not

RS 20 is Reed-Solomon with 20 packets to a block. The yardsticks are carried by the same engine: one
parity to four packets is what XOR does, and twice is each packet again by the same path, 5 ms later.

`throughput` is the engine's: a thread's packets over the time that the thread was given by the
processor, its system calls and what they cause in the stack included, so that what others do on the
machine is not counted; with packets as they come from a flood, so that it works in batches.

    python bench/repair.py [--seconds S] [--pps N] [--runs N]
"""

import argparse
import contextlib
import itertools
import json
import os
import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
from pyroute2 import IPRoute
from rich.console import Console
from rich.table import Table

from bongsu.model.accelerator import Duplicate, Mesh, ReedSolomon
from bongsu.plan.relay import AcceleratorPlan, RelayPeer, RelayPlan
from bongsu.protocol.repair.packet import Header
from bongsu.system import netns
from bongsu.system.bpf import attach
from bongsu.system.bpf.maps import Map
from bongsu.system.bpf.objects import Object
from bongsu.system.repair.engine import DEVICE, Repair, RepairEngine
from common import RESULTS, compiled, machine

NAME = "repair"
PID = os.getpid()
SPACES = (f"bst-rep{PID}-a", f"bst-rep{PID}-b")
ADDRESSES = (ip_address("10.79.0.1"), ip_address("10.79.0.2"))
PATH = struct.Struct("=QQQIIII")
KEY = b"as long as a real one would be"
ACCELERATOR, PORT, PROTOCOL = 7, 4610, 0x0800
SIZE = 1000
"""Of a relayed packet, its header included."""
LEARNING_S = 2.0
BURST = 4.0
"""Packets, on average."""
SO_RCVBUFFORCE, SO_TIMESTAMPNS = 33, 35


def reed_solomon(block: int, delay_ms: int = 20) -> ReedSolomon:
    return ReedSolomon(mode="reed-solomon", block=block, overhead_percent=25, delay_ms=delay_ms)


MODES: dict[str, Repair] = {
    "RS 20": reed_solomon(20),
    "RS 32": reed_solomon(32),
    "RS 64": reed_solomon(64),
    "RS 64, 60 ms": reed_solomon(64, 60),
    "XOR 4:1": reed_solomon(4),
    "twice": Duplicate(mode="duplicate"),
}
LOSSES = [(kind, share) for kind in ("independent", "bursts") for share in (0.01, 0.05, 0.10)]


def plan(own: int) -> RelayPlan:
    """Of node 1 or 2, as far as the engine reads it."""
    off = ADDRESSES[1]
    return RelayPlan(
        number=own,
        port=PORT,
        key=None,
        mesh=Mesh(),
        peers=[
            RelayPeer(
                node="other", number=3 - own, local=ADDRESSES[own - 1], remote=ADDRESSES[2 - own]
            )
        ],
        accelerators=[
            AcceleratorPlan(
                name="bench",
                number=ACCELERATOR,
                bandwidth_bps=None,
                regions=[],
                egress="other",
                egress_number=2,
                off_address=off,
                off_public=off,
                listeners=[],
            )
        ],
    )


def share_to_u32(share: float) -> int:
    """As the BPF program compares it."""
    return min(0xFFFFFFFF, round(share * 2**32))


class Wire:
    """The path between the namespaces."""

    def __init__(self) -> None:
        with Object(compiled(__file__), "repair") as opened:
            opened.load()
            self.program = opened.program("lossy")
            self.map: Map = opened.maps()["path"]
        with netns.in_netns(SPACES[0]), IPRoute() as ip:
            ip.link(
                "add", ifname="wire", kind="veth", peer={"ifname": "wire", "net_ns_fd": SPACES[1]}
            )
        for at, space in enumerate(SPACES):
            with netns.in_netns(space), IPRoute() as ip:
                index = ip.link_lookup(ifname="wire")[0]
                ip.addr("add", index=index, address=str(ADDRESSES[at]), prefixlen=24)
                ip.link("set", index=index, state="up", address=f"02:00:00:00:00:0{at + 1}")
                ip.neigh(
                    "add",
                    dst=str(ADDRESSES[1 - at]),
                    lladdr=f"02:00:00:00:00:0{2 - at}",
                    ifindex=index,
                    state="permanent",
                )
                attach.tc_attach(index, "egress", self.program, 1)

    def set(self, kind: str, share: float, seed: int) -> None:
        """`share` of packets lost, one by one or in bursts."""
        recovers = 1 / BURST if kind == "bursts" else 1 - share
        worsens = share * recovers / (1 - share)
        numbers = [share_to_u32(each) for each in (worsens, recovers, 1.0)]
        self.map.update(bytes(4), PATH.pack(seed, 0, 0, *numbers, 0))


@dataclass
class Ends:
    """Both engines, and the relay's side of their devices."""

    engines: tuple[RepairEngine, RepairEngine]
    sender: socket.socket
    watcher: socket.socket

    @classmethod
    @contextlib.contextmanager
    def opened(cls, mode: Repair) -> Iterator["Ends"]:
        """With the mode set on both; ready to send."""
        with contextlib.ExitStack() as stack:
            state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            engines = []
            for own, space in enumerate(SPACES, 1):
                with netns.in_netns(space):
                    engine = RepairEngine.start(plan(own), KEY, state / str(own))
                stack.callback(engine.close)
                engine.set_mode(ACCELERATOR, "up", mode)
                engines.append(engine)
            sockets = []
            for space in SPACES:
                made = netns.socket_in(space, socket.AF_PACKET, socket.SOCK_RAW, 0)
                stack.callback(made.close)
                made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
                made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                made.setblocking(False)
                sockets.append(made)
            sockets[0].bind((DEVICE, 0))
            sockets[1].bind((DEVICE, PROTOCOL))
            while not all(all(engine.counters().alive.values()) for engine in engines):
                time.sleep(0.01)
            yield cls((engines[0], engines[1]), sockets[0], sockets[1])

    def drain(self, seen: list[tuple[int, int]]) -> None:
        """Numbers and times of what arrived, in its order."""
        space = socket.CMSG_SPACE(16)
        while True:
            try:
                packet, ancillary, _, _ = self.watcher.recvmsg(64, space)
            except BlockingIOError:
                return
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            number = int.from_bytes(packet[44:48])
            seen.append((number, seconds * 1_000_000_000 + nanoseconds))


@dataclass(frozen=True)
class Outcome:
    """One run."""

    lost: float
    left: float
    overhead: float
    repaired_ms: tuple[float, float, float]
    """Median, 99th percentile, worst."""
    all_p99_ms: float
    sent: int
    unsent: int


def packet() -> bytearray:
    """A relayed packet; its number comes at 44."""
    head = Header(kind=0, destination=2, source=1, accelerator=ACCELERATOR).pack()
    return bytearray(head + bytes(8) + b"\x45" + bytes(SIZE - 25))


def pour(ends: Ends, pps: int, seconds: float) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Times of sending by number (0: it could not be sent), and what arrived."""
    count = int(pps * seconds)
    times = np.zeros(count, np.int64)
    seen: list[tuple[int, int]] = []
    made = packet()
    start, number = time.monotonic_ns(), 0
    while number < count:
        due = min(count, (time.monotonic_ns() - start) * pps // 1_000_000_000)
        # who was kept from running does not make up for it in one burst
        if due - number > pps // 50:
            start += (due - number) * 1_000_000_000 // pps
            due = number + 1
        for each in range(number, due):
            made[44:48] = each.to_bytes(4)
            times[each] = time.time_ns()
            try:
                ends.sender.send(made)
            except OSError:
                times[each] = 0
        number = max(number, due)
        ends.drain(seen)
        time.sleep(0.0005)
    time.sleep(0.5)
    ends.drain(seen)
    return times, seen


def measure(
    wire: Wire, mode: Repair, kind: str, share: float, pps: int, seconds: float, seed: int
) -> Outcome:
    wire.set(kind, share, seed)
    with Ends.opened(mode) as ends:
        learned, _ = pour(ends, pps, LEARNING_S)
        before, theirs = ends.engines[0].counters().sent[0], ends.engines[1].counters().received[0]
        times, seen = pour(ends, pps, seconds)
        after, theirs_after = (
            ends.engines[0].counters().sent[0],
            ends.engines[1].counters().received[0],
        )
    numbers = np.array([number for number, _ in seen])
    arrived = np.array([at for _, at in seen])
    unsent = int((times == 0).sum())
    delay = (arrived - times[numbers]) / 1e6
    # what comes after one with a higher number was repaired: the path keeps the order
    repaired = numbers < np.maximum.accumulate(numbers)
    usual = float(np.median(delay[~repaired]))
    late = delay[repaired] - usual if repaired.any() else np.zeros(1)
    sent = len(times) - unsent

    def grew(row: np.void, earlier: np.void, name: str) -> float:
        return float(row[name]) - float(earlier[name])

    extra = grew(after, before, "parities") + grew(after, before, "copies")
    return Outcome(
        lost=grew(theirs_after, theirs, "lost") / max(1.0, grew(theirs_after, theirs, "judged")),
        left=1 - len(set(numbers.tolist())) / sent,
        overhead=extra / grew(after, before, "packets"),
        repaired_ms=tuple(float(q) for q in np.percentile(late, [50, 99, 100])),  # type: ignore[arg-type]
        all_p99_ms=float(np.percentile(delay - usual, 99)),
        sent=sent,
        unsent=unsent + int((learned == 0).sum()),
    )


def threads() -> dict[int, float]:
    """CPU seconds of the engines' threads, by number."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        if (task / "comm").read_text().startswith("bongsu-repair"):
            found[int(task.name)] = int((task / "schedstat").read_text().split()[0]) / 1e9
    return found


def throughput(wire: Wire, mode: Repair, size: int, seconds: float) -> tuple[float, float]:
    """Packets a second of processor time: of the sending engine, of the receiving one."""
    wire.set("independent", 0.05, 1)
    with Ends.opened(mode) as ends:
        tasks = sorted(threads())
        made = packet()[:44] + bytes(size - 44)
        end = time.monotonic() + seconds
        before, sent, got = threads(), ends.engines[0].counters(), ends.engines[1].counters()
        refused = 0
        while time.monotonic() < end:
            for _ in range(256):
                try:
                    ends.sender.send(made)
                except OSError:
                    refused += 1
                    time.sleep(0.0002)
        ends.watcher.close()
        time.sleep(0.2)
        after, sent_after, got_after = threads(), *(engine.counters() for engine in ends.engines)
    out = sent_after.sent[0]["packets"] - (sent.sent[0]["packets"] if len(sent.sent) else 0)
    arrived = got_after.received[0]["packets"] - (
        got.received[0]["packets"] if len(got.received) else 0
    )
    spent = [after[task] - before[task] for task in tasks]
    return float(out) / spent[0], float(arrived) / spent[1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--pps", type=int, default=8000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    before = machine()
    rows: list[dict[str, object]] = []
    speeds: list[dict[str, object]] = []
    with contextlib.ExitStack() as stack:
        for space in SPACES:
            netns.create(space)
            stack.callback(netns.remove, space)
        wire = Wire()
        # the modes take turns, so that what others do on the machine meets all of them
        for run, ((kind, share), (name, mode)) in itertools.product(
            range(options.runs), itertools.product(LOSSES, MODES.items())
        ):
            seed = 1000 * run + 7
            one = measure(wire, mode, kind, share, options.pps, options.seconds, seed)
            rows.append({"losses": kind, "share": share, "mode": name, **asdict(one)})
        for size, _ in itertools.product((100, 1400), range(options.runs)):
            sends, receives = throughput(wire, reed_solomon(20), size, 3.0)
            speeds.append({"size": size, "sends_pps": sends, "receives_pps": receives})
    after = machine()
    console = Console(width=110)
    show(console, rows, options.pps)
    show_speeds(console, speeds)
    load = " -> ".join(f"{each['load'][0]:.2f}" for each in (before, after))
    console.print(
        f"kernel {after['kernel']}, {after['cores']} cores, {after['processor']}, load {load}"
    )
    RESULTS.mkdir(exist_ok=True)
    document = {
        "bench": NAME,
        "machine": {"before": before, "after": after},
        "pps": options.pps,
        "seconds": options.seconds,
        "rows": rows,
        "throughput": speeds,
    }
    (RESULTS / f"{NAME}.json").write_text(json.dumps(document, indent=1) + "\n")


def show(console: Console, rows: list[dict[str, Any]], pps: int) -> None:
    """Of all runs the mean of what is counted, the median of what is timed; the worst of all."""
    table = Table(
        title=f"{pps:,} packets a second of {SIZE} bytes, overhead at most 25 %, delay_ms 20"
    )
    for heading in ("losses", "mode"):
        table.add_column(heading)
    for heading in (
        "lost %",
        "left %",
        "worst run",
        "overhead %",
        "late ms: p50",
        "p99",
        "all, p99",
    ):
        table.add_column(heading, justify="right")
    for (kind, share), name in itertools.product(LOSSES, MODES):
        runs = [
            row for row in rows if (row["losses"], row["share"], row["mode"]) == (kind, share, name)
        ]
        left = [row["left"] * 100 for row in runs]
        table.add_row(
            f"{kind} {share:.0%}",
            name,
            f"{np.mean([row['lost'] for row in runs]) * 100:.2f}",
            f"{np.mean(left):.4f}",
            f"{max(left):.4f}",
            f"{np.mean([row['overhead'] for row in runs]) * 100:.1f}",
            f"{np.median([row['repaired_ms'][0] for row in runs]):.1f}",
            f"{np.median([row['repaired_ms'][1] for row in runs]):.1f}",
            f"{np.median([row['all_p99_ms'] for row in runs]):.1f}",
        )
    console.print(table)


def show_speeds(console: Console, speeds: list[dict[str, Any]]) -> None:
    """Of one core, as if it had nothing else to do."""
    table = Table(
        title="the engine's thread at 5 % loss, Reed-Solomon 20:5, a second of processor time"
    )
    for heading in ("packet", "sends", "Gb/s", "receives", "Gb/s"):
        table.add_column(heading, justify="right")
    for size in sorted({row["size"] for row in speeds}):
        cells = []
        for end in ("sends_pps", "receives_pps"):
            rate = float(np.median([row[end] for row in speeds if row["size"] == size]))
            cells += [f"{rate:,.0f}", f"{rate * size * 8 / 1e9:.2f}"]
        table.add_row(f"{size} bytes", *cells)
    console.print(table)


if __name__ == "__main__":
    main()
