"""The repair engine as Python drives it: peers, modes and paths in, figures out.

Packets never pass through Python (traffic.c, sender.c, receiver.c). The engine's device and sockets
are of the network namespace that the caller is in, and end with the process, however that ends: then
the relay's packets take the ordinary way. So do those to a PoP whose engine does not answer.
"""

import contextlib
import ctypes as c
import hashlib
import os
import secrets
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bongsu.model.accelerator import Duplicate, ReedSolomon
from bongsu.plan.relay import RelayPlan
from bongsu.system import sysctl
from bongsu.system.files import write_atomic
from bongsu.system.repair import library
from bongsu.system.repair.library import COUNTS, KINDS, MODES, Direction, Mode, PeerConfig, check

DEVICE = "relay-repair"
EPOCH_FILE = "relay-repair.epoch"
EPOCHS = 4096
"""Streams that one run of the engine begins, generously: each has an epoch of its own, and so has what
comes after a restart. Peers take a lower one for old; they say so, and it is made good."""

Address = IPv4Address | IPv6Address
Repair = ReedSolomon | Duplicate


@dataclass(frozen=True)
class Counters:
    """Of now; arrays are the caller's own."""

    engine: dict[str, int]
    """library.COUNTS: packets that took the ordinary way, were passed on, were refused and why."""
    sent: npt.NDArray[Any]
    """library.SENT, one row for each stream that leaves here."""
    received: npt.NDArray[Any]
    """library.RECEIVED, one row for each that arrives."""
    alive: dict[int, bool]
    """By a peer's number: whether its engine answers."""


class RepairEngine:
    """One for a node and all its peers. Raises OSError where the system refuses."""

    def __init__(self, number: int, port: int, key: bytes | None, epoch: int) -> None:
        self._lib = library.lib()
        handle = c.c_void_p()
        code = self._lib.rp_new(c.byref(handle), number, port, key, epoch)
        check("repair engine", code)
        self._handle = handle
        self._known: set[tuple[int, Direction]] = set()
        # At exit too: the thread must not outlive the interpreter.
        self._end = weakref.finalize(self, self._lib.rp_free, handle)

    @classmethod
    def start(cls, plan: RelayPlan, key: bytes | None, state_dir: Path) -> Self:
        """Make the device, and speak with the plan's peers in the caller's network namespace.

        `key` is the relay's secret itself; without it nothing is authenticated.
        """
        derived = None if key is None else repair_key(key)
        made = cls(plan.number, plan.repair_port, derived, _next_epoch(state_dir))
        try:
            check(DEVICE, made._lib.rp_start(made._handle, DEVICE.encode()))
            # The kernel's own neighbour discovery has nobody to talk to there.
            quiet = sysctl.Setting(f"net/ipv6/conf/{DEVICE}/disable_ipv6", "1")
            with contextlib.suppress(OSError):
                sysctl.apply([quiet])
            made.apply(plan)
        except BaseException:
            made.close()
            raise
        return made

    def apply(self, plan: RelayPlan) -> None:
        """The plan's peers and accelerators, as they are now; what stays is kept with its figures.

        Call it in the namespace that the engine was started in. An accelerator is received from now
        on, and not repaired until `set_mode` says how.
        """
        configs = (PeerConfig * len(plan.peers))(
            *(_peer(peer.number, peer.local, peer.remote) for peer in plan.peers)
        )
        code = self._lib.rp_set_peers(self._handle, configs, len(plan.peers))
        check("peers of the repair engine", code)
        numbers = {item.number for item in plan.accelerators}
        for accelerator, direction in list(self._known):
            if accelerator not in numbers:
                self._lib.rp_forget(self._handle, accelerator, KINDS[direction])
                self._known.discard((accelerator, direction))
        for number in numbers:
            for direction in KINDS:
                if (number, direction) not in self._known:
                    self.set_mode(number, direction, None)

    def set_mode(self, accelerator: int, direction: Direction, mode: Repair | None) -> None:
        """How what leaves here in a direction is repaired; None: not at all."""
        made = Mode(kind=MODES["off" if mode is None else mode.mode])
        if isinstance(mode, ReedSolomon):
            made.block = mode.block
            made.overhead_percent = mode.overhead_percent
            made.delay_us = mode.delay_ms * 1000
        kind = KINDS[direction]
        code = self._lib.rp_set_mode(self._handle, accelerator, kind, c.byref(made))
        check(f"repair of accelerator {accelerator}", code)
        self._known.add((accelerator, direction))

    def set_paths(self, destination: int, addresses: Sequence[Address]) -> None:
        """The next hops to a PoP by its number: one or two addresses of peers, of one family.

        All goes by the first; the second has the copies of what is sent twice. OSError for an address
        that is no peer's.
        """
        hops = b"".join(address.packed.ljust(16, b"\0") for address in addresses)
        family = addresses[0].version if addresses else 4
        code = self._lib.rp_set_paths(self._handle, destination, len(addresses), family, hops)
        check(f"path to node {destination}", code)

    @property
    def ifindex(self) -> int:
        """Of the device."""
        return int(self._lib.rp_ifindex(self._handle))

    @property
    def failure(self) -> str | None:
        """Why it stopped working by itself, as when somebody removed its device."""
        code = int(self._lib.rp_failed(self._handle))
        return os.strerror(code) if code else None

    def counters(self) -> Counters:
        """All figures."""
        counts = (c.c_uint64 * len(COUNTS))()
        self._lib.rp_counts_read(self._handle, counts)
        peers = self._rows(self._lib.rp_peer_rows, library.PEER, library.PEERS)
        return Counters(
            engine=dict(zip(COUNTS, counts, strict=True)),
            sent=self._rows(self._lib.rp_sent_rows, library.SENT, library.STREAMS),
            received=self._rows(self._lib.rp_received_rows, library.RECEIVED, library.STREAMS),
            alive={int(row["number"]): bool(row["alive"]) for row in peers},
        )

    def close(self) -> None:
        """Stop the thread; device and sockets go. Nothing else may be called after."""
        self._end()

    def _rows(self, function: Any, dtype: np.dtype[Any], room: int) -> npt.NDArray[Any]:
        rows = np.empty(room, dtype)
        count = function(self._handle, rows.ctypes.data, room)
        return rows[:count]


def repair_key(secret: bytes) -> bytes:
    """As bongsu.protocol.repair.packet has it; a test compares them."""
    return hashlib.blake2b(secret, digest_size=16, person=b"bongsu-repair").digest()


def _peer(number: int, local: Address, remote: Address) -> PeerConfig:
    made = PeerConfig(number=number, family=local.version)
    made.local[: len(local.packed)] = local.packed
    made.remote[: len(remote.packed)] = remote.packed
    return made


def _next_epoch(state_dir: Path) -> int:
    """Above those of all earlier runs; by chance where they are not known, lest it be one of theirs."""
    path = state_dir / EPOCH_FILE
    try:
        before = int(path.read_text())
    except (OSError, ValueError):
        before = secrets.randbelow(1 << 30)
    epoch = before + EPOCHS if 0 <= before < (1 << 31) else EPOCHS
    with contextlib.suppress(OSError):
        write_atomic(path, f"{epoch}\n", 0o600)
    return epoch
