"""The flow monitor on Debian's kernel: its verifier takes it, and the kernel's own GRE is counted."""

import json

import pytest

from tests.vm.harness import resume

pytestmark = pytest.mark.vm

PACKETS, FOUR, SIX = 20, 20 * 128, 20 * 148


def test_the_kernels_own_interfaces() -> None:
    result = resume("exec $PYTHON -m tests.vm.jobs.flow", timeout_s=300)
    assert result.rc == 0, result.output
    found = json.loads(result.output)
    outer = found.pop("vb 4 47 0 7 0")
    # 20 bytes of IP and 8 of GRE with a key, over both families; neighbours asked for besides
    assert outer[0] >= 2 * PACKETS
    assert outer[1] >= FOUR + SIX + 2 * PACKETS * 28
    wanted = {
        "vb 4 17 0 0 0": [PACKETS, FOUR],
        "vb 4 17 2 7 0": [PACKETS, FOUR],
        "vb 6 17 2 7 0": [PACKETS, SIX],
        "g 4 17 0 7 0": [PACKETS, FOUR],
        "g 6 17 0 7 0": [PACKETS, SIX],
        "vb 4 17 0 0 9": [PACKETS, FOUR],
        "tagged 4 17 0 0 0": [PACKETS, FOUR],
    }
    assert {key: found.get(key) for key in wanted} == wanted
