"""ip_gre bound to no interface: the same tunnel between loopbacks as the data plane makes."""

import json

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import GRE

from tests.vm.harness import resume

pytestmark = pytest.mark.vm

NEAR, FAR = "192.168.1.1", "192.168.1.2"


def test_the_kernels_driver_follows_the_routing_table() -> None:
    reply = IP(src=FAR, dst=NEAR, ttl=255, id=7) / GRE(proto=0)
    packets = {
        "request": IP(src=NEAR, dst=FAR, ttl=255) / GRE() / reply,
        "echo": IP(src=NEAR, dst=FAR) / ICMP(type="echo-request", id=1, seq=1),
    }
    result = resume(
        "exec $PYTHON -m tests.vm.jobs.routed",
        {name: bytes(packet) for name, packet in packets.items()},
        timeout_s=400,
    )
    assert result.rc == 0, result.output
    reply.ttl = 254
    assert json.loads(result.output) == {
        "created": [True, True],
        "again": [False, False],
        "bound to": None,
        "mtu": [1476, 1400 - 24],
        "ways": [[True, wire, [wire]] for wire in ("w1", "w2", "w1")],
        "reflected by the other wire": [bytes(reply).hex()],
        "recursive, passes": False,
        "recursive": {"t": "t"},
        "recursive, counted": True,
        "recursive, reaches": False,
        "recursive by another": {"t": "u", "u": "u"},
        "held": [["t"], {}],
        "held, passes": False,
        "elsewhere, reaches": True,
        "let go, passes": True,
        "deleted": [True, True],
    }
