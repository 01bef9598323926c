"""The repair engine under the sanitizers of the compiler: no packet makes it touch what is not its own."""

import subprocess
from pathlib import Path

import pytest

from bongsu.system import repair

pytestmark = pytest.mark.root

ENGINE = Path(repair.__file__).parent
HOSTILE = Path(__file__).with_name("repair_hostile.c")
FLAGS = (
    *("-O1", "-g", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-pthread"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("repair") / "hostile"
    sources = [HOSTILE, *sorted(ENGINE.glob("*.c"))]
    subprocess.run(
        ["cc", *FLAGS, f"-I{ENGINE}", *map(str, sources), "-o", str(made), "-lisal"], check=True
    )
    return made


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_breaks_it(program: Path, seed: int) -> None:
    # in a namespace of its own: what it sends to its peers goes nowhere
    done = subprocess.run(
        ["unshare", "--net", str(program), "40000", str(seed)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    streams = [[int(word) for word in line.split()] for line in done.stdout.splitlines()]
    packets, repaired, spoilt = (sum(column) for column in zip(*streams, strict=True))
    # it was not merely refused: all of the receiver was reached
    assert packets > 10_000
    assert repaired > 500
    assert spoilt > 500
