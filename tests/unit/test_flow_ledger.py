"""Changes add up to what was counted, however flows move between the cache and the table."""

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest

from bongsu.protocol.flow.aggregate import by, top
from bongsu.protocol.flow.ledger import Ledger
from bongsu.protocol.flow.records import FLOW, joined, key_of, merge

SECOND = 10**9


def rows(*flows: tuple[int, int, int], last: int = 0) -> Any:
    """Flows by source port, with packets and bytes."""
    made = np.zeros(len(flows), FLOW)
    for row, (port, packets, octets) in zip(made, flows, strict=True):
        row["sport"], row["packets"], row["bytes"] = port, packets, octets
    made["last"] = last
    return made


def told(changes: Any) -> dict[int, tuple[int, int]]:
    return {int(c["sport"]): (int(c["packets"]), int(c["bytes"])) for c in changes}


def test_growth_is_told_once() -> None:
    ledger = Ledger()
    assert told(ledger.take(rows(), rows((1, 2, 100), (2, 1, 50)), 0)) == {1: (2, 100), 2: (1, 50)}
    assert told(ledger.take(rows(), rows((1, 2, 100), (2, 4, 80)), 0)) == {2: (3, 30)}
    assert told(ledger.take(rows(), rows((1, 2, 100), (2, 4, 80)), 0)) == {}


def test_a_flow_that_moved_unseen_is_late_and_not_doubled() -> None:
    ledger = Ledger()
    ledger.take(rows(), rows((1, 5, 500)), 0)
    assert told(ledger.take(rows(), rows(), 0)) == {}
    assert told(ledger.take(rows((1, 5, 500)), rows((1, 2, 20)), 0)) == {1: (2, 20)}


def test_processors_add_up() -> None:
    ledger = Ledger()
    assert told(ledger.take(rows((1, 1, 10), (1, 2, 20)), rows((1, 4, 40), (1, 8, 80)), 0)) == {
        1: (15, 150)
    }


def test_idle_flows_leave() -> None:
    ledger = Ledger(idle_ns=10 * SECOND)
    ledger.take(rows((1, 1, 10), last=SECOND), rows((2, 1, 10), last=SECOND), 2 * SECOND)
    assert len(ledger.flows) == 2
    ledger.take(rows(), rows((2, 1, 10), last=SECOND), 12 * SECOND)
    # what is in the cache stays, else it would be told anew
    assert ledger.flows["sport"].tolist() == [2]
    assert told(ledger.take(rows(), rows((2, 1, 10), last=SECOND), 13 * SECOND)) == {}
    assert told(ledger.take(rows((1, 3, 30), last=14 * SECOND), rows(), 14 * SECOND)) == {
        1: (3, 30)
    }


@pytest.mark.parametrize("seed", range(20))
def test_any_history(seed: int) -> None:
    """A cache of three places, a table behind it, and readings in the middle of moves."""
    chance, ledger = random.Random(seed), Ledger()
    cache: dict[int, list[int]] = {}
    table: list[tuple[int, int, int]] = []
    truth: Counter[int] = Counter()
    seen: Counter[int] = Counter()

    def packet() -> None:
        port = chance.randrange(6)
        if port not in cache and len(cache) == 3:
            gone = chance.choice(list(cache))
            table.append((gone, *cache.pop(gone)))
        entry = cache.setdefault(port, [0, 0])
        entry[0] += 1
        entry[1] += port
        truth[port] += 1

    for _ in range(60):
        for _ in range(chance.randrange(5)):
            packet()
        spilled, table = table, []
        for _ in range(chance.randrange(3)):
            packet()
        live = [(port, *entry) for port, entry in cache.items()]
        for port, (packets, octets) in told(ledger.take(rows(*spilled), rows(*live), 0)).items():
            assert octets == packets * port
            seen[port] += packets
        assert all(seen[port] <= truth[port] for port in truth)
    for port, (packets, _) in told(
        ledger.take(rows(*table), rows(*((p, *e) for p, e in cache.items())), 0)
    ).items():
        seen[port] += packets
    assert seen == truth


def test_merge() -> None:
    made = rows((1, 1, 10), (2, 1, 1), (1, 2, 20))
    made["first"], made["last"], made["rtt_us"] = [5, 6, 4], [7, 6, 9], [30, 0, 0]
    made["tcp_flags"] = [2, 16, 16]
    one, two = merge(made)
    assert (one["packets"], one["bytes"], one["first"], one["last"]) == (3, 30, 4, 9)
    assert (one["rtt_us"], one["tcp_flags"]) == (30, 18)
    assert (two["packets"], two["rtt_us"]) == (1, 0)
    assert len(merge(rows())) == 0


def test_large_amounts_stay_exact() -> None:
    huge = 2**63 - 7
    assert merge(rows((1, 1, huge), (1, 1, 5)))["bytes"].tolist() == [huge + 5]


def test_sums_by_fields_and_the_largest() -> None:
    made = rows((1, 1, 10), (2, 1, 30), (1, 5, 25))
    sums = by(made, "sport")
    assert sums.tolist() == [(1, 2, 6, 35), (2, 1, 1, 30)]
    assert top(sums, 1)["sport"].tolist() == [1]
    assert top(sums, 9, "flows")["sport"].tolist() == [1, 2]


def test_network_order_does_not_make_two_flows() -> None:
    """np.concatenate turns it round, and a key is compared as bytes."""
    turned = np.concatenate([rows((258, 1, 1)), rows()])
    assert key_of(turned).tobytes() == key_of(rows((258, 1, 1))).tobytes()
    assert joined(FLOW, turned)["sport"].dtype == ">u2"
