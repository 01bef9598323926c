"""Whatever bytes come, a decoder answers with a message or a WireError, and with nothing else."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bongsu.wire import codec
from bongsu.wire.messages import (
    Ack,
    Batch,
    Certificate,
    EnrolRequest,
    Event,
    Hello,
    Payload,
    Record,
    Row,
    Series,
    Snapshot,
    Welcome,
    WireError,
)

EVENT = Event("info", "kind", "subject", "cause", 1, 2, {"a": 1})
GOOD = {
    codec.decode_from_node: [
        codec.encode_from_node(Hello(bytes(16), 5, "0.1")),
        codec.encode_from_node(Batch(1, (Record(2, b"abc"), Record(9, b"d")))),
    ],
    codec.decode_from_tower: [
        codec.encode_from_tower(Welcome(1, 2, 3)), codec.encode_from_tower(Ack(7)),
    ],
    codec.decode_payload: [
        codec.encode_payload(Payload(1, EVENT)),
        codec.encode_payload(Payload(1, Snapshot("s", "p", {"x": [1, 2, {"y": None}]}))),
        codec.encode_payload(Payload(1, Series("t", ("a", "b"), (Row("s", (1.0, 2.0)),)))),
    ],
    codec.decode_enrol: [codec.encode_enrol(EnrolRequest("token", b"request"))],
    codec.decode_renew: [codec.encode_renew(b"request")],
    codec.decode_certificate: [codec.encode_certificate(Certificate(b"c", b"a", 1))],
    codec.decode_introduction: [codec.encode_introduction(b"a")],
}  # fmt: skip
DECODERS = pytest.mark.parametrize("decode", GOOD, ids=lambda decode: decode.__name__)


def judge(decode: Callable[[bytes], Any], data: bytes) -> None:
    with contextlib.suppress(WireError):
        decode(data)


@DECODERS
@given(data=st.binary(max_size=400))
def test_noise(decode: Callable[[bytes], Any], data: bytes) -> None:
    judge(decode, data)


@DECODERS
@given(choices=st.data())
@settings(max_examples=100)
def test_mutations(decode: Callable[[bytes], Any], choices: st.DataObject) -> None:
    data = bytearray(choices.draw(st.sampled_from(GOOD[decode])))
    for _ in range(choices.draw(st.integers(1, 6))):
        at = choices.draw(st.integers(0, len(data)))
        match choices.draw(st.integers(0, 2)):
            case 0:
                data[at:at] = choices.draw(st.binary(max_size=6))
            case 1:
                del data[at : at + choices.draw(st.integers(0, 8))]
            case _:
                data[at : at + 1] = choices.draw(st.binary(min_size=1, max_size=1))
    judge(decode, bytes(data))


def test_the_good_ones_are_good() -> None:
    for decode, each in GOOD.items():
        for data in each:
            decode(data)
