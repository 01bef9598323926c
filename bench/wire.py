"""What the way from nodes to their tower carries, with everything on disk at both ends before it counts.

Nodes are processes of their own, the tower is the product as it is run; TLS 1.3 on loopback.

- durable records: the nodes' spools are full (SQLite, `synchronous=FULL`) and the tower starts; from
  its first record to its last, each on the tower's disk. Events, and figures of 20 tunnels a record;
- spooled records: what a node's own disk takes, in commits of a thousand, beside the same SQLite without
  anything around it (`INSERT`, the same commits), as a ratio;
- catch-up: nodes tell 200 records a second; the tower is away for a while; how long after it is back
  until it knows everything.

    .venv/bin/python bench/wire.py [--nodes 3] [--records 20000] [--away 10] [--runs 3]
"""

import argparse
import asyncio
import multiprocessing
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bongsu.agent.events import Event
from bongsu.agent.uplink.enrol import enrol
from bongsu.agent.uplink.home import Home
from bongsu.agent.uplink.recorder import Recorder
from bongsu.agent.uplink.spool import Kind, Spool
from bongsu.agent.uplink.uplink import Uplink
from bongsu.system.clock import Clock
from bongsu.system.management import Place
from bongsu.tower.authority import Authority, found
from bongsu.tower.files import Layout, Settings
from bongsu.tower.store.state import State
from bongsu.wire.messages import Row
from common import Figure, Ratio, machine, report

HOST = "127.0.0.1"
PORTS = (28743, 28744)
TUNNELS = 20
PATIENCE_S = 300.0
COMMIT = 1000


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--records", type=int, default=20_000, help="of each node")
    parser.add_argument("--away", type=float, default=10.0, help="seconds without a tower")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    before = machine()
    durable: dict[str, list[float]] = {"events": [], "figures": []}
    spooled: list[float] = []
    bare: list[float] = []
    catch_up: list[float] = []
    for _ in range(arguments.runs):
        for kind in durable:
            durable[kind].append(drained(kind, arguments.nodes, arguments.records))
        one, other = disks(arguments.records)
        spooled.append(one)
        bare.append(other)
        catch_up.append(away(arguments.nodes, arguments.away))
    figures = [
        Figure("durable: events", "records/s", durable["events"]),
        Figure("durable: figures", "records/s", durable["figures"]),
        Figure(
            "durable: figures, as rows", "rows/s", [each * TUNNELS for each in durable["figures"]]
        ),
        Figure("spooled on a node", "records/s", spooled),
        Figure("bare SQLite, the same commits", "records/s", bare),
        Figure(f"catch-up after {arguments.away:g} s", "s", catch_up, lower_is_better=True),
    ]
    ratios = [Ratio("spool / bare SQLite", figures[3], figures[4])]
    notes = [f"{arguments.nodes} nodes; a record of figures has {TUNNELS} rows of one metric"]
    report("wire", figures, ratios, before=before, notes=notes)


class World:
    """A tower's directory and its enrolled nodes."""

    def __init__(self, directory: Path, nodes: int) -> None:
        self.layout = Layout(directory / "tower")
        clock = Clock()
        found(self.layout, Settings(HOST, *PORTS, HOST), clock.utc())
        process = self.start()
        state = State(self.layout.state)
        authority = Authority(self.layout, self.layout.need(), state)
        self.homes = []
        for number in range(nodes):
            hour = clock.utc().replace(year=clock.utc().year + 1) - clock.utc()
            token = str(authority.invite(f"node-{number}", hour, clock.utc()))
            home = Home(directory / f"node-{number}")
            asyncio.run(enrol(home, token, HOST, PORTS[1], Place(), {}))
            self.homes.append(home)
        self.stop(process)
        self.state = state

    def start(self) -> "subprocess.Popen[str]":
        """The tower, until it listens."""
        code = (
            "import sys; from bongsu.cli.main import run;"
            f" sys.argv = ['bongsu', 'tower', 'run', '--state', {str(self.layout.directory)!r}];"
            " run()"
        )
        made = subprocess.Popen(
            [sys.executable, "-c", code],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert made.stdout is not None
        assert made.stdout.readline().startswith("ready")
        return made

    def stop(self, process: "subprocess.Popen[str]") -> None:
        """In good order."""
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)

    def records(self) -> int:
        """Kept in all."""
        return sum(each.records for each in self.state.nodes())

    def wait_for(self, records: int) -> float:
        """Until so many are kept; when."""
        deadline = time.monotonic() + PATIENCE_S
        while self.records() < records:
            assert time.monotonic() < deadline, f"{self.records()} of {records}"
            time.sleep(0.005)
        return time.monotonic()


def told(recorder: Recorder, kind: str, number: int) -> None:
    """One record as the agent tells it."""
    if kind == "events":
        now = "2026-11-30T00:00:00+00:00"
        details = {"state": "down", "was": "up", "n": number}
        recorder.event(
            Event(number, now, number, "warning", "line-protocol", "gre-1", "3 unanswered", details)
        )
    else:
        rows = [Row(f"gre-{each}", (random.random(),)) for each in range(TUNNELS)]
        recorder.series("tunnel", ("rx_bytes",), rows)


def node(home: Home, go: "multiprocessing.synchronize.Event", rate: float) -> None:
    """A node's process: what is in its spool, and with a rate also what happens."""
    recorder = Recorder(time.time_ns)
    settings = home.read()
    home.write(replace(settings, port=PORTS[0]))
    uplink = Uplink(home, recorder, lambda *_: None, Clock())
    go.wait()
    uplink.start()
    number = 0
    began = time.monotonic()
    while True:
        time.sleep(0.01)
        while rate and number < (time.monotonic() - began) * rate:
            number += 1
            told(recorder, "events", number)


def drained(kind: str, nodes: int, records: int) -> float:
    """Records a second from full spools to the tower's disk."""
    with tempfile.TemporaryDirectory(prefix="bongsu-bench-") as folder:
        place = World(Path(folder), nodes)
        for home in place.homes:
            fill(home.spool, kind, records)
        tower = place.start()
        go = multiprocessing.Event()
        processes = [
            multiprocessing.Process(target=node, args=(home, go, 0.0), daemon=True)
            for home in place.homes
        ]
        for each in processes:
            each.start()
        time.sleep(2.0)
        go.set()
        began = place.wait_for(1)
        first = place.records()
        ended = place.wait_for(nodes * records)
        for each in processes:
            each.kill()
            each.join()
        place.stop(tower)
        missing = sum(each.missing for each in place.state.nodes())
        assert missing == 0
        assert place.records() == nodes * records
    return (nodes * records - first) / (ended - began)


def fill(path: Path, kind: str, records: int) -> None:
    """A spool with what a node would have told."""
    recorder = Recorder(time.time_ns)
    spool = Spool(path)
    for number in range(records):
        told(recorder, kind, number)
        if number % COMMIT == COMMIT - 1:
            spool.append(recorder.take(COMMIT))
    if rest := recorder.take(COMMIT):
        spool.append(rest)
    spool.close()


def disks(records: int) -> tuple[float, float]:
    """Records a second into a spool, and into SQLite with nothing around it."""
    recorder = Recorder(time.time_ns)
    told(recorder, "events", 1)
    body = recorder.take(1)[0][1]
    with tempfile.TemporaryDirectory(prefix="bongsu-bench-") as folder:
        spool = Spool(Path(folder) / "spool.db")
        began = time.monotonic()
        for _ in range(0, records, COMMIT):
            spool.append([(Kind.EVENT, body)] * COMMIT)
        one = records / (time.monotonic() - began)
        spool.close()
        bare = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        bare.execute("PRAGMA journal_mode=WAL")
        bare.execute("PRAGMA synchronous=FULL")
        bare.execute("CREATE TABLE record (n INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB)")
        began = time.monotonic()
        for _ in range(0, records, COMMIT):
            bare.execute("BEGIN")
            bare.executemany("INSERT INTO record (body) VALUES (?)", [(body,)] * COMMIT)
            bare.execute("COMMIT")
        other = records / (time.monotonic() - began)
        bare.close()
    return one, other


def away(nodes: int, seconds: float) -> float:
    """Seconds from the tower's return until it knows all that had happened before it came back."""
    with tempfile.TemporaryDirectory(prefix="bongsu-bench-") as folder:
        place = World(Path(folder), nodes)
        tower = place.start()
        go = multiprocessing.Event()
        processes = [
            multiprocessing.Process(target=node, args=(home, go, 200.0), daemon=True)
            for home in place.homes
        ]
        for each in processes:
            each.start()
        go.set()
        place.wait_for(nodes * 100)
        place.stop(tower)
        time.sleep(seconds)
        tower = place.start()
        back = time.monotonic()
        there = sum(Spool(home.spool).last() for home in place.homes)
        caught_up = place.wait_for(there) - back
        for each in processes:
            each.kill()
            each.join()
        place.stop(tower)
    return caught_up


if __name__ == "__main__":
    main()
