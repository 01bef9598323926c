"""The keepalive engine on Debian's kernel, where ip_gre carries the data."""

import json

import pytest

from tests.vm.harness import resume

pytestmark = pytest.mark.vm

RUNS = [f"{mode}:{outer}" for mode in ("kernel", "socket") for outer in "46"]
EXPECTED = {
    "judged": True,
    "answered": True,
    "rtt": True,
    "refused": [0, 0, 0, 0, 0],
    "scheduler": "fifo",
    "echo": True,
    "down": [[False, 3]],
    "up": [[True, 0]],
    "echo again": True,
}


@pytest.fixture(scope="module")
def seen() -> dict[str, object]:
    """One guest for all."""
    result = resume(
        f"exec $PYTHON -m tests.vm.jobs.keepalive_engine {' '.join(RUNS)}", timeout_s=300
    )
    assert result.rc == 0, result.output
    return dict(json.loads(result.output))


@pytest.mark.parametrize("run", RUNS)
def test_over_the_kernels_own_driver(seen: dict[str, object], run: str) -> None:
    assert seen[run] == EXPECTED
