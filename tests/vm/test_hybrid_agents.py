"""The hybrid example in Debian's kernel once more, each node run by its agent: the backends that the
machine's own kernel may not have, Libreswan with VTIs and strongSwan with XFRM interfaces, as the agent
makes, starts and watches them."""

import json
from pathlib import Path
from typing import Any

import pytest

from bongsu.intent import load_text
from tests.vm.harness import resume
from tests.vm.hybrid_world import world

pytestmark = pytest.mark.vm

EXAMPLE = Path(__file__).parents[2] / "examples" / "hybrid-vpn.yaml"

Seen = dict[str, Any]


@pytest.fixture(scope="module")
def seen() -> Seen:
    network = load_text(EXAMPLE.read_text(), EXAMPLE.name).network
    result = resume(
        "exec $PYTHON -m tests.vm.jobs.hybrid_agents",
        {"world.json": json.dumps(world(network))},
        timeout_s=500,
    )
    assert result.rc == 0, result.output
    return dict(json.loads(result.output[result.output.rindex("\n{") :]))


@pytest.mark.parametrize(
    ("node", "backend", "kind", "daemon"),
    [("cpe", "libreswan", "vti", "pluto"), ("seoul", "strongswan", "xfrm", "charon")],
)
def test_the_kernel_carries(seen: Seen, node: str, backend: str, kind: str, daemon: str) -> None:
    found = seen[node]
    assert found["vpn"]["backend"] == backend
    for tunnel in found["vpn"]["tunnels"]:
        assert (tunnel["state"], tunnel["cause"]) == ("up", None)
        assert tunnel["ike"]["proposal"] == "aes256-sha384-modp1536"
        # A guest without KVM may be so slow that both ends begin: then there are two.
        assert tunnel["esp"]
        for esp in tunnel["esp"]:
            assert (esp["proposal"], esp["encapsulated"]) == ("aes256gcm16-modp1536", True)
        link = found["links"][tunnel["name"]]
        assert (link["info_kind"], link["mtu"]) == (kind, tunnel["mtu"])
    running = {each["name"] for each in found["status"]["daemons"] if each["running"]}
    assert running == {"zebra", "staticd", "bgpd", daemon}
    assert all(state["espinudp"] and state["gcm"] for state in found["states"])
    assert len(found["states"]) >= 4


@pytest.mark.parametrize(("node", "counts"), [("cpe", (2, 1)), ("seoul", (1, 2))])
def test_bgp_and_its_routes(seen: Seen, node: str, counts: tuple[int, int]) -> None:
    neighbors = seen[node]["bgp"]["neighbors"]
    assert len(neighbors) == 2
    for neighbor in neighbors:
        assert neighbor["state"] == "Established"
        assert (neighbor["received"], neighbor["sent"]) == counts
    learned = {"cpe": ("172.16.0.0/24", "172.16.1.0/24"), "seoul": ("10.0.0.0/16",)}[node]
    routes = [line for line in seen[node]["routes"].splitlines() if "proto bgp" in line]
    assert [line.split()[0] for line in routes] == list(learned)
    assert all("dev vti1" in line for line in routes)


def test_the_hosts_reach_each_other_and_nobody_reads_it(seen: Seen) -> None:
    for text in seen["pings"].values():
        assert "5 received" in text, text
    assert not seen["clear"]
    assert sum("UDP-encap: ESP" in line for line in seen["wire"]) >= 20


@pytest.mark.parametrize("node", ["cpe", "seoul"])
def test_a_second_apply_changes_nothing_and_resets_nothing(seen: Seen, node: str) -> None:
    found = seen["again"][node]
    assert found["changes"] == []
    before, after = found["spis"]
    assert len(before) >= 2
    assert before == after
    earlier, later = found["uptimes"]
    assert len(earlier) == 2
    assert all(b >= a for a, b in zip(earlier, later, strict=True)), found["uptimes"]
