"""Whatever the wires do: no flapping, no dead way while another lives, no loop; no bytes break it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bongsu.model.accelerator import Mesh as Settings
from bongsu.protocol.mesh.packet import (
    Answer,
    Leg,
    PacketError,
    Probe,
    State,
    decode,
    encode_answer,
    encode_probe,
    mesh_key,
    pack_vector,
)
from bongsu.protocol.mesh.path import Path, Rules, Way, Why
from bongsu.protocol.mesh.window import Window
from tests.unit.mesh_world import MS, SECOND, Wire, World

KEY = mesh_key(b"0123456789abcdef")
HOLD = 10 * SECOND
u32 = st.integers(0, 2**32 - 1)
states = st.sampled_from(State)
shares = st.floats(0, 1)
times = st.integers(0, 500 * MS)
ways = st.builds(Way, states, shares, times, times, st.booleans())
looks = st.lists(
    st.tuples(st.integers(1, 6 * SECOND), st.dictionaries(st.integers(1, 5), ways)), max_size=40
)


@given(looks)
def test_any_ways_in_any_order(steps: list[tuple[int, dict[int, Way]]]) -> None:
    path = Path(1, Rules(HOLD, 0.1), 0)
    now, changed = 0, None
    for after, offered in steps:
        now += after
        before = path.next_hop
        change = path.look(now, offered)
        alive = {hop for hop, way in offered.items() if way.state is State.ALIVE}
        if change is not None:
            assert change.before == before != change.after == path.next_hop
            # never a way that is not known to live, but for the direct one where nothing is
            assert change.after in alive or (change.why is Why.GONE and change.after == 1)
            held = changed is not None and now - changed < HOLD
            if held and before in offered:
                assert offered[before].state is State.DEAD
            changed = now
        used = offered.get(path.next_hop)
        if alive and used is not None:
            assert used.state is not State.DEAD


@st.composite
def weather(draw: st.DrawFn) -> dict[tuple[int, int], list[tuple[int, float, int]]]:
    """For each pair: since when (s) which loss and delay (ms)."""
    spell = st.tuples(
        st.integers(0, 40), st.sampled_from([0.0, 0.02, 0.5, 1.0]), st.sampled_from([1, 20, 80])
    )
    pairs = [(a, b) for a in range(1, 5) for b in range(a + 1, 5)]
    return {pair: sorted(draw(st.lists(spell, max_size=3))) for pair in pairs}


@settings(max_examples=8, deadline=None)
@given(weather(), st.integers(0, 1000))
def test_any_weather(
    spells: dict[tuple[int, int], list[tuple[int, float, int]]], seed: int
) -> None:
    def wire(a: int, b: int, now: int) -> Wire:
        found = (0.0, 10)
        for since, loss, delay in spells[min(a, b), max(a, b)]:
            if now >= since * SECOND:
                found = (loss, delay)
        return found[0], found[1] * MS

    world = World([1, 2, 3, 4], wire, Settings(hold_s=10), seed)

    def check(world: World) -> None:
        for node, mesh in world.meshes.items():
            for path in mesh.paths().values():
                # one third PoP at most, which hands on directly: neither we nor the destination
                assert path.next_hop in set(world.nodes) - {node}

    world.run(45, check)
    last: dict[tuple[int, int], int] = {}
    for when, node, change in world.changes:
        key = (node, change.destination)
        if change.why is Why.BETTER and key in last:
            assert when - last[key] >= HOLD
        if change.why is Why.DEAD:
            assert change.left is not None
            assert change.left.state is not State.ALIVE
        assert change.taken.state is State.ALIVE
        last[key] = when
    for node in world.nodes:
        assert world.sent[node] <= 45 * 15 + 3


@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    try:
        decode(data, KEY)
    except PacketError:
        return
    raise AssertionError("nobody guesses the MAC")


legs = st.builds(Leg, states, shares, st.integers(0, 2**50), st.integers(0, 2**50))


@given(
    st.builds(Probe, u32, u32, st.integers(0, 2**64 - 1), u32),
    st.integers(-(2**62), 2**62),
    st.dictionaries(u32, legs, max_size=80),
    st.integers(0, 10_000),
    st.integers(1, 255),
)
def test_any_change_of_any_byte_is_seen(
    probe: Probe, held: int, vector: dict[int, Leg], at: int, change: int
) -> None:
    for data in (
        encode_probe(probe, KEY),
        encode_answer(probe, held, pack_vector(vector.items()), KEY),
    ):
        found = decode(data, KEY)
        assert (found.epoch, found.sequence) == (probe.epoch, probe.sequence)
        if isinstance(found, Answer):
            assert found.vector.keys() <= vector.keys()
        broken = bytearray(data)
        broken[at % len(data)] ^= change
        try:
            decode(bytes(broken), KEY)
        except PacketError:
            continue
        raise AssertionError("a changed packet was taken")


@given(
    st.lists(
        st.tuples(st.integers(0, 3 * SECOND), st.integers(-5, 5), st.integers(0, 3 * SECOND)),
        max_size=200,
    )
)
def test_any_answers_to_a_window(steps: list[tuple[int, int, int]]) -> None:
    window = Window(200 * MS, 5 * SECOND, 3)
    now, sent, answered = 0, 0, 0
    for after, off, held in steps:
        now += after
        sequence = window.send(now)
        sent += 1
        answered += window.answer((sequence + off) % 2**32, now + after, held)
        seen = window.figures(now + after)
        assert 0 <= seen.lost <= seen.sent <= sent
        assert 0 <= seen.unanswered <= 3
        assert (seen.p50_ns is None) or 0 <= seen.p50_ns <= (seen.p99_ns or 0)
    assert answered <= sent
