"""What makes Linux send Cisco's GRE keepalives home, on the real ip_gre.

A keepalive needs nothing but forwarding at the far end: it carries its own reply. These are the
settings under which the kernel forwards it, as the sysctl renderer and the agent rely on them.
"""

import json

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import GRE

from tests.vm.harness import resume

pytestmark = pytest.mark.vm

NEAR, FAR = "192.0.2.1", "192.0.2.2"


def test_reflection() -> None:
    reply = IP(src=FAR, dst=NEAR, ttl=255, id=7) / GRE(proto=0)
    request = IP(src=NEAR, dst=FAR, ttl=255) / GRE(proto=0x0800) / reply
    echo = IP(src=NEAR, dst=FAR) / ICMP(type="echo-request", id=1, seq=1)
    result = resume(
        "exec $PYTHON -m tests.vm.jobs.reflection",
        {"request": bytes(request), "echo": bytes(echo)},
    )
    assert result.rc == 0, result.output
    seen = json.loads(result.output)

    # 24 bytes, as they were put in, but for one hop.
    reply.ttl = 254
    home = bytes(reply).hex()
    assert len(bytes(reply)) == 24
    *combinations, only_tunnel, down = seen
    assert len(combinations) == 2 * 2 * 2 * 3 * 3
    for setting, replies in combinations:
        accepted = setting["conf/all/accept_local"] or setting["conf/gre1/accept_local"]
        strict = max(setting["conf/all/rp_filter"], setting["conf/gre1/rp_filter"])
        reflected = setting["ip_forward"] and accepted and strict in (0, 2)
        assert replies == ([home] if reflected else []), setting
    assert only_tunnel == [{"only gre1 forwards": 1}, [home]]
    assert down == [{"gre1 is down": 1}, []]
