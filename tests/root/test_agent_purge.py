"""What stood before bongsu is known from before the first write, and comes back with a purge."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bongsu.agent.owned import Owned
from bongsu.system import files
from bongsu.system.run import run
from tests.root.agent_box import Box, boxes, example
from tests.root.test_agent_apply import kernel_state, wired

pytestmark = pytest.mark.root

MINE = "# the owner's own\nrouter id 192.0.2.77;\n"
KEYS = ("net.ipv4.ip_forward", "net.ipv4.conf.all.send_redirects", "net.ipv4.conf.all.rp_filter")


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Box]:
    """Seoul's machine with a bird.conf of its owner."""
    with boxes(tmp_path, "seoul", "far") as (box, far):
        (box.home / "etc" / "bird").mkdir()
        shutil.copystat("/etc/bird", box.home / "etc" / "bird")
        shutil.chown(box.home / "etc" / "bird", Path("/etc/bird").owner(), "bird")
        (box.home / "etc" / "bird" / "bird.conf").write_text(MINE)
        yield wired(box, far)


def tree(top: Path) -> dict[str, tuple[str, str]]:
    """Kind with mode, and content, of everything below."""
    return {
        str(path.relative_to(top)): (
            oct(path.lstat().st_mode),
            path.read_text() if path.is_file() else "",
        )
        for path in top.rglob("*")
    }


def settings(box: Box) -> list[str]:
    return box.text("sysctl", *KEYS).splitlines()


def unfamiliar(box: Box) -> list[str]:
    """What the box's /etc has that the machine's own has not, or has otherwise."""
    found = []
    for name, (mode, content) in tree(box.home / "etc").items():
        below = Path("/etc") / name
        same = below.exists() and oct(below.stat().st_mode) == mode
        if not same or (below.is_file() and below.read_text() != content):
            found.append(name)
    return found


def test_purge_leaves_the_machine_as_it_was_found(bare: Box) -> None:
    bundle = bare.bundle(example()["seoul"])
    run(["sysctl", "-w", "net.ipv4.ip_forward=0"], netns=bare.netns)
    run(["sysctl", "-w", "net.ipv4.conf.all.send_redirects=1"], netns=bare.netns)
    before = settings(bare), kernel_state(bare), tree(bare.home / "run")
    bare.start(bundle)
    bare.wait_ready()
    assert settings(bare) != before[0]
    assert (bare.home / "etc" / "bird" / "bird.conf").read_text() != MINE
    # A second bundle must not make the first one's values those of before.
    bare.client.call("apply", bundle=bundle)
    bare.client.call("stop", purge=True)
    assert bare.wait_end() == 0, bare.errors()
    assert (settings(bare), kernel_state(bare), tree(bare.home / "run")) == before
    assert bare.text("ip", "route", "show", "table", "all", "proto", "bird") == ""
    assert unfamiliar(bare) == ["bird/bird.conf"]
    assert (bare.home / "etc" / "bird" / "bird.conf").read_text() == MINE


def test_a_failed_first_apply_leaves_no_doubt_whose_a_file_is(bare: Box) -> None:
    bundle = bare.bundle(example()["seoul"])
    obstacle = bare.home / "run" / "bird"
    obstacle.touch()
    bare.start(bundle)
    assert bare.wait_end() == 1
    assert (bare.home / "etc" / "nftables.d" / "60-bongsu.nft").exists()
    obstacle.unlink()
    bare.start(bundle)
    bare.wait_ready()
    (kept,) = (bare.home / "etc").rglob("*.before-bongsu")
    assert (kept.name, kept.read_text()) == ("bird.conf.before-bongsu", MINE)
    bare.client.call("stop", purge=True)
    assert bare.wait_end() == 0, bare.errors()
    assert unfamiliar(bare) == ["bird/bird.conf"]


def test_purge_goes_on_after_a_step_that_fails(bare: Box) -> None:
    bare.start(bare.bundle(example()["seoul"]))
    bare.wait_ready()
    record = bare.home / "etc" / "bongsu" / "owned.json"
    record.write_text("{}")
    bare.client.call("stop", purge=True)
    assert bare.wait_end() == 1
    assert "is no record of bongsu's" in bare.errors()
    assert "gre-seoul" not in bare.ip("-o link")
    assert "bongsu" not in bare.text("nft", "list", "tables")


def test_the_record_says_what_was_before(tmp_path: Path) -> None:
    record, ours, theirs = tmp_path / "a" / "owned", tmp_path / "b" / "ours", tmp_path / "theirs"
    theirs.write_text("old")
    owned = Owned(record)
    assert owned.claim([ours, theirs]) == [theirs]
    owned.claim_settings({"x": "0"})
    for path in (ours, theirs):
        files.write_atomic(path, "new")
    again = Owned(record)
    assert again.claim([ours, theirs]) == []
    again.claim_settings({"x": "1", "y": "1"})
    assert Owned(record).settings == {"x": "0", "y": "1"}
    again.forget_settings(["x"])
    assert Owned(record).settings == {"y": "1"}
    untouched = tmp_path / "untouched"
    untouched.write_text("old")
    assert again.claim([untouched]) == [untouched]
    again.give_back(untouched)
    assert again.give_back(ours) == f"removed {ours}"
    assert again.give_back(ours) is None
    assert again.give_back(theirs) == f"gave {theirs} of before back"
    again.remove()
    assert tree(tmp_path).keys() == {"theirs", "untouched"}
    assert theirs.read_text() == "old"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"files": 1, "directories": [], "settings": {}}']
)
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "owned").write_text(text)
    with pytest.raises(ValueError, match="no record of bongsu's"):
        Owned(tmp_path / "owned")
