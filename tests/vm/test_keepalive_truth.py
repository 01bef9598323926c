"""What is said of the far end of a keepalive, and what the kernel's own stack then does there.

Nothing of ours answers in its place: VRFs are devices of Linux, the access list is rules, reverse path
forwarding is a setting. Predicted first, for all, then tried in one guest.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import GRE

from bongsu.checks import run_checks
from bongsu.intent import load_text
from bongsu.model.node import Platform
from bongsu.plan.compile import compile_network
from bongsu.plan.prediction import Outcome, predict_keepalive
from tests.vm.harness import resume

pytestmark = pytest.mark.vm

NEAR, FAR = "172.31.0.1", "172.31.0.2"
ABOUT = {"GRE006", "GRE007", "GRE008", "GRE012"}
"""Checks that say a keepalive does not come back; LNX001 is about what is built, and silent here."""


@dataclass(frozen=True)
class Case:
    """What is special at the far end, and which check says so; with none, the keepalive comes back."""

    code: str | None = None
    far: dict[str, Any] = field(default_factory=dict)
    underlay: dict[str, Any] = field(default_factory=dict)
    dialect: str = "cisco"
    options: tuple[str, ...] = ()

    @property
    def network(self) -> str:
        ends = {
            "near": {"addresses": ["10.10.10.1/30"], "keepalive": {"dialect": self.dialect}},
            "far": {"addresses": ["10.10.10.2/30"], "keepalive": False, **self.far},
        }
        wire = {"role": "link", "addresses": [f"{FAR}/30"], **self.underlay}
        # As an IOS the far end only forwards, which is all that Linux is let do here as well.
        platform = "ios" if self.code == "GRE012" else "linux"
        nodes = {
            "near": {
                "role": "router",
                "interfaces": {"va": {"role": "link", "addresses": [f"{NEAR}/30"]}},
            },
            "far": {"role": "router", "platform": platform, "interfaces": {"vb": wire}},
        }
        tunnels = {"gre1": {"ends": ends, "bgp": False}}
        return json.dumps({"version": 1, "name": "truth", "nodes": nodes, "tunnels": tunnels})

    @property
    def request(self) -> bytes:
        answer = IP(src=FAR, dst=NEAR, ttl=255, id=7) / GRE(proto=0)
        kind = 0x0004 if self.dialect == "huawei" else 0x0800
        return bytes(IP(src=NEAR, dst=FAR, ttl=255) / GRE(proto=kind) / answer)


def access(*rules: dict[str, str]) -> dict[str, Any]:
    return {"inbound": list(rules)}


FROM_FAR = {"from": f"{FAR}/32", "to": f"{NEAR}/32"}
RED, BLUE = {"vrf": "red"}, {"vrf": "blue"}
CASES = {
    "plain": Case(),
    "strict": Case("GRE006", {"rpf": "strict"}),
    "loose": Case(None, {"rpf": "loose"}),
    "inside in a VRF": Case("GRE007", RED),
    "outside in a VRF": Case("GRE007", {}, RED),
    "both in one VRF": Case(None, RED, RED),
    "each in its own VRF": Case("GRE007", RED, BLUE),
    "nothing permitted": Case("GRE008", access()),
    "the wrong way round": Case(
        "GRE008", access({"permit": "gre", "from": f"{NEAR}/32", "to": f"{FAR}/32"})
    ),
    "GRE between the ends permitted": Case(None, access({"permit": "gre", **FROM_FAR})),
    "another protocol type": Case("GRE012", dialect="huawei"),
}
LEAKY = "inside in a VRF without an end"
"""Linux asks the main table for what a VRF does not know, unless the VRF has an end: not predicted,
for it is not what a VRF is for, but so the page about it says."""


@pytest.fixture(scope="module")
def seen() -> dict[str, int]:
    """One guest for all, started when all has been foretold."""
    job = {}
    for name, case in {**CASES, LEAKY: Case("GRE007", RED, options=("leaky",))}.items():
        network = load_text(case.network, name).network
        plans = compile_network(network)
        own, far = (plans[node].tunnel("gre1") for node in ("near", "far"))
        outcome = predict_keepalive(own, far, network.nodes["far"].platform).outcome
        assert outcome is (Outcome.DOWN if case.code else Outcome.WORKS), name
        found = {item.code for item in run_checks(network, plans)} & ABOUT
        assert found == ({case.code} if case.code else set()), name
        there = plans["far"].model_copy(update={"platform": Platform.LINUX})
        job[name] = [there.model_dump(mode="json"), case.request.hex(), case.options]
    echo = IP(src=NEAR, dst=FAR) / ICMP(type="echo-request", id=1, seq=1)
    result = resume(
        "exec $PYTHON -m tests.vm.jobs.keepalive_truth",
        {"cases": json.dumps(job), "echo": bytes(echo)},
        timeout_s=200,
    )
    assert result.rc == 0, result.output
    answers: dict[str, int] = json.loads(result.output)
    return answers


@pytest.mark.parametrize("name", CASES)
def test_the_stack_does_what_was_foretold(seen: dict[str, int], name: str) -> None:
    assert seen[name] == (0 if CASES[name].code else 1)


def test_a_vrf_without_an_end(seen: dict[str, int]) -> None:
    assert seen[LEAKY] == 1
