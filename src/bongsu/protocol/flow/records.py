"""One flow a row, and rows of the same flow made one.

The fields are those that the data plane's tables have; a test compares the two.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[Any]

KEY: Final = np.dtype(
    [
        ("saddr", "V16"),
        ("daddr", "V16"),
        ("sport", ">u2"),
        ("dport", ">u2"),
        ("ifindex", "u4"),
        ("tunnel", "u2"),
        ("vlan", "u2"),
        ("family", "u1"),
        ("proto", "u1"),
        ("direction", "u1"),
        ("dscp", "u1"),
    ]
)
"""An IPv4 address fills the first four bytes. ICMP's type and code are the destination port."""

FLOW: Final = np.dtype(
    [
        *((name, KEY[name]) for name in KEY.names or ()),
        ("packets", "u8"),
        ("bytes", "u8"),
        ("first", "u8"),
        ("last", "u8"),
        ("rtt_us", "u4"),
        ("tcp_flags", "u1"),
        ("flags", "u1"),
        ("zero", "u2"),
    ]
)
"""`bytes` are those of IP packets on the wire; times are the node's monotonic ones, in ns."""

EGRESS: Final = 0x01
INNER: Final = 0x02
"""Bits of `direction`."""
SAMPLED: Final = 0x01
"""Bit of `flags`: the counts are estimates, multiplied up from 1:N."""


@dataclass(frozen=True)
class Groups:
    """Rows in the order of their groups: `order[starts[i]]` is the first of group i."""

    order: npt.NDArray[np.intp]
    starts: npt.NDArray[np.intp]

    def total(self, values: Rows) -> Rows:
        """The sum of each group, in the values' own type: integers stay exact."""
        return self._reduce(np.add, values)

    def least(self, values: Rows) -> Rows:
        """The least of each group."""
        return self._reduce(np.minimum, values)

    def most(self, values: Rows) -> Rows:
        """The greatest of each group."""
        return self._reduce(np.maximum, values)

    def any_bit(self, values: Rows) -> Rows:
        """All bits that any of the group has."""
        return self._reduce(np.bitwise_or, values)

    def first(self, values: Rows) -> Rows:
        """The value of each group's first row."""
        return values[self.order[self.starts]]

    def last(self, values: Rows) -> Rows:
        """The value of each group's last row."""
        ends = np.append(self.starts[1:], len(self.order))
        return values[self.order[ends - 1]] if len(self.order) else values[:0]

    def _reduce(self, how: np.ufunc, values: Rows) -> Rows:
        if not len(self.starts):
            return values[:0]
        result: Rows = how.reduceat(values[self.order], self.starts, dtype=values.dtype)
        return result


def grouped(keys: Rows, *then: Rows) -> Groups:
    """Groups of equal keys (an array of any bytes); within one in the order of `then`, first first."""
    _, number = np.unique(keys, return_inverse=True)
    number = number.reshape(-1)
    order = np.lexsort((*reversed(then), number))
    starts = np.flatnonzero(np.diff(number[order], prepend=-1))
    return Groups(order, starts)


def joined(dtype: np.dtype[Any], *parts: Rows) -> Any:
    """All rows of all parts, as `dtype`: np.concatenate would turn network order round."""
    made = np.empty(sum(map(len, parts)), dtype)
    at = 0
    for part in parts:
        made[at : at + len(part)] = part
        at += len(part)
    return made


def key_of(rows: Rows, *fields: str) -> Rows:
    """These fields (without any, those of KEY) of each row as one value of bytes."""
    names = fields or KEY.names or ()
    # in network order what is so in KEY, whatever numpy has made of it since
    kinds = [KEY[name] if name in (KEY.names or ()) else rows.dtype[name] for name in names]
    packed = np.zeros(len(rows), list(zip(names, kinds, strict=True)))
    for name in names:
        packed[name] = rows[name]
    return packed.view(f"V{packed.dtype.itemsize}")


def merge(flows: Rows) -> Rows:
    """One row for each flow: amounts added, the RTT seen last, all TCP flags."""
    groups = grouped(key_of(flows), flows["rtt_us"] > 0, flows["last"])
    merged = groups.first(flows).copy()
    for name in ("packets", "bytes"):
        merged[name] = groups.total(flows[name])
    merged["first"], merged["last"] = groups.least(flows["first"]), groups.most(flows["last"])
    merged["rtt_us"] = groups.last(flows["rtt_us"])
    for name in ("tcp_flags", "flags"):
        merged[name] = groups.any_bit(flows[name])
    return merged


def address(row: Any, field: str = "saddr") -> IPv4Address | IPv6Address:
    """One row's address, for people."""
    packed = row[field].tobytes()
    return IPv4Address(packed[:4]) if row["family"] == 4 else IPv6Address(packed)
