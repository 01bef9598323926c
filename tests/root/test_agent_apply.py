"""One agent on a machine of its own: what it builds, what it refuses, what it leaves alone."""

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bongsu.model.node import Platform
from bongsu.render.bundle import Bundle
from bongsu.system.agent_client import AgentError
from bongsu.system.run import is_same_process, run, start_time
from tests.root.agent_box import PASSWORD, Box, boxes, cable, example, until, write_tree

pytestmark = pytest.mark.root


def wired(box: Box, far: Box) -> Box:
    cable(box, "ens3", far, "far")
    box.ip("addr add 203.0.113.10/24 dev ens3")
    box.ip("route add default via 203.0.113.1")
    return box


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Box]:
    """Seoul's machine, no agent yet."""
    with boxes(tmp_path, "seoul", "far") as (box, far):
        yield wired(box, far)


@pytest.fixture
def fresh(bare: Box) -> Box:
    """Seoul with its bundle applied, for a test that ends it."""
    bare.start(bare.bundle(example()["seoul"]))
    bare.wait_ready()
    return bare


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with boxes(tmp_path_factory.mktemp("agent"), "shared", "far") as (box, far):
        wired(box, far).start(box.bundle(example()["seoul"]))
        box.wait_ready()
        yield box


@pytest.fixture
def seoul(shared: Box) -> Box:
    """Seoul with its bundle applied, whatever the test before did with it."""
    shared.client.call("apply", bundle="/run/bundle")
    lonely(shared)
    return shared


def lonely(box: Box) -> None:
    """Wait until the agent has found that nobody answers: from then on nothing moves by itself."""
    until(lambda: "NO-CARRIER" in box.ip("-o link show dev gre-seoul"), "the line stayed up")


def kernel_state(box: Box) -> str:
    """What netlink and nft say, without what moves by itself."""
    parts = [
        box.text("ip", "-o", "link"),
        box.text("ip", "-o", "addr").replace(" tentative", ""),
        box.text("ip", "rule"),
        box.text("nft", "-s", "list", "ruleset"),
    ]
    return "\n".join(parts)


def sessions(status: dict[str, Any]) -> list[tuple[str, datetime]]:
    """BIRD's BGP sessions and since when."""
    return [(s["name"], datetime.fromisoformat(s["since"])) for s in status["bgp"]]


def unmoved(before: list[tuple[str, datetime]], after: list[tuple[str, datetime]]) -> bool:
    # BIRD reckons the time of day anew when it is asked, and is a millisecond off now and then.
    return [name for name, _ in before] == [name for name, _ in after] and all(
        abs(then - now) < timedelta(seconds=0.5)
        for (_, then), (_, now) in zip(before, after, strict=True)
    )


def test_a_bundle_becomes_a_node(seoul: Box) -> None:
    status = seoul.client.call("status")
    plan = example()["seoul"]
    assert (status["node"], status["plan"]) == ("seoul", plan.digest())
    (tunnel,) = status["tunnels"]
    assert (tunnel["name"], tunnel["key"], tunnel["mtu"]) == ("gre-seoul", 1, 1472)
    (daemon,) = status["daemons"]
    assert daemon["running"]
    assert {session["name"] for session in status["bgp"]} == {
        "external_vultr",
        "internal4_gre_seoul",
    }
    assert "10.99.1.1/24" in seoul.ip("-o addr show dev gre-seoul")
    assert "table inet bongsu" in seoul.text("nft", "list", "tables")
    # The blackhole of last resort: nothing may leave again while no tunnel lives.
    until(lambda: "blackhole 103.178.34.0/23" in seoul.ip("route"), "no blackhole route")
    assert seoul.ip("-o addr show dev ens3").count("inet ") == 1


def test_secrets_stay_in_one_file(seoul: Box) -> None:
    secrets = seoul.home / "etc" / "bird" / "bongsu-secrets.conf"
    assert secrets.stat().st_mode & 0o777 == 0o640
    holders = [
        path
        for top in (seoul.home / "etc", seoul.home / "run", seoul.home / "agent.err")
        for path in ([top] if top.is_file() else top.rglob("*"))
        if path.is_file() and PASSWORD in path.read_text(errors="replace")
    ]
    assert holders == [secrets]


def test_bird_has_real_time_priority(seoul: Box) -> None:
    pid = seoul.outside(seoul.client.call("status")["daemons"][0]["pid"])
    assert os.sched_getscheduler(pid) == os.SCHED_FIFO


def test_the_same_bundle_again_changes_nothing(seoul: Box) -> None:
    def bird() -> Any:
        status = seoul.client.call("status")
        return status["daemons"][0]["pid"], sessions(status)

    before, daemon = kernel_state(seoul), bird()
    inodes = {path: path.stat().st_ino for path in (seoul.home / "etc").rglob("*.conf")}
    report = seoul.client.call("apply", bundle="/run/bundle")
    assert report["changes"] == []
    assert kernel_state(seoul) == before
    pid, after = bird()
    assert pid == daemon[0]
    assert unmoved(daemon[1], after)
    assert {path: path.stat().st_ino for path in inodes} == inodes


def test_a_change_reaches_bird_without_a_restart(seoul: Box) -> None:
    def slower(data: dict[str, Any]) -> None:
        data["tunnels"]["gre-seoul"]["bfd"] = {"interval_ms": 50, "multiplier": 4}

    pid = seoul.client.call("status")["daemons"][0]["pid"]
    report = seoul.client.call("apply", bundle=seoul.bundle(example(slower)["seoul"], "slower"))
    assert "wrote /etc/bird/bird.conf" in report["changes"]
    assert [change for change in report["changes"] if change.startswith("bird: ")]
    assert seoul.client.call("status")["daemons"][0]["pid"] == pid


def test_what_the_plan_no_longer_names_goes(seoul: Box) -> None:
    def without(data: dict[str, Any]) -> None:
        del data["tunnels"]["gre-seoul"]
        data["nodes"]["seoul"]["announce"] = []

    plan = example(without)["seoul"]
    report = seoul.client.call("apply", bundle=seoul.bundle(plan, "without"))
    assert "removed tunnel gre-seoul" in report["changes"]
    assert "gre-seoul" not in seoul.ip("-o link")
    assert seoul.client.call("status")["tunnels"] == []


def test_a_table_that_somebody_changed_is_put_right(seoul: Box) -> None:
    seoul.text("nft", "flush", "chain", "inet", "bongsu", "outer")
    report = seoul.client.call("apply", bundle="/run/bundle")
    assert report["changes"] == ["loaded the nftables table"]


def test_bird_comes_back(seoul: Box) -> None:
    inner = seoul.client.call("status")["daemons"][0]["pid"]
    seen = len(seoul.events("daemon"))
    os.kill(seoul.outside(inner), signal.SIGKILL)
    until(lambda: len(seoul.events("daemon")) == seen + 2, "BIRD did not come back")
    daemon = seoul.client.call("status")["daemons"][0]
    assert daemon["running"]
    assert daemon["pid"] != inner
    down, up = seoul.events("daemon")[-2:]
    assert (down["cause"], down["details"]["state"]) == ("ended: SIGKILL", "down")
    assert up["details"]["state"] == "up"


BROKEN = {
    "manifest.json": "bundle differs from its manifest",
    "root/etc/bird/bird.conf": "changed: root/etc/bird/bird.conf",
    "root/etc/nftables.d/60-bongsu.nft": "changed: root/etc/nftables.d/60-bongsu.nft",
    "root/etc/cron.d/evil": "extra: root/etc/cron.d/evil",
}


def test_broken_bundles_are_refused_with_nothing_changed(seoul: Box) -> None:
    before = kernel_state(seoul)
    files = {path: path.read_bytes() for path in (seoul.home / "etc").rglob("*") if path.is_file()}
    for number, (where, message) in enumerate(BROKEN.items()):
        name = f"broken{number}"
        seoul.bundle(example()["seoul"], name)
        target = seoul.home / "run" / name / where
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a") as file:
            file.write(" ")
        with pytest.raises(AgentError, match=message) as caught:
            seoul.client.call("apply", bundle=f"/run/{name}")
        assert caught.value.kind == "refused"
    assert kernel_state(seoul) == before
    after = {path: path.read_bytes() for path in (seoul.home / "etc").rglob("*") if path.is_file()}
    assert after == files
    assert seoul.client.call("status")["plan"] == example()["seoul"].digest()


def test_another_platforms_bundle_is_refused(bare: Box) -> None:
    plan = example()["seoul"].model_copy(update={"platform": Platform.PFSENSE})
    write_tree(Bundle(plan, {}), bare.home / "run" / "bundle")
    bare.start("/run/bundle")
    assert bare.wait_end() == 1
    assert "pfsense" in bare.errors()


def test_a_missing_secret_stops_everything(bare: Box) -> None:
    def other(data: dict[str, Any]) -> None:
        data["nodes"]["seoul"]["bgp"]["neighbors"]["vultr"]["password"] = "env:NOT_HERE"

    before = kernel_state(bare)
    bare.start(bare.bundle(example(other)["seoul"]))
    assert bare.wait_end() == 1
    assert "env:NOT_HERE: not in the agent's environment" in bare.errors()
    assert kernel_state(bare) == before
    assert not list((bare.home / "etc").rglob("*bongsu*"))


def test_sigterm_ends_every_process(fresh: Box) -> None:
    pids = [(pid, start_time(pid)) for pid in fresh.processes()]
    assert len(pids) >= 3  # PID 1, the agent, BIRD
    fresh.terminate()
    assert fresh.wait_end() == 0
    assert not [pid for pid, started in pids if started and is_same_process(pid, started)]
    # In order, and not by the end of the namespace: sessions are closed and announcements withdrawn.
    assert "Shutdown completed" in (fresh.home / "run" / "bongsu" / "bird.log").read_text()
    # The data plane stays for the next agent.
    assert "gre-seoul" in fresh.ip("-o link")


def test_purge_takes_everything_away(fresh: Box) -> None:
    fresh.client.call("stop", purge=True)
    assert fresh.wait_end() == 0
    assert "gre-seoul" not in fresh.ip("-o link")
    assert "bongsu" not in fresh.text("nft", "list", "tables")


COMMAND_LINE = ("-c", "from bongsu.cli.main import run; run()", "agent")


def test_sighup_reads_the_bundle_again(bare: Box) -> None:
    def slower(data: dict[str, Any]) -> None:
        data["tunnels"]["gre-seoul"]["bfd"] = {"interval_ms": 50, "multiplier": 4}

    bare.start(bare.bundle(example()["seoul"]), program=(*COMMAND_LINE, "run"))
    bare.wait_ready()
    before = bare.client.call("status")
    plan = example(slower)["seoul"]
    bare.bundle(plan)
    os.kill(bare.agent_pid(), signal.SIGHUP)
    until(lambda: bare.client.call("status")["plan"] == plan.digest(), "nothing was applied")
    after = bare.client.call("status")
    assert after["pid"] == before["pid"]
    assert after["daemons"][0]["pid"] == before["daemons"][0]["pid"]
    # A bundle that is broken is refused, and the agent goes on.
    (bare.home / "run" / "bundle" / "plan.json").write_text("{}")
    os.kill(bare.agent_pid(), signal.SIGHUP)
    until(lambda: "goes on as it was" in bare.errors(), "nothing was refused")
    assert bare.client.call("status")["plan"] == plan.digest()


def test_the_command_line_applies_and_stops(bare: Box) -> None:
    bundle = bare.bundle(example()["seoul"])
    bare.start(bundle, program=(*COMMAND_LINE, "run"))
    bare.wait_ready()
    state = str(bare.home / "run" / "bongsu")
    ask = [sys.executable, *COMMAND_LINE]
    # The path is the agent's: this one is where the box sees it.
    done = run([*ask, "apply", "--bundle", bundle, "--state", state], check=False)
    assert json.loads(done.stdout)["changes"] == [], done.stderr
    done = run([*ask, "apply", "--bundle", "/run/nothing", "--state", state], check=False)
    assert (done.returncode, "is not a directory" in done.stderr) == (1, True)
    assert run([*ask, "stop", "--purge", "--state", state]).stdout == ""
    assert bare.wait_end() == 0
    assert "gre-seoul" not in bare.ip("-o link")


def test_orphans_are_reaped(seoul: Box) -> None:
    init = next(
        pid
        for pid in seoul.processes()
        if Path(f"/proc/{pid}/status").read_text().split("NSpid:")[1].split()[1:2] == ["1"]
    )
    # A child of a child that ends first is given to PID 1.
    command = ["nsenter", f"--target={init}", "--pid", "--mount", "sh", "-c"]
    inner = seoul.text(*command, "sleep 60 >/dev/null 2>&1 & echo $!")
    orphan = seoul.outside(int(inner))
    os.kill(orphan, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{orphan}").exists(), "a zombie was left")


def test_a_new_agent_adopts_bird_of_a_killed_one(bare: Box) -> None:
    bare.start(bare.bundle(example()["seoul"]), pid_namespace=False)
    bare.wait_ready()
    lonely(bare)
    status = bare.client.call("status")
    before = kernel_state(bare)
    os.kill(status["pid"], signal.SIGKILL)
    bare.wait_end()
    bare.start("/run/bundle", pid_namespace=False)
    bare.wait_ready()
    again = bare.client.call("status")
    daemon = again["daemons"][0]
    assert daemon["adopted"]
    assert daemon["pid"] == status["daemons"][0]["pid"]
    assert unmoved(sessions(status), sessions(again))
    assert kernel_state(bare) == before
    os.kill(daemon["pid"], signal.SIGKILL)
    until(
        lambda: bare.client.call("status")["daemons"][0]["restarts"] == 1,
        "an adopted BIRD did not come back",
    )


def test_a_second_agent_is_refused(bare: Box) -> None:
    bare.start(bare.bundle(example()["seoul"]), pid_namespace=False)
    bare.wait_ready()
    first = bare.process
    # Another mount namespace, the same /run: as two services on one machine would be.
    bare.start("/run/bundle", pid_namespace=False)
    assert bare.wait_end() == 3
    assert "another agent works" in bare.errors()
    bare.process = first
    assert bare.client.call("status")["node"] == "seoul"


REQUESTS = [
    (b"\n", "malformed"),
    (b"[]\n", "malformed"),
    (b"{}\n", "malformed"),
    (b"\xff\xfe\n", "malformed"),
    (b"[" * 50000 + b"\n", "malformed"),
    (b'{"request": "format-disk"}\n', "unknown-request"),
    (b'{"request": "apply", "bundle": 7}\n', "malformed"),
    (b'{"request": "apply", "bundle": "relative"}\n', "malformed"),
    (b'{"request": "events", "since": "x"}\n', "malformed"),
    (b'{"request": "' + b"x" * 70000 + b'"}\n', "too-long"),
]


def test_malformed_requests_cost_an_answer_only(seoul: Box) -> None:
    for line, kind in REQUESTS:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(seoul.client.path))
            client.sendall(line)
            answer = json.loads(client.makefile().readline())
        assert (answer["ok"], answer["error"]["kind"]) == (False, kind), line[:40]
    assert seoul.client.path.stat().st_mode & 0o777 == 0o600
    assert seoul.client.call("status")["node"] == "seoul"
