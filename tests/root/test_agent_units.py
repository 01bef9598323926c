"""The systemd units: sound by systemd's own judgement, and a filter that never stands open."""

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bongsu.render import render_node
from bongsu.system import netns
from bongsu.system.run import run
from tests.root.agent_box import example

pytestmark = pytest.mark.root

UNITS = Path(__file__).parents[2] / "packaging" / "systemd"
FILTER = "/etc/nftables.d/60-bongsu.nft"


def setting(unit: str, name: str) -> str:
    (value,) = [
        line.removeprefix(f"{name}=")
        for line in (UNITS / unit).read_text().splitlines()
        if line.startswith(f"{name}=")
    ]
    return value


def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    for unit in UNITS.iterdir():
        # Where bongsu is installed is the machine's own affair.
        text = unit.read_text().replace("=bongsu ", "=/bin/true ")
        (tmp_path / unit.name).write_text(text)
    units = sorted(str(path) for path in tmp_path.iterdir())
    assert len(units) == 2
    done = run(["systemd-analyze", "verify", "--man=no", *units], check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_filter_comes_before_forwarding() -> None:
    assert "systemd-sysctl.service" in setting("bongsu-filter.service", "Before").split()
    assert "nftables.service" in setting("bongsu-filter.service", "After").split()
    assert setting("bongsu-filter.service", "DefaultDependencies") == "no"
    assert setting("bongsu-agent.service", "KillMode") == "process"


@pytest.fixture
def box() -> Iterator[str]:
    name = f"bst-agent-units-{os.getpid()}"
    netns.create(name)
    try:
        yield name
    finally:
        netns.remove(name)


def test_a_filter_that_cannot_be_loaded_closes_forwarding(box: str, tmp_path: Path) -> None:
    file = tmp_path / "filter.nft"
    shell, option, script = shlex.split(setting("bongsu-filter.service", "ExecStart"))
    command = [shell, option, script.replace(FILTER, str(file))]
    assert FILTER in script

    def rules() -> str:
        return run(["nft", "list", "ruleset"], netns=box).stdout

    file.write_text("table inet bongsu { nonsense }\n")
    assert run(command, netns=box, check=False).returncode == 1
    assert "hook forward priority filter; policy drop;" in rules()
    file.write_text(render_node(example()["seoul"])[FILTER])
    assert run(command, netns=box).returncode == 0
    assert "chain closed" not in rules()
    assert "gre-seoul" in rules()


def test_a_reload_loads_the_filter_if_there_is_one(box: str, tmp_path: Path) -> None:
    file = tmp_path / "filter.nft"
    shell, option, script = shlex.split(setting("bongsu-filter.service", "ExecReload"))
    command = [shell, option, script.replace(FILTER, str(file))]
    assert run(command, netns=box).returncode == 0
    file.write_text("table inet bongsu {}\n")
    run(command, netns=box)
    assert "table inet bongsu" in run(["nft", "list", "tables"], netns=box).stdout
