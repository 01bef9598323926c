"""Community ID, version 1: the same short name for a flow in every tool that sees it, either way.

Specification: https://github.com/corelight/community-id-spec
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bongsu.protocol.flow.records import Rows
from bongsu.protocol.flow.sha1 import digests

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
WITH_PORTS: Final = (ICMP, TCP, UDP, ICMPV6, SCTP)

ANSWERS: Final[dict[int, dict[int, int]]] = {
    ICMP: {8: 0, 13: 14, 15: 16, 10: 9, 17: 18},
    ICMPV6: {128: 129, 133: 134, 135: 136, 130: 131, 139: 140, 144: 145},
}
"""Types of ICMP messages that ask, and of those that answer them."""

_ALPHABET: Final = np.frombuffer(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8
)


def community_ids(flows: Rows, seed: int = 0) -> npt.NDArray[np.bytes_]:
    """Of each flow, as `1:` and 28 characters."""
    source, destination, one_way = _ports(flows)
    made = np.zeros(len(flows), "S30")
    has_ports = np.isin(flows["proto"], WITH_PORTS)
    for size, family in ((4, 4), (16, 6)):
        for ports in (False, True):
            chosen = (flows["family"] == family) & (has_ports == ports)
            if chosen.any():
                messages = _messages(
                    flows[chosen],
                    size,
                    seed,
                    (source[chosen], destination[chosen]) if ports else None,
                    one_way[chosen],
                )
                made[chosen] = _text(digests(messages))
    return made


def _ports(flows: Rows) -> tuple[Rows, Rows, Rows]:
    """Source and destination port, and whether the two ends may not change places."""
    source = flows["sport"].astype(">u2")
    destination = flows["dport"].astype(">u2")
    one_way = np.zeros(len(flows), bool)
    for proto, pairs in ANSWERS.items():
        icmp = flows["proto"] == proto
        other = np.full(256, -1)
        for ask, answer in pairs.items():
            other[ask], other[answer] = answer, ask
        kind, code = flows["dport"] >> 8, flows["dport"] & 0xFF
        counterpart = other[kind.astype(int)]
        source = np.where(icmp, kind, source).astype(">u2")
        destination = np.where(
            icmp, np.where(counterpart >= 0, counterpart, code), destination
        ).astype(">u2")
        one_way |= icmp & (counterpart < 0)
    return source, destination, one_way


def _messages(
    flows: Rows, size: int, seed: int, ports: tuple[Rows, Rows] | None, one_way: Rows
) -> npt.NDArray[np.uint8]:
    count = len(flows)

    def plain(values: Any, width: int) -> npt.NDArray[np.uint8]:
        return np.ascontiguousarray(values).view(np.uint8).reshape(count, -1)[:, :width]

    near, far = plain(flows["saddr"], size), plain(flows["daddr"], size)
    ends = [near, far]
    if ports:
        ends = [np.hstack([near, plain(ports[0], 2)]), np.hstack([far, plain(ports[1], 2)])]
    swap = (_less(ends[1], ends[0]) & ~one_way)[:, None]
    first, second = np.where(swap, ends[1], ends[0]), np.where(swap, ends[0], ends[1])
    parts = [
        np.tile(np.frombuffer(seed.to_bytes(2, "big"), np.uint8), (count, 1)),
        first[:, :size],
        second[:, :size],
        flows["proto"].reshape(count, 1).astype(np.uint8),
        np.zeros((count, 1), np.uint8),
        first[:, size:],
        second[:, size:],
    ]
    return np.hstack(parts)


def _less(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Row by row, as bytes compare."""
    differ = one != other
    where = differ.argmax(axis=1)
    rows = np.arange(len(one))
    less: npt.NDArray[np.bool_] = one[rows, where] < other[rows, where]
    result: npt.NDArray[np.bool_] = differ.any(axis=1) & less
    return result


def _text(digest: npt.NDArray[np.uint8]) -> npt.NDArray[np.bytes_]:
    """Base64 (RFC 4648) of 20 bytes each: 27 characters and one `=`."""
    count = len(digest)
    padded = np.hstack([digest, np.zeros((count, 1), np.uint8)]).reshape(count, 7, 3)
    whole = padded.astype(np.uint32)
    joined = whole[:, :, 0] << 16 | whole[:, :, 1] << 8 | whole[:, :, 2]
    parts = np.stack([joined >> shift & 63 for shift in (18, 12, 6, 0)], axis=2)
    letters = _ALPHABET[parts.reshape(count, 28)]
    letters[:, 27] = ord("=")
    head = np.tile(np.frombuffer(b"1:", np.uint8), (count, 1))
    return np.hstack([head, letters]).view("S30").reshape(-1)
