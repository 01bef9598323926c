"""A degraded tunnel's routes count less: what the plan says, what routing is told, and its proof."""

import asyncio
import itertools
from collections.abc import Collection
from typing import Any

import pytest

from bongsu.agent.events import EventLog
from bongsu.agent.vpn import preference as module
from bongsu.agent.vpn.preference import Preference
from bongsu.agent.vpn.watched import Watched
from bongsu.intent import load_text
from bongsu.plan.compile import compile_network
from bongsu.plan.connect import stand_in_plan
from bongsu.plan.node import NodePlan
from bongsu.plan.slots import slots
from bongsu.protocol.link import Cause, Layer, LinkMachine, Verdict
from bongsu.render import render_node
from bongsu.system.daemons.standing import Standing, of_bird, of_frr
from tests.unit.test_plan_stand_in import two_sites

LOSS = Cause(Layer.ESP, "loss", "2.0% of the probes are lost")


def plan(routing: str = "bird") -> NodePlan:
    text = two_sites("bgp: {}")
    text = text.replace("    role: router\n", f"    role: router\n    routing: {routing}\n")
    return compile_network(load_text(text, "two.yaml").network)["busan"]


def test_a_degraded_one_is_behind_all_that_are_not_and_keeps_its_place() -> None:
    tunnels = "".join(
        f'\n      t{n}: {{headend: 203.0.113.{n}, inside: 169.254.9.{4 * n + 1}/30, psk: "env:P"}}'
        for n in range(1, 17)
    )
    text = two_sites("bgp: {}")
    begin = text.index("    tunnels:\n") + len("    tunnels:")
    end = text.index("    bgp: {}")
    network = load_text(text[:begin] + tunnels + "\n" + text[end:], "many.yaml").network
    peers = compile_network(network)["busan"].cloud_peers
    assert len(peers) == 16
    weak = [peer.counts(weak=True) for peer in peers]
    assert max(each.preference for each in weak) < min(peer.preference for peer in peers)
    assert min(each.prepend for each in weak) > max(peer.prepend for peer in peers)
    for before, after in itertools.pairwise(weak):
        assert before.preference > after.preference > 0
        assert before.prepend < after.prepend


def test_a_cloud_does_not_know_of_verdicts() -> None:
    network = load_text(two_sites("bgp: {}"), "two.yaml").network
    peers = stand_in_plan(network, "seoul").cloud_peers
    assert [peer.counts(weak=True).preference for peer in peers] == [100] * 4
    assert "weak4" not in render_node(plan("frr"))["/etc/frr/frr.conf"]


def test_bird_has_a_switch_for_each_session_that_is_off() -> None:
    text = render_node(plan())["/etc/bird/bird.conf"]
    for tunnel, normal, weak in (("vti1", 200, 20), ("vti2", 190, 19)):
        number = slots(plan().vpns)[tunnel] + 1
        begin = text.index(f"protocol static weak4_{tunnel} {{\n  disabled;\n")
        assert f"route 0.0.0.0/0 max 32 as {number};" in text[begin : text.index("}\n\n", begin)]
        session = text[text.index(f"protocol bgp cloud4_{tunnel} {{") :]
        asked = f"if roa_check(weak4, net, {number}) = ROA_VALID then"
        assert f"bgp_local_pref = {normal};\n      {asked} bgp_local_pref = {weak};" in session
        # One more than the sessions of the connection, besides what the standby has in any case.
        more = session[session.index(asked + " {") :]
        assert more[: more.index("}\n")].count("bgp_path.prepend(65001);") == 2


def test_another_connections_tunnel_changes_no_filter_of_a_session() -> None:
    """A neighbor without route refresh is reset for another filter, BIRD says (decision 0010)."""

    def filters(of: NodePlan, tunnel: str) -> str:
        text = render_node(of)["/etc/bird/bird.conf"]
        begin = text.index(f"protocol bgp cloud4_{tunnel} {{")
        return text[begin : text.index("\n}\n", begin)]

    both = plan()
    one = both.model_copy(update={"vpns": both.vpns[1:], "cloud_peers": both.cloud_peers[1:]})
    assert "roa_check" in filters(both, "vti2")
    assert filters(one, "vti2") == filters(both, "vti2")


BIRDS_LEARNED = """\
Table master4:
172.16.0.0/24        unicast [cloud4_t1 10:17:16.281] * (100) [AS65001i]
\tvia 10.0.0.2 on va
\tType: BGP univ
\tBGP.origin: IGP
\tBGP.as_path: 65001
\tBGP.next_hop: 10.0.0.2
\tBGP.local_pref: 20
"""
BIRDS_ANNOUNCED = """\
Table master4:
10.1.0.0/24          unreachable [own4 10:17:15.272] * (200)
\tType: static univ
\tBGP.as_path: 65000 65000
10.2.0.0/24          unicast [cloud4_t2 10:17:16.281] * (100) [AS65009i]
\tvia 10.0.0.6 on vb
\tBGP.as_path: 65000 65000 65009 65000
"""


def test_what_bird_says() -> None:
    seen = of_bird(BIRDS_LEARNED.splitlines(), BIRDS_ANNOUNCED.splitlines(), 65000)
    assert seen == Standing(frozenset({20}), frozenset({2}))
    assert seen.is_so(20, 2)
    assert not seen.is_so(20, 3)
    plain = BIRDS_ANNOUNCED.replace("\tBGP.as_path: 65000 65000\n", "")
    assert of_bird([], plain.splitlines(), 65000).prepended == {0, 2}
    assert of_bird([], [], 65000).is_so(1, 1), "nothing is nothing wrong"


def test_what_bgpd_says() -> None:
    learned = '{"routes": {"172.16.0.0/24": [{"locPrf": 19, "path": "31898"}]}}'
    told = '{"advertisedRoutes": {"10.0.0.0/16": {"path": "65000 65000 65000"}, "10.9.0.0/16": {}}}'
    assert of_frr(learned, told, 65000) == Standing(frozenset({19}), frozenset({3, 0}))
    assert of_frr("{}", "{}", 65000) == Standing(frozenset(), frozenset())
    for rubbish in ("[]", '{"routes": []}', '{"routes": {"a": [{}]}}', "no"):
        with pytest.raises(ValueError, match=r"."):
            of_frr(rubbish, "{}", 65000)


class Router:
    """Routing that notes what it is told, and does it or not."""

    def __init__(self) -> None:
        self.process: int | None = 7
        self.told: list[list[str]] = []
        self.obeys = True
        self.refuses = False
        self.weak: Collection[str] = ()

    def steer(self, _: NodePlan, weak: Collection[str]) -> list[str]:
        if self.refuses:
            raise OSError("nobody is there")
        self.told.append(sorted(weak))
        if self.obeys:
            self.weak = weak
        return []

    def lowered(self, _: NodePlan) -> list[str]:
        if self.refuses:
            raise OSError("nobody is there")
        return sorted(self.weak)

    def standing(self, given: NodePlan) -> dict[str, Standing]:
        counts = {
            peer.tunnel: peer.counts(weak=peer.tunnel in self.weak) for peer in given.cloud_peers
        }
        return {
            name: Standing(frozenset({each.preference}), frozenset({each.prepend}))
            for name, each in counts.items()
        }


class Services:
    """All that is asked of the node's services."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def router(self, _: NodePlan) -> Router:
        return self._router


class World:
    def __init__(self, tmp_path: Any) -> None:
        self.router = Router()
        self.failures: list[str] = []
        self.events = EventLog(tmp_path / "log", None)
        services: Any = Services(self.router)
        self.made = Preference(self.events, services, lambda kind, _: self.failures.append(kind))
        self.watched = [
            Watched(each, LinkMachine(0, verdict=Verdict.UP), 0.0) for each in plan().vpns
        ]
        self.plan = plan()

    def look(self, first: Verdict, cause: Cause | None = LOSS) -> None:
        machine = self.watched[0].machine
        machine.verdict, machine.cause = first, None if first is Verdict.UP else cause
        asyncio.run(self.made.look(self.plan, self.watched))

    def said(self) -> list[str]:
        return [e.cause for e in self.events.since(0, 100) if e.kind == "preference"]


@pytest.fixture
def here(tmp_path: Any) -> World:
    return World(tmp_path)


def test_told_once_seen_in_effect_and_told_again_to_a_new_process(here: World) -> None:
    for verdict in (Verdict.UP, Verdict.UP, Verdict.DEGRADED, Verdict.DEGRADED, Verdict.DEGRADED):
        here.look(verdict)
    assert here.router.told == [[], ["vti1"]]
    assert here.said() == [
        f"lowered: {LOSS.text}",
        "in effect: local preference 20, our AS 2 times more in what is announced",
    ]
    here.router.process = None
    here.look(Verdict.DEGRADED)
    here.router.process = 8
    here.look(Verdict.DEGRADED)
    assert here.router.told[2:] == [["vti1"]]
    assert here.failures == []


def test_what_is_not_in_effect_is_told_and_how_to_mend_it(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WITHIN_S", -1.0)
    here.look(Verdict.UP)
    here.router.obeys = False
    here.look(Verdict.DEGRADED)
    here.look(Verdict.DEGRADED)
    assert len(here.said()) == 2
    assert here.said()[1].startswith("not in effect: local preferences are 200.")
    assert "soft_reconfiguration" in here.said()[1]


def test_what_routing_did_not_take_is_told_again(here: World) -> None:
    here.look(Verdict.UP)
    here.router.refuses = True
    here.look(Verdict.DEGRADED)
    assert here.failures == ["preference"]
    here.router.refuses = False
    here.look(Verdict.DEGRADED)
    assert here.router.told[-1] == ["vti1"]


def test_restored_in_the_end(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(10**9, 11 * 10**9)
    monkeypatch.setattr(module.time, "monotonic_ns", lambda: next(clock))
    here.look(Verdict.UP)
    here.look(Verdict.DEGRADED)
    here.look(Verdict.UP)
    assert here.made.weak == {"vti1"}
    here.look(Verdict.UP)
    assert here.made.weak == frozenset()
    assert here.router.told[-1] == []
    assert here.said()[-2:] == [
        "restored after 10 s up",
        "in effect: local preference 200, our AS 0 times more in what is announced",
    ]


def test_what_an_earlier_agent_lowered_stays_until_it_is_well_for_a_while(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new agent has counted no probes: it would move the routes back, and away again."""
    clock = itertools.count(10**9, 6 * 10**9)
    monkeypatch.setattr(module.time, "monotonic_ns", lambda: next(clock))
    here.router.weak = ["vti1"]
    here.router.refuses = True
    here.look(Verdict.UP)
    assert here.failures == ["preference"]
    here.router.refuses = False
    here.look(Verdict.UP)
    assert here.router.told == [["vti1"]]
    assert here.made.weak == {"vti1"}
    here.look(Verdict.UP)
    assert here.router.told == [["vti1"]]
    here.look(Verdict.UP)
    assert here.router.told == [["vti1"], []]
    assert here.said()[:2] == ["found lowered", "restored after 10 s up"]


def test_told_again_after_another_configuration(here: World) -> None:
    """It may have been told before it was loaded, with the plan that came with it."""
    here.look(Verdict.UP)
    here.look(Verdict.DEGRADED)
    here.look(Verdict.DEGRADED)
    assert here.router.told == [[], ["vti1"]]
    here.made.loaded()
    here.look(Verdict.DEGRADED)
    assert here.router.told == [[], ["vti1"], ["vti1"]]
