"""A tunnel's routes made to count less, by FRR and by BIRD, with a real neighbor: both ways, no reset."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bongsu.agent.events import EventLog
from bongsu.agent.services.bird import BirdService
from bongsu.agent.services.frr import FrrService
from bongsu.model.node import RoutingDaemon
from bongsu.plan.compile import compile_network
from bongsu.plan.node import NodePlan
from bongsu.plan.slots import slots
from bongsu.render import render_node
from bongsu.system.daemons import frr
from bongsu.system.daemons.bird import Bird
from bongsu.system.run import run
from tests.golden.networks import plans
from tests.root.frr_box import RUN, until
from tests.root.test_render_cloud_bgp import CPE, INSIDE_THEIRS, THEIRS, Pair, learned, network

pytestmark = pytest.mark.root

NEAR, FAR = ("10.10.10.1", "10.10.10.5"), "10.0.0.0/16"


class Site:
    """The site's daemon as the agent has it, and the cloud."""

    def __init__(self, daemon: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pair = Pair(daemon, directory)
        plan = compile_network(network())["cpe"]
        self.plan: NodePlan = plan.model_copy(update={"routing": RoutingDaemon(daemon)})
        events = EventLog(directory / "log", None)
        self.service: BirdService | FrrService
        if daemon == "frr":
            monkeypatch.setattr(frr, "RUN_DIR", RUN / CPE)
            self.service = FrrService(directory, events)
        else:
            bird = Bird(directory / "bird.conf", directory / "none", directory / "bird.ctl")
            self.service = BirdService(directory, events, bird)

    def paths(self) -> list[int]:
        """How long the cloud sees our AS path by each tunnel."""
        announced = self.pair.announced()
        return [len(announced[each].get(FAR, "").split()) for each in NEAR]

    def preferred(self) -> set[str]:
        return set(learned().values())

    def ages(self) -> dict[str, int]:
        """How long each session stands, as the cloud sees it."""
        peers = self.pair.far.ask("show bgp ipv4 unicast summary")["peers"]
        return {each: peers[each]["peerUptimeMsec"] for each in NEAR}

    def standing(self) -> dict[str, tuple[list[int], list[int]]]:
        return {
            tunnel: (sorted(each.preferences), sorted(each.prepended))
            for tunnel, each in self.service.standing(self.plan).items()
        }


@pytest.fixture(params=["frr", "bird"])
def site(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    if not Path("/usr/lib/frr/bgpd").exists():
        pytest.skip("FRR is not installed")
    made = Site(request.param, tmp_path, monkeypatch)
    made.pair.tear_down()
    try:
        made.pair.raise_()
        yield made
    finally:
        made.pair.tear_down()


def test_traffic_leaves_it_both_ways_and_comes_back_and_no_session_is_reset(site: Site) -> None:
    until(lambda: set(learned()) == THEIRS | {INSIDE_THEIRS}, "what is the cloud's is learned")
    until(lambda: site.preferred() == {"vti1"}, "the first tunnel is the active one")
    until(lambda: site.paths() == [1, 2], "and the cloud is told so")
    assert site.service.steer(site.plan, []) == [], "as the file says"
    assert site.standing() == {"vti1": ([200], [0]), "vti2": ([190], [1])}
    assert site.service.lowered(site.plan) == []
    before = site.ages()

    assert site.service.steer(site.plan, ["vti1"]) == ["vti1"]
    until(lambda: site.preferred() == {"vti2"}, "our traffic leaves it")
    until(lambda: site.paths() == [3, 2], "the cloud's is told to")
    until(
        lambda: site.standing() == {"vti1": ([20], [2]), "vti2": ([190], [1])},
        "what is asked afterwards says so",
    )
    assert site.service.steer(site.plan, ["vti1"]) == [], "told once"
    assert site.service.lowered(site.plan) == ["vti1"]

    assert site.service.steer(site.plan, ["vti2", "vti1"]) == ["vti2"]
    until(lambda: site.preferred() == {"vti1"}, "with both of them weak the first is the better")
    until(lambda: site.paths() == [3, 4], "for the cloud as well")
    assert site.service.steer(site.plan, []) == ["vti1", "vti2"]
    until(lambda: site.preferred() == {"vti1"}, "all as it was")
    until(lambda: site.paths() == [1, 2], "for the cloud as well")
    until(lambda: site.standing() == {"vti1": ([200], [0]), "vti2": ([190], [1])}, "and so it says")
    after = site.ages()
    assert all(after[each] >= before[each] for each in NEAR)


def test_a_reload_leaves_it_lowered(site: Site) -> None:
    until(lambda: site.preferred() == {"vti1"}, "the first tunnel is the active one")
    site.service.steer(site.plan, ["vti1"])
    until(lambda: site.preferred() == {"vti2"}, "our traffic leaves it")
    if isinstance(site.service, BirdService):
        file = site.pair.directory / "bird.conf"
        file.write_text(file.read_text() + "protocol static another { ipv4; }\n")
        site.service._reload()
    else:
        # Only lines that differ are given: those of the maps are not among them.
        site.pair.near.configure("ip prefix-list ANOTHER seq 10 permit any")
    until(lambda: site.standing()["vti1"] == ([20], [2]), "still lowered")
    assert site.preferred() == {"vti2"}


@pytest.mark.parametrize(
    ("daemon", "path", "kept"),
    [
        ("bird", "/etc/bird/bird.conf", r"    import table yes;\n"),
        ("frr", "/etc/frr/frr.conf", r"  neighbor \S+ soft-reconfiguration inbound\n"),
    ],
)
def test_a_neighbor_without_route_refresh_is_not_reset_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, daemon: str, path: str, kept: str
) -> None:
    """What came already stays as it is, and the proof shows that; what goes counts less."""
    site = Site(daemon, tmp_path, monkeypatch)
    rendered = site.pair.site[path]
    site.pair.site[path] = re.sub(kept, "", rendered)
    assert site.pair.site[path] != rendered
    site.pair.tear_down()
    try:
        site.pair.raise_()
        site.pair.far.configure("router bgp 31898", f"neighbor {NEAR[0]} dont-capability-negotiate")
        site.pair.far.configure("do clear bgp *")
        until(lambda: site.pair.far.established() == set(NEAR), "the sessions are up")
        until(lambda: site.preferred() == {"vti1"}, "the first tunnel is the active one")
        until(lambda: site.paths() == [1, 2], "and the cloud is told so")
        before = site.ages()
        assert site.service.steer(site.plan, ["vti1"]) == ["vti1"]
        until(lambda: site.paths() == [3, 2], "the cloud's traffic is told to leave it")
        assert site.standing()["vti1"] == ([200], [2])
        after = site.ages()
        assert all(after[each] >= before[each] for each in NEAR)
    finally:
        site.pair.tear_down()


def test_bird_takes_the_switches_of_ipv6(tmp_path: Path) -> None:
    plan = plans("vpn-ipv6")["site"].model_copy(update={"routing": RoutingDaemon.BIRD})
    config = tmp_path / "bird.conf"
    config.write_text(render_node(plan)["/etc/bird/bird.conf"])
    number = slots(plan.vpns)["six"] + 1
    switch = f"roa6 {{ table weak6; }};\n  route ::/0 max 128 as {number};"
    assert switch in config.read_text()
    run(["bird", "-p", "-c", str(config)])
