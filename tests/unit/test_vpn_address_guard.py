"""An inside address that the kernel has and zebra has not is given again, and not too often."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bongsu.agent.events import EventLog
from bongsu.agent.vpn import address_guard
from bongsu.agent.vpn.address_guard import AddressGuard
from bongsu.intent import load_text
from bongsu.plan.compile import compile_network
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.system.daemons.frr_vty import VtyError
from bongsu.system.daemons.zebra import parse
from tests.unit.test_plan_stand_in import two_sites

ANSWER = """\
{
  "vti2":{
    "administrativeStatus":"up",
    "index":5,
    "ipAddresses":[
      {"address":"10.10.10.5/30", "secondary":false, "unnumbered":false},
      {"address":"fe80::8ab5:d57c:c92:359/64", "secondary":false, "unnumbered":false}
    ]
  }
}
"""


def test_what_zebra_says_of_an_interface() -> None:
    assert parse(ANSWER, "vti2") == {"10.10.10.5/30", "fe80::8ab5:d57c:c92:359/64"}
    assert parse(ANSWER.replace("vti2", "vti9"), "vti2") is None
    assert parse("% Can't find interface vti2\n", "vti2") is None
    assert parse('{"vti2": {"index": 5}}', "vti2") == set()


@pytest.mark.parametrize(
    "text", ['{"vti2": {"ipAddresses": [{}]}}', '{"vti2": 1}', '{"vti2": ', '{"vti2": []}']
)
def test_an_answer_of_another_form(text: str) -> None:
    with pytest.raises(VtyError, match="vti2"):
        parse(text, "vti2")


class World:
    """Zebra and the kernel, as far as the guard asks them."""

    def __init__(
        self, tmp_path: Path, patch: pytest.MonkeyPatch, worker: ThreadPoolExecutor
    ) -> None:
        self.known: dict[str, set[str] | Exception | None] = {}
        self.repaired: list[str] = []
        self.failures: list[str] = []
        self.now = 100.0
        self.events = EventLog(tmp_path / "log", None)
        self.guard = AddressGuard(
            self.events, worker, lambda kind, error: self.failures.append(f"{kind}: {error}")
        )
        plans = compile_network(load_text(two_sites("bgp: {}"), "two.yaml").network)
        self.tunnels: list[VpnTunnelPlan] = plans["busan"].vpns
        patch.setattr(address_guard.zebra, "addresses", self._addresses)
        patch.setattr(address_guard.interfaces, "readdress", self._readdress)
        patch.setattr(address_guard.time, "monotonic", lambda: self.now)

    def look(self) -> None:
        asyncio.run(self.guard.look(self.tunnels))

    def _addresses(self, _: Path, name: str) -> Any:
        answer = self.known[name]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _readdress(self, tunnel: VpnTunnelPlan) -> bool:
        self.repaired.append(tunnel.name)
        return True


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with ThreadPoolExecutor(1) as worker:
        yield World(tmp_path, monkeypatch, worker)


RIGHT = {"vti1": {"169.254.1.1/30"}, "vti2": {"169.254.1.5/30", "fe80::1/64"}}


def test_only_the_tunnel_whose_address_was_missed(world: World) -> None:
    world.known = {**RIGHT, "vti2": {"fe80::1/64"}}
    world.look()
    assert world.repaired == ["vti2"]
    (told,) = [event for event in world.events.since(0, 10) if event.kind == "address"]
    assert (told.subject, told.level) == ("vti2", "warning")
    assert "169.254.1.5/30" in told.cause
    world.look()
    assert world.repaired == ["vti2"], "zebra is given the time to hear of it"
    world.now += 3.5
    world.look()
    assert world.repaired == ["vti2", "vti2"]
    world.known = dict(RIGHT)
    world.now += 3.5
    world.look()
    assert world.repaired == ["vti2", "vti2"]


def test_what_is_not_known_yet_is_left_alone(world: World) -> None:
    world.known = {"vti1": None, "vti2": RIGHT["vti2"]}
    world.look()
    assert (world.repaired, world.failures) == ([], [])


def test_a_zebra_that_is_not_there_and_one_that_talks_nonsense(world: World) -> None:
    world.known = {"vti1": ConnectionRefusedError(), "vti2": set()}
    world.look()
    assert (world.repaired, world.failures) == ([], [])
    world.known = {"vti1": VtyError("nonsense"), "vti2": set()}
    world.look()
    assert world.failures == ["address of vti1: nonsense"]
    assert world.repaired == ["vti2"]
