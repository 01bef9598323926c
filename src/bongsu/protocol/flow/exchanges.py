"""HTTP requests with their answers.

The data plane tells both as they pass; an answer bears the time of its request. What waits for an
answer is bounded by number and by age, and is given out without one when either is reached.
"""

from typing import Any, Final

import numpy as np

from bongsu.protocol.flow.records import EGRESS, KEY, Rows, joined, key_of

WAIT_NS: Final = 30 * 10**9
WAITING_MOST: Final = 65536
REQUEST, RESPONSE = 1, 2

EXCHANGE: Final = np.dtype(
    [
        *((name, KEY[name]) for name in KEY.names or ()),
        ("time", "u8"),
        ("latency_us", "u4"),
        ("code", "u2"),
        ("method", "S16"),
        ("path", "S192"),
        ("host", "S96"),
    ]
)
"""The key is the request's. `code` 0: no answer; `time` 0: no request was seen."""


class Exchanges:
    """Of one node."""

    def __init__(self, wait_ns: int = WAIT_NS, most: int = WAITING_MOST) -> None:
        self._wait, self._most = wait_ns, most
        self._waiting = np.empty(0, EXCHANGE)

    def take(self, events: Rows, now: int) -> Rows:
        """Exchanges that are over, oldest request first. `now`: monotonic, in ns.

        `events`: fields `key`, `time`, `request`, `latency_us`, `kind`, `code`, `method`, `path` and
        `host`.
        """
        asked = joined(EXCHANGE, self._waiting, _requests(events[events["kind"] == REQUEST]))
        answers = _answers(events[events["kind"] == RESPONSE])
        # announcements (100 to 199) are no answers, but for 101, which is the last there will be
        final = (answers["code"] >= 200) | (answers["code"] == 101)
        answers = answers[final]
        found, where = _match(asked, answers)
        asked["code"][where], asked["latency_us"][where] = (
            answers["code"][found],
            answers["latency_us"][found],
        )
        over = asked["code"] > 0
        over |= asked["time"] + np.uint64(self._wait) < np.uint64(now)
        if (excess := int((~over).sum()) - self._most) > 0:
            over[np.flatnonzero(~over)[:excess]] = True
        orphans = np.ones(len(answers), bool)
        orphans[found] = False
        self._waiting = asked[~over]
        done = joined(EXCHANGE, asked[over], answers[orphans])
        in_order: Rows = done[np.argsort(done["time"], kind="stable")]
        return in_order


def _requests(events: Rows) -> Any:
    made = _with_key(events["key"])
    for name in ("time", "method", "path", "host"):
        made[name] = events[name]
    return made


def _answers(events: Rows) -> Any:
    """Under the request's key; `time` is the request's."""
    key = events["key"].copy()
    for one, other in (("saddr", "daddr"), ("sport", "dport")):
        key[one], key[other] = events["key"][other], events["key"][one]
    key["direction"] ^= EGRESS
    made = _with_key(key)
    made["time"] = events["request"]
    for name in ("code", "latency_us"):
        made[name] = events[name]
    return made


def _with_key(key: Rows) -> Any:
    made = np.zeros(len(key), EXCHANGE)
    for name in KEY.names or ():
        made[name] = key[name]
    return made


def _match(asked: Rows, answers: Rows) -> tuple[Rows, Rows]:
    """Numbers of answers, and of the requests they belong to."""
    names = [name for name in KEY.names or () if name != "dscp"]  # each side marks as it likes
    keys = np.concatenate([key_of(asked, *names, "time"), key_of(answers, *names, "time")])
    _, number = np.unique(keys, return_inverse=True)
    number = number.reshape(-1)
    place = np.full(int(number.max(initial=-1)) + 1, -1)
    place[number[: len(asked)]] = np.arange(len(asked))
    where = place[number[len(asked) :]] if len(answers) else np.empty(0, int)
    found = np.flatnonzero((where >= 0) & (answers["time"] > 0))
    return found, where[found]
