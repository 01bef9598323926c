"""The two GRE backends on a kernel that has both: alone, and one at each end of a tunnel.

The facts asked for are the same whoever carries the tunnel; that is the point.
"""

import json

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import GRE

from tests.vm.harness import resume

pytestmark = pytest.mark.vm

NEAR, FAR = "192.0.2.1", "198.51.100.1"
KEY, NARROW = 7, 1400
OVERHEAD = {"4": 20 + 8, "6": 40 + 8}


def expected(outer: str) -> dict[str, object]:
    overhead = OVERHEAD[outer]
    seen = {"df": True, "ttl": 255, "protocol": 47}
    facts: dict[str, object] = {
        "created": [True, True],
        "created again": [False, False],
        "names": [["gre-t"], ["gre-t"]],
        "mtu": [1500 - overhead] * 2,
        "echo": [True, True, True],
        "small": [True, True],
        # 50 datagrams of 100 bytes: inner IP packets of 128
        "counted": [50, 6400, 50, 6400],
        "outer of v4": {**seen, "tos": 0xB8, "gre": f"20000800{KEY:08x}"},
        "outer of v6": {**seen, "tos": 0x48, "gre": f"200086dd{KEY:08x}"},
        "other key": [True, False, False],
        "key again": [True, True],
        "line down": [[False, False], False, False, False],
        "line up": [[True, True], True, True],
        "path mtu": [NARROW - overhead] * 2,
        "mtu learned": NARROW - overhead,
        "fits": True,
        "deleted": [True, True],
        "deleted again": [False, False],
        "left": [[], []],
    }
    if outer == "4":
        facts["keepalive"] = [bytes(IP(src=FAR, dst=NEAR, ttl=254, id=7) / GRE(proto=0)).hex()]
        facts["keepalive, line down"] = facts["keepalive"]
    return facts


PAIRS = ("kernel:kernel", "kernel:ebpf", "ebpf:kernel")
RUNS = [f"{pair}:{outer}" for outer in OVERHEAD for pair in PAIRS]


@pytest.fixture(scope="module")
def seen() -> dict[str, object]:
    """One guest for all: loading the program costs more there than running it."""
    reply = IP(src=FAR, dst=NEAR, ttl=255, id=7) / GRE(proto=0)
    packets = {
        "request": IP(src=NEAR, dst=FAR, ttl=255) / GRE(key_present=1, key=KEY) / reply,
        "echo": IP(src=NEAR, dst=FAR) / ICMP(type="echo-request", id=1, seq=1),
    }
    result = resume(
        f"exec $PYTHON -m tests.vm.jobs.gre {' '.join(RUNS)}",
        {name: bytes(packet) for name, packet in packets.items()},
        timeout_s=400,
    )
    assert result.rc == 0, result.output
    return dict(json.loads(result.output))


@pytest.mark.parametrize("run", RUNS)
def test_backends(seen: dict[str, object], run: str) -> None:
    assert seen[run] == expected(run[-1])
