"""When more-specifics are announced to a cloud, and what routing is told of it."""

import asyncio
from typing import Any

import pytest

from bongsu.agent.events import EventLog
from bongsu.agent.vpn.takeover import Takeover, wanted
from bongsu.intent import load_text
from bongsu.plan.compile import compile_network
from bongsu.plan.node import NodePlan
from bongsu.protocol.link import Verdict
from bongsu.render import render_node
from tests.unit.test_plan_stand_in import two_sites

UP, WEAK, DOWN = Verdict.UP, Verdict.DEGRADED, Verdict.DOWN


def plan(routing: str = "bird", length: int = 25) -> NodePlan:
    text = two_sites(f"bgp: {{deaggregate_on_failure: {length}}}")
    text = text.replace("    role: router\n", f"    role: router\n    routing: {routing}\n")
    return compile_network(load_text(text, "two.yaml").network)["busan"]


@pytest.mark.parametrize(
    ("first", "second", "on"),
    [
        (UP, UP, False),
        (UP, DOWN, True),
        (DOWN, UP, True),
        (DOWN, WEAK, True),
        (WEAK, UP, False),
        (DOWN, DOWN, False),
    ],
)
def test_one_down_and_another_that_carries(first: Verdict, second: Verdict, on: bool) -> None:
    assert wanted(plan(), {"vti1": first, "vti2": second}) == {"to-busan": on}


def test_a_tunnel_that_nobody_has_looked_at_yet_is_no_reason() -> None:
    assert wanted(plan(), {"vti2": UP}) == {"to-busan": False}
    assert wanted(plan(), {}) == {"to-busan": False}


def test_what_is_announced_then_is_let_out_and_originated_by_nobody_yet() -> None:
    frr = render_node(plan("frr"))["/etc/frr/frr.conf"]
    for list_name in ("VTI1-OUT", "VTI2-OUT"):
        for number, prefix in enumerate(("10.1.0.0/24", "10.1.0.0/25", "10.1.0.128/25"), 1):
            assert f"ip prefix-list {list_name} seq {10 * number} permit {prefix}\n" in frr
    assert [
        line.strip() for line in frr.splitlines() if " network " in line and line[0] == " "
    ] == [
        "no bgp network import-check",
        "network 10.1.0.0/24",
    ]
    bird = render_node(plan())["/etc/bird/bird.conf"]
    begin = bird.index("protocol static takeover4_to_busan {")
    assert bird[begin:].splitlines()[1] == "  disabled;"
    assert "route 10.1.0.0/25 unreachable;" in bird[begin:]
    assert bird.count("net ~ [ 10.1.0.0/24, 10.1.0.0/25, 10.1.0.128/25 ]") == 2


class Router:
    """Routing that notes what it is told."""

    def __init__(self) -> None:
        self.process: int | None = 7
        self.told: list[tuple[str, bool]] = []
        self.lost: list[list[str]] = []
        self.refuses = False

    def take_over(self, _: NodePlan, vpn: str, on: bool, lost: list[str]) -> None:
        if self.refuses:
            raise OSError("nobody is there")
        self.told.append((vpn, on))
        self.lost.append(lost)


class Services:
    """All that a takeover asks of the node's services."""

    def __init__(self) -> None:
        self.one = Router()

    def router(self, _: NodePlan) -> Router:
        return self.one


def takeover(tmp_path: Any) -> tuple[Any, Router, list[str], EventLog]:
    events = EventLog(tmp_path / "log", None)
    services: Any = Services()
    failures: list[str] = []
    made = Takeover(events, services, lambda kind, _: failures.append(kind))

    def look(first: Verdict, second: Verdict = UP) -> None:
        asyncio.run(made.look(plan(), {"vti1": first, "vti2": second}))

    return look, services.one, failures, events


def test_routing_is_told_each_change_once_and_all_to_a_new_process(tmp_path: Any) -> None:
    look, router, failures, events = takeover(tmp_path)
    for first in (UP, UP, DOWN, DOWN, UP):
        look(first)
    assert [on for _, on in router.told] == [False, True, False]
    assert router.lost == [[], ["vti1"], []]
    look(DOWN)
    router.process = None
    look(DOWN)
    assert len(router.told) == 4
    router.process = 8
    look(DOWN)
    assert router.told[4:] == [("to-busan", True)]
    assert failures == []
    said = [event.cause for event in events.since(0, 100) if event.kind == "takeover"]
    assert said == ["more-specifics announced", "more-specifics withdrawn",
                    "more-specifics announced"]  # fmt: skip


def test_what_routing_did_not_take_is_told_again(tmp_path: Any) -> None:
    look, router, failures, events = takeover(tmp_path)
    look(UP)
    router.told.clear()
    router.refuses = True
    look(DOWN)
    assert failures == ["takeover of to-busan"]
    assert [event for event in events.since(0, 100) if event.kind == "takeover"] == []
    router.refuses = False
    look(DOWN)
    assert router.told == [("to-busan", True)]


def test_another_length_is_told_while_they_are_announced(tmp_path: Any) -> None:
    services: Any = Services()
    made = Takeover(EventLog(tmp_path / "log", None), services, lambda *_: None)
    asyncio.run(made.look(plan(), {"vti1": UP, "vti2": UP}))
    for length in (25, 25, 26):
        asyncio.run(made.look(plan(length=length), {"vti1": DOWN, "vti2": UP}))
    assert services.one.told == [("to-busan", False)] + [("to-busan", True)] * 2


def test_a_tunnel_that_has_not_been_up_yet_is_no_reason(tmp_path: Any) -> None:
    """At the start one is up before the other, and some never are."""
    look, router, failures, events = takeover(tmp_path)
    for first, second in ((DOWN, DOWN), (DOWN, UP), (WEAK, UP), (DOWN, UP)):
        look(first, second)
    assert [on for _, on in router.told] == [False, True]
    assert failures == []
    assert [e.cause for e in events.since(0, 100)] == ["more-specifics announced"]
