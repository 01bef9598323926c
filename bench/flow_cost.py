"""What the flow monitor costs and how true it is, beside softflowd and pmacct on the same traffic.

Costs are those of the whole program in the kernel's own test run, less those of the loop around it.
Throughput is one TCP connection over one veth with and without the monitor, in turns. Tools that are
not installed (apt-get install softflowd pmacct) are left out, and said to be.
"""

import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from bongsu.system import netns
from bongsu.system.bpf import testrun
from bongsu.system.bpf.objects import Object
from bongsu.system.flow import layout
from bongsu.system.flow.choice import Choice
from bongsu.system.flow.monitor import Monitor
from bongsu.system.run import run
from common import Figure, Ratio, compiled, machine, report

PID = os.getpid()
A, B = f"bst-flow{PID}-a", f"bst-flow{PID}-b"
FLOWS = (1, 1024, 4096, 16384, 65536)
RUNS = 1_000_000
GOALS = {1: 60, 1024: 60, 4096: 60, 65536: 120}
"""Nanoseconds a packet."""
DATAGRAMS, SOURCES, SIZE = 200_000, 500, 100
HEADERS = 28


class Cost:
    """A packet of one of so many flows, in no order, through the program."""

    def __init__(self) -> None:
        with Object(compiled(__file__), "flow_cost") as image:
            image.load()
            self.vary, self.nothing = image.program("vary"), image.program("nothing")
            self.touch = image.program("touch")
            self.maps = image.maps()
        self.monitor = Monitor()
        entry: Any = np.zeros((), layout.INTERFACE)
        entry["ifindex"], entry["offset"] = 1, 14  # where test runs come from
        entry["flags"] = layout.ON | layout.HTTP_HERE
        self.monitor._devices.view("u8")[1] = entry.view("u8")

    def of(self, packet: bytes, flows: int, choice: Choice | None) -> float:
        """Nanoseconds a packet; without a choice, of touching one line of memory a flow."""
        self.monitor.choose(choice or Choice())
        times = []
        monitor = self.monitor.programs["flow_ingress"]
        for program in (monitor if choice else self.touch, self.nothing):
            self.maps["orders"].update(bytes(4), struct.pack("=QQ", 0, flows - 1))
            self.maps["trial"].update(bytes(4), struct.pack("=I", program.fd))
            testrun.cost(self.vary, packet, 2 * flows)  # every flow is known
            times.append(testrun.cost(self.vary, packet, RUNS))
        return float(times[0] - times[1])


FLOOR = "one line of memory"


def packets() -> dict[str, tuple[bytes, Choice | None]]:
    """What is counted, by its name."""
    head = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(dst="203.0.113.1")
    return {
        FLOOR: (bytes(head / UDP(sport=5, dport=6) / bytes(SIZE)), None),
        "counting": (bytes(head / UDP(sport=5, dport=6) / bytes(SIZE)), Choice()),
        "counting, HTTP on": (
            bytes(head / TCP(sport=5, dport=80, flags="A") / bytes(1000)),
            Choice(http=True),
        ),
    }


@contextlib.contextmanager
def wire() -> Iterator[None]:
    """A and B, and a veth between."""
    try:
        for name in (A, B):
            netns.create(name)
        run(["ip", "-n", A, "link", "add", "wa", "type", "veth", "peer", "name", "wb", "netns", B])
        for name, device, address in ((A, "wa", "192.0.2.1/24"), (B, "wb", "192.0.2.2/24")):
            lines = f"addr add {address} dev {device}\nlink set {device} up\nlink set lo up\n"
            run(["ip", "-n", name, "-batch", "-"], input=lines)
        yield
    finally:
        for name in (A, B):
            netns.remove(name)


@contextlib.contextmanager
def watching(choice: Choice) -> Iterator[Monitor]:
    """The monitor on B's end."""
    with netns.in_netns(B):
        monitor = Monitor()
    try:
        with netns.in_netns(B):
            monitor.choose(choice)
            monitor.watch("wb")
        yield monitor
    finally:
        with netns.in_netns(B):
            monitor.close()


def throughput(seconds: float) -> tuple[float, float]:
    """Of one TCP connection from A to B: Gbit/s, and Gbit for a second of processor time.

    The second does not mind what else the machine does: a veth works in its sender's time.
    """
    server = netns.socket_in(B, socket.AF_INET, socket.SOCK_STREAM)
    client = netns.socket_in(A, socket.AF_INET, socket.SOCK_STREAM)
    with server, client:
        server.bind(("192.0.2.2", 0))
        server.listen()
        child = os.fork()
        if not child:
            client.connect(server.getsockname())
            block = bytes(1 << 20)
            with contextlib.suppress(OSError):
                while True:
                    client.send(block)
            os._exit(0)
        served, _ = server.accept()
        with served:
            into, got = bytearray(1 << 20), 0
            begin, own = time.perf_counter(), time.process_time()
            while (now := time.perf_counter()) - begin < seconds:
                got += served.recv_into(into)
            own = time.process_time() - own
        os.kill(child, signal.SIGKILL)
        _, _, used = os.wait4(child, 0)
    spent = own + used.ru_utime + used.ru_stime
    return got * 8 / (now - begin) / 1e9, got * 8 / spent / 1e9


def datagrams() -> None:
    """One packet each, of so many flows."""
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(netns.socket_in(B, socket.AF_INET, socket.SOCK_DGRAM))
        sink.bind(("192.0.2.2", 9))
        ends = []
        for _ in range(SOURCES):
            end = stack.enter_context(netns.socket_in(A, socket.AF_INET, socket.SOCK_DGRAM))
            end.connect(("192.0.2.2", 9))
            ends.append(end)
        data = bytes(SIZE)
        for n in range(DATAGRAMS):
            ends[n % SOURCES].send(data)


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """Of a process and its children, so far."""
    total = 0.0
    for each in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = each.read_text().rpartition(")")[2].split()
            own = int(each.parent.name) == process.pid
            if own or int(fields[1]) == process.pid:
                total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


@contextlib.contextmanager
def daemon(command: list[str], folder: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program in B."""
    with (Path(folder) / "log").open("wb") as log:
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{B}", *command],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            time.sleep(2)
            if process.poll() is not None:
                raise SystemExit(f"{command[0]}: {(Path(folder) / 'log').read_text()}")
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


Result = tuple[float, float, float]
"""Packets and bytes counted over those sent, and microseconds of processor time a packet."""


def result(counted: int, octets: int, seconds: float) -> Result:
    """Of one trial."""
    sent = DATAGRAMS * (SIZE + HEADERS)
    return counted / DATAGRAMS, octets / sent, seconds / DATAGRAMS * 1e6


def bongsu() -> Result:
    """Ours; its processor time is what the kernel counts for the program."""
    switch = Path("/proc/sys/kernel/bpf_stats_enabled")
    before = switch.read_text()
    with watching(Choice()) as monitor:
        switch.write_text("1")
        try:
            datagrams()
        finally:
            switch.write_text(before)
        begin = time.thread_time()
        reading = monitor.read()
        spent = time.thread_time() - begin
        rows = [each[each["dport"] == 9] for each in (reading.spilled, reading.live)]
        info = Path(f"/proc/self/fdinfo/{monitor.programs['flow_ingress'].fd}").read_text()
    (ran,) = re.findall(r"run_time_ns:\s*(\d+)", info)
    counted = [sum(int(each[name].sum()) for each in rows) for name in ("packets", "bytes")]
    return result(counted[0], counted[1], spent + int(ran) / 1e9)


def softflowd() -> Result:
    """NetFlow by libpcap; nothing is exported until it ends."""
    with tempfile.TemporaryDirectory() as folder:
        control = f"{folder}/control"
        command = ["softflowd", "-d", "-i", "wb", "-n", "127.0.0.1:9995", "-m", "100000"]
        with daemon([*command, "-c", control, "-p", f"{folder}/pid"], folder) as process:
            before = cpu_s(process)
            datagrams()
            time.sleep(3)
            spent = cpu_s(process) - before
            said = run(["softflowctl", "-c", control, "dump-flows"]).stdout
    lines = [each for each in said.splitlines() if re.search(r"\]:9\b", each)]
    found = [
        sum(int(n) for line in lines for n in re.findall(rf"{word}[<>]:(\d+)", line))
        for word in ("packets", "octets")
    ]
    return result(found[0], found[1], spent)


def pmacct() -> Result:
    """By libpcap into its memory table."""
    with tempfile.TemporaryDirectory() as folder:
        pipe = f"{folder}/pipe"
        keys = "src_host,dst_host,src_port,dst_port,proto"
        settings = Path(folder) / "conf"
        settings.write_text(
            f"pcap_interface: wb\naggregate: {keys}\nplugins: memory\nimt_path: {pipe}\n"
        )
        with daemon(["pmacctd", "-f", str(settings)], folder) as process:
            before = cpu_s(process)
            datagrams()
            time.sleep(3)
            spent = cpu_s(process) - before
            said = run(["pmacct", "-s", "-O", "csv", "-p", pipe]).stdout
    head, *lines = [each.split(",") for each in said.splitlines() if "," in each]
    rows = [dict(zip(head, each, strict=False)) for each in lines]
    rows = [each for each in rows if each.get("DST_PORT") == "9"]
    found = [sum(int(each[name]) for each in rows) for name in ("PACKETS", "BYTES")]
    return result(found[0], found[1], spent)


def costs(rounds: int) -> dict[tuple[str, int], Figure]:
    """On one core, all in turns."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cost, kinds = Cost(), packets()
    runs: dict[tuple[str, int], list[float]] = {(k, n): [] for n in FLOWS for k in kinds}
    for _ in range(rounds):
        for name, flows in runs:
            runs[name, flows].append(cost.of(kinds[name][0], flows, kinds[name][1]))
    cost.monitor.close()
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    return {
        (name, flows): Figure(f"{name}, {flows} flows", "ns/packet", values, lower_is_better=True)
        for (name, flows), values in runs.items()
    }


def speeds(rounds: int, seconds: float) -> list[Figure]:
    """Without, with, and with HTTP, in turns: Gbit/s of each, then Gbit a processor second."""
    names = ("TCP without", "TCP with", "TCP with HTTP")
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    order = random.Random(1)
    # one monitor for all: making and freeing tables is no part of what a packet costs
    with watching(Choice()) as monitor:
        throughput(1)
        for _ in range(rounds):
            for name in order.sample(names, len(names)):
                with netns.in_netns(B):
                    monitor.choose(Choice(http="HTTP" in name))
                    if name == names[0]:
                        monitor.ignore("wb")
                    else:
                        monitor.watch("wb")
                runs[name].append(throughput(seconds))
    return [
        Figure(f"{name}{more}", unit, [run[at] for run in each])
        for at, (more, unit) in enumerate((("", "Gbit/s"), (", by CPU", "Gbit/CPU-s")))
        for name, each in runs.items()
    ]


def beside(rounds: int) -> tuple[list[Figure], list[str]]:
    """Each on the same datagrams; figures, and what was left out."""
    trials: dict[str, tuple[Callable[[], Result], str]] = {
        "bongsu": (bongsu, "true"),
        "softflowd": (softflowd, "softflowd"),
        "pmacct": (pmacct, "pmacctd"),
    }
    missing = [name for name, (_, tool) in trials.items() if not shutil.which(tool)]
    results: dict[str, list[Result]] = {name: [] for name in trials if name not in missing}
    for _ in range(rounds):
        for name, each in results.items():
            each.append(trials[name][0]())
    figures = []
    for name, each in results.items():
        figures += [
            Figure(f"{name}: packets counted / sent", "", [r[0] for r in each]),
            Figure(f"{name}: bytes counted / sent", "", [r[1] for r in each]),
            Figure(f"{name}: CPU", "us/packet", [r[2] for r in each], lower_is_better=True),
        ]
    return figures, [f"{name} is not installed and was left out" for name in missing]


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    before = machine()
    by_flows = costs(arguments.rounds)
    with wire():
        tcp = speeds(arguments.rounds, arguments.seconds)
        others, missing = beside(max(3, arguments.rounds // 3))
    ratios = [
        Ratio(
            f"goal of {GOALS[flows]} ns / {name}, {flows} flows",
            Figure("goal", "ns", [float(GOALS[flows])] * arguments.rounds),
            figure,
            1.0,
        )
        for (name, flows), figure in by_flows.items()
        if flows in GOALS and name != FLOOR
    ]
    for without, *rest in (tcp[:3], tcp[3:]):
        ratios += [Ratio(f"{each.name} / {without.name}", each, without, 0.97) for each in rest]
    cpu = {each.name.partition(":")[0]: each for each in others if each.name.endswith("CPU")}
    ratios += [
        Ratio(f"CPU: {name} / bongsu", cpu[name], cpu["bongsu"])
        for name in ("softflowd", "pmacct")
        if name in cpu
    ]
    best = statistics.median(by_flows["counting", 4096].runs)
    report(
        "flow_cost",
        [*by_flows.values(), *tcp, *others],
        ratios,
        before=before,
        notes=[
            f"{RUNS:,} packets a run on one core, {arguments.rounds} rounds; the loop that varies "
            f"them is taken off; {best:.0f} ns at 4096 flows",
            f"beside others: {DATAGRAMS:,} datagrams of {SOURCES} flows over a veth; bongsu's CPU is "
            "the kernel's own count for the program, which adds two clock readings to each packet",
            *missing,
        ],
    )


if __name__ == "__main__":
    main()
