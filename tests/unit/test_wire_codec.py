"""Messages go to bytes and come back; what is beyond its bounds is refused with a reason."""

import json
import math
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from bongsu.wire import bounds, codec
from bongsu.wire import messages_pb2 as pb
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

SPOOL = bytes(range(16))
EVENT = Event("warning", "line-protocol", "gre-seoul", "3 keepalives unanswered", 7, 42, {"a": [1]})


@pytest.mark.parametrize(
    "message",
    [
        Hello(SPOOL, 2**63 - 1, "0.1.0", 1),
        Hello(SPOOL, 0, "", 3),
        Batch(0, (Record(1, b"a"), Record(5, b""))),
        Batch(2**62, (Record(2**63 - 1, bytes(1000)),)),
    ],
)
def test_from_node(message: Hello | Batch) -> None:
    assert codec.decode_from_node(codec.encode_from_node(message)) == message


@pytest.mark.parametrize("message", [Welcome(9, 10, 11, 2), Ack(2**63 - 1)])
def test_from_tower(message: Welcome | Ack) -> None:
    assert codec.decode_from_tower(codec.encode_from_tower(message)) == message


@pytest.mark.parametrize(
    "what",
    [
        EVENT,
        Snapshot("status", "abc", {"tunnels": [{"name": "x", "한": None}]}),
        Series("tunnel", ("rx", "tx"), (Row("a", (1.0, 2.0**53)), Row("b", (0.5, -1.0)))),
    ],
)
def test_payload(what: Event | Snapshot | Series) -> None:
    payload = Payload(1_764_500_000_000_000_001, what)
    assert codec.decode_payload(codec.encode_payload(payload)) == payload


def test_not_known_is_nan() -> None:
    series = Series("tunnel", ("rx",), (Row("a", (math.nan,)),))
    found = codec.decode_payload(codec.encode_payload(Payload(0, series))).what
    assert isinstance(found, Series)
    assert math.isnan(found.rows[0].values[0])


def test_certificates() -> None:
    asked = EnrolRequest("t", b"r")
    assert codec.decode_enrol(codec.encode_enrol(asked)) == asked
    assert codec.decode_renew(codec.encode_renew(b"r")) == b"r"
    made = Certificate(b"c", b"a", 8743)
    assert codec.decode_certificate(codec.encode_certificate(made)) == made
    assert codec.decode_introduction(codec.encode_introduction(b"a")) == b"a"


def test_a_kind_that_comes_later_is_kept_apart() -> None:
    # field 15, wire type 2, one byte: what a newer agent may send
    later = pb.Payload(time_ns=5).SerializeToString() + bytes([15 << 3 | 2, 1, 7])
    assert codec.decode_payload(later) == Payload(5, None)


def _batch(*sequences: int, after: int = 0, body: bytes = b"") -> bytes:
    records = [pb.Record(sequence=each, body=body) for each in sequences]
    return pb.FromNode(batch=pb.Batch(after=after, records=records)).SerializeToString()


def _payload(**fields: Any) -> bytes:
    return pb.Payload(**fields).SerializeToString()


def _event(**fields: Any) -> bytes:
    return _payload(event=pb.Event(**{"level": "info", **fields}))


BOMB = zlib.compress(b'"' + bytes(b"a" * (bounds.DOCUMENT_BYTES + 1)) + b'"')
DEEP = b"[" * 200_000


@pytest.mark.parametrize(
    ("decode", "data", "why"),
    [
        (codec.decode_from_node, b"", "neither"),
        (codec.decode_from_node, b"\xff", "no FromNode"),
        (codec.decode_from_node, bytes(bounds.MESSAGE_BYTES + 1), "are the most"),
        (codec.decode_from_node, pb.FromNode(hello=pb.Hello(version=1, spool=b"x")).SerializeToString(),
         "16 bytes"),
        (codec.decode_from_node, pb.FromNode(hello=pb.Hello(spool=SPOOL)).SerializeToString(),
         "without a version"),
        (codec.decode_from_node,
         pb.FromNode(hello=pb.Hello(version=1, spool=SPOOL, last=2**63)).SerializeToString(),
         "beyond any count"),
        (codec.decode_from_node, _batch(), "nothing"),
        (codec.decode_from_node, _batch(0), "record 0 after 0"),
        (codec.decode_from_node, _batch(4, 4), "record 4 after 4"),
        (codec.decode_from_node, _batch(2**63), "beyond any count"),
        (codec.decode_from_node, _batch(1, body=bytes(bounds.BODY_BYTES + 1)), "a record of"),
        (codec.decode_from_tower, pb.FromTower(welcome=pb.Welcome(version=1)).SerializeToString(),
         "lets nothing through"),
        (codec.decode_from_tower, b"", "neither"),
        (codec.decode_payload, _event(level="loud"), "level"),
        (codec.decode_payload, _event(details=b"["), "no JSON"),
        (codec.decode_payload, _event(details=b"[]"), "an object"),
        (codec.decode_payload, _event(details=DEEP), "no JSON"),
        (codec.decode_payload, _event(kind="x" * 300), "kind"),
        (codec.decode_payload, _event(subject="a\0b"), "NUL"),
        (codec.decode_payload, _payload(snapshot=pb.Snapshot(document=b"xyz")), "unpacked"),
        (codec.decode_payload, _payload(snapshot=pb.Snapshot(document=BOMB)), "more than"),
        (codec.decode_payload, _payload(snapshot=pb.Snapshot(document=zlib.compress(b"{}")[:-1])),
         "not all"),
        (codec.decode_payload, _payload(series=pb.Series(metrics=[])), "metrics"),
        (codec.decode_payload, _payload(series=pb.Series(metrics=["a", "a"])), "metrics"),
        (codec.decode_payload,
         _payload(series=pb.Series(metrics=["a"], rows=[pb.Row(values=[1, 2])])), "2 values for 1"),
        (codec.decode_certificate, pb.Certificate(port=0).SerializeToString(), "port"),
        (codec.decode_enrol, bytes(bounds.ENROLMENT_BYTES + 1), "are the most"),
    ],
)  # fmt: skip
def test_refused(decode: Callable[[bytes], Any], data: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        decode(data)


def test_what_is_told_fits() -> None:
    long = Event("info", "k" * 1000, "s" * 1000, "c" * 100_000 + "\0", 0, 0, {})
    found = codec.decode_payload(codec.encode_payload(Payload(0, long))).what
    assert isinstance(found, Event)
    assert (len(found.kind), len(found.cause)) == (bounds.WORD_BYTES, bounds.TEXT_BYTES)
    large = {"x": "y" * bounds.BODY_BYTES}
    with pytest.raises(ValueError, match="event"):
        codec.encode_payload(Payload(0, Event("info", "", "", "", 0, 0, large)))
    with pytest.raises(ValueError, match="snapshot"):
        codec.encode_payload(Payload(0, Snapshot("s", "", "y" * bounds.DOCUMENT_BYTES)))


def test_a_batch_of_the_largest_records_is_a_message() -> None:
    # As the spool reads it: it stops with the record that goes beyond BATCH_BYTES.
    records = (Record(1, bytes(bounds.BATCH_BYTES - 1)), Record(2, bytes(bounds.BODY_BYTES)))
    assert len(codec.encode_from_node(Batch(0, records))) < bounds.MESSAGE_BYTES


def test_a_snapshot_of_ten_thousand_tunnels_is_a_record() -> None:
    tunnel = {
        "name": "gre-seoul-1",
        "peer": "busan",
        "local": "192.0.2.1",
        "mtu": 1476,
        "counters": {"rx_packets": 123456, "rx_bytes": 1234567890},
        "line_protocol": "up",
    }
    document = {"tunnels": [dict(tunnel, name=f"gre-{each}") for each in range(10_000)]}
    assert len(json.dumps(document)) > bounds.BODY_BYTES
    codec.encode_payload(Payload(0, Snapshot("status", "", document)))
