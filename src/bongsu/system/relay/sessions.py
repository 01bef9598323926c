"""The data plane's records as user space keeps them: read, aged, ended, given back.

The data plane makes them; only here they end. A record goes in two steps: first its keys, so that no
packet finds it, and at the next look, when packets that had found it are through, it is free again.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bongsu.model.base import Address
from bongsu.system.bpf.maps import Map
from bongsu.system.relay import layout
from bongsu.system.relay.base import Occupancy

UNPROVED_SHARE: Final = 2
"""Of the records, one in so many may belong to clients that have not proved themselves."""

SESSION: Final = np.dtype(
    [
        ("accelerator", "U63"),
        ("listener", "U63"),
        ("role", "U6"),  # entry or egress
        ("protocol", "U3"),
        ("client", "V16"),
        ("client_port", "u2"),
        ("address", "V16"),
        ("port", "u2"),
        ("off", "V16"),  # at the egress, as what follows
        ("off_port", "u2"),
        ("endpoint", "V16"),
        ("proved", "?"),
        ("ike", "?"),
        ("esp", "?"),
        ("age_s", "f8"),
        ("idle_s", "f8"),
        ("up_packets", "u8"),
        ("up_bytes", "u8"),
        ("down_packets", "u8"),
        ("down_bytes", "u8"),
        ("amplified", "u8"),  # packets not sent to an unproved client
        ("serial", "u4"),
    ]
)
"""Addresses are read by layout.address."""

SPI: Final = np.dtype(
    [
        ("serial", "u4"),  # of the session
        ("spi", "u4"),
        ("direction", "U4"),  # up or down
        ("sequence", "u4"),
        ("age_s", "f8"),
        ("idle_s", "f8"),
        ("packets", "u8"),
        ("bytes", "u8"),
    ]
)


_COPIED = (
    *("client", "client_port", "address", "port", "off", "off_port", "endpoint"),
    *("up_packets", "up_bytes", "down_packets", "down_bytes", "amplified", "serial"),
)


class Book:
    """The records of one plane."""

    def __init__(self, maps: Mapping[str, Map], shared: Mapping[str, npt.NDArray[Any]]) -> None:
        self._maps = maps
        self._records, self._spis = shared["rl_records"], shared["rl_spis"]
        self._config = shared["rl_config"][0]

    def settle(self, *, new: bool) -> None:
        """All that is free is to be had: of a new plane everything, else what an earlier process had
        not given back yet.
        """
        if new:
            self._config["unproved"] = (len(self._records) - 1) // UNPROVED_SHARE
            self._maps["rl_free_records"].push(np.arange(1, len(self._records), dtype=np.uint32))
            self._maps["rl_free_spis"].push(np.arange(1, len(self._spis), dtype=np.uint32))
        else:
            self._give_back()

    def expire(self, listeners: npt.NDArray[Any]) -> int:
        """Ends what was idle too long, and gives back what ended before; how many ended now."""
        self._give_back()
        live, now = self._live(), time.monotonic_ns()
        records = self._records[live]
        idle = now - np.maximum(records["last_up"], records["last_down"]).astype(np.int64)
        limit = listeners["idle"][records["listener"]].astype(np.int64)
        short = ~_lasting(records) | (records["seen"] & layout.CLOSED != 0)
        closing = layout.CLOSING_UP | layout.CLOSING_DOWN
        short |= records["seen"] & closing == closing
        limit = np.where(short, np.minimum(limit, layout.UNPROVED_NS), limit)
        old = live[idle > limit]
        self.end(old)
        gone = np.flatnonzero(self._records["state"] == layout.GONE)
        self._records["state"][gone] = layout.PARKED
        self._expire_spis(now, listeners)
        return len(old)

    def orphans(self, accelerators: npt.NDArray[Any], listeners: npt.NDArray[Any]) -> Any:
        """Records whose accelerator or listener is gone, or whose off address is another now."""
        live = self._live()
        records = self._records[live]
        slots = records["slot"]
        lost = accelerators["number"][slots] != records["accelerator"]
        lost |= listeners["accelerator"][records["listener"]] != slots
        leaves = records["role"] == layout.EGRESS
        lost |= leaves & ~_equal(accelerators["off"][slots], records["off"])
        return live[lost]

    def elsewhere(self, listener: int, endpoints: Iterable[Address]) -> Any:
        """Sessions of a listener that lead to none of these endpoints."""
        live = self._live()
        records = self._records[live]
        lost = (records["listener"] == listener) & (records["role"] == layout.EGRESS)
        for address in endpoints:
            wanted = np.array([layout.packed(address)], "V16")
            lost &= ~_equal(records["endpoint"], wanted)
        return live[lost]

    def end(self, indices: npt.NDArray[np.intp]) -> None:
        """These records are found no more."""
        if not len(indices):
            return
        records = self._records[indices]
        self._records["state"][indices] = layout.PARKED
        self._config["ended"] += np.count_nonzero(~_lasting(records))
        flows = np.zeros(len(records), layout.FLOW)
        for name in ("client", "address", "client_port", "port", "protocol", "role"):
            flows[name] = records[name]
        leaves = records["role"] == layout.EGRESS
        flows["accelerator"] = np.where(leaves, records["accelerator"], 0)
        self._maps["rl_flows"].delete_many(flows)
        out = records[leaves]
        backs = np.zeros(len(out), layout.BACK)
        for name in ("off", "endpoint", "off_port", "port", "protocol"):
            backs[name] = out[name]
        self._maps["rl_backs"].delete_many(backs)
        has = ~_equal(records["initiator"], np.zeros(1, "V8"))
        ike, known = records[has], np.zeros(int(has.sum()), layout.KNOWN)
        known["spi"] = np.ascontiguousarray(ike["initiator"]).view("u8")
        known["owner"], known["role"] = ike["accelerator"], ike["role"]
        known["what"] = layout.ANY_IKE
        self._forget(known, indices[has])

    def sessions(self, names: Mapping[int, tuple[str, str]]) -> npt.NDArray[Any]:
        """See RelayPlane.sessions. `names`: accelerator and listener by the listener's place."""
        records, now = self._records[self._live()], time.monotonic_ns()
        told = np.zeros(len(records), SESSION)
        for name in _COPIED:
            told[name] = records[name]
        listeners = records["listener"].tolist()
        told["accelerator"] = [names.get(each, ("", ""))[0] for each in listeners]
        told["listener"] = [names.get(each, ("", ""))[1] for each in listeners]
        told["role"] = np.where(records["role"] == layout.EGRESS, "egress", "entry")
        told["protocol"] = np.where(records["protocol"] == 6, "tcp", "udp")
        told["proved"] = records["proof"] == layout.PROVED
        told["ike"] = records["seen"] & layout.SAW_IKE != 0
        told["esp"] = records["seen"] & layout.SAW_ESP != 0
        last = np.maximum(records["last_up"], records["last_down"])
        told["age_s"] = _seconds(now, records["first"])
        told["idle_s"] = _seconds(now, last)
        return told

    def spis(self) -> npt.NDArray[Any]:
        """See RelayPlane.spis."""
        spis = self._spis[np.flatnonzero(self._spis["state"] == layout.LIVE)]
        now = time.monotonic_ns()
        told = np.zeros(len(spis), SPI)
        for name in ("serial", "spi", "sequence", "packets", "bytes"):
            told[name] = spis[name]
        told["direction"] = np.where(spis["direction"] == layout.DOWN, "down", "up")
        told["age_s"], told["idle_s"] = _seconds(now, spis["first"]), _seconds(now, spis["last"])
        return told

    def occupancy(self) -> Occupancy:
        """See RelayPlane.occupancy."""
        live = self._live()
        return Occupancy(
            records=len(live),
            unproved=int(np.count_nonzero(~_lasting(self._records[live]))),
            capacity=len(self._records) - 1,
            unproved_capacity=int(self._config["unproved"]),
            spis=int(np.count_nonzero(self._spis["state"] == layout.LIVE)),
        )

    def close(self) -> None:
        """Lets the memory go."""
        self._records, self._spis = self._records[:0].copy(), self._spis[:0].copy()
        self._config = np.zeros((), layout.CONFIG)

    def _live(self) -> npt.NDArray[np.intp]:
        return np.flatnonzero(self._records["state"] == layout.LIVE)

    def _give_back(self) -> None:
        for array, queue in ((self._records, "rl_free_records"), (self._spis, "rl_free_spis")):
            parked = np.flatnonzero(array["state"] == layout.PARKED)
            array["state"][parked] = layout.FREE
            self._maps[queue].push(parked.astype(np.uint32))

    def _expire_spis(self, now: int, listeners: npt.NDArray[Any]) -> None:
        live = np.flatnonzero(self._spis["state"] == layout.LIVE)
        spis = self._spis[live]
        records = self._records[spis["record"]]
        lost = (records["state"] != layout.LIVE) | (records["serial"] != spis["serial"])
        limit = listeners["idle"][records["listener"]].astype(np.int64)
        lost |= now - spis["last"].astype(np.int64) > limit
        old, spis = live[lost], spis[lost]
        if not len(old):
            return
        self._spis["state"][old] = layout.PARKED
        left = np.bincount(
            self._spis["record"][live[~lost]].astype(np.intp), minlength=len(self._records)
        )
        self._records["spis"][:] = left
        own = np.zeros(len(spis), layout.KNOWN)
        own["spi"], own["owner"], own["role"] = spis["spi"], spis["serial"], layout.EGRESS
        own["what"] = np.where(spis["direction"] == layout.DOWN, layout.OWN_DOWN, layout.OWN_UP)
        self._maps["rl_known"].delete_many(own)
        up = spis["direction"] == layout.UP
        shared = np.zeros(int(up.sum()), layout.KNOWN)
        shared["spi"], shared["owner"] = spis["spi"][up], spis["accelerator"][up]
        shared["role"], shared["what"] = layout.EGRESS, layout.ANY_ESP
        self._forget(shared, old[up])

    def _forget(self, keys: npt.NDArray[Any], places: npt.NDArray[np.intp]) -> None:
        # another session may have an SPI of the same number, and then the key is that one's
        for key, place in zip(keys, places.tolist(), strict=True):
            raw = key.tobytes()
            if self._maps["rl_known"].lookup(raw) == place.to_bytes(4, "little"):
                self._maps["rl_known"].delete(raw)


def _lasting(records: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    plain = records["validation"] == layout.VALIDATE["none"]
    lasting: npt.NDArray[np.bool_] = records["proof"] == layout.PROVED
    lasting |= plain & (records["proof"] == layout.TWOWAY)
    return lasting


def _equal(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> Any:
    """Element by element, of opaque fields of 8 or 16 bytes."""
    words = one.dtype.itemsize // 8
    left, right = (
        np.ascontiguousarray(each).view("u8").reshape(-1, words) for each in (one, other)
    )
    return (left == right).all(axis=1)


def _seconds(now: int, then: npt.NDArray[Any]) -> Any:
    return np.maximum(now - then.astype(np.int64), 0) / 1e9
