"""A lab leaves nothing behind, however it ends; and labs do not meet."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bongsu.lab.lifecycle import remove_lab, sweep
from bongsu.lab.member import AGENT_BUNDLE, write_bundle
from bongsu.lab.probe.survey import survey
from bongsu.lab.state import LabError, LabPaths, lab_names
from bongsu.render.bundle import Bundle

from .conftest import EXAMPLES, Cli, as_json, raised, remains

pytestmark = pytest.mark.lab

EXAMPLE = EXAMPLES / "anycast.yaml"


def start(name: str) -> subprocess.Popen[bytes]:
    """`bongsu lab test` in the background, once it has begun to make namespaces."""
    process = subprocess.Popen(
        [Path(sys.executable).with_name("bongsu"), "lab", "test", EXAMPLE, "--name", name],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not LabPaths(name).emulator.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("later_s", [0.3, 4.0])
def test_an_interrupted_lab_is_removed(number: signal.Signals, later_s: float) -> None:
    process = start("t-interrupt")
    time.sleep(later_s)
    process.send_signal(number)
    assert process.wait(60) != 0
    assert remains("t-interrupt") == []


def test_the_next_start_removes_what_a_killed_one_left(cli: Cli) -> None:
    process = start("t-killed")
    time.sleep(1.5)
    process.kill()
    process.wait()
    assert remains("t-killed") != []
    assert "t-killed" in lab_names()
    assert "leftover" in cli("lab", "status").stdout
    assert "t-killed" in sweep()
    assert remains("t-killed") == []


def test_a_lab_that_cannot_be_raised_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(bundle: Bundle, node: str, paths: LabPaths) -> None:
        write_bundle(bundle, node, paths)
        if node == "tokyo":
            file = paths.node(node) / "run" / AGENT_BUNDLE / "root" / "etc" / "bird" / "bird.conf"
            file.write_text(file.read_text() + "# changed on its way")

    monkeypatch.setattr("bongsu.lab.lifecycle.write_bundle", spoil)
    with pytest.raises(LabError, match=r"(?s)the agent of tokyo died.*bird\.conf"):
        raised("anycast.yaml", "t-broken")
    assert remains("t-broken") == []


def test_two_labs_side_by_side() -> None:
    first = raised("anycast.yaml", "t-one")
    try:
        with pytest.raises(LabError, match="t-one is up already"):
            raised("anycast.yaml", "t-one")
        second = raised("anycast.yaml", "t-one-more")  # its name begins like the other's
        try:
            target = first.target("web")
            for lab in (first, second):
                assert all(look.lost == 0 for look in survey(lab, target, count=5).looks)
            remove_lab("t-one")
            assert remains("t-one") == []
            assert all(look.lost == 0 for look in survey(second, target, count=5).looks)
        finally:
            remove_lab("t-one-more")
    finally:
        if "t-one" in lab_names():
            remove_lab("t-one")
    assert remains("t-one-more") == []


def test_up_status_probe_down(cli: Cli) -> None:
    assert "is up after" in cli("lab", "up", str(EXAMPLE), "--name", "t-cli").stdout
    try:
        rows = as_json(cli("lab", "status", "--json"))
        mine = next(row for row in rows if row["lab"] == "t-cli")  # type: ignore[attr-defined]
        assert (mine["phase"], mine["not_settled"]) == ("up", [])
        seen = as_json(cli("probe", "web", "--lab", "t-cli", "--count", "5", "--json"))
        assert len(seen["looks"]) == 6  # type: ignore[call-overload, index]
        assert "seoul" in cli("probe", "--lab", "t-cli", "--count", "3").stdout
        cli("probe", "nobody", "--lab", "t-cli", code=1)
    finally:
        cli("lab", "down", "--lab", "t-cli")
    assert remains("t-cli") == []


def test_passwords_of_the_lab_are_in_no_log(cli: Cli) -> None:
    lab = raised("anycast.yaml", "t-secret")
    try:
        for path in lab.paths.root.rglob("*"):
            if path.is_file() and path.suffix in (".log", ".json") and os.access(path, os.R_OK):
                assert b"lab-only-seoul" not in path.read_bytes(), path
        assert "lab-only-seoul" not in str(lab.agent("seoul").call("status"))
        assert "lab-only-seoul" not in str(lab.agent("seoul").call("events"))
    finally:
        remove_lab("t-secret")
