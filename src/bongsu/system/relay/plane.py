"""The relay's data plane of one network namespace: its programs, its tables, where it is attached.

Found again, not kept: every program is bound to all maps that hold state, so one tc filter on one
interface leads a new process to everything (as with GRE). Works in the calling thread's namespace.
"""

import struct
from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from bongsu.model.base import Address
from bongsu.plan.relay import RelayPlan
from bongsu.system.bpf import attach, libbpf
from bongsu.system.bpf.maps import Map
from bongsu.system.bpf.objects import Object, Program, compiled
from bongsu.system.gre import links
from bongsu.system.relay import hosts, layout, seats, sessions
from bongsu.system.relay.base import (
    AcceleratorCounters,
    Carried,
    LiveEndpoint,
    Occupancy,
    RelayError,
    Stray,
)
from bongsu.system.relay.tables import Places, Tables, derived, digest, places, tables
from bongsu.system.relay.wheel import fill
from bongsu.system.rtnl import Rtnl

RECORDS: Final = 65536
"""Sessions and clients of one node, by default: 16 MB, 8 MB more of SPIs, and their keys."""

SLOTS: Final = 256
"""RELAY_SLOTS."""

_SHARED: Final = {
    "rl_config": layout.CONFIG,
    "rl_peers": layout.PEER,
    "rl_accels": layout.ACCELERATOR,
    "rl_listeners": layout.LISTENER,
    "rl_wheels": layout.WHEEL_PLACES,
    "rl_endpoints": layout.ENDPOINT,
    "rl_records": layout.RECORD,
    "rl_spis": layout.SPI,
    "rl_counts": layout.COUNTERS,
}
_HASHES: Final = {
    "rl_addresses": (16, 4),
    "rl_ends": (32, 4),
    "rl_nodes": (4, 4),
    "rl_regions": (layout.REGION_KEY.itemsize, 4),
    "rl_ports": (layout.PAGE_KEY.itemsize, layout.PORTS.itemsize),
    "rl_devices": (4, 4),
    "rl_engine": (4, 4),
    "rl_flows": (layout.FLOW.itemsize, 4),
    "rl_backs": (layout.BACK.itemsize, 4),
    "rl_known": (layout.KNOWN.itemsize, 4),
    "rl_free_records": (0, 4),
    "rl_free_spis": (0, 4),
}
_STATE: Final = {
    **{name: (4, dtype.itemsize) for name, dtype in _SHARED.items()},
    **_HASHES,
}
"""The maps that outlive a process, with the bytes of their keys and values."""

PROGRAMS: Final = (seats.INGRESS, seats.REPAIRED, seats.FAST)


class RelayPlane:
    """Accelerators in one network namespace. What it does goes on when the process ends.

    `xdp`: what is plain is carried in the drivers of the interfaces. It pays where packets come from
    a wire; virtual Ethernet gives up segmentation offload for it (see gre.ebpf).
    """

    name: Final = "bpf"
    reason: Final = ""

    def __init__(
        self, kernel: Rtnl, maps: dict[str, Map], programs: dict[str, Program], *, xdp: bool
    ) -> None:
        self._kernel, self._maps, self._programs = kernel, maps, programs
        self._xdp = xdp
        self._shared = {name: maps[name].shared(dtype) for name, dtype in _SHARED.items()}
        self._config = self._shared["rl_config"][0]
        self._book = sessions.Book(maps, self._shared)
        self._plan: RelayPlan | None = None
        self._where = Places({}, {}, {})
        self._repair: int | None = None

    @classmethod
    def open(cls, *, xdp: bool = False, records: int = RECORDS) -> Self:
        """The plane that runs in this namespace, its programs renewed if ours are others; else a new
        one, attached nowhere yet, with room for so many sessions.

        Errors: BpfError, with the verifier's log.
        """
        kernel = Rtnl()
        try:
            running = seats.running(kernel)
            maps = _adopted(running) if running else None
            with Object(compiled("relay"), "relay") as image:
                if maps:
                    image.reuse(maps)
                    records = maps["rl_records"].max_entries - 1
                image.resize(_sizes(records) if not maps else {})
                image.load()
                programs = {name: image.program(name) for name in PROGRAMS}
                own = image.maps()
            for each in (maps or {}).values():
                each.close()
            for program in programs.values():
                for name in _STATE:
                    program.bind(own[name])
            plane = cls(kernel, own, programs, xdp=xdp)
            plane._book.settle(new=maps is None)
            if running:
                if maps and running.tag != programs["relay_ingress"].tag:
                    seats.renew(kernel, programs)
                running.close()
            return plane
        except BaseException:
            kernel.close()
            raise

    def apply(self, plan: RelayPlan, key: bytes | None) -> None:
        """Carries what the plan says, from now on; sessions of what stays go on. `key` is the secret
        as it was read, None for none. Errors: RelayError, with a hint.
        """
        for family in {peer.local.version for peer in plan.peers} | {
            each.off_address.version for each in plan.accelerators
        }:
            if not links.forwards("lo", family):
                raise RelayError(
                    f"IPv{family} forwarding is off, so the relay cannot ask for the way",
                    f"net.ipv{family}.conf.lo.forwarding = 1",
                )
        here = hosts.addresses(self._kernel)
        where = places(
            plan, self._shared["rl_peers"], self._shared["rl_accels"], self._shared["rl_listeners"]
        )
        wanted = tables(plan, where, here.__contains__, self._nexts())
        self._config["node"], self._config["port"] = plan.number, plan.port
        self._config["key"] = (0, 0) if key is None else derived(key)
        self._config["flags"] = 0 if key is None else layout.KEYED
        self._write(wanted)
        # last: what sessions remember is of the generation before
        self._config["generation"] += 1
        self._plan, self._where = plan, where
        self._book.end(self._book.orphans(self._shared["rl_accels"], self._shared["rl_listeners"]))
        seats.hold(self._kernel, self._programs, xdp=self._xdp, devices=self._maps["rl_devices"])

    def set_path(self, destination: int, next_hop: int) -> None:
        """Packets to the PoP `destination` go by `next_hop` (itself, or a third one); by number.

        Errors: RelayError, when one of them is no peer.
        """
        found = [self._where.peers.get(number) for number in (destination, next_hop)]
        if None in found:
            raise RelayError(f"{destination} or {next_hop} is none of this node's PoPs")
        self._shared["rl_peers"][found[0]]["next"] = found[1]

    def set_endpoints(
        self, accelerator: int, listener: str, endpoints: Sequence[LiveEndpoint]
    ) -> None:
        """The endpoints that live, of a listener of an accelerator (by number). Sessions of others
        end. Errors: RelayError, when there is no such listener, or too many.
        """
        slot = self._where.accelerators.get(accelerator, 0)
        place = self._where.listeners.get((slot, digest(listener)))
        if place is None:
            raise RelayError(f"there is no listener {listener} of accelerator {accelerator}")
        if len(endpoints) > layout.ENDPOINTS:
            raise RelayError(f"{listener}: {layout.ENDPOINTS} endpoints at most")
        first = place * layout.ENDPOINTS
        table = self._shared["rl_endpoints"][first : first + layout.ENDPOINTS]
        numbers = _keep([e.address for e in endpoints], table)
        for address, number in numbers.items():
            table[number] = (layout.packed(address),)
        self._shared["rl_wheels"][place]["endpoint"] = fill(
            [(e.address, e.weight, numbers[e.address]) for e in endpoints]
        )
        self._book.end(self._book.elsewhere(place, [e.address for e in endpoints]))

    def attach(self, ifindex: int) -> None:
        """Puts the tc program on an interface, to see whether that can be done. Errors: BpfError."""
        attach.tc_attach(ifindex, "ingress", self._programs[seats.INGRESS], seats.PRIORITY)

    def sessions(self) -> npt.NDArray[Any]:
        """Sessions that leave here and clients that enter here (sessions.SESSION), one moment's."""
        return self._book.sessions(self._names())

    def spis(self) -> npt.NDArray[Any]:
        """ESP SPIs of the sessions that leave here (sessions.SPI)."""
        return self._book.spis()

    def counters(self) -> dict[str, AcceleratorCounters]:
        """By accelerator, of those in the plan."""
        if self._plan is None:
            return {}
        rows = self._rows()
        return {
            each.name: _counters(rows[self._where.accelerators[each.number]])
            for each in self._plan.accelerators
        }

    def stray(self) -> Stray:
        """What belongs to no accelerator."""
        row = self._rows()[0]
        drops = row["drops"].sum(axis=(0, 1))
        return Stray(
            drops=_named(drops),
            transit=int(row["transit"].sum()),
            left=int(row["stray"].sum()),
            learned=int(row["learned"].sum()),
        )

    def occupancy(self) -> Occupancy:
        """How full the tables are."""
        return self._book.occupancy()

    def expire(self) -> int:
        """Forgets sessions that were idle too long; how many. To be called about once a second."""
        return self._book.expire(self._shared["rl_listeners"])

    def set_repair(self, ifindex: int | None) -> None:
        """The repair engine's device, None without one."""
        if ifindex is not None:
            attach.tc_attach(ifindex, "ingress", self._programs["relay_repaired"], seats.PRIORITY)
        engine = struct.pack("=I", 0)
        if ifindex is None:
            self._maps["rl_engine"].delete(engine)
        else:
            self._maps["rl_engine"].update(engine, struct.pack("=I", ifindex))
        self._config["repair"] = ifindex or 0
        if self._repair is not None and self._repair != ifindex:
            attach.tc_detach(self._repair, "ingress", seats.PRIORITY)
        self._repair = ifindex

    def detach(self) -> None:
        """Lets descriptors go; what is attached runs on."""
        for program in self._programs.values():
            program.close()
        for each in self._maps.values():
            each.close()
        # mapped memory keeps a map alive as well as a descriptor does
        self._shared.clear()
        self._config = np.zeros((), layout.CONFIG)
        self._book.close()
        self._kernel.close()

    def close(self) -> None:
        """Takes everything away: interfaces are left as they were, sessions are gone."""
        self._config["repair"] = 0
        seats.release(self._kernel)
        self.detach()

    def _rows(self) -> npt.NDArray[Any]:
        return self._shared["rl_counts"].reshape(-1, len(self._shared["rl_accels"])).T

    def _nexts(self) -> dict[int, int]:
        peers = self._shared["rl_peers"]
        used = np.flatnonzero(peers["number"]).tolist()
        return {int(peers[i]["number"]): int(peers[peers[i]["next"]]["number"]) for i in used}

    def _names(self) -> dict[int, tuple[str, str]]:
        if self._plan is None:
            return {}
        slots = self._where.accelerators
        return {
            self._where.listeners[slots[each.number], digest(listener.name)]: (
                each.name,
                listener.name,
            )
            for each in self._plan.accelerators
            for listener in each.listeners
        }

    def _write(self, wanted: Tables) -> None:
        peers, accelerators = self._shared["rl_peers"], self._shared["rl_accels"]
        listeners = self._shared["rl_listeners"]
        for place, record in wanted.peers.items():
            if peers[place]["number"]:
                # what the path said stays
                record["pmtu"], record["pmtu_until"] = (
                    peers[place][n] for n in ("pmtu", "pmtu_until")
                )
            peers[place] = record
        for place, record in wanted.accelerators.items():
            if not accelerators[place]["number"]:
                self._rows()[place] = 0
            record["due"] = accelerators[place]["due"]
            accelerators[place] = record
        for place, record in wanted.listeners.items():
            if not listeners[place]["accelerator"]:
                self._shared["rl_wheels"][place]["endpoint"] = layout.NOBODY
            listeners[place] = record
        for name in ("regions", "nodes", "ends", "ports", "addresses"):
            _follow(self._maps[f"rl_{name}"], getattr(wanted, name))
        for array, kept, mark in (
            (peers, wanted.peers, "number"),
            (accelerators, wanted.accelerators, "number"),
            (listeners, wanted.listeners, "accelerator"),
        ):
            for place in np.flatnonzero(array[mark]).tolist():
                if place not in kept:
                    array[place] = np.zeros((), array.dtype)


def _keep(wanted: list[Address], table: npt.NDArray[Any]) -> dict[Address, int]:
    there = {layout.address(each["address"]): i for i, each in enumerate(table)}
    kept = {address: there[address] for address in wanted if address in there}
    free = (i for i in range(len(table)) if i not in set(kept.values()))
    return kept | {address: next(free) for address in dict.fromkeys(wanted) if address not in kept}


def _follow(table: Map, wanted: dict[bytes, bytes]) -> None:
    """The table as wanted: what is new first, what is gone last."""
    there = dict(table.items())
    for key, value in wanted.items():
        if there.get(key) != value:
            table.update(key, value)
    for key in there.keys() - wanted.keys():
        table.delete(key)


def _sizes(records: int) -> dict[str, int]:
    """Elements of each map; place 0 is nobody's."""
    return {
        "rl_records": records + 1,
        "rl_flows": records,
        "rl_backs": records,
        "rl_spis": 2 * records + 1,
        "rl_known": 5 * records,
        "rl_free_records": records,
        "rl_free_spis": 2 * records,
        "rl_counts": SLOTS * libbpf.call("count CPUs", "libbpf_num_possible_cpus"),
    }


def _adopted(program: Program) -> dict[str, Map] | None:
    """The state that a program has, None when it is not laid out as ours."""
    maps = program.maps()
    chosen = {name: each for name, each in maps.items() if name in _STATE}
    fit = len(chosen) == len(_STATE) and all(
        (each.key_size, each.value_size) == _STATE[name] for name, each in chosen.items()
    )
    for name, each in maps.items():
        if not fit or name not in chosen:
            each.close()
    return chosen if fit else None


def _named(drops: npt.NDArray[Any]) -> dict[str, int]:
    return {why: int(n) for why, n in zip(layout.DROPS, drops, strict=True) if n}


def _counters(row: npt.NDArray[Any]) -> AcceleratorCounters:
    packets, sizes, drops = (row[name].sum(axis=0) for name in ("packets", "bytes", "drops"))
    up, down = (
        Carried(int(packets[way]), int(sizes[way]), _named(drops[way]))
        for way in (layout.UP, layout.DOWN)
    )
    names = ("fragments", "fragmented", "too_big_sent", "unrepaired", "moved")
    return AcceleratorCounters(up, down, **{name: int(row[name].sum()) for name in names})
