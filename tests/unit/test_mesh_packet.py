"""Probes and answers of the mesh: what is said is what is understood, and nobody else's counts."""

import pytest

from bongsu.protocol.mesh.packet import (
    VECTOR_LIMIT,
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

KEY = mesh_key(b"sixteen bytes of it")
PROBE = Probe(destination=7, source=9, epoch=1 << 63, sequence=0xFFFFFFFF)


def test_a_probe_comes_as_it_went() -> None:
    data = encode_probe(PROBE, KEY)
    assert (len(data), decode(data, KEY)) == (48, PROBE)


def test_an_answer_names_its_probe_and_says_what_its_sender_measured() -> None:
    legs = [(3, Leg(State.ALIVE, 0.5, 12_345_000, 678_000)), (4, Leg(State.DEAD, 1.0))]
    answer = decode(encode_answer(PROBE, 1234, pack_vector(legs), KEY), KEY)
    assert isinstance(answer, Answer)
    assert (answer.destination, answer.source) == (PROBE.source, PROBE.destination)
    assert (answer.epoch, answer.sequence, answer.held_ns) == (1 << 63, 0xFFFFFFFF, 1234)
    assert answer.vector[4] == Leg(State.DEAD, 1.0)
    assert answer.vector[3].loss == pytest.approx(0.5, abs=1e-4)
    assert (answer.vector[3].rtt_ns, answer.vector[3].jitter_ns) == (12_345_000, 678_000)


def test_what_does_not_fit_goes_with_the_next_ones() -> None:
    legs = [(number, Leg(State.ALIVE)) for number in range(1, 151)]
    heard: set[int] = set()
    for sequence in range(6):
        probe = Probe(7, 9, 1, sequence)
        answer = decode(encode_answer(probe, 0, pack_vector(legs), KEY), KEY)
        assert isinstance(answer, Answer)
        assert (len(answer.vector) <= VECTOR_LIMIT, answer.part) == (True, True)
        heard |= answer.vector.keys()
    assert heard == set(range(1, 151))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "short"),
        (encode_probe(PROBE, KEY)[:-1], "short"),
        (b"\x02" + encode_probe(PROBE, KEY)[1:], "version"),
        (encode_probe(PROBE, mesh_key(b"another secret of them")), "mac"),
        (encode_probe(PROBE, mesh_key(None)), "mac"),
        (encode_probe(PROBE, KEY) + b"x", "mac"),
    ],
)
def test_what_is_not_ours_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(PacketError) as raised:
        decode(data, KEY)
    assert raised.value.reason == reason


def test_figures_that_do_not_fit_are_the_largest_that_do() -> None:
    legs = [(3, Leg(State.ALIVE, 7.0, 1 << 60, 1 << 60))]
    answer = decode(encode_answer(PROBE, -5, pack_vector(legs), KEY), KEY)
    assert isinstance(answer, Answer)
    assert answer.held_ns == 0
    assert answer.vector[3] == Leg(State.ALIVE, 1.0, 0xFFFFFFFF * 1000, 0xFFFFFFFF * 1000)
