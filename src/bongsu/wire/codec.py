"""Messages to bytes and back. Bytes come from outside: whatever they are, the answer is a message
within its bounds, or WireError.
"""

import json
import zlib
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from bongsu.wire import bounds, messages
from bongsu.wire import messages_pb2 as pb
from bongsu.wire.messages import LEVELS, FromNode, FromTower, Payload, WireError

_M = TypeVar("_M", bound=Message)
_SEQUENCE_MAX = 2**63 - 1
"""SQLite's; beyond it nobody can count."""


def encode_from_node(message: FromNode) -> bytes:
    """A Hello or a Batch."""
    if isinstance(message, messages.Hello):
        hello = pb.Hello(
            version=message.version, spool=message.spool, last=message.last,
            software=message.software,
        )  # fmt: skip
        return pb.FromNode(hello=hello).SerializeToString()
    records = [pb.Record(sequence=each.sequence, body=each.body) for each in message.records]
    return pb.FromNode(batch=pb.Batch(after=message.after, records=records)).SerializeToString()


def decode_from_node(data: bytes) -> FromNode:
    """What a node said. Raises WireError."""
    said = _parsed(pb.FromNode, data, bounds.MESSAGE_BYTES)
    match said.WhichOneof("message"):
        case "hello":
            return _hello(said.hello)
        case "batch":
            return _batch(said.batch)
    raise WireError("neither a Hello nor a Batch")


def encode_from_tower(message: FromTower) -> bytes:
    """A Welcome or an Ack."""
    if isinstance(message, messages.Welcome):
        welcome = pb.Welcome(
            version=message.version, acked=message.acked, records=message.records,
            bytes=message.bytes,
        )  # fmt: skip
        return pb.FromTower(welcome=welcome).SerializeToString()
    return pb.FromTower(ack=pb.Ack(sequence=message.sequence)).SerializeToString()


def decode_from_tower(data: bytes) -> FromTower:
    """What the tower said. Raises WireError."""
    said = _parsed(pb.FromTower, data, bounds.MESSAGE_BYTES)
    match said.WhichOneof("message"):
        case "welcome":
            return _welcome(said.welcome)
        case "ack":
            return messages.Ack(_sequence(said.ack.sequence))
    raise WireError("neither a Welcome nor an Ack")


def encode_payload(payload: Payload) -> bytes:
    """A record's body. ValueError if it is larger than a record may be, or of no kind."""
    what = payload.what
    made = pb.Payload(time_ns=payload.time_ns)
    if isinstance(what, messages.Event):
        details = json.dumps(what.details, default=str).encode()
        made.event.CopyFrom(
            pb.Event(
                level=what.level, kind=_cut(what.kind, bounds.WORD_BYTES),
                subject=_cut(what.subject, bounds.WORD_BYTES),
                cause=_cut(what.cause, bounds.TEXT_BYTES),
                number=what.number, monotonic_ns=what.monotonic_ns, details=details,
            )
        )  # fmt: skip
    elif isinstance(what, messages.Snapshot):
        text = json.dumps(what.document, default=str, separators=(",", ":")).encode()
        if len(text) > bounds.DOCUMENT_BYTES:
            raise ValueError(f"a snapshot of {len(text)} bytes")
        document = zlib.compress(text, 1)
        made.snapshot.CopyFrom(pb.Snapshot(kind=what.kind, plan=what.plan, document=document))
    elif isinstance(what, messages.Series):
        rows = [pb.Row(subject=row.subject, values=row.values) for row in what.rows]
        made.series.CopyFrom(pb.Series(kind=what.kind, metrics=what.metrics, rows=rows))
    else:
        raise ValueError("a payload of no kind")
    body = made.SerializeToString()
    if len(body) > bounds.BODY_BYTES:
        raise ValueError(f"a {made.WhichOneof('kind')} of {len(body)} bytes")
    return body


def decode_payload(body: bytes) -> Payload:
    """What a body holds; `what` is None if it is of a kind that came later. Raises WireError."""
    said = _parsed(pb.Payload, body, bounds.BODY_BYTES)
    match said.WhichOneof("kind"):
        case "event":
            return Payload(said.time_ns, _event(said.event))
        case "snapshot":
            return Payload(said.time_ns, _snapshot(said.snapshot))
        case "series":
            return Payload(said.time_ns, _series(said.series))
    return Payload(said.time_ns, None)


def encode_enrol(message: messages.EnrolRequest) -> bytes:
    """A newcomer's request."""
    return pb.EnrolRequest(token=message.token, request=message.request).SerializeToString()


def decode_enrol(data: bytes) -> messages.EnrolRequest:
    """A newcomer's request. Raises WireError."""
    said = _parsed(pb.EnrolRequest, data, bounds.ENROLMENT_BYTES)
    return messages.EnrolRequest(said.token, said.request)


def encode_renew(request: bytes) -> bytes:
    """A known node's request for a new certificate (PKCS #10, DER)."""
    return pb.RenewRequest(request=request).SerializeToString()


def decode_renew(data: bytes) -> bytes:
    """The request's DER. Raises WireError."""
    return _parsed(pb.RenewRequest, data, bounds.ENROLMENT_BYTES).request


def encode_certificate(message: messages.Certificate) -> bytes:
    """The tower's answer to both."""
    return pb.Certificate(
        certificate=message.certificate, authority=message.authority, port=message.port
    ).SerializeToString()


def decode_certificate(data: bytes) -> messages.Certificate:
    """The tower's answer to both. Raises WireError."""
    said = _parsed(pb.Certificate, data, bounds.ENROLMENT_BYTES)
    if not 0 < said.port < 65536:
        raise WireError(f"no port: {said.port}")
    return messages.Certificate(said.certificate, said.authority, said.port)


def encode_introduction(authority: bytes) -> bytes:
    """The authority's certificate, DER."""
    return pb.Introduction(authority=authority).SerializeToString()


def decode_introduction(data: bytes) -> bytes:
    """The authority's certificate, DER; nobody has vouched for it yet. Raises WireError."""
    return _parsed(pb.Introduction, data, bounds.ENROLMENT_BYTES).authority


def _parsed(kind: type[_M], data: bytes, limit: int) -> _M:
    if len(data) > limit:
        raise WireError(f"a message of {len(data)} bytes, {limit} are the most")
    made = kind()
    try:
        made.ParseFromString(data)
    except DecodeError as error:
        raise WireError(f"no {kind.DESCRIPTOR.name}: {error}") from error
    return made


def _sequence(number: int) -> int:
    if number > _SEQUENCE_MAX:
        raise WireError(f"{number} is beyond any count")
    return number


def _hello(said: pb.Hello) -> messages.Hello:
    if len(said.spool) != bounds.SPOOL_ID_BYTES:
        raise WireError(f"a spool's name has {bounds.SPOOL_ID_BYTES} bytes")
    if said.version < 1:
        raise WireError("a Hello without a version")
    software = _word(said.software, "software")
    return messages.Hello(said.spool, _sequence(said.last), software, said.version)


def _welcome(said: pb.Welcome) -> messages.Welcome:
    if said.version < 1 or said.records < 1 or said.bytes < 1:
        raise WireError("a Welcome that lets nothing through")
    return messages.Welcome(_sequence(said.acked), said.records, said.bytes, said.version)


def _batch(said: pb.Batch) -> messages.Batch:
    last = _sequence(said.after)
    if not said.records:
        raise WireError("a batch of nothing")
    records = []
    for each in said.records:
        if each.sequence <= last:
            raise WireError(f"record {each.sequence} after {last}")
        if len(each.body) > bounds.BODY_BYTES:
            raise WireError(f"a record of {len(each.body)} bytes")
        last = _sequence(each.sequence)
        records.append(messages.Record(each.sequence, each.body))
    return messages.Batch(said.after, tuple(records))


def _event(said: pb.Event) -> messages.Event:
    if said.level not in LEVELS:
        raise WireError(f"an event of level {said.level[:20]!r}")
    details = _json(said.details or b"{}", "an event's details")
    if not isinstance(details, dict):
        raise WireError("an event's details are an object")
    return messages.Event(
        said.level, _word(said.kind, "kind"), _word(said.subject, "subject"),
        _bounded(said.cause, "cause", bounds.TEXT_BYTES), _sequence(said.number),
        said.monotonic_ns, details,
    )  # fmt: skip


def _snapshot(said: pb.Snapshot) -> messages.Snapshot:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(said.document, bounds.DOCUMENT_BYTES)
    except zlib.error as error:
        raise WireError(f"a snapshot that cannot be unpacked: {error}") from error
    if not unpacker.eof:
        raise WireError(f"a snapshot of more than {bounds.DOCUMENT_BYTES} bytes, or not all of one")
    document = _json(text, "a snapshot")
    return messages.Snapshot(_word(said.kind, "kind"), _word(said.plan, "plan"), document)


def _series(said: pb.Series) -> messages.Series:
    metrics = tuple(_word(each, "metric") for each in said.metrics)
    if not 0 < len(set(metrics)) == len(metrics) <= bounds.METRICS:
        raise WireError(f"a series has 1 to {bounds.METRICS} metrics, each once")
    rows = []
    for row in said.rows:
        if len(row.values) != len(metrics):
            raise WireError(f"{len(row.values)} values for {len(metrics)} metrics")
        rows.append(messages.Row(_word(row.subject, "subject"), tuple(row.values)))
    return messages.Series(_word(said.kind, "kind"), metrics, tuple(rows))


def _json(text: bytes, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"{what} that is no JSON") from error


def _word(text: str, what: str) -> str:
    return _bounded(text, what, bounds.WORD_BYTES)


def _bounded(text: str, what: str, limit: int) -> str:
    if "\0" in text or len(text.encode()) > limit:
        raise WireError(f"{what}: more than {limit} bytes, or a NUL among them")
    return text


def _cut(text: str, limit: int) -> str:
    """A name or a text that is told, and must not be refused for its length."""
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return clean.encode(errors="replace")[:limit].decode(errors="ignore")
