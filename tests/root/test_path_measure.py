"""Paths measured in namespaces: links that lose and delay, mtr beside it, forgers, death and resumption."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP

from bongsu.lab.probe.measure import Measurement, Runner, read_kept
from bongsu.model.base import Address
from bongsu.protocol.path.flow import Flow, Kind, Protocol
from bongsu.protocol.path.machine import MS, SECOND, Pace
from bongsu.protocol.path.report import report
from bongsu.protocol.path.run import Head, Run
from bongsu.protocol.path.statistics import hops, target_figures
from bongsu.system import netns
from bongsu.system.journal import Journal, JournalError
from bongsu.system.path_socket import source_towards
from tests.root.path_world import DELAY_MS, PLACES, World, path_world

pytestmark = pytest.mark.root

NEIGHBOURS = 20
"""Questions for a neighbour's address that the link may have lost as well."""

BONGSU = Path(sys.executable).with_name("bongsu")
ROW = re.compile(r"\s*(\d+)\.\|-- (\S+)\s+([\d.]+)%?\s+(\d+)" + r"\s+([\d.]+)" * 5)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with path_world(tmp_path / "links") as made:
        yield made


def measure(head: Head, path: Path | None = None) -> Run:
    (run,) = Runner([Measurement.begin(head, path)]).start().finish()
    return run


def parsed(text: str) -> list[tuple[int, str, list[float]]]:
    """Rows of a report: number, host, and Loss%, Snt, Last, Avg, Best, Wrst, StDev."""
    rows = (match for line in text.splitlines() if (match := ROW.match(line)))
    return [(int(row[1]), row[2], [float(row[at]) for at in range(3, 10)]) for row in rows]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol", ["icmp", "udp"])
def test_every_hop_and_its_delay(world: World, family: int, protocol: Protocol) -> None:
    # udp: a target tells six times in a burst that nobody listens, then once a second (icmp_ratelimit)
    pace = Pace(interval_ns=SECOND, round_ns=SECOND, wait_ns=SECOND, count=3)
    path = hops(measure(world.head(family, protocol, pace)))
    assert [hop.number for hop in path] == [1, 2, 3]
    for hop, place in zip(path, PLACES[1:], strict=True):
        assert [address for address, _ in hop.addresses] == [world.address(place, family)]
        best = hop.figures.best_ms
        assert best is not None
        assert 2 * DELAY_MS * hop.number <= best < 2 * DELAY_MS * hop.number + 2
        assert hop.figures.lost == 0
    assert [hop.figures.sent for hop in path] == [3, 3, 3]


def test_loss_is_the_links(world: World) -> None:
    world.lossy(2, 0.3)
    pace = Pace(interval_ns=2 * MS, wait_ns=300 * MS, count=2000)
    run = measure(world.head(4, "icmp", pace))
    found = target_figures(run)
    assert found.sent == 2000
    counted = world.emulator.stats("l2")
    lost = counted.ab.lost + counted.ba.lost
    # all of them were the target's probes and their answers, but for those that looked for it first
    others = int((run.rows["ttl"] >= 3).sum()) + NEIGHBOURS
    assert found.lost <= lost <= found.lost + others
    assert abs(found.loss - 0.51) < 0.05
    assert [hop.figures.lost for hop in hops(run)[:2]] == [0, 0]


def test_mtr_sees_the_same(world: World) -> None:
    """The same path at the same time: the same hops, counts and delays in the same columns."""
    world.lossy(1, 0.2)
    for place in ("r1", "r2"):
        # two that ask twice a second are more than a router answers
        with netns.in_netns(world.spaces[place]):
            Path("/proc/sys/net/ipv4/icmp_ratelimit").write_text("0")
    source, target = world.address("here", 4, left=False), world.address("there", 4)
    inside = ["nsenter", f"--net=/run/netns/{world.spaces['here']}"]
    asked = ["mtr", "-n", "-r", "-c", "20", "-i", "0.5", "-a", str(source), str(target)]
    mtr = subprocess.Popen([*inside, *asked], stdout=subprocess.PIPE, text=True)
    pace = Pace(interval_ns=500 * MS, round_ns=500 * MS, wait_ns=2 * SECOND, count=20)
    ours = report(measure(world.head(pace=pace)), "2026-01-01T00:00:00+0000")
    theirs, _ = mtr.communicate(timeout=60)
    assert mtr.returncode == 0
    our_lines, their_lines = ours.splitlines(), theirs.splitlines()
    assert our_lines[1][33:] == their_lines[1][33:]
    assert [len(line) for line in our_lines[2:]] == [len(line) for line in their_lines[2:]]
    for (number, host, mine), (their_number, their_host, other) in zip(
        parsed(ours), parsed(theirs), strict=True
    ):
        assert (number, host, mine[1]) == (their_number, their_host, other[1])
        if number == 1:
            assert mine[0] == other[0] == 0
        else:
            # 36 % of 20, each from its own share of the link's losses
            assert mine[0] > 0
            assert other[0] > 0
        assert mine[4] == pytest.approx(other[4], abs=1)


def test_two_measurements_at_once_see_the_same_moments(world: World) -> None:
    near, far = world.address("r1", 4), world.address("there", 4)
    pace = Pace(interval_ns=10 * MS, wait_ns=300 * MS, count=100)
    heads = [world.head(pace=pace, target=target) for target in (near, far)]
    runs = Runner([Measurement.begin(head, None) for head in heads]).start().finish()
    medians = [target_figures(run).p50_ms for run in runs]
    assert [run.done for run in runs] == [100, 100]
    assert medians[0] == pytest.approx(2 * DELAY_MS, abs=1)
    assert medians[1] == pytest.approx(6 * DELAY_MS, abs=1)
    spans = [(run.rows["sent_ns"].min(), run.rows["sent_ns"].max()) for run in runs]
    assert abs(int(spans[0][0]) - int(spans[1][0])) < SECOND / 2


def test_a_path_that_turns_shows_both_routers(world: World) -> None:
    """A hop whose address changes: r2 answers by another address after the first seconds."""
    pace = Pace(interval_ns=50 * MS, round_ns=500 * MS, wait_ns=300 * MS, count=60)
    runner = Runner([Measurement.begin(world.head(pace=pace), None)]).start()
    assert runner.running(1.2)
    with netns.in_netns(world.spaces["r2"]):
        subprocess.run(["ip", "addr", "add", "10.77.1.3/32", "dev", "lo"], check=True)
        back = ["ip", "route", "replace", "10.77.0.0/29", "via", "10.77.1.1", "src", "10.77.1.3"]
        subprocess.run(back, check=True)
        subprocess.run(["sysctl", "-qw", "net.ipv4.icmp_errors_use_inbound_ifaddr=0"], check=True)
    (run,) = runner.finish()
    seen = [str(address) for address, _ in hops(run)[1].addresses]
    assert seen == ["10.77.1.3", "10.77.1.2"]
    assert "    |  `|-- 10.77.1.2" in report(run, "x")


def test_unreachable_is_no_answer(world: World) -> None:
    with netns.in_netns(world.spaces["r2"]):
        target = str(world.address("there", 4))
        subprocess.run(["ip", "route", "add", "unreachable", f"{target}/32"], check=True)
    pace = Pace(interval_ns=200 * MS, wait_ns=300 * MS, count=4)
    path = hops(measure(world.head(pace=pace)))
    assert path[-1].marks == ("!H",)
    assert path[-1].figures.loss == 1.0
    assert (path[-1].target, len(path[0].addresses)) == (True, 1)


def test_forged_answers_change_nothing(world: World) -> None:
    """r1 sends here what a probe's answers look like, without having looked at the probes."""
    world.lossy(2, 1.0)
    source, target = world.address("here", 4, left=False), world.address("there", 4)
    forger = netns.socket_in(
        world.spaces["r1"], socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW
    )
    pace = Pace(interval_ns=20 * MS, wait_ns=500 * MS, count=50)
    runner = Runner([Measurement.begin(world.head(pace=pace), None)]).start()
    sent = 0
    while runner.running(0.002):
        guess = _flow(source, target, ident=1 + sent % 0xFFFF)
        for sequence in range(4):
            forger.sendto(_forged(guess, sent // 4 + sequence), (str(source), 0))
            sent += 1
    forger.close()
    (run,) = runner.finish()
    told = runner.measurements[0].machine.told
    assert sent > 200
    assert told.foreign > 100
    assert target_figures(run).loss == 1.0
    assert Kind.REPLY not in run.rows["kind"]


def _flow(source: Address, target: Address, ident: int) -> Flow:
    return Flow("icmp", source, target, b"guess" * 4, ident=ident, constant=7)


def _forged(guess: Flow, sequence: int) -> bytes:
    echo = guess.encode(sequence)
    answer = IP(src=str(guess.target), dst=str(guess.source)) / ICMP(
        type=0, id=guess.ident, seq=int.from_bytes(echo[6:8])
    )
    return bytes(answer / echo[8:])


def cli(*words: str, space: str, state: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{space}", str(BONGSU), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_STATE_HOME": str(state), "COLUMNS": "120"},
    )


def finished(process: subprocess.Popen[str], code: int = 0) -> str:
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code, f"{stdout}\n{stderr}"
    return stdout


def wait_for(path: Path, probes: int) -> Run:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if path.exists() and path.stat().st_size > 100 and (run := read_kept(path)).done >= probes:
            return run
        time.sleep(0.05)
    raise AssertionError(f"{path} never had {probes} probes")


def busy(path: Path, process: subprocess.Popen[str]) -> bool:
    """Whether the file was seen to be held while the process ran.

    It is tried only once the process has written: before that the trial itself would hold the file.
    """
    size = path.stat().st_size
    while path.stat().st_size == size and process.poll() is None:
        time.sleep(0.01)
    while process.poll() is None:
        try:
            Journal.reopen(path)[0].close()
        except JournalError as error:
            return "another process" in str(error)
        time.sleep(0.01)
    return False


def test_killed_and_resumed(world: World, tmp_path: Path) -> None:
    """SIGKILL loses no more than a second; resuming goes on counting up to what was asked for."""
    path = tmp_path / "a.run"
    target, space = str(world.address("there", 4)), world.spaces["here"]
    ask = ["mtr", target, "--count", "400", "--interval", "10ms", "--out", str(path)]
    first = cli(*ask, space=space, state=tmp_path)
    wait_for(path, 100)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=10)
    left = read_kept(path)
    age = time.time_ns() - int(left.rows["sent_ns"].max())
    assert 100 <= left.done < 400
    assert age < 1.5 * SECOND + SECOND / 2

    again = cli("mtr", "--resume", str(path), "--json", space=space, state=tmp_path)
    assert busy(path, again)
    found = json.loads(finished(again))
    assert (found["done"], found["parts"]) == (400, 2)
    assert found["hops"][-1]["sent"] == 400
    run = read_kept(path)
    assert len(set(run.rows["sequence"].tolist())) == len(run.rows)
    size = path.stat().st_size
    # it is complete: asking once more shows it and measures nothing
    shown = json.loads(
        finished(cli("mtr", "--resume", str(path), "--json", space=space, state=tmp_path))
    )
    assert (shown["done"], path.stat().st_size) == (400, size)


def test_left_by_ctrl_c_and_resumed(world: World, tmp_path: Path) -> None:
    path = tmp_path / "a.run"
    target, space = str(world.address("there", 4)), world.spaces["here"]
    ask = ["mtr", target, "-c", "300", "-i", "10ms", "--report", "--out", str(path)]
    first = cli(*ask, space=space, state=tmp_path)
    wait_for(path, 50)
    first.send_signal(signal.SIGINT)
    stdout, stderr = first.communicate(timeout=20)
    assert first.returncode == 130
    assert f"go on: bongsu mtr --resume {path}" in " ".join(stderr.split())
    rows = parsed(stdout)
    assert rows[-1][1] == target
    assert rows[-1][2][1] == read_kept(path).done < 300
    finished(cli("mtr", "--resume", str(path), "--report", space=space, state=tmp_path))
    assert read_kept(path).done == 300


def test_kept_without_being_told_where(world: World, tmp_path: Path) -> None:
    target, space = str(world.address("there", 4)), world.spaces["here"]
    finished(cli("mtr", target, "-c", "5", "-i", "10ms", space=space, state=tmp_path))
    (path,) = (tmp_path / "bongsu" / "mtr").iterdir()
    assert read_kept(path).done == 5


def test_compare_finds_the_better_path(world: World, tmp_path: Path) -> None:
    """The far one loses half and takes three times as long; charts and JSON say so as well."""
    world.lossy(2, 0.3)
    near, far, space = (
        str(world.address("r1", 4)),
        str(world.address("there", 4)),
        world.spaces["here"],
    )
    chart = tmp_path / "c.svg"
    ask = ["compare", far, near, "-c", "300", "-i", "5ms", "--wait", "300ms"]
    found = json.loads(
        finished(cli(*ask, "--json", "--chart", str(chart), space=space, state=tmp_path))
    )
    assert found["verdict"] == "better"
    assert found["differences"]["loss"]["verdict"] == "better"
    assert found["b"]["loss"] == 0
    assert chart.read_text().startswith("<svg")
    kept = sorted((tmp_path / "bongsu" / "mtr").iterdir())
    again = finished(cli("compare", str(kept[0]), str(kept[0]), space=space, state=tmp_path))
    assert "no difference between" in again


def test_a_comparison_that_is_left_is_told_of_what_was_measured(
    world: World, tmp_path: Path
) -> None:
    near, far = str(world.address("r1", 4)), str(world.address("there", 4))
    kept = tmp_path / "kept"
    ask = ["compare", near, far, "-c", "3000", "-i", "10ms", "--out", str(kept)]
    begun = cli(*ask, space=world.spaces["here"], state=tmp_path)
    while not (found := sorted(kept.glob("*.run"))):
        assert begun.poll() is None
        time.sleep(0.05)
    wait_for(found[0], 50)
    begun.send_signal(signal.SIGINT)
    stdout, stderr = begun.communicate(timeout=20)
    assert begun.returncode == 130
    assert "of 3000 probes" in " ".join(stderr.split())
    assert "difference" in stdout


def test_a_target_that_answers_nothing_ends_with_1(world: World, tmp_path: Path) -> None:
    world.lossy(2, 1.0)
    target, space = str(world.address("there", 4)), world.spaces["here"]
    ask = ["mtr", target, "-c", "3", "-i", "10ms", "--wait", "100ms", "--report"]
    assert "100.0" in finished(cli(*ask, space=space, state=tmp_path), code=1)


def test_the_source_is_the_one_that_the_routes_choose(world: World) -> None:
    here = source_towards(world.spaces["here"], world.address("there", 6))
    assert here == world.address("here", 6, left=False)
    assert source_towards(world.spaces["here"], world.address("there", 4)) is not None
    assert source_towards(world.spaces["here"], ip_address("192.0.2.99")) is None
