"""Whatever happens in whatever order, the keepalive machine keeps its promises."""

from hypothesis import given
from hypothesis import strategies as st

from bongsu.protocol.gre_keepalive.machine import (
    NS,
    Action,
    Config,
    KeepaliveMachine,
    Line,
    LineDown,
    LineUp,
    Send,
    Wake,
)

configs = st.builds(Config, st.integers(1, 60), st.integers(1, 8))
steps = st.lists(
    st.tuples(st.sampled_from(["tick", "due", "reply"]), st.integers(0, 90 * NS)), max_size=120
)


@given(configs, st.sampled_from(Line), steps)
def test_random_events(config: Config, line: Line, steps: list[tuple[str, int]]) -> None:
    machine = KeepaliveMachine(config, 0, line=line)
    now, since_reply, deadline = 0, 0, 0
    for kind, wait in steps:
        before = machine.line
        now = max(now, machine.deadline) if kind == "due" else now + wait
        actions = machine.reply(now) if kind == "reply" else machine.tick(now)
        sends = [action for action in actions if isinstance(action, Send)]
        changes = [action for action in actions if isinstance(action, LineUp | LineDown)]

        assert len(sends) <= 1
        assert bool(changes) is (machine.line is not before)
        if kind == "reply":
            assert machine.line is Line.UP
            assert not sends
            since_reply = 0
        else:
            # A request leaves exactly when its time has come, line up or down.
            assert bool(sends) is (now >= deadline)
            since_reply += len(sends)
            assert actions[-1] == Wake(machine.deadline)
            assert now < machine.deadline <= now + config.interval_ns
            deadline = machine.deadline
        assert machine.counter == since_reply
        for change in changes:
            if isinstance(change, LineDown):
                assert change.unanswered >= config.retries
        if machine.line is Line.UP:
            assert machine.counter <= config.retries


Link = list[tuple[int, str]]


@given(
    config=st.builds(Config, st.integers(1, 20), st.integers(1, 6)),
    delay=st.integers(0, NS - 1),
    cut=st.tuples(st.integers(0, 100 * NS), st.integers(0, 300 * NS)),
    offset=st.integers(0, 5 * NS),
)
def test_two_machines_on_one_virtual_clock(
    config: Config, delay: int, cut: tuple[int, int], offset: int
) -> None:
    """Both ends notice a cut within (retries + 1) intervals, and its end within one and a trip."""
    machines = {"a": KeepaliveMachine(config, 0), "b": KeepaliveMachine(config, offset)}
    silent_from, silent_to = cut[0], cut[0] + cut[1]
    in_flight: Link = []
    changes: dict[str, list[tuple[int, Action]]] = {"a": [], "b": []}
    end = silent_to + 3 * config.interval_ns + 2 * NS
    now = 0
    while now <= end:
        for name, machine in machines.items():
            if machine.deadline <= now:
                for action in machine.tick(now):
                    # The far end reflects at once: a trip there and back.
                    if isinstance(action, Send) and not silent_from <= now < silent_to:
                        in_flight.append((now + delay, name))
                    if isinstance(action, LineUp | LineDown):
                        changes[name].append((now, action))
        for arrival in sorted(item for item in in_flight if item[0] <= now):
            in_flight.remove(arrival)
            for action in machines[arrival[1]].reply(now):
                changes[arrival[1]].append((now, action))
        now = min(
            [machine.deadline for machine in machines.values()] + [item[0] for item in in_flight]
        )
    for name, machine in machines.items():
        assert machine.line is Line.UP, name
        for at, action in changes[name]:
            if isinstance(action, LineDown):
                assert silent_from + config.retries * config.interval_ns - config.interval_ns < at
                assert at <= silent_to + config.interval_ns
            else:
                assert silent_to <= at <= silent_to + config.interval_ns + delay
        if cut[1] >= (config.retries + 1) * config.interval_ns + offset:
            first = next(at for at, action in changes[name] if isinstance(action, LineDown))
            assert first <= max(silent_from, offset) + (config.retries + 1) * config.interval_ns
