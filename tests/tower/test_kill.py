"""kill -9 of either end at any moment, again and again; then every number is looked at."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from bongsu.agent.uplink.spool import Spool

from .world import PATIENCE_S, Node, RunningTower, until

ROOT = Path(__file__).parents[2]
KILLS = 6
NODE = "import sys; sys.path.insert(0, {root!r}); from tests.tower.node_process import main;"
TOWER = (
    "from bongsu.cli.main import run; import sys;"
    " sys.argv = ['bongsu', 'tower', 'run', '--state', {state!r}]; run()"
)


class Processes:
    """Those that a test started; ended by their own ids."""

    def __init__(self) -> None:
        self._all: list[subprocess.Popen[str]] = []

    def start(self, code: str) -> subprocess.Popen[str]:
        made = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._all.append(made)
        return made

    def end(self) -> None:
        for each in self._all:
            if each.poll() is None:
                each.kill()
                each.wait(PATIENCE_S)


@pytest.fixture
def processes() -> Iterator[Processes]:
    made = Processes()
    yield made
    made.end()


def test_kill_9_of_both_ends(tmp_path: Path, processes: Processes) -> None:
    tower = RunningTower(tmp_path / "tower")
    tower.start()
    home = tower.enrol("seoul", tmp_path / "seoul")
    tower.stop()
    dice = random.Random(20261130)

    def start_tower() -> subprocess.Popen[str]:
        made = processes.start(TOWER.format(state=str(tower.layout.directory)))
        assert made.stdout is not None
        assert made.stdout.readline().startswith("ready")
        return made

    def start_node(run: int) -> subprocess.Popen[str]:
        code = NODE.format(root=str(ROOT))
        return processes.start(
            f"{code} from pathlib import Path; main(Path({str(home.directory)!r}), {run})"
        )

    def grows() -> None:
        before = tower.nodes()["seoul"].records
        until(lambda: tower.nodes()["seoul"].records > before + 50, "nothing arrives any more")

    run = 1
    up, down = start_tower(), start_node(run)
    for kill in range(KILLS):
        grows()
        time.sleep(dice.random() * 0.3)
        if kill % 2:
            up.send_signal(signal.SIGKILL)
            up.wait(PATIENCE_S)
            up = start_tower()
        else:
            down.send_signal(signal.SIGKILL)
            down.wait(PATIENCE_S)
            run += 1
            down = start_node(run)
    grows()
    down.send_signal(signal.SIGKILL)
    down.wait(PATIENCE_S)
    # One that tells nothing of its own brings the rest.
    last = Node(home)
    spool = Spool(home.spool)
    until(lambda: spool.waiting() == 0, "the rest does not arrive")
    last.stop()
    up.send_signal(signal.SIGTERM)
    assert up.wait(PATIENCE_S) == 0

    told = [(row.event.details["run"], row.event.details["n"]) for row in tower.events("seoul")]
    figures = duckdb.connect(str(tower.layout.series), read_only=True)
    for each in range(1, run + 1):
        numbers = [n for r, n in told if r == each]
        assert numbers == list(range(1, len(numbers) + 1)), f"run {each}"
        rows = figures.execute(
            "SELECT value FROM raw WHERE kind = ? ORDER BY moment, value", [f"run-{each}"]
        )
        values = [int(value) for (value,) in rows.fetchall()]
        assert values == list(range(1, len(values) + 1)), f"run {each}"
        # An event and a figure are told together, so a killed node's last one may be alone.
        assert abs(len(values) - len(numbers)) <= 1
        assert len(numbers) > 25
    node = tower.nodes()["seoul"]
    assert (node.missing, node.unreadable) == (0, 0)
    assert node.records == spool.last()
    assert sorted(r for r, _ in told) == [r for r, _ in told]


def test_ports_stay(tmp_path: Path) -> None:
    """What the loop above stands on: a tower comes back where it was."""
    tower = RunningTower(tmp_path / "tower")
    tower.start()
    port = tower.node_port
    tower.stop()
    tower.start()
    assert tower.node_port == port
    assert replace(tower.layout.need(), node_port=port) == tower.layout.need()
    tower.stop()
