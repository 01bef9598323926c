"""More-specifics while a tunnel is down, asked of real daemons: on, off, again, and through reloads."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bongsu.agent.events import EventLog
from bongsu.agent.services.bird import BirdService
from bongsu.agent.services.frr import FrrService
from bongsu.intent import load_text
from bongsu.plan.compile import compile_network
from bongsu.plan.node import NodePlan
from bongsu.render import render_node
from bongsu.system import netns
from bongsu.system.daemons import frr
from bongsu.system.daemons.bird import Bird
from bongsu.system.run import run, spawn
from tests.root.frr_box import RUN, FrrBox, until
from tests.unit.test_plan_stand_in import two_sites

pytestmark = pytest.mark.root

NAMESPACE = "bst-takeover"
VPN, BIRDS = "to-busan", "takeover4_to_busan"
HALVES = {"10.1.0.0/25", "10.1.0.128/25"}


def plan(routing: str, length: int = 25) -> NodePlan:
    text = two_sites(f"bgp: {{deaggregate_on_failure: {length}}}")
    text = text.replace("    role: router\n", f"    role: router\n    routing: {routing}\n")
    return compile_network(load_text(text, "two.yaml").network)["busan"]


@pytest.fixture
def space() -> Iterator[str]:
    netns.create(NAMESPACE)
    yield NAMESPACE
    netns.remove(NAMESPACE)


def test_bgpd_has_them_and_has_them_no_more(
    space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = FrrBox(space, tmp_path)
    box.start(render_node(plan("frr"))["/etc/frr/frr.conf"])
    try:
        monkeypatch.setattr(frr, "RUN_DIR", RUN / space)
        service = FrrService(tmp_path, EventLog(tmp_path / "log", None))

        def originated() -> set[str]:
            shown = run(["vtysh", "-N", space, "-c", "show running-config bgpd"]).stdout
            words = [line.split() for line in shown.splitlines()]
            return {w[1] for w in words if w[:1] == ["network"]} - {"10.1.0.0/24"}

        # At an agent's start nobody knows what bgpd was told before: to it, nothing is no fault.
        for on, there in ((False, set()), (True, HALVES), (True, HALVES), (False, set())):
            service.take_over(plan("frr"), VPN, on, ["vti1"] if on else [])
            assert originated() == there
        # Another length while it is on: what the plan before had does not stay.
        service.take_over(plan("frr"), VPN, True)
        service.take_over(plan("frr", 26), VPN, True)
        assert len(originated()) == 4
        service.take_over(plan("frr", 26), VPN, False)
        assert originated() == set()
    finally:
        box.stop()


def test_a_reload_of_bird_leaves_them_as_they_are(space: str, tmp_path: Path) -> None:
    config, control = tmp_path / "bird.conf", tmp_path / "bird.ctl"
    config.write_text(render_node(plan("bird"))["/etc/bird/bird.conf"])
    with (tmp_path / "bird.log").open("wb") as log:
        bird = spawn(["bird", "-f", "-c", str(config), "-s", str(control)], netns=space, stderr=log)
    try:
        until(control.exists, "BIRD is up")
        events = EventLog(tmp_path / "log", None)
        service = BirdService(tmp_path, events, Bird(config, tmp_path / "none", control))

        def state() -> str:
            with Bird(control=control).connect() as asked:
                return next(p.state for p in asked.protocols() if p.name == BIRDS)

        def becomes(wanted: str) -> bool:
            until(lambda: state() == wanted, f"{BIRDS} is {wanted}")
            time.sleep(0.2)
            return state() == wanted

        assert becomes("down")
        service.take_over(plan("bird"), VPN, True, ["vti1"])
        assert becomes("up")
        config.write_text(config.read_text() + "protocol static another { ipv4; }\n")
        service._reload()
        assert becomes("up")
        service.take_over(plan("bird"), VPN, False)
        assert becomes("down")
        service._reload()
        assert becomes("down")
    finally:
        bird.terminate()
