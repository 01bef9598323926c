"""The relay's service over a plane that only remembers: what is pushed, tried again, taken away."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from bongsu.agent.control import RequestError
from bongsu.agent.events import EventLog
from bongsu.agent.relay import endpoints as endpoints_module
from bongsu.agent.relay.endpoints import Endpoints, Group, Watched, ike_questions
from bongsu.agent.relay.repair import Hops, _addresses, mode_of
from bongsu.agent.relay.resolve import choose, resolve
from bongsu.agent.services import relay as relay_module
from bongsu.agent.services.relay import RECORD, RelayService
from bongsu.agent.services.service import Request
from bongsu.model.accelerator import Duplicate
from bongsu.model.base import Address
from bongsu.plan.relay import RelayPlan
from bongsu.protocol.mesh.history import History
from bongsu.protocol.mesh.machine import SECOND
from tests.golden.networks import plans
from tests.unit.relay_parts import (
    GA,
    SEOUL,
    SHANGHAI,
    TOKYO,
    FakePlane,
    accelerator,
    listener,
    relay_plan,
)

PATIENCE_S = 30.0
Act = Callable[["Bench"], Awaitable[None]]


class Bench:
    """A service, its plane, and what it says."""

    def __init__(self, home: Path) -> None:
        self.events = EventLog(None, None)
        self.plane = FakePlane()
        self.opened = 0
        self.worker = ThreadPoolExecutor(1)
        self.changes: list[str] = []
        self.home = home
        self.service = self.new()

    def new(self) -> RelayService:
        def opened() -> Any:
            self.opened += 1
            return self.plane

        return RelayService(self.home, self.events, self.worker, opened)

    async def apply(self, plan: RelayPlan | None, key: str = "") -> list[str]:
        node = plans("anycast")["seoul"].model_copy(update={"relay": plan})
        self.changes = []
        request = Request(node, {}, self.changes.append, secret=lambda _: key)
        await self.service.apply(request)
        return self.changes

    def told(self, kind: str) -> list[str]:
        return [f"{e.subject}: {e.cause}" for e in self.events.since() if e.kind == kind]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path)
    monkeypatch.setattr(relay_module, "_machine", lambda: getattr(made, "machine", ()))
    monkeypatch.setattr(relay_module, "TURN_S", 0.01)
    # no sockets here: the mesh has none, and endpoints answer as the test says
    monkeypatch.setattr(relay_module.MeshShell, "_open", _no_socket)

    async def silent(*_: Any) -> str:
        await asyncio.sleep(3600)
        return ""

    monkeypatch.setattr(endpoints_module, "ask_ike", silent)
    return made


def _no_socket(*_: Any) -> Any:
    raise OSError(99, "none here")


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it never came"
        await asyncio.sleep(0.005)


def test_the_plane_gets_plan_key_paths_and_endpoints(bench: Bench) -> None:
    async def go() -> None:
        plan = relay_plan(key="env:RELAY_KEY")
        assert await bench.apply(plan, "a secret of 16 bytes") == ["started the relay"]
        assert bench.plane.key == b"a secret of 16 bytes"
        assert bench.plane.paths == {SHANGHAI: SHANGHAI, TOKYO: TOKYO}
        (live,) = bench.plane.live[GA, "vpn"]
        assert (live.name, live.address, live.weight) == ("gw", ip_address("198.51.100.11"), 100)
        await until(lambda: bench.plane.count("expire") > 2)
        # the same once more is nothing
        assert await bench.apply(plan, "a secret of 16 bytes") == []
        assert bench.opened == 1
        assert await bench.apply(relay_plan(port=4700), "") == ["relay: loaded what differs"]
        await bench.service.stop()
        assert bench.plane.calls[-1] == ("detach",)
        assert bench.plane.count("close") == 0

    asyncio.run(go())


def test_a_path_that_changes_is_pushed_and_outlives_the_agent(bench: Bench) -> None:
    async def go() -> None:
        await bench.apply(relay_plan())
        machine = bench.service.mesh.machine
        assert machine is not None
        machine.paths()[SHANGHAI].next_hop = TOKYO
        bench.service._path(SHANGHAI, TOKYO)
        await until(lambda: bench.plane.paths[SHANGHAI] == TOKYO)
        await until(
            lambda: json.loads((bench.home / RECORD).read_text())["paths"][str(SHANGHAI)] == TOKYO
        )
        await bench.service.stop()
        bench.service, bench.plane = bench.new(), FakePlane()
        # adopted: nothing differs, and the path goes on
        assert await bench.apply(relay_plan()) == []
        assert bench.plane.paths[SHANGHAI] == TOKYO
        await bench.service.stop()

    asyncio.run(go())


def test_what_the_kernel_refuses_is_told_once_and_tried_again(bench: Bench) -> None:
    async def go() -> None:
        bench.plane.broken |= {"set_path", "expire"}
        await bench.apply(relay_plan())
        await asyncio.sleep(0.1)
        said = bench.told("relay")
        assert "expire: not applied: OSError: [Errno 5] expire is broken" in said
        assert len(said) == len(set(said)) == 3
        assert bench.plane.paths == {}
        bench.plane.broken.clear()
        await until(lambda: bench.plane.paths == {SHANGHAI: SHANGHAI, TOKYO: TOKYO})
        await bench.service.stop()

    asyncio.run(go())


def test_an_interface_that_comes_later_is_looked_at(bench: Bench) -> None:
    async def go() -> None:
        await bench.apply(relay_plan())
        await until(lambda: bench.plane.count("expire") > 2)
        assert bench.plane.count("apply") == 1
        bench.machine = ("gre1",)  # type: ignore[attr-defined]
        await until(lambda: bench.plane.count("apply") == 2)
        await bench.service.stop()

    asyncio.run(go())


def test_without_a_relay_it_is_taken_away_and_a_purge_takes_what_was_left(bench: Bench) -> None:
    async def go() -> None:
        assert await bench.apply(None) == []
        assert bench.opened == 0
        await bench.apply(relay_plan())
        assert await bench.apply(None) == ["took the relay away"]
        assert bench.plane.calls[-1] == ("close",)
        assert not (bench.home / RECORD).exists()
        assert await bench.apply(None) == []
        # an earlier agent's
        await bench.apply(relay_plan())
        await bench.service.stop()
        bench.service, bench.plane = bench.new(), FakePlane()
        bench.service.clean()
        assert bench.plane.calls == [("close",)]
        bench.service.clean()
        assert bench.plane.calls == [("close",)]

    asyncio.run(go())


def test_what_the_control_socket_is_told(bench: Bench) -> None:
    async def go() -> None:
        nothing = await bench.service.ask_accelerator({})
        assert nothing["accelerators"] == []
        await bench.apply(relay_plan())
        told = await bench.service.ask_accelerator({"sessions": True})
        (ga,) = told["accelerators"]
        assert (ga["name"], ga["roles"], ga["sessions"], ga["proved"]) == ("ga", ["egress"], 2, 1)
        assert ga["up"] == {"packets": 10, "bytes": 1000, "drops": {"bad_tag": 2}}
        assert [(path["to"], path["way"]) for path in ga["paths"]] == [("shanghai", "direct")]
        assert ga["listeners"][0]["endpoints"][0]["state"] == "up"
        newest, older = told["sessions"]
        assert (newest["client"], newest["kind"], newest["spis"]) == ("192.0.2.98", "UDP", [])
        assert (older["kind"], older["off_port"]) == ("IKE+ESP", 61000)
        assert older["spis"][0]["spi"] == "abcdef01"
        json.dumps(told)
        paths = await bench.service.ask_paths({})
        assert {(path["from"], path["to"]) for path in paths["paths"]} == {
            ("seoul", "shanghai"), ("seoul", "tokyo"),
        }  # fmt: skip
        assert paths["window_s"] == 30
        with pytest.raises(RequestError, match="there are: shanghai, tokyo"):
            await bench.service.ask_paths({"history": "berlin"})
        history = bench.service.mesh.history = History(SECOND)
        machine = bench.service.mesh.machine
        assert machine is not None
        for at in range(3):
            history.note(at * 100 * SECOND, machine.figures(), {SHANGHAI: TOKYO})
        told = (await bench.service.ask_paths({"history": "shanghai"}))["history"]
        assert [row["way"] for row in told] == ["through tokyo"] * 2
        assert told[0]["p50_ms"] is None
        json.dumps(told)
        await bench.service.stop()

    asyncio.run(go())


def test_a_relay_without_bpf_says_what_it_cannot_do(bench: Bench) -> None:
    async def go() -> None:
        bench.plane = FakePlane("kernel", "Operation not permitted")
        plan = relay_plan().model_copy(update={"repairs": True})
        await bench.apply(plan)
        await bench.apply(plan)
        (said,) = bench.told("relay")
        assert "carried by the kernel's NAT" in said
        assert said.endswith("(Operation not permitted)")
        # no engine is begun for what it does not repair
        await until(lambda: bench.plane.count("expire") > 7)
        assert bench.plane.count("set_repair") == 0
        assert bench.service._repairing.engine is None
        # whatever the mesh thinks best
        machine = bench.service.mesh.machine
        assert machine is not None
        machine.paths()[SHANGHAI].next_hop = TOKYO
        told = await bench.service.ask_accelerator({})
        assert told["backend"] == "kernel"
        (path,) = told["accelerators"][0]["paths"]
        assert (path["way"], path["since_s"], path["last_change"]) == ("direct", None, None)
        await bench.service.stop()

    asyncio.run(go())


class Asked:
    """Endpoints that answer as the test says, by address, version and port."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.alive: set[tuple[str, int, int]] = set()
        self.seen: list[tuple[str, int, int]] = []

        async def ike(
            version: int, _source: Address, target: Address, port: int, _wait: float
        ) -> str:
            key = (str(target), version, port)
            self.seen.append(key)
            await asyncio.sleep(0)
            return "" if key in self.alive else "no answer"

        monkeypatch.setattr(endpoints_module, "ask_ike", ike)


class Used:
    """What the plane would be told."""

    def __init__(self) -> None:
        self.names: list[list[str]] = []

    def __call__(self, _accelerator: Any, _listener: Any, used: list[Watched]) -> None:
        self.names.append([one.plan.name for one in used])


def quick(*endpoints: tuple[str, str, int]) -> Any:
    plan = listener(*endpoints)
    assert plan.health is not None
    # the model's shortest interval is a second: too long to wait for here
    health = plan.health.model_copy(update={"interval_s": 0.01})
    return accelerator(plan.model_copy(update={"health": health}))


def test_dead_ones_are_taken_out_and_the_last_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, used, events = Asked(monkeypatch), Used(), EventLog(None, None)
    one, two = "198.51.100.11", "198.51.100.12"
    asked.alive = {(one, 2, 4500), (two, 1, 500)}

    async def go() -> None:
        watch = Endpoints(events, used)
        watch.follow([quick(("one", one, 100), ("two", two, 100))])
        assert used.names[-1] == ["one", "two"]
        group = watch.groups[GA, "vpn"]
        await until(lambda: all(e.question is not None for e in group.endpoints))
        assert [e.question for e in group.endpoints] == [(2, 4500), (1, 500)]
        # from now on only what it answers is asked
        asked.seen.clear()
        await until(lambda: len(asked.seen) > 10)
        assert {(version, port) for where, version, port in asked.seen if where == one} == {
            (2, 4500)
        }
        asked.alive.discard((two, 1, 500))
        await until(lambda: used.names[-1] == ["one"])
        asked.alive.clear()
        await until(lambda: used.names[-1] == ["one", "two"])
        assert group.desperate
        asked.alive.add((two, 2, 500))
        await until(lambda: used.names[-1] == ["two"])
        assert not group.desperate
        watch.close()
        await asyncio.sleep(0)

    asyncio.run(go())
    said = [f"{e.subject}: {e.cause}" for e in events.since()]
    assert said == [
        f"ga vpn two: {two}: 2 probes (ike) unanswered: no answer",
        f"ga vpn one: {one}: 2 probes (ike) unanswered: no answer",
        "ga vpn: no endpoint answers: all are used all the same",
        f"ga vpn two: {two} answers (ike)",
    ]


def test_one_that_takes_no_clients_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group whose only living endpoint has weight 0 is used whole."""
    asked, used = Asked(monkeypatch), Used()
    asked.alive = {("198.51.100.12", 2, 500)}

    async def go() -> None:
        watch = Endpoints(EventLog(None, None), used)
        watch.follow([quick(("one", "198.51.100.11", 100), ("two", "198.51.100.12", 0))])
        group = watch.groups[GA, "vpn"]
        await until(lambda: group.desperate)
        assert used.names[-1] == ["one", "two"]
        watch.close()

    asyncio.run(go())


def test_names_are_looked_up_again_and_the_last_good_answer_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Asked(monkeypatch).alive = set()
    monkeypatch.setattr(endpoints_module, "AGAIN_S", 0.0)
    monkeypatch.setattr(endpoints_module, "SOON_S", 0.0)
    used, events = Used(), EventLog(None, None)
    answers: list[Any] = [OSError(5, "no such name")]

    def lookup(name: str, family: int) -> list[Address]:
        assert (name, family) == ("vpn.example.net", 4)
        if isinstance(answers[0], OSError):
            raise answers[0]
        return list(answers[0])

    async def go() -> None:
        watch = Endpoints(events, used, lookup)
        watch.follow([quick(("gw", "vpn.example.net", 100))])
        group = watch.groups[GA, "vpn"]
        (one,) = group.endpoints
        await until(lambda: one.unresolved != "")
        assert used.names[-1] == []
        first, second = ip_address("198.51.100.1"), ip_address("198.51.100.2")
        answers[0] = [second, first]
        await until(lambda: one.address == second)
        assert used.names[-1] == ["gw"]
        # another order is no other answer
        answers[0] = [first, second]
        looked = one.looked_up
        await until(lambda: one.looked_up != looked)
        await asyncio.sleep(0.05)
        assert one.address == second
        answers[0] = OSError(5, "server failed")
        await until(lambda: one.unresolved != "")
        assert one.address == second
        answers[0] = [first]
        await until(lambda: one.address == first)
        watch.close()

    asyncio.run(go())
    said = [e.cause for e in events.since() if "probes" not in e.cause and "all are" not in e.cause]
    assert said == [
        "vpn.example.net cannot be looked up: no such name",
        "vpn.example.net is 198.51.100.2",
        "vpn.example.net cannot be looked up: server failed; 198.51.100.2 stays",
        "vpn.example.net is 198.51.100.1, no longer 198.51.100.2",
    ]


def test_what_a_group_knows_stays_when_its_plan_does(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch)
    asked.alive = {("198.51.100.11", 2, 500)}

    async def go() -> None:
        watch = Endpoints(EventLog(None, None), Used())
        both = (("one", "198.51.100.11", 100), ("two", "198.51.100.12", 100))
        watch.follow([quick(*both)])
        before: Group = watch.groups[GA, "vpn"]
        await until(lambda: not before.endpoints[1].alive)
        watch.follow([quick(*both, ("three", "198.51.100.13", 100))])
        after = watch.groups[GA, "vpn"]
        assert [e.alive for e in after.endpoints] == [True, False, True]
        watch.follow([quick(("two", "198.51.100.22", 100))])
        assert watch.groups[GA, "vpn"].endpoints[0].alive
        watch.follow([])
        assert watch.groups == {}

    asyncio.run(go())


def test_which_ike_is_asked() -> None:
    assert ike_questions(listener()) == [(2, 4500), (1, 4500), (2, 500), (1, 500)]
    assert ike_questions(listener(ranges=[(500, 500)])) == [(2, 500), (1, 500)]
    assert ike_questions(listener(ranges=[(4000, 5000)])) == [(2, 4500), (1, 4500)]
    assert len(ike_questions(listener(ranges=[(7000, 7000)]))) == 4


def test_a_resolver_that_hangs_keeps_nobody() -> None:
    async def go() -> None:
        def hangs(_name: str, _family: int) -> list[Address]:
            time.sleep(0.2)
            return []

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await resolve("a.example", 4, hangs)

    began = time.monotonic()
    asyncio.run(go())
    assert time.monotonic() - began < 0.2
    time.sleep(0.3)  # it finds the loop gone, and says nothing


def test_the_address_in_use_is_kept_while_it_is_among_them() -> None:
    one, two = ip_address("198.51.100.1"), ip_address("198.51.100.2")
    assert choose([one, two], two) == two
    assert choose([one, two], None) == one
    assert choose([one], two) == one
    assert choose([], two) == two


def test_the_engines_hops() -> None:
    addresses = {
        1: ip_address("192.0.2.1"), 2: ip_address("192.0.2.2"), 3: ip_address("2001:db8::3"),
    }  # fmt: skip
    assert _addresses(Hops(1, 2), addresses) == [addresses[1], addresses[2]]
    assert _addresses(Hops(1), addresses) == [addresses[1]]
    assert _addresses(Hops(1, 3), addresses) == [addresses[1]]
    assert _addresses(Hops(9, 1), addresses) == []
    repaired = listener(name="b", repair=Duplicate(mode="duplicate"))
    assert mode_of(accelerator(listener(), repaired)) == Duplicate(mode="duplicate")
    assert mode_of(accelerator()) is None
    assert relay_plan().number == SEOUL
