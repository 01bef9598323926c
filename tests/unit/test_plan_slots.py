"""What a tunnel has alone in user space: the same whatever becomes of the others, and nobody else's."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bongsu.agent.services.service import meaning
from bongsu.intent import load_text
from bongsu.plan.compile import compile_network
from bongsu.plan.slots import SLOTS, slots
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render import render_node
from tests.unit.test_plan_stand_in import two_sites

NAMES = st.lists(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=15),
    unique=True, min_size=1, max_size=40,
)  # fmt: skip
BUSAN = "bgp: {}"


def written(text: str) -> dict[str, str]:
    """What each file of user space says, its comments left out."""
    plan = compile_network(load_text(text, "two.yaml").network)["busan"]
    return {
        Path(path).name: meaning(content)
        for path, content in render_node(plan).items()
        if path.startswith("/etc/bongsu/libipsec/")
    }


@pytest.mark.parametrize("more", ["static: true", "bgp: {}", "binding: policy"])
def test_a_tunnel_that_goes_changes_nothing_of_the_others(more: str) -> None:
    """A daemon whose settings are others is started anew, and its tunnel is down for so long."""
    text = two_sites(more)
    line = text[text.index("      vti1: ") : text.index("      vti2: ")]
    both, one = written(text), written(text.replace(line, "", 1))
    assert set(both) - set(one) == {"vti1.strongswan.conf", "vti1.swanctl.conf"}
    assert {name: both[name] for name in one} == one
    assert both["vti1.strongswan.conf"] != both["vti2.strongswan.conf"]


def test_nor_does_one_that_comes_or_another_order() -> None:
    text = two_sites("static: true")
    begin, end = text.index("      vti1: "), text.index("      vti2: ")
    line = text[begin:end]
    more = (
        line.replace("vti1", "vti0").replace("203.0.113.2", "203.0.113.9").replace(".1/30", ".9/30")
    )
    before = written(text)
    after = written(text[:begin] + more + text[begin:])
    assert {name: after[name] for name in before} == before


def numbers(names: list[str]) -> dict[str, int]:
    plan = compile_network(load_text(two_sites("static: true"), "two.yaml").network)["busan"].vpns[
        0
    ]
    tunnels: list[VpnTunnelPlan] = [plan.model_copy(update={"name": name}) for name in names]
    return slots(tunnels)


@given(NAMES, st.randoms())
def test_each_has_its_own_in_whatever_order(names: list[str], chance: st.randoms) -> None:  # type: ignore[valid-type]
    found = numbers(names)
    assert len(set(found.values())) == len(names)
    assert all(0 <= slot < SLOTS for slot in found.values())
    chance.shuffle(names)  # type: ignore[attr-defined]
    assert numbers(names) == found
