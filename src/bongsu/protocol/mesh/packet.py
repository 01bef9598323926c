"""What the PoPs ask each other to measure the paths between them: a probe, and its answer.

Network order; then a vector (answers only), then the MAC:

    0  u8 version (1)   1  u8 kind: 0 probe, 1 answer     2  u16 entries of the vector;
                                                             32768 more: it is a part of a longer one
    4  u32 destination  8  u32 source, numbers of nodes  12  u32 sequence
    16 u64 epoch: drawn by the prober when it started; both are repeated by the answer
    24 u64 how long the answerer held the probe, ns; 0 in a probe

An entry is what the answerer itself measured of its direct path to another node:

    0  u32 node  4  u8 state: 0 unknown, 1 alive, 2 dead  5  u8 zero  6  u16 loss, 65535 is all
    8  u32 RTT (median), µs                               12 u32 jitter, µs

The MAC is 16 bytes of keyed BLAKE2b (RFC 7693) over all before it; its key is made of the relay's
secret and of a word of its own, so that no packet of another kind is ever taken for one of these. An
answer counts only for the probe that it names, once, which is what keeps recorded ones from counting
(bongsu.protocol.mesh.window); a recorded probe gets its real sender another answer that it drops.
"""

import hashlib
import hmac
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

VERSION = 1
MAC_BYTES = 16
VECTOR_LIMIT = 64
"""Entries in one answer, about 1 kB: it fits any path. With more nodes they take turns."""
LONGEST = 1 << 11
_HEAD = struct.Struct("!BBHIIIQQ")
_ENTRY = struct.Struct("!IBBHII")
_KEY_PERSON, _MAC_PERSON = b"bongsu-mesh-key", b"bongsu-mesh"
_PART = 1 << 15
_ALL = 0xFFFF
_MOST = 0xFFFFFFFF


class PacketError(ValueError):
    """Not one of ours, or not for us: the peer's fault. `reason` is a word to count it by."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class State(IntEnum):
    """What is known of a direct path."""

    UNKNOWN = 0
    ALIVE = 1
    DEAD = 2


@dataclass(frozen=True)
class Leg:
    """A direct path between two nodes, there and back."""

    state: State = State.UNKNOWN
    loss: float = 0.0
    """0 to 1: of the probes, or of their answers."""
    rtt_ns: int = 0
    """The median."""
    jitter_ns: int = 0
    """Mean difference between one RTT and the next."""


@dataclass(frozen=True)
class Probe:
    """A question, `source` to `destination`."""

    destination: int
    source: int
    epoch: int
    sequence: int


@dataclass(frozen=True)
class Answer:
    """The answer to the probe of that epoch and sequence; `destination` is the prober."""

    destination: int
    source: int
    epoch: int
    sequence: int
    held_ns: int
    vector: Mapping[int, Leg]
    """By the node at the other end of the answerer's leg."""
    part: bool = False
    """Of a longer one."""


def mesh_key(secret: bytes | None) -> bytes:
    """The MAC's key, 32 bytes. Without a secret it is one that anybody can reckon."""
    return hashlib.blake2b(secret or b"", digest_size=32, person=_KEY_PERSON).digest()


def encode_probe(probe: Probe, key: bytes) -> bytes:
    """A probe's UDP payload."""
    head = _HEAD.pack(
        VERSION, 0, 0, probe.destination, probe.source, probe.sequence, probe.epoch, 0
    )
    return head + _mac(head, key)


def pack_vector(legs: Iterable[tuple[int, Leg]]) -> bytes:
    """What answers are given; packed once for many of them."""
    return b"".join(_entry(node, leg) for node, leg in legs)


def encode_answer(probe: Probe, held_ns: int, vector: bytes, key: bytes) -> bytes:
    """The answer to a probe. Of a longer vector than fits, another part goes with each sequence."""
    entries, flag = len(vector) // _ENTRY.size, 0
    if entries > VECTOR_LIMIT:
        # The same parts again and again: whoever hears them has seen most of them before.
        part = probe.sequence % -(-entries // VECTOR_LIMIT) * VECTOR_LIMIT
        vector = vector[part * _ENTRY.size : (part + VECTOR_LIMIT) * _ENTRY.size]
        entries, flag = len(vector) // _ENTRY.size, _PART
    head = _HEAD.pack(
        VERSION, 1, entries | flag, probe.source, probe.destination, probe.sequence, probe.epoch,
        max(held_ns, 0),
    )  # fmt: skip
    body = head + vector
    return body + _mac(body, key)


def decode(data: bytes, key: bytes) -> Probe | Answer:
    """A payload. PacketError: `short`, `version`, `mac` or `malformed`, in this order."""
    if len(data) < _HEAD.size + MAC_BYTES:
        raise PacketError("short")
    if data[0] != VERSION:
        raise PacketError("version")
    body, mac = data[:-MAC_BYTES], data[-MAC_BYTES:]
    if not hmac.compare_digest(_mac(body, key), mac):
        raise PacketError("mac")
    _, kind, entries, destination, source, sequence, epoch, held = _HEAD.unpack_from(body)
    part, entries = bool(entries & _PART), entries & ~_PART
    fits = len(body) == _HEAD.size + entries * _ENTRY.size and entries <= VECTOR_LIMIT
    if kind > 1 or not fits or (kind == 0 and (entries or part or held)):
        raise PacketError("malformed")
    if kind == 0:
        return Probe(destination, source, epoch, sequence)
    vector = _legs(body[_HEAD.size :])
    return Answer(destination, source, epoch, sequence, held, vector, part)


@lru_cache(1024)
def _legs(data: bytes) -> Mapping[int, Leg]:
    """A vector changes once a second, and comes with every answer. Not to be written to."""
    found: dict[int, Leg] = {}
    for node, state, zero, loss, rtt, jitter in _ENTRY.iter_unpack(data):
        if state > State.DEAD or zero:
            raise PacketError("malformed")
        found[node] = Leg(State(state), loss / _ALL, rtt * 1000, jitter * 1000)
    return found


def _entry(node: int, leg: Leg) -> bytes:
    return _ENTRY.pack(
        node,
        leg.state,
        0,
        round(min(max(leg.loss, 0.0), 1.0) * _ALL),
        min(leg.rtt_ns // 1000, _MOST),
        min(leg.jitter_ns // 1000, _MOST),
    )


def _mac(body: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=MAC_BYTES, key=key, person=_MAC_PERSON).digest()
