"""Several pairs of selectors in one tunnel: which are missing, what is said, who is asked again."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from bongsu.agent.events import EventLog
from bongsu.agent.vpn.again import Again
from bongsu.agent.vpn.coverage import gaps
from bongsu.agent.vpn.watch import VpnWatch
from bongsu.agent.vpn.watched import Watched
from bongsu.intent import load_text
from bongsu.plan.compile import compile_network
from bongsu.plan.selectors import Child, children
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.protocol.link import Cause, Evidence, Layer, LinkMachine, Verdict, judge
from bongsu.protocol.link.evidence import Health
from bongsu.protocol.link.machine import NS
from bongsu.system.ipsec import interfaces
from bongsu.system.ipsec.state import EspSa, IkeSa, IkeState, carried
from tests.unit.test_plan_stand_in import two_sites

SITE = ("10.1.0.0/24", "10.1.1.0/24")
FAR = "172.16.0.0/16"


def esp(number: int, child: str = "", local: tuple[str, ...] = (), remote: str = FAR) -> EspSa:
    ends = {"child": child, "local": local, "remote": (remote,) if local else ()}
    return EspSa(str(number), "", False, "", "", 0, 0, 0, 0, **ends)


def ike(number: int, *held: EspSa, state: IkeState = IkeState.ESTABLISHED) -> IkeSa:
    return IkeSa("t", str(number), 1, state, "", "", "", "", "", True, False, 1, 1, held)


def tunnel(version: int = 1, start: str = "initiate") -> VpnTunnelPlan:
    network = load_text(two_sites("static: true"), "two.yaml").network
    plan = compile_network(network)["busan"].vpns[0]
    return plan.model_copy(
        update={
            "name": "t",
            "ike_version": version,
            "start": start,
            "local_selectors": [ip_network(each) for each in SITE],
            "remote_selectors": [ip_network(FAR)],
        }
    )


ONE_EACH = children(tunnel(1))
ONE_LIST = children(tunnel(2))


@pytest.mark.parametrize(
    ("negotiated", "held", "missing"),
    [
        (ONE_EACH, [], [("t", 0, False), ("t_2", 1, False)]),
        (ONE_EACH, [esp(1, "t", SITE[:1])], [("t_2", 1, False)]),
        (ONE_EACH, [esp(1, "t", SITE[:1]), esp(2, "t_2", SITE[1:])], []),
        # A wider one carries both, whatever it is called at the end that was called.
        (ONE_EACH, [esp(1, "t", ("10.1.0.0/23",))], []),
        (ONE_LIST, [esp(1, "t", SITE)], []),
        # Narrowed by the far end: to ask again would bring the same.
        (ONE_LIST, [esp(1, "t", SITE[:1])], [("t", 1, True)]),
        (ONE_LIST, [esp(1, "t", SITE, "172.16.0.0/24")], [("t", 0, True), ("t", 1, True)]),
        # Two associations for one list are as good.
        (ONE_LIST, [esp(1, "t", SITE[:1]), esp(2, "t", SITE[1:])], []),
        # A daemon that does not say, or says what is no network.
        (ONE_EACH, [esp(1, "t")], [("t_2", 1, False)]),
        (ONE_EACH, [esp(1, "t", ("10.1.0.0..10.1.0.9",))], [("t_2", 1, False)]),
        (ONE_EACH, [esp(1, "t", ("::/0",), "::/0")], [("t", 0, True), ("t_2", 1, False)]),
    ],
)
def test_pairs_that_nothing_carries(
    negotiated: list[Child], held: list[EspSa], missing: list[tuple[str, int, bool]]
) -> None:
    assert [(gap.child, str(gap.local), gap.narrowed) for gap in gaps(negotiated, held)] == [
        (child, SITE[place], narrowed) for child, place, narrowed in missing
    ]


def test_of_two_associations_what_carries_is_counted_once_a_child() -> None:
    old, new = ike(1, esp(1, "t"), esp(2, "t_2")), ike(2, esp(3, "t"))
    assert [sa.id for sa in carried([new, old])] in (["3", "2"], ["1", "2"])
    assert carried([]) == ()


def test_a_missing_pair_degrades_and_is_named_with_its_reason() -> None:
    good = Evidence(ike="established", esp=True)
    machine = LinkMachine(0, verdict=Verdict.UP)
    part = Evidence(ike="established", esp=True, missing=("10.1.1.0/24 - 172.16.0.0/16",))
    assert machine.look(0, part) is None
    change = machine.look(4 * NS, part)
    assert change is not None
    assert change.verdict is Verdict.DEGRADED
    assert change.cause is not None
    assert change.cause.code == "part"
    assert "10.1.1.0/24 - 172.16.0.0/16" in change.cause.text
    reason = Cause(Layer.ESP, "selectors", "the traffic selectors of the two ends do not fit")
    health, cause = judge(Evidence(ike="established", esp=True, missing=("a",) * 9, reason=reason))
    assert health is Health.WEAK
    assert cause is not None
    assert cause.text.endswith(f"a, a, a ..., other selectors are carried: {reason.text}")
    assert judge(good) == (Health.GOOD, None)


class Ipsec:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def logs(self) -> dict[Path, str]:
        return {}

    def initiate(self, name: str, child: str) -> None:
        self.asked.append((name, child))


class Services:
    def __init__(self) -> None:
        self.ipsec = Ipsec()


def asked(one: Watched, associations: list[IkeSa], at: float = 1e9) -> list[str]:
    """What is asked for, once the time has come."""
    services: Any = Services()
    one.note(associations, children(one.plan))
    one.again_at = time.monotonic() - at
    asyncio.run(Again(services, lambda *_: None).look([one]))
    return [child for _, child in services.ipsec.asked]


def watched(start: str = "initiate", version: int = 1) -> Watched:
    return Watched(tunnel(version, start), LinkMachine(0), 0.0)


def test_each_missing_one_is_asked_for_and_no_other() -> None:
    half = [ike(1, esp(1, "t", SITE[:1]))]
    assert asked(watched(), []) == ["t", "t_2"]
    assert asked(watched(), half) == ["t_2"]
    assert asked(watched(), [ike(1, esp(1, "t_2", SITE[1:]))]) == ["t"]
    assert asked(watched(), [ike(1, esp(1, "t", SITE[:1]), esp(2, "t_2", SITE[1:]))]) == []
    # pluto's second connection has no IKE association of its own.
    assert asked(watched(), [*half, ike(0, esp(2, "t_2", SITE[1:]), state=IkeState.NONE)]) == []
    assert asked(watched("respond"), half) == []
    assert asked(watched(), [ike(1, state=IkeState.CONNECTING)]) == []
    assert asked(watched(version=2), [ike(1, esp(1, "t", SITE[:1]))]) == [], "narrowed"


def test_not_before_its_time_and_less_and_less_often() -> None:
    one, half = watched(), [ike(1, esp(1, "t", SITE[:1]))]
    assert asked(one, half, at=-60) == []
    waits = []
    for _ in range(7):
        assert asked(one, half) == ["t_2"]
        waits.append(one.wait_s)
    assert waits == [6, 12, 24, 48, 60, 60, 60]
    asked(one, [ike(1, esp(1, "t", SITE[:1]), esp(2, "t_2", SITE[1:]))])
    assert one.wait_s == 3


def test_who_waits_to_call_waits_no_longer_once_something_was_mended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interfaces, "line", lambda _: None)
    services: Any = Services()
    plan = compile_network(load_text(two_sites("bgp: {}"), "two.yaml").network)["busan"]

    async def scenario() -> list[tuple[str, str]]:
        watch = VpnWatch(EventLog(None, None), services, ThreadPoolExecutor(1), lambda *_: None)
        again = Again(services, lambda *_: None)
        await watch.follow(plan)
        first, second = watch.watched.values()
        for one in (first, second):
            one.note([], children(one.plan))
        first.wait_s, first.again_at = 60.0, time.monotonic() + 60
        await watch.follow(plan)
        await again.look([first, second])
        assert services.ipsec.asked == [], "the same once more is no reason"
        second.again_at = 0.0
        await watch.follow(plan, changed=True)
        await again.look([first, second])
        watch.close()
        assert first.wait_s == 6
        return services.ipsec.asked

    # The other has not waited yet: its daemon may be calling by itself.
    assert asyncio.run(scenario()) == [("vti1", "vti1")]


def test_a_reason_is_kept_while_something_is_missing() -> None:
    one = watched()
    one.diagnosis.hear("received TS_UNACCEPTABLE notify, no CHILD_SA built", 1)
    assert one.diagnosis.reason is not None
    one.note([ike(1, esp(1, "t", SITE[:1]))], ONE_EACH)
    assert one.diagnosis.reason is not None
    one.note([ike(1, esp(1, "t", SITE[:1]), esp(2, "t_2", SITE[1:]))], ONE_EACH)
    assert one.diagnosis.reason is None


def test_a_pair_that_comes_later_is_no_rekeying() -> None:
    one = watched()
    one.note([ike(1, esp(1, "t", SITE[:1]))], ONE_EACH)
    one.note([ike(1, esp(1, "t", SITE[:1]), esp(2, "t_2", SITE[1:]))], ONE_EACH)
    assert one.rekeys == 0
    one.note([ike(1, esp(3, "t", SITE[:1]), esp(2, "t_2", SITE[1:]))], ONE_EACH)
    assert one.rekeys == 1
