"""Links by netem: what is set takes effect. Bounds are wide, for the processor is emulated.

A wide bound still tells a link that does something from one that does nothing.
"""

import json

import pytest

from tests.vm.harness import resume

pytestmark = pytest.mark.vm


def test_netem() -> None:
    result = resume("exec $PYTHON -m tests.vm.jobs.links")
    assert result.rc == 0, result.output
    seen = json.loads(result.output)

    assert seen["choose"] == ["netem", "the kernel has sch_netem"]
    assert (seen["kind"], seen["links"]) == ("netem", ["wan"])

    arrived, least, median = seen["delay_ms"]
    assert arrived == 40
    assert least >= 39.9
    assert median < 140

    # 600 at 30 %: the standard deviation is 11.
    assert 360 < seen["passed"] < 480
    assert 120 < seen["lost"] < 240

    # 24 frames of 1042 bytes at 2 Mbit/s: the last is 96 ms behind the first.
    arrived, seconds = seen["rate"]
    assert arrived == 24
    assert 0.09 < seconds < 0.5

    assert seen["clean"] == 50
    assert seen["silent"] == [0, [1, 1], True]
    assert seen["heard"] == 20
    assert seen["down"] == [[0, 0], True]
    assert seen["up"] == [1, 1]
    assert seen["found again"] == ["netem", ["wan"]]
    assert seen["left"] == [["bst-a", "bst-b"], []]
