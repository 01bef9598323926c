"""In the guest: the keepalive engine over the kernel's own GRE driver.

    python -m tests.vm.jobs.keepalive_engine MODE:OUTER ...     such as kernel:4, socket:6

Writes one JSON document: for each run what was seen. The world is that of `gre`.
"""

import dataclasses
import json
import select
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

from bongsu.agent.keepalive import session_of
from bongsu.model.tunnel import Keepalive
from bongsu.system import netns
from bongsu.system.keepalive.engine import KeepaliveEngine
from bongsu.system.run import run
from tests.vm.jobs import gre

KEEPALIVE = Keepalive(milliseconds=250, nonce=True)
WITHIN_S = 20.0


def soon(true: Callable[[], Any]) -> bool:
    """Whether it comes true."""
    deadline = time.monotonic() + WITHIN_S
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def change(engine: KeepaliveEngine, up: bool) -> list[tuple[bool, int]]:
    """The line's change to that state: up, and requests without an answer.

    A guest whose processors stand still for a second has a line that was down for a moment before
    anything was cut; such a pair of changes is passed over.
    """
    deadline = time.monotonic() + WITHIN_S
    while (left := deadline - time.monotonic()) > 0 and select.select([engine], [], [], left)[0]:
        last = list(engine.transitions())[-1:]
        if last and last[0].up == up:
            return [(last[0].up, last[0].unanswered)]
    return []


def watched(mode: Literal["kernel", "socket"], outer: int) -> dict[str, object]:
    """One run."""
    near, far = gre.end(gre.A, "kernel", outer, 0), gre.end(gre.B, "kernel", outer, 1)
    near.create(keepalive=KEEPALIVE)
    far.create(peer_keepalive=KEEPALIVE)
    seat = near.do(lambda backend: backend.seats())[gre.NAME]
    plan = near.plan.model_copy(update={"keepalive": KEEPALIVE})
    seen: dict[str, object] = {"judged": seat.judged}
    with netns.in_netns(gre.A):
        session = dataclasses.replace(session_of(plan, seat), mode=mode)
        engine = KeepaliveEngine(near.backend.keepalive_memory())
        engine.add(seat.slot, session)
    try:
        record = engine.records[seat.slot]
        seen["answered"] = soon(lambda: record["received"] >= 3)
        seen["rtt"] = bool(0 < record["rtt_min"] <= record["rtt_max"])
        seen["refused"] = record["refused"].tolist()
        seen["scheduler"] = engine.scheduler
        seen["echo"] = gre.echoed(4)
        run(["ip", "-n", gre.R, "link", "set", "rb", "down"])
        seen["down"] = change(engine, up=False)
        near.do(lambda backend: backend.set_line(gre.NAME, False))
        run(["ip", "-n", gre.R, "link", "set", "rb", "up"])
        six = f"{gre.OUTER[6][1].rpartition('::')[0]}::fe/64"
        run(["ip", "-n", gre.R, "addr", "replace", six, "dev", "rb", "nodad"])
        seen["up"] = change(engine, up=True)
        near.do(lambda backend: backend.set_line(gre.NAME, True))
        seen["echo again"] = soon(lambda: gre.echoed(4, gre.LOST_S))
    finally:
        engine.close()
        for each in (near, far):
            each.do(lambda backend: backend.close())
    return seen


def main(runs: list[str]) -> None:
    """All of them, each in fresh namespaces."""
    found = {}
    for name in runs:
        mode, outer = name.split(":")
        gre.underlay()
        try:
            found[name] = watched("kernel" if mode == "kernel" else "socket", int(outer))
        finally:
            for where in (gre.A, gre.R, gre.B):
                netns.remove(where)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
