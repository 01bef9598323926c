"""A relay plan as NAT: which packets are whose, and the table that says so."""

from ipaddress import ip_address
from typing import Any

import pytest

from bongsu.model.base import Address
from bongsu.plan.relay import RelayPlan, number
from bongsu.system.relay import LiveEndpoint, RelayError, nat
from bongsu.system.relay.conntrack import Flow, Way
from bongsu.system.relay.kernel import choose
from tests.golden.networks import plans

ENTRY, TRANSIT, EGRESS = "pop-shanghai", "pop-tokyo", "pop-seoul"
SITE, POP, OFF, HEADEND = "192.0.2.10", "203.0.113.10", "203.0.113.151", "198.51.100.11"


def relay(node: str) -> RelayPlan:
    found = plans("accelerated-vpn")[node].relay
    assert found is not None
    return found


def text(plan: RelayPlan, before: nat.Standing | None = None, **options: Any) -> list[str]:
    return nat.ruleset(
        nat.doors(plan), plan.accelerators, before or nat.Standing(), **({"timed": True} | options)
    ).splitlines()


def flow(
    original: tuple[str, int, str, int], reply: tuple[str, int, str, int], translated: bool = True
) -> Flow:
    one, other = (Way(ip_address(a), b, ip_address(c), d) for a, b, c, d in (original, reply))
    return Flow("udp", one, other, translated, True, 100, 0, (0, 0), (0, 0), b"")


def test_the_entry_goes_on_to_the_off_address_as_itself() -> None:
    lines = text(relay(ENTRY))
    at = "add rule inet bongsu_relay"
    assert (
        f"{at} arriving ip daddr 203.0.113.21 udp dport {{ 500, 4500 }} dnat ip to {OFF}" in lines
    )
    (leaving,) = [line for line in lines if "leaving" in line and "203.0.113.21" in line]
    assert leaving.endswith(f"snat ip to {POP}")
    assert not any("saddr" in line or "@live" in line for line in lines)
    assert text(relay(TRANSIT)) == [line for line in text(relay(TRANSIT)) if "dnat ip" not in line]


def test_the_egress_takes_from_the_entry_alone() -> None:
    plan = relay(EGRESS)
    door = next(each for each in nat.doors(plan) if each.accelerator.name == "ga-1")
    assert (door.role, door.sources, door.target) == ("egress", {ip_address(POP)}, None)
    for line in text(plan):
        if "dnat ip to" in line:
            assert f"ip saddr {{ {POP} }} ip daddr" in line
    theirs = (POP, 4500, OFF, 4500)
    right = flow(theirs, (HEADEND, 4500, OFF, 4500))
    assert door.takes(right)
    assert door.translates(right)
    assert not door.takes(flow((SITE, *theirs[1:]), theirs))
    assert not door.takes(flow((POP, 4500, OFF, 4501), theirs))
    assert not door.translates(flow(theirs, (OFF, 4500, POP, 4500), translated=False))
    assert not door.translates(flow(theirs, (HEADEND, 4500, POP, 4500)))


def test_what_is_there_already_stays_and_what_is_too_much_goes() -> None:
    plan = relay(EGRESS)
    ours = nat.counter("up", plan.accelerators[0])
    before = nat.standing(
        [
            {"counter": {"name": ours, "packets": 3, "bytes": 9}},
            {"counter": {"name": "up_00000007", "packets": 3, "bytes": 9}},
            {"chain": {"name": "passing"}},
            {"chain": {"name": "of_00000007"}},
            {"chain": {"name": "switched_nf_conntrack_acct"}},
            {"map": {"name": "live_00000007_00000001", "elem": [["udp", "192.0.2.1"]]}},
            {"map": {"name": "live_00000008_00000001"}},
            {"ct timeout": {"name": "udp_ip_300"}},
            {"set": {"name": "doors4", "elem": [
                {"concat": ["203.0.113.99", "udp", 500]},
                {"concat": ["203.0.113.99", "udp", {"range": [6000, 6100]}]},
            ]}},
        ]
    )  # fmt: skip
    assert before.counters[ours] == (3, 9)
    assert before.switched == ["nf_conntrack_acct"]
    assert before.live["live_00000007_00000001"] == ip_address("192.0.2.1")
    assert before.live["live_00000008_00000001"] is None
    lines = text(plan, before, switched=before.switched)
    assert f"add counter inet bongsu_relay {ours}" not in lines
    assert not any(line.startswith("add ct timeout") for line in lines)
    assert {line for line in lines if line.startswith("delete")} == {
        "delete counter inet bongsu_relay up_00000007",
        "delete chain inet bongsu_relay of_00000007",
        "delete map inet bongsu_relay live_00000007_00000001",
        "delete map inet bongsu_relay live_00000008_00000001",
    }
    for port, had in ((500, True), (6050, True), (6101, False)):
        gone = flow((SITE, 1, "203.0.113.99", port), (HEADEND, port, OFF, 1))
        assert before.had(gone) is had


@pytest.mark.parametrize(
    ("ranges", "merged"),
    [
        ([(500, 500), (4500, 4500)], ((500, 500), (4500, 4500))),
        ([(7, 9), (1, 3), (4, 4)], ((1, 4), (7, 9))),
        ([(1, 100), (5, 6), (50, 200)], ((1, 200),)),
    ],
)
def test_ports_are_in_order_and_each_is_once(ranges: Any, merged: Any) -> None:
    assert nat.merged(ranges) == merged


def test_what_nat_cannot_do_is_refused() -> None:
    plan = relay(EGRESS)
    one, two = plan.accelerators
    shared = {"off_address": one.off_address, "off_public": one.off_public}
    for node in (EGRESS, ENTRY):
        both = relay(node).model_copy(update={"accelerators": [one, two.model_copy(update=shared)]})
        with pytest.raises(RelayError, match=r"ga-1 and ga-2 both leave pop-seoul .* by udp 500"):
            nat.doors(both)
    apart = two.model_copy(
        update={
            **shared,
            "listeners": [two.listeners[0].model_copy(update={"ranges": [(6000, 6100)]})],
        }
    )
    nat.doors(plan.model_copy(update={"accelerators": [one, apart]}))
    with pytest.raises(RelayError, match="ga-1: there is no way to pop-shanghai"):
        nat.doors(plan.model_copy(update={"peers": []}))
    tunnelled = [each.model_copy(update={"tunnel": "gre1"}) for each in plan.peers]
    with pytest.raises(
        RelayError, match="from uplink to uplink, and pop-shanghai is reached by gre1"
    ):
        nat.doors(plan.model_copy(update={"peers": tunnelled}))


def test_another_family_between_the_pops_goes_as_the_accelerated_address() -> None:
    six: dict[str, Any] = {
        "off_address": ip_address("2001:db8::151"), "off_public": ip_address("2001:db8::151"),
    }  # fmt: skip
    region = relay(ENTRY).accelerators[0].regions[0]
    address = ip_address("2001:db8::21")
    regions = [region.model_copy(update={"address": address, "public": address})]
    for node, seen in ((ENTRY, "source"), (EGRESS, "sources")):
        plan = relay(node)
        item = plan.accelerators[0].model_copy(update={**six, "regions": regions})
        (door,) = nat.doors(plan.model_copy(update={"accelerators": [item]}))
        assert getattr(door, seen) in (address, {address})
        twice = item.model_copy(
            update={"regions": [*regions, regions[0].model_copy(update={
                "node": TRANSIT, "number": number("node", TRANSIT)})]}
        )  # fmt: skip
        with pytest.raises(RelayError, match="is announced by several PoPs"):
            nat.doors(plan.model_copy(update={"accelerators": [twice]}))


def test_the_heaviest_is_chosen_and_of_several_the_one_in_use() -> None:
    def live(**weights: int) -> list[LiveEndpoint]:
        return [
            LiveEndpoint(name, ip_address(f"192.0.2.{name[1:]}"), each)
            for name, each in weights.items()
        ]

    one: Address
    one, two = ip_address("192.0.2.1"), ip_address("192.0.2.2")
    assert choose(live(a2=100, a1=100), None) == one
    assert choose(live(a2=100, a1=100), two) == two
    assert choose(live(a2=100, a1=101), two) == one
    assert choose(live(a2=0), two) is None
    assert choose([], two) is None
