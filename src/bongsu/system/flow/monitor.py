"""The flow monitor of one network namespace: its programs, tables and settings.

It belongs to the process that made it. A process that dies leaves the programs attached, which does
no harm; the next monitor takes their places, and `release` clears away what nobody wants any more.
Nothing is pinned.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from bongsu.system.bpf import libbpf
from bongsu.system.bpf.maps import Map
from bongsu.system.bpf.objects import Object, Program, compiled
from bongsu.system.flow import layout, seats
from bongsu.system.flow.cache import Cache, Reading
from bongsu.system.flow.choice import Choice, FlowError, record_of
from bongsu.system.flow.ring import Ring
from bongsu.system.gre import links
from bongsu.system.rtnl import Rtnl

CACHE_BYTES: Final = 32 << 20
"""Of all processors' caches together; a machine with many has smaller ones."""

SETS_MOST: Final = 1 << 16
"""Of one processor's cache: twice as many flows."""

SPILLED: Final = 1 << 16
"""Flows that the table behind the cache has room for between two readings."""

TUNNEL_MOST: Final = 65535


@dataclass(frozen=True)
class Ends:
    """A declared tunnel's outer addresses and key, as this end sees it."""

    local: IPv4Address | IPv6Address
    remote: IPv4Address | IPv6Address
    key: int | None = None


class Monitor:
    """Made in the network namespace of the calling thread, and used there."""

    def __init__(self, *, sets: int | None = None, spilled: int = SPILLED) -> None:
        """`sets`: of one processor's cache, a power of two; `spilled`: flows of a table behind it.

        Errors: BpfError, with the verifier's log; FlowError.
        """
        cpus = libbpf.call("count CPUs", "libbpf_num_possible_cpus")
        sets = sets or _sets(cpus)
        if sets < 1 or sets & (sets - 1):
            raise FlowError(f"a cache of {sets} sets: their number is a power of two")
        with Object(compiled("flow"), "flow") as image:
            image.resize(
                {
                    "flow_cache": cpus * sets,
                    "flow_owners": cpus * sets,
                    "flow_stats": cpus,
                    "flow_views": cpus,
                    "flow_table_a": spilled,
                    "flow_table_b": spilled,
                }
            )
            image.load()
            names = (*seats.SIDES.values(), "flow_http")
            self.programs: dict[str, Program] = {name: image.program(name) for name in names}
            self._maps: dict[str, Map] = image.maps()
        self._kernel = Rtnl()
        self._cache = Cache(self._maps)
        self._ring = Ring(self._maps["flow_events"], layout.HTTP_EVENT)
        self._devices = self._maps["flow_devices"].shared(layout.INTERFACE)
        self._settings: Any = self._maps["flow_settings"].shared(layout.SETTINGS)
        first = self._settings[0]
        first["sets"], first["shift"] = sets, 63 - (sets.bit_length() - 1)
        first["salt"] = np.frombuffer(os.urandom(192), "u8").reshape(2, 12)
        self._maps["flow_tails"].update(bytes(4), _number(self.programs["flow_http"].fd))
        self._tunnels: dict[bytes, int] = {}
        self.choice = Choice()
        self.choose(self.choice)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leaves all interfaces as they were, and lets everything go."""
        for index in self.interfaces():
            self._leave(index)
        self._cache.close()
        self._devices, self._settings = self._devices[:0].copy(), self._settings[:0].copy()
        del self._ring
        for program in self.programs.values():
            program.close()
        for table in self._maps.values():
            table.close()
        self._kernel.close()

    def choose(self, choice: Choice) -> None:
        """Another choice, from the next packet on. Errors: FlowError, and nothing is changed."""
        record = record_of(choice)
        other = 1 - int(self._settings["active"][0]) & 1
        self._settings["choice"][0, other] = record
        self._settings["active"][0] = other
        self.choice = choice

    def watch(
        self, name: str, *, http: bool = True, underlay: bool = False, tunnel: int = 0
    ) -> int:
        """Counts what passes the interface; or changes how. Returns its number.

        `http`: heads are read here if the choice says so at all; `underlay`: declared tunnels are
        looked for; `tunnel`: the number of the tunnel whose interface this is.
        Errors: FlowError, BpfError.
        """
        link = links.find(self._kernel, name)
        if link is None:
            raise FlowError(f"there is no interface {name}")
        _check_number(tunnel)
        entry: Any = np.zeros((), layout.INTERFACE)
        entry["ifindex"], entry["tunnel"] = link.index, tunnel
        entry["offset"] = seats.link_header(link)
        wanted = {layout.ON: True, layout.UNDERLAY: underlay, layout.HTTP_HERE: http}
        entry["flags"] = sum(bit for bit, on in wanted.items() if on)
        # one store: a program sees all of it or nothing
        self._devices.view("u8")[self._place(link.index, name)] = entry.view("u8")
        seats.take(link, self.programs)
        return link.index

    def ignore(self, name: str) -> None:
        """Counts there no longer. What has been counted stays."""
        link = links.find(self._kernel, name)
        if link is not None:
            self._leave(link.index)

    def interfaces(self) -> list[int]:
        """Numbers of the interfaces that are watched, those that have gone since included."""
        numbers = self._devices["ifindex"]
        return [int(each) for each in numbers[numbers > 0]]

    def forget_gone(self) -> list[int]:
        """Gives the places of interfaces that are gone back; their numbers."""
        there = {link.index for link in links.every(self._kernel)}
        gone = [each for each in self.interfaces() if each not in there]
        for index in gone:
            self._devices.view("u8")[self._devices["ifindex"] == index] = 0
        return gone

    def declare(self, tunnels: Mapping[int, Ends]) -> None:
        """The tunnels that are known by number, in place of those before. Errors: FlowError."""
        for number, each in tunnels.items():
            _check_number(number)
            if number == 0 or each.local.version != each.remote.version:
                raise FlowError(f"tunnel {number}, {each.local} to {each.remote}, cannot be")
        wanted = {_ends(each): number for number, each in tunnels.items()}
        table = self._maps["flow_tunnels"]
        for key in self._tunnels.keys() - wanted.keys():
            table.delete(key)
        for key, number in wanted.items():
            if self._tunnels.get(key) != number:
                table.update(key, _number(number))
        self._tunnels = wanted

    def read(self) -> Reading:
        """What has been counted; see Reading."""
        return self._cache.read()

    def events(self) -> npt.NDArray[Any]:
        """Heads of HTTP messages since the last call (layout.HTTP_EVENT), oldest first."""
        return self._ring.take()

    def stats(self) -> dict[str, int]:
        """What the monitor could not count, and what it did besides, by the names of layout.STATS."""
        return self._cache.stats()

    def _place(self, index: int, name: str) -> int:
        places = [(index + step) % layout.INTERFACES for step in range(layout.PROBES)]
        numbers: list[int] = self._devices["ifindex"][places].tolist()
        for wanted in (index, 0):
            if wanted in numbers:
                return places[numbers.index(wanted)]
        raise FlowError(f"{name}: its number {index} has its place taken by others: {numbers}")

    def _leave(self, index: int) -> None:
        seats.leave(self._kernel, index)
        self._devices.view("u8")[self._devices["ifindex"] == index] = 0


def release(kernel: Rtnl) -> list[int]:
    """Takes every monitor's programs off the interfaces of this namespace; their numbers."""
    found = seats.taken(kernel)
    for index in found:
        seats.leave(kernel, index)
    return found


def _sets(cpus: int) -> int:
    fit: int = max(1, CACHE_BYTES // ((layout.SET.itemsize + layout.OWNERS.itemsize) * cpus))
    return min(SETS_MOST, 1 << (fit.bit_length() - 1))


def _number(value: int) -> bytes:
    return value.to_bytes(4, sys.byteorder)


def _check_number(tunnel: int) -> None:
    if not 0 <= tunnel <= TUNNEL_MOST:
        raise FlowError(f"tunnel number {tunnel}: it is between 1 and {TUNNEL_MOST}")


def _ends(each: Ends) -> bytes:
    made: Any = np.zeros((), layout.TUNNEL)
    made["local"] = np.void(each.local.packed.ljust(16, b"\0"))
    made["remote"] = np.void(each.remote.packed.ljust(16, b"\0"))
    if each.key is not None:
        made["key"], made["keyed"] = each.key, 1
    return bytes(made.tobytes())
