"""Only sysctl makes this end send keepalives home: which rows of the table do, with real packets.

The settings are those that bongsu renders, written as the agent writes them, on the real ip_gre. And
why accept_local on all interfaces is refused: what a stranger sends with our own source address is
forwarded then, whatever the reverse path filter.
"""

import json

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import GRE

from tests.vm.harness import resume

pytestmark = pytest.mark.vm

NEAR, FAR = "192.0.2.1", "192.0.2.2"


def test_own_addresses() -> None:
    def reply(number: int) -> IP:
        return IP(src=FAR, dst=NEAR, ttl=255, id=number) / GRE(proto=0)

    packets = {
        "keepalive": IP(src=NEAR, dst=FAR, ttl=255) / GRE(proto=0x0800) / reply(7),
        "spoofed": reply(9),
        "echo": IP(src=NEAR, dst=FAR) / ICMP(type="echo-request", id=1, seq=1),
    }
    result = resume(
        "exec $PYTHON -m tests.vm.jobs.own_address",
        {name: bytes(packet) for name, packet in packets.items()},
    )
    assert result.rc == 0, result.output
    seen = json.loads(result.output)
    for of_all, rpf, back, kept, taken in seen["tunnel"]:
        # loose and unsaid send it home whatever is on all; strict does not, even where 2 was on all
        assert back == ([] if rpf == "strict" else ["keepalive"]), (of_all, rpf)
        assert kept, f"the uplink is filtered as before: {of_all}, {rpf}"
        assert not taken
    assert len(seen["tunnel"]) == 9
    assert seen["no keepalive"] == [[], False]
    # even where the uplink is strict (1): the address lives there, so it may come from there
    assert seen["global"] == [[of_all, ["keepalive", "spoofed"], True] for of_all in (0, 1, 2)]
