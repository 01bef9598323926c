"""The eBPF data plane of one network namespace: its programs, its tables, where they are attached.

Found again, not kept: every program of the plane is bound to all its maps, so one tc filter on one
interface leads a new process to everything. There is no file, pinned or other, and when the last
filter goes the kernel frees the rest.
"""

import errno
from collections import Counter, defaultdict
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from bongsu.system.bpf import attach, layout, libbpf
from bongsu.system.bpf.libbpf import BpfError
from bongsu.system.bpf.maps import Map
from bongsu.system.bpf.objects import Object, Program, compiled
from bongsu.system.gre import links, way
from bongsu.system.gre.base import GreError, Seat, TunnelCounters
from bongsu.system.gre.links import Link
from bongsu.system.keepalive.memory import Memory
from bongsu.system.rtnl import Rtnl, RtnlError

TUNNELS: Final = 16384
"""Of one namespace, at most: a hub of 10,000 sites, with room."""

COUNTED_BYTES: Final = 64 << 20
"""All that counters may take: each tunnel has them once for every CPU that there might ever be, and
some clouds' machines claim hundreds of those. With more than 18 CPUs there are fewer tunnels."""

OUTWARD: Final = 4
"""Interfaces of a node that routed tunnels' packets may arrive by, on average of all its tunnels."""

PRIORITY: Final = 2784
"""Of our tc filters. Other people's, at priority 1, come before and may end the search."""

_TABLES: Final = {
    "gre_by_peer": (4, layout.TUNNEL.itemsize),
    "gre_by_pair4": (layout.PAIR4.itemsize, layout.TUNNEL.itemsize),
    "gre_by_pair6": (layout.PAIR6.itemsize, layout.TUNNEL.itemsize),
    "gre_states": (4, layout.STATE.itemsize),
    "gre_counts": (4, layout.COUNTERS.itemsize),
    "gre_arrivals": (layout.ARRIVAL.itemsize, 4),
    "gre_by_device": (4, 4),
    "gre_keepalives": (4, layout.KEEPALIVE.itemsize),
    "gre_notices": (0, 0),
}
"""The maps that hold state, with the bytes of their keys and values."""


class Plane:
    """Programs, tables and attachment. `states[slot]` and `counts[slot, cpu]` are live memory."""

    def __init__(self, maps: dict[str, Map], programs: dict[str, Program]) -> None:
        self._maps, self._programs = maps, programs
        self.states = maps["gre_states"].shared(layout.STATE)
        counts = maps["gre_counts"].shared(layout.COUNTERS)
        self.keepalives = maps["gre_keepalives"].shared(layout.KEEPALIVE)
        self.slots = len(self.states)
        self.cpus = len(counts) // self.slots
        self.counts = counts.reshape(self.slots, self.cpus)
        self._seen = _Seen()

    @classmethod
    def open(cls, kernel: Rtnl) -> Self:
        """The plane that runs in this namespace, its programs renewed if ours are others; else a
        new one, attached nowhere yet.

        Errors: BpfError, with the verifier's log.
        """
        running = _running(kernel)
        maps = _tables(running) if running else None
        with Object(compiled("gre"), "gre") as image:
            if maps:
                image.reuse(maps)
            else:
                image.resize(_sizes(libbpf.call("count CPUs", "libbpf_num_possible_cpus")))
            image.load()
            programs = {
                name: image.program(name)
                for name in ("gre_encap", "gre_decap", "gre_encap_xdp", "gre_decap_xdp")
            }
            tables = image.maps()
        for each in (maps or {}).values():
            each.close()
        for program in programs.values():
            for name in _TABLES:
                program.bind(tables[name])
        plane = cls(tables, programs)
        if running:
            if maps and running.tag != programs[running.name].tag:
                plane._renew(kernel)
            running.close()
        return plane

    def close(self) -> None:
        """Lets the descriptors go; what is attached runs on."""
        for program in self._programs.values():
            program.close()
        for each in self._maps.values():
            each.close()
        # mapped memory keeps a map alive as well as a descriptor does
        self.keepalives = self.keepalives[:0].copy()
        self.states, self.counts = self.states[:0].copy(), self.counts[:0].copy()

    def tunnels(self, *, driver: bool = False) -> dict[str, np.void]:
        """Records (layout.TUNNEL) by name: of the tunnels that the data plane carries, or with
        `driver` of those whose data the kernel's does.
        """
        return {
            name: record
            for name, record in self._now().records.items()
            if bool(record["flags"] & layout.KEEPALIVE_ONLY) == driver
        }

    def tunnel(self, name: str, *, driver: bool = False) -> np.void | None:
        """The record of that name, None without one; see `tunnels`."""
        record = self._now().records.get(name)
        if record is None or bool(record["flags"] & layout.KEEPALIVE_ONLY) != driver:
            return None
        return record

    def devices(self) -> dict[int, str]:
        """Names of all tunnels by ifindex of their interfaces."""
        return {int(each["device"]): name for name, each in self._now().records.items()}

    def arrivals(self, record: np.void) -> frozenset[int]:
        """The interfaces, besides its underlay, that a routed tunnel's packets arrive by."""
        return self._now().arrivals.get(int(record["slot"]), frozenset())

    def learned(self) -> bool:
        """Whether any tunnel has a path MTU below its own."""
        return bool(self.states["pmtu"].any())

    def free_slot(self) -> int:
        """A slot that no tunnel has, its state and counters cleared. Errors: GreError."""
        slot = self._now().free_slot(self.slots)
        if slot is None:
            raise GreError(f"there are {self.slots - 1} tunnels already")
        self.states[slot] = np.zeros((), layout.STATE)
        self.counts[slot] = np.zeros(self.cpus, layout.COUNTERS)
        return slot

    def put(
        self, record: np.void, old: np.void | None, arrivals: frozenset[int] = frozenset()
    ) -> None:
        """Carries a tunnel, in place of `old` if that is given. Packets in flight see either.

        `arrivals`: interfaces besides its underlay that its packets arrive by.
        """
        seen = self._now()
        there = self.arrivals(record)
        for index in arrivals - there:
            self._maps["gre_arrivals"].update(_arrival(record, index), bytes(4))
        self._maps["gre_by_device"].update(record["device"].tobytes(), record["slot"].tobytes())
        table, pair = _pair(record)
        self._maps[table].update(pair, record.tobytes())
        self._maps["gre_by_peer"].update(record["peer"].tobytes(), record.tobytes())
        if old is not None:
            old_table, old_pair = _pair(old)
            if (old_table, old_pair) != (table, pair):
                self._maps[old_table].delete(old_pair)
            if old["peer"] != record["peer"]:
                self._maps["gre_by_peer"].delete(old["peer"].tobytes())
            if old["device"] != record["device"]:
                self._maps["gre_by_device"].delete(old["device"].tobytes())
        for index in there - arrivals:
            self._maps["gre_arrivals"].delete(_arrival(record, index))
        self._changed(seen)
        seen.add(record, arrivals)

    def owner(self, record: np.void) -> str | None:
        """The name of the tunnel that has this one's ends and key already, None without one."""
        table, pair = _pair(record)
        value = self._maps[table].lookup(pair)
        if value is None:
            return None
        return bytes(np.frombuffer(value, layout.TUNNEL)[0]["name"]).decode()

    def remove(self, kernel: Rtnl, record: np.void) -> None:
        """Carries the tunnel no longer, and leaves interfaces that nobody uses as they were."""
        seen = self._now()
        table, pair = _pair(record)
        self._maps[table].delete(pair)
        self._maps["gre_by_peer"].delete(record["peer"].tobytes())
        self._maps["gre_by_device"].delete(record["device"].tobytes())
        arrivals = self.arrivals(record)
        for index in arrivals:
            self._maps["gre_arrivals"].delete(_arrival(record, index))
        self._changed(seen)
        seen.drop(record)
        for index in (int(record["underlay"]), *arrivals):
            self.release_underlay(kernel, index)

    def counters(self, record: np.void) -> TunnelCounters:
        """The sum over CPUs of a tunnel."""
        rows = self.counts[int(record["slot"])]
        drops = rows["drops"].sum(axis=0)
        fields = {name: int(rows[name].sum()) for name in _COUNTED}
        named = zip(layout.DROPS, drops, strict=True)
        return TunnelCounters(**fields, drops={why: int(n) for why, n in named if n})

    def stray(self) -> dict[str, int]:
        """GRE packets of no tunnel and fragments, both left to the stack."""
        rows = self.counts[0]
        return {name: int(rows[name].sum()) for name in ("unknown", "fragments")}

    def settle(
        self, kernel: Rtnl, record: Any, old: np.void | None, underlays: list[Link], *, xdp: bool
    ) -> bool:
        """Carries the tunnel `record` between these underlays, in a slot of its own; True when its
        record, in place of `old`, or its underlays are others than before.
        """
        slot = self.free_slot() if old is None else int(old["slot"])
        record["slot"], record["counters"] = slot, slot * self.cpus
        further = frozenset(each.index for each in underlays[1:])
        before = frozenset() if old is None else self.arrivals(old)
        changed = old is None or old.tobytes() != record.tobytes() or before != further
        if changed:
            self.put(record, old, further)
        for underlay in underlays:
            if underlay.type == links.ETHERNET:
                self.hold_underlay(underlay, xdp=xdp)
        if old is not None:
            for index in {int(old["underlay"]), *before}.difference(u.index for u in underlays):
                self.release_underlay(kernel, index)
        return changed

    def open_line(self, record: np.void, besides: str = "") -> bool:
        """Whether nothing keeps the tunnel's interface down, but for `besides` if that does."""
        state = self.states[int(record["slot"])]
        return not any(state[why] for why in ("line_down", "held") if why != besides)

    def held(self) -> set[str]:
        """Names of the tunnels that are held down."""
        slots = set(np.flatnonzero(self.states["held"]).tolist())
        if not slots:
            return set()
        return {n for n, each in self._now().records.items() if int(each["slot"]) in slots}

    def memory(self) -> Memory:
        """Of keepalive sessions. Good for as long as the plane is open."""
        notices = self._maps["gre_notices"]
        return Memory(self.keepalives, self.states, notices.fd, notices.max_entries)

    def seats(self, *, driver: bool = False) -> dict[str, Seat]:
        """Of the tunnels that `tunnels` has."""
        records = self.tunnels(driver=driver)
        ways = {n: {int(r["underlay"]), *self.arrivals(r)} for n, r in records.items()}
        seen = {index: self._sees(index) for index in set().union(*ways.values())}
        return {
            name: Seat(
                slot=int(record["slot"]),
                up=not self.states[int(record["slot"])]["line_down"],
                judged=all(seen[index] for index in ways[name]),
            )
            for name, record in records.items()
        }

    def reaches(self, kernel: Rtnl, record: np.void) -> bool:
        """Whether a way leads to the tunnel's peer, and into no tunnel."""
        routed = record["flags"] & layout.ROUTED
        by = None if routed else int(record["underlay"])
        (found,) = way.ways(kernel, [way.pair_of(record)], by)
        return found is not None and found.index not in self.devices()

    def turned_back(self) -> npt.NDArray[np.uint64]:
        """Packets by slot whose way led into a tunnel, so far."""
        counted = self.counts["drops"][:, :, layout.DROPS.index("tx_recursive")]
        return counted.sum(axis=1)  # type: ignore[no-any-return]

    def hold_peer(self, index: int) -> None:
        """Encapsulates what the tunnel interface sends."""
        self._attach(index, "gre_encap")

    def hold_underlay(self, link: Link, *, xdp: bool) -> None:
        """Decapsulates what arrives by the underlay; `xdp`: in its driver, as far as that goes.

        Errors: BpfError EOPNOTSUPP or EBUSY when XDP is not to be had.
        """
        self._attach(link.index, "gre_decap")
        ours = _has_xdp(link)
        if xdp and not ours:
            attach.xdp_attach(link.index, self._programs["gre_decap_xdp"])
        elif not xdp and ours:
            attach.xdp_detach(link.index)

    def release_underlay(self, kernel: Rtnl, index: int) -> None:
        """Leaves the interface as it was, unless a tunnel still uses it: no program, and no clsact
        qdisc that nobody uses.
        """
        if self._now().uses[index]:
            return
        try:
            link = links.read(kernel, index)
        except RtnlError as error:
            if error.errno == errno.ENODEV:
                return
            raise
        if _has_xdp(link):
            attach.xdp_detach(index)
        attach.tc_detach(index, "ingress", PRIORITY)
        if not links.filters(kernel, index):
            attach.clsact_remove(index)

    def _changed(self, seen: "_Seen") -> None:
        # last: what the programs remember is of the generation before
        self.states[0]["generation"] += 1
        seen.generation = int(self.states[0]["generation"])

    def _now(self) -> "_Seen":
        # Reading thousands of tunnels to change one would make making them all quadratic.
        generation = int(self.states[0]["generation"])
        if self._seen.generation != generation:
            seen = _Seen(generation)
            arrivals: dict[int, set[int]] = defaultdict(set)
            for key in self._maps["gre_arrivals"].batch(layout.ARRIVAL, "u4")[0]:
                arrivals[int(key["slot"])].add(int(key["ifindex"]))
            for record in self._maps["gre_by_peer"].batch("u4", layout.TUNNEL)[1]:
                seen.add(record, frozenset(arrivals[int(record["slot"])]))
            self._seen = seen
        return self._seen

    def _attach(self, index: int, name: str) -> None:
        own = self._programs[name]
        there = attach.tc_find(index, "ingress", PRIORITY)
        if there is None or there.tag != own.tag or not self._uses(there):
            attach.tc_attach(index, "ingress", own, PRIORITY)
        if there:
            there.close()

    def _sees(self, index: int) -> bool:
        there = attach.tc_find(index, "ingress", PRIORITY)
        if there is None:
            return False
        there.close()
        return there.name == "gre_decap"

    def _uses(self, program: Program) -> bool:
        return self._maps["gre_states"].id in program.map_ids

    def _renew(self, kernel: Rtnl) -> None:
        # Another version of the agent was here. The tables stay, so no packet is lost.
        seen = self._now()
        for record in seen.records.values():
            if not record["flags"] & layout.KEEPALIVE_ONLY:
                self._attach(int(record["peer"]), "gre_encap")
        for underlay in list(+seen.uses):
            self._attach(underlay, "gre_decap")
            if _has_xdp(links.read(kernel, underlay)):
                attach.xdp_replace(underlay, self._programs["gre_decap_xdp"])


class _Seen:
    """The tables of one generation as they were read, kept up with what this process changes."""

    def __init__(self, generation: int = -1) -> None:
        self.generation = generation
        self.records: dict[str, np.void] = {}
        self.arrivals: dict[int, frozenset[int]] = {}
        """By slot."""
        self.uses: Counter[int] = Counter()
        """How many tunnels' packets arrive by an interface."""
        self._slots: set[int] = set()
        self._lowest = 1

    def add(self, record: np.void, arrivals: frozenset[int]) -> None:
        # a copy, for the caller's may change, and as the kernel gives them, with a plain name
        record = np.frombuffer(record.tobytes(), layout.TUNNEL)[0]
        name, slot = _name(record), int(record["slot"])
        if name in self.records:
            self.drop(self.records[name])
        self.records[name], self.arrivals[slot] = record, arrivals
        self._slots.add(slot)
        self.uses.update({int(record["underlay"]), *arrivals})

    def drop(self, record: np.void) -> None:
        slot = int(record["slot"])
        old = self.records.pop(_name(record))
        self.uses.subtract({int(old["underlay"]), *self.arrivals.pop(slot)})
        self._slots.discard(slot)
        self._lowest = min(self._lowest, slot)

    def free_slot(self, slots: int) -> int | None:
        while self._lowest in self._slots:
            self._lowest += 1
        return self._lowest if self._lowest < slots else None


_COUNTED = tuple(
    name for name in layout.COUNTERS.names or () if name not in ("drops", "unknown", "fragments")
)


def _sizes(cpus: int) -> dict[str, int]:
    """Elements of each map, slot 0 counted."""
    tunnels = min(TUNNELS, COUNTED_BYTES // (layout.COUNTERS.itemsize * cpus))
    sizes = dict.fromkeys(("gre_states", "gre_hops", "gre_keepalives"), tunnels + 1)
    sizes |= dict.fromkeys(("gre_by_peer", "gre_by_pair4", "gre_by_pair6"), tunnels)
    sizes |= {"gre_by_device": tunnels, "gre_arrivals": tunnels * OUTWARD}
    return sizes | {"gre_counts": (tunnels + 1) * cpus}


def _has_xdp(link: Link) -> bool:
    """Whether its XDP program is ours."""
    if link.xdp is None:
        return False
    try:
        program = Program.by_id(link.xdp)
    except BpfError as error:
        if error.errno == errno.ENOENT:
            return False  # gone between the two questions
        raise
    program.close()
    return program.name == "gre_decap_xdp"


def _running(kernel: Rtnl) -> Program | None:
    """One of the plane's programs, from whichever interface has one."""
    for link in links.every(kernel):
        program = attach.tc_find(link.index, "ingress", PRIORITY)
        if program and program.name in ("gre_encap", "gre_decap"):
            return program
        if program:
            program.close()
    return None


def _tables(program: Program) -> dict[str, Map] | None:
    """The plane's tables, None when they are not laid out as ours."""
    maps = program.maps()
    chosen = {name: each for name, each in maps.items() if name in _TABLES}
    fit = len(chosen) == len(_TABLES) and all(
        (each.key_size, each.value_size) == _TABLES[name] for name, each in chosen.items()
    )
    for name, each in maps.items():
        if not fit or name not in chosen:
            each.close()
    return chosen if fit else None


def _name(record: np.void) -> str:
    return bytes(record["name"]).decode()


def _arrival(record: np.void, index: int) -> bytes:
    key: Any = np.zeros((), layout.ARRIVAL)
    key["slot"], key["ifindex"] = record["slot"], index
    return bytes(key.tobytes())


def _pair(record: np.void) -> tuple[str, bytes]:
    six = record["family"] == 6
    pair: Any = np.zeros((), layout.PAIR6 if six else layout.PAIR4)
    size = 16 if six else 4
    pair["local"] = np.void(record["local"].tobytes()[:size])
    pair["remote"] = np.void(record["remote"].tobytes()[:size])
    pair["key"] = record["key"]
    pair["keyed"] = int(bool(record["flags"] & layout.KEYED))
    return ("gre_by_pair6" if six else "gre_by_pair4"), pair.tobytes()
