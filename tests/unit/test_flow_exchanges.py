"""Requests find their answers, or are given out without one."""

from typing import Any

import numpy as np

from bongsu.protocol.flow.exchanges import Exchanges
from bongsu.system.flow.layout import HTTP_EVENT, REQUEST, RESPONSE

SECOND = 10**9


def event(kind: int, client: int, request: int, code: int = 0, path: bytes = b"") -> Any:
    made = np.zeros(1, HTTP_EVENT)
    key = made["key"]
    key["sport"], key["dport"] = (client, 80) if kind == REQUEST else (80, client)
    key["direction"] = 0 if kind == REQUEST else 1
    key["dscp"] = 0 if kind == REQUEST else 10
    made["kind"], made["time"], made["request"] = kind, request, request
    made["code"], made["path"], made["latency_us"] = code, path, 7 if code else 0
    return made


def told(done: Any) -> list[tuple[bytes, int, int]]:
    return [(bytes(e["path"]), int(e["code"]), int(e["sport"])) for e in done]


def test_in_one_reading_and_across_two() -> None:
    exchanges = Exchanges()
    first = np.concatenate(
        [
            event(REQUEST, 1, 100, path=b"/a"),
            event(REQUEST, 2, 101, path=b"/b"),
            event(RESPONSE, 2, 101, 100),
            event(RESPONSE, 1, 100, 200),
        ]
    )
    assert told(exchanges.take(first, 200)) == [(b"/a", 200, 1)]
    # 100 to 199 announced the answer
    assert told(exchanges.take(event(RESPONSE, 2, 101, 503), 300)) == [(b"/b", 503, 2)]
    assert told(exchanges.take(np.zeros(0, HTTP_EVENT), 300)) == []


def test_without_an_answer_or_a_request() -> None:
    exchanges = Exchanges(wait_ns=5 * SECOND)
    assert told(exchanges.take(event(REQUEST, 1, SECOND, path=b"/a"), SECOND)) == []
    assert told(exchanges.take(event(RESPONSE, 9, 0, 200), 2 * SECOND)) == [(b"", 200, 9)]
    assert told(exchanges.take(np.zeros(0, HTTP_EVENT), 7 * SECOND)) == [(b"/a", 0, 1)]


def test_no_more_than_so_many_wait() -> None:
    exchanges = Exchanges(most=2)
    asked = np.concatenate([event(REQUEST, n, 100 + n, path=b"/%d" % n) for n in range(5)])
    assert told(exchanges.take(asked, 200)) == [(b"/%d" % n, 0, n) for n in range(3)]
