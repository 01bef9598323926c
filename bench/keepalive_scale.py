"""Ten thousand keepalive sessions on one core, beside as many BFD sessions as BIRD bears.

Two ends, a and b, joined by wires. Peers die without a word: from then on a hears nothing from their
wire, while its carrier stays. One wire carries one peer, another a hundred, a third half of them, the
last the rest, so that 1, 100 and half of the peers can be made to die by one netlink message each.
Everything is pinned to one core: what a veth is given to send is received, answered and judged in the
sender's context, so the far end is in the figures of both protocols.

- keepalive: the engine as the agent runs it, 100 ms x 3. b reflects in its tc program. Detection is
  the engine's own time of the transition, less the time of the message that cut the wire.
- BFD: BIRD at both ends, 100 ms x 3, single hop, in real time as the agent runs it. Detection is the
  time in BIRD's log, which has microseconds. Counts are tried upwards until sessions fall by themselves
  or the core is full.

    sudo .venv/bin/python bench/keepalive_scale.py [--sessions 10000] [--bfd 500,1000,2000,4000]
"""

import argparse
import contextlib
import os
import re
import resource
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import numpy as np
from pyroute2 import IPRoute

from bongsu.protocol.gre_keepalive import Ends, gre_payload
from bongsu.system import netns
from bongsu.system.bpf import attach, layout
from bongsu.system.bpf.objects import Object, Program
from bongsu.system.gre import links
from bongsu.system.gre.plane import Plane
from bongsu.system.keepalive.engine import KeepaliveEngine
from bongsu.system.keepalive.session import Session
from bongsu.system.rtnl import Rtnl
from common import Figure, compiled, machine, report

PID = os.getpid()
NAMES = {end: f"bst-ks{PID}-{end}" for end in "ab"}
INTERVAL_MS, RETRIES = 100, 3
CPU = 1
REST_S = 10.0
FIRST = 1
"""Priority of the silence: before the data plane."""
HZ = os.sysconf("SC_CLK_TCK")
LOGGED = re.compile(r"^(\S+ \S+) .*Session to (\S+) changed state from Up to Down")


@dataclass(frozen=True)
class Group:
    """Peers behind one wire."""

    number: int
    count: int

    @property
    def local(self) -> IPv4Address:
        return IPv4Address(f"10.{64 + self.number}.0.1")

    def near(self, index: int) -> IPv4Address:
        """Ours towards one peer: BIRD tells BFD sessions of an interface apart by the peer's address
        alone, so that each end needs one for each session."""
        return self.local + 0x8000 + index

    def remote(self, index: int) -> IPv4Address:
        """Of the peer's, 0 to count - 1."""
        return self.local + 1 + index


def groups(sessions: int) -> list[Group]:
    """One, a hundred, half of all, and the rest."""
    half = sessions // 2
    return [
        Group(number, count) for number, count in enumerate((1, 100, half, sessions - half - 101))
    ]


class Wires:
    """Two namespaces, a wire for each group, and the silence that may come over it."""

    def __init__(self, wanted: list[Group]) -> None:
        self._silence = silence()
        for name in NAMES.values():
            netns.create(name)
        with self.inside("a") as ip, netns.path(NAMES["b"]).open() as b:
            for group in wanted:
                name = f"w{group.number}"
                ip.link(
                    "add", ifname=name, kind="veth", peer={"ifname": name, "net_ns_fd": b.fileno()}
                )
        for end in "ab":
            with self.inside(end) as ip:
                ip.link("set", index=1, state="up")
                for group in wanted:
                    index = ip.link_lookup(ifname=f"w{group.number}")[0]
                    ip.link("set", index=index, state="up")

    @contextlib.contextmanager
    def inside(self, end: str) -> Iterator[IPRoute]:
        """A netlink socket of that end, and this thread in its namespace."""
        with netns.in_netns(NAMES[end]), IPRoute() as ip:
            yield ip

    def cut(self, number: int) -> int:
        """Peers of this group are not heard from the returned time on (CLOCK_MONOTONIC, ns)."""
        with netns.in_netns(NAMES["a"]):
            index = socket.if_nametoindex(f"w{number}")
            at = time.monotonic_ns()
            attach.tc_attach(index, "ingress", self._silence, FIRST)
        return at

    def mend(self, number: int) -> None:
        """The peers of this group are heard again."""
        with netns.in_netns(NAMES["a"]):
            attach.tc_detach(socket.if_nametoindex(f"w{number}"), "ingress", FIRST)

    def mac(self, end: str, number: int) -> str:
        """Of that end's interface of the wire."""
        with self.inside(end) as ip:
            return str(ip.link("get", ifname=f"w{number}")[0].get_attr("IFLA_ADDRESS"))

    def remove(self) -> None:
        """All of it."""
        for name in NAMES.values():
            netns.remove(name)


def silence() -> Program:
    """Compiled and loaded."""
    with Object(compiled(__file__), "silence") as opened:
        opened.load()
        return opened.program("silence")


@dataclass
class Outcome:
    """What one protocol did with one number of sessions."""

    sessions: int
    cpu: float = 0.0
    """Share of the core that everything used while all were up: both ends and the wires."""
    threads: float = 0.0
    """Share of it that the sending thread, or one BIRD, used, with what its packets caused."""
    false: int = 0
    """Sessions that went down at rest."""
    detected: dict[int, list[float]] | None = None
    """By number of the group: ms of each peer."""


def main() -> None:
    """Measure, then print and keep the runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--bfd", default="500,1000,2000,4000,8000")
    arguments = parser.parse_args()
    before = machine()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.sched_setaffinity(0, {CPU})
    ours = keepalives(arguments.sessions)
    theirs = []
    for count in (int(part) for part in arguments.bfd.split(",")):
        theirs.append(bfd(count))
        if theirs[-1].false or theirs[-1].cpu > 0.95:
            break
    figures = figures_of(f"keepalive, {ours.sessions:,} sessions", ours)
    for outcome in theirs:
        figures += figures_of(f"BFD of BIRD, {outcome.sessions:,} sessions", outcome)
    report(
        "keepalive_scale",
        figures,
        before=before,
        notes=[
            f"{INTERVAL_MS} ms x {RETRIES} everywhere; CPU is that of core {CPU}, both ends and the wires",
            "detection counts from the cut; a peer dies at any time of its interval",
        ],
    )


def figures_of(name: str, outcome: Outcome) -> list[Figure]:
    """Of one protocol; each peer's detection time is a run."""
    found = [
        Figure(f"{name}: core used", "%", [100 * outcome.cpu], lower_is_better=True),
        Figure(f"{name}: of it, its thread", "%", [100 * outcome.threads], lower_is_better=True),
        Figure(f"{name}: down at rest", "", [outcome.false], lower_is_better=True),
    ]
    for group in groups(outcome.sessions):
        times = (outcome.detected or {}).get(group.number)
        if times:
            p50, p99 = np.percentile(times, [50, 99])
            note = f"p50 {p50:.1f}, p99 {p99:.1f}; {len(times)} of {group.count} detected"
            figure = Figure(f"{name}: {group.count} die", "ms", times, True, note)
            found.append(figure)
    return found


# ---- keepalive


def keepalives(sessions: int) -> Outcome:
    """The engine against a reflector, both on one core."""
    wanted = groups(sessions)
    wires = Wires(wanted)
    outcome = Outcome(sessions)
    try:
        with contextlib.ExitStack() as stack:
            planes = {end: stack.enter_context(plane(wires, end, wanted)) for end in "ab"}
            with wires.inside("a"):
                engine = KeepaliveEngine(planes["a"].memory())
            stack.callback(engine.close)
            with wires.inside("a") as ip:
                ports = {g.number: ip.link_lookup(ifname=f"w{g.number}")[0] for g in wanted}
                for slot, (group, index) in enumerate(everyone(wanted), 1):
                    engine.add(slot, session(group, index, ports[group.number]))
            time.sleep(3)
            engine.transitions()
            thread = newest_thread()
            used, spent, began = busy(), cpu_of(thread), time.monotonic()
            time.sleep(REST_S)
            took = time.monotonic() - began
            outcome.cpu = (busy() - used) / took
            outcome.threads = (cpu_of(thread) - spent) / took
            outcome.false = sum(not change.up for change in engine.transitions())
            outcome.detected = {}
            print(f"keepalive {sessions}: core {outcome.cpu:.2f}, {engine.scheduler}", flush=True)
            for group in wanted[:3]:
                at = wires.cut(group.number)
                time.sleep(1.5)
                times = [(c.detected_ns - at) / 1e6 for c in engine.transitions() if not c.up]
                outcome.detected[group.number] = times
                wires.mend(group.number)
                time.sleep(1.0)
                engine.transitions()
    finally:
        wires.remove()
    return outcome


def everyone(wanted: list[Group]) -> Iterator[tuple[Group, int]]:
    """Every peer, in the order of the slots from 1."""
    for group in wanted:
        for index in range(group.count):
            yield group, index


@contextlib.contextmanager
def plane(wires: Wires, end: str, wanted: list[Group]) -> Iterator[Plane]:
    """That end's data plane with a tunnel for every peer; they carry keepalives only."""
    with wires.inside(end) as ip, Rtnl() as kernel:
        made = Plane.open(kernel)
        ports = {g.number: ip.link_lookup(ifname=f"w{g.number}")[0] for g in wanted}
        for group in wanted:
            made.hold_underlay(links.read(kernel, ports[group.number]), xdp=False)
            near = group.local if end == "a" else group.remote(0)
            ip.addr("add", index=ports[group.number], address=str(near), prefixlen=16)
            peers = [group.remote(i) for i in range(group.count)]
            neighbours = peers if end == "a" else [group.local]
            mac = wires.mac("b" if end == "a" else "a", group.number)
            for address in neighbours:
                ip.neigh(
                    "replace", dst=str(address), lladdr=mac, ifindex=ports[group.number],
                    state=0x80,
                )  # fmt: skip
        for slot, (group, index) in enumerate(everyone(wanted), 1):
            here, there = group.local, group.remote(index)
            if end == "b":
                here, there = there, here
            made.put(tunnel(slot, made.cpus, here, there, ports[group.number]), None)
    try:
        yield made
    finally:
        made.close()


def tunnel(slot: int, cpus: int, local: IPv4Address, remote: IPv4Address, underlay: int) -> Any:
    """A record without interfaces of its own: the numbers it has belong to nobody."""
    record: Any = np.zeros((), layout.TUNNEL)
    record["local"] = np.void(local.packed.ljust(16, b"\0"))
    record["remote"] = np.void(remote.packed.ljust(16, b"\0"))
    record["slot"], record["counters"], record["underlay"] = slot, slot * cpus, underlay
    record["device"], record["peer"] = 1_000_000 + slot, 2_000_000 + slot
    record["family"], record["ttl"], record["mtu"], record["overhead"] = 4, 255, 1400, 24
    record["flags"] = layout.KEEPALIVE_ONLY
    record["name"] = f"k{slot}".encode()
    record["reflect_gap"] = INTERVAL_MS * 1_000_000 // 4 // layout.GAP_NS
    return record


def session(group: Group, index: int, port: int) -> Session:
    """As the agent would make it."""
    ends = Ends(group.local, group.remote(index), None)
    return Session(
        local=group.local,
        remote=group.remote(index),
        interval_ns=INTERVAL_MS * 1_000_000,
        retries=RETRIES,
        payload=gre_payload(ends),
        inner=4,
        ifindex=port,
    )


def newest_thread() -> int:
    """The engine's: the youngest of this process."""
    return max(int(task.name) for task in Path("/proc/self/task").iterdir())


# ---- BFD


def bfd(sessions: int) -> Outcome:
    """Two BIRDs with so many sessions, on one core."""
    wanted = groups(sessions)
    wires = Wires(wanted)
    outcome = Outcome(sessions)
    birds: dict[str, subprocess.Popen[bytes]] = {}
    with tempfile.TemporaryDirectory(prefix="bongsu-bench-") as name, contextlib.ExitStack() as end:
        folder = Path(name)
        end.callback(wires.remove)
        for side in "ab":
            addresses(wires, side, wanted)
        for side in "ba":
            config = folder / f"{side}.conf"
            config.write_text(bird_config(folder, side, wanted))
            with netns.in_netns(NAMES[side]):
                birds[side] = subprocess.Popen(
                    ["bird", "-f", "-c", str(config), "-s", str(folder / f"{side}.ctl")],
                    stderr=(folder / f"{side}.err").open("wb"),
                )
            end.callback(stop, birds[side])
        log = folder / "a.log"
        up = settled(folder, sessions)
        for bird in birds.values():
            for task in Path(f"/proc/{bird.pid}/task").iterdir():
                os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(20))
        time.sleep(3)
        size = log.stat().st_size
        used, spent, began = busy(), process_cpu(birds["a"].pid), time.monotonic()
        time.sleep(REST_S)
        took = time.monotonic() - began
        outcome.cpu = (busy() - used) / took
        outcome.threads = (process_cpu(birds["a"].pid) - spent) / took
        outcome.false = len(fallen(log, size)) + sessions - up
        outcome.detected = {}
        print(
            f"BFD {sessions}: {up} up, core {outcome.cpu:.2f}, {outcome.false} down at rest",
            flush=True,
        )
        for group in wanted[:3]:
            size = log.stat().st_size
            ours = {str(group.remote(i)) for i in range(group.count)}
            at = wires.cut(group.number) + time.time_ns() - time.monotonic_ns()
            time.sleep(3)
            times = [(when - at) / 1e6 for when, peer in fallen(log, size) if peer in ours]
            outcome.detected[group.number] = times
            wires.mend(group.number)
            time.sleep(3)
    return outcome


def addresses(wires: Wires, end: str, wanted: list[Group]) -> None:
    """Of the ends of all sessions, and neighbours that need not be asked for."""
    with wires.inside(end) as ip:
        for group in wanted:
            port = ip.link_lookup(ifname=f"w{group.number}")[0]
            mac = wires.mac("b" if end == "a" else "a", group.number)
            own = [group.near(i) for i in range(group.count)]
            other = [group.remote(i) for i in range(group.count)]
            if end == "b":
                own, other = other, own
            for address in own:
                ip.addr("add", index=port, address=str(address), prefixlen=16)
            for address in other:
                ip.neigh("replace", dst=str(address), lladdr=mac, ifindex=port, state=0x80)


def bird_config(folder: Path, end: str, wanted: list[Group]) -> str:
    """One neighbour a session."""
    lines = []
    for group in wanted:
        for index in range(group.count):
            pair = (group.near(index), group.remote(index))
            own, peer = pair if end == "a" else pair[::-1]
            lines.append(f'  neighbor {peer} dev "w{group.number}" local {own};')
    return "\n".join(
        [
            "log stderr { warning, error, fatal };",
            f'log "{folder / end}.log" all;',
            "timeformat log iso long us;",
            f"router id 10.0.0.{1 if end == 'a' else 2};",
            "protocol device { scan time 3600; }",
            "protocol bfd bench {",
            "  debug { events };",
            f'  interface "w*" {{ interval {INTERVAL_MS} ms; multiplier {RETRIES}; '
            f"idle tx interval {INTERVAL_MS} ms; }};",
            *lines,
            "}",
        ]
    )


def settled(folder: Path, sessions: int) -> int:
    """Waits until all are up or no more come; how many are."""
    best, since = -1, time.monotonic()
    while time.monotonic() - since < 15 and best < sessions:
        time.sleep(1)
        done = subprocess.run(
            ["birdc", "-s", str(folder / "a.ctl"), "show", "bfd", "sessions"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        up = len(re.findall(r"\sUp\s", done.stdout))
        if up > best:
            best, since = up, time.monotonic()
    return best


def fallen(log: Path, since: int) -> list[tuple[int, str]]:
    """Sessions that the log, from that byte on, tells to have gone down: time (ns, UTC), peer."""
    with log.open() as file:
        file.seek(since)
        found = [match.groups() for line in file if (match := LOGGED.match(line))]
    return [(round(datetime.fromisoformat(at).timestamp() * 1e9), peer) for at, peer in found]


def stop(process: "subprocess.Popen[bytes]") -> None:
    """At once: nobody waits for its goodbyes."""
    process.kill()
    process.wait()


# ---- time


def busy() -> float:
    """Seconds that the core has not been idle, softirqs included, what the host stole excluded."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *numbers = line.split()
        if name == f"cpu{CPU}":
            user, nice, system, _idle, _wait, irq, softirq = (int(n) for n in numbers[:7])
            return (user + nice + system + irq + softirq) / HZ
    raise SystemExit(f"there is no core {CPU}")


def cpu_of(thread: int) -> float:
    """Seconds that a thread of this process has run."""
    text = Path(f"/proc/self/task/{thread}/schedstat").read_text()
    return int(text.split()[0]) / 1e9


def process_cpu(pid: int) -> float:
    """Seconds that a process has run, all its threads."""
    return sum(
        int((task / "schedstat").read_text().split()[0]) / 1e9
        for task in Path(f"/proc/{pid}/task").iterdir()
    )


if __name__ == "__main__":
    main()
