"""The eBPF data plane of one network namespace: its programs, its tables, where they are attached.

Found again, not kept: every program of the plane is bound to all its maps, so one tc filter on one
interface leads a new process to everything. There is no file, pinned or other, and when the last
filter goes the kernel frees the rest.
"""

from typing import Any, Final, Self

import numpy as np
from pyroute2 import IPRoute

from bongsu.system.bpf import attach, layout, libbpf
from bongsu.system.bpf.maps import Map
from bongsu.system.bpf.objects import Object, Program, compiled
from bongsu.system.gre import links
from bongsu.system.gre.base import GreError, TunnelCounters

SLOTS: Final = 4096
"""Tunnels of one namespace, and one for what belongs to none: a hub of 3,000 sites, with room.
192 bytes of counters each for every CPU, so 0.75 MiB per CPU."""

PRIORITY: Final = 2784
"""Of our tc filters. Other people's, at priority 1, come before and may end the search."""

_TABLES: Final = {
    "gre_by_peer": (4, layout.TUNNEL.itemsize),
    "gre_by_pair4": (layout.PAIR4.itemsize, layout.TUNNEL.itemsize),
    "gre_by_pair6": (layout.PAIR6.itemsize, layout.TUNNEL.itemsize),
    "gre_states": (4, layout.STATE.itemsize),
    "gre_counts": (4, layout.COUNTERS.itemsize),
    "gre_keepalives": (4, layout.KEEPALIVE.itemsize),
    "gre_notices": (0, 0),
}
"""The maps that hold state, with the bytes of their keys and values."""
_BY_SLOT: Final = tuple(name for name in _TABLES if name != "gre_notices")


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

    @classmethod
    def open(cls, ipr: IPRoute) -> Self:
        """The plane that runs in this namespace, its programs renewed if ours are others; else a
        new one, attached nowhere yet.

        Errors: BpfError, with the verifier's log.
        """
        running = _running(ipr)
        maps = _tables(running) if running else None
        with Object(compiled("gre"), "gre") as image:
            if maps:
                image.reuse(maps)
            else:
                cpus = libbpf.call("count CPUs", "libbpf_num_possible_cpus")
                image.resize(dict.fromkeys((*_BY_SLOT, "gre_hops"), SLOTS))
                image.resize({"gre_counts": SLOTS * cpus})
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
                plane._renew()
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
            bytes(record["name"]).decode(): record
            for record in self._records()
            if bool(record["flags"] & layout.KEEPALIVE_ONLY) == driver
        }

    def learned(self) -> bool:
        """Whether any tunnel has a path MTU below its own."""
        return bool(self.states["pmtu"].any())

    def free_slot(self) -> int:
        """A slot that no tunnel has, its state and counters cleared. Errors: GreError."""
        used = {int(record["slot"]) for record in self._records()}
        for slot in range(1, self.slots):
            if slot not in used:
                self.states[slot] = np.zeros((), layout.STATE)
                self.counts[slot] = np.zeros(self.cpus, layout.COUNTERS)
                return slot
        raise GreError(f"there are {self.slots - 1} tunnels already")

    def put(self, record: np.void, old: np.void | None) -> None:
        """Carries a tunnel, in place of `old` if that is given. Packets in flight see either."""
        table, pair = _pair(record)
        self._maps[table].update(pair, record.tobytes())
        self._maps["gre_by_peer"].update(record["peer"].tobytes(), record.tobytes())
        if old is not None:
            old_table, old_pair = _pair(old)
            if (old_table, old_pair) != (table, pair):
                self._maps[old_table].delete(old_pair)
            if old["peer"] != record["peer"]:
                self._maps["gre_by_peer"].delete(old["peer"].tobytes())
        self._changed()

    def owner(self, record: np.void) -> str | None:
        """The name of the tunnel that has this one's ends and key already, None without one."""
        table, pair = _pair(record)
        value = self._maps[table].lookup(pair)
        if value is None:
            return None
        return bytes(np.frombuffer(value, layout.TUNNEL)[0]["name"]).decode()

    def remove(self, record: np.void) -> None:
        """Carries the tunnel no longer."""
        table, pair = _pair(record)
        self._maps[table].delete(pair)
        self._maps["gre_by_peer"].delete(record["peer"].tobytes())
        self._changed()

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

    def hold_peer(self, index: int) -> None:
        """Encapsulates what the tunnel interface sends."""
        self._attach(index, "gre_encap")

    def hold_underlay(self, index: int, *, xdp: bool) -> None:
        """Decapsulates what arrives by the underlay; `xdp`: in its driver, as far as that goes.

        Errors: BpfError EOPNOTSUPP or EBUSY when XDP is not to be had.
        """
        self._attach(index, "gre_decap")
        there = attach.xdp_find(index)
        ours = there is not None and there.name == "gre_decap_xdp"
        if xdp and not ours:
            attach.xdp_attach(index, self._programs["gre_decap_xdp"])
        elif not xdp and ours:
            attach.xdp_detach(index)
        if there:
            there.close()

    def release_underlay(self, ipr: IPRoute, index: int) -> None:
        """Leaves the interface as it was, unless a tunnel still uses it: no program, and no clsact
        qdisc that nobody uses.
        """
        if any(int(record["underlay"]) == index for record in self._records()):
            return
        there = attach.xdp_find(index)
        if there:
            if there.name == "gre_decap_xdp":
                attach.xdp_detach(index)
            there.close()
        attach.tc_detach(index, "ingress", PRIORITY)
        if not links.filters(ipr, index):
            attach.clsact_remove(index)

    def _changed(self) -> None:
        # last: what the programs remember is of the generation before
        self.states[0]["generation"] += 1

    def _records(self) -> Any:
        return self._maps["gre_by_peer"].batch("u4", layout.TUNNEL)[1]

    def _attach(self, index: int, name: str) -> None:
        own = self._programs[name]
        there = attach.tc_find(index, "ingress", PRIORITY)
        if there is None or there.tag != own.tag or not self._uses(there):
            attach.tc_attach(index, "ingress", own, PRIORITY)
        if there:
            there.close()

    def _uses(self, program: Program) -> bool:
        return self._maps["gre_states"].id in program.map_ids

    def _renew(self) -> None:
        # Another version of the agent was here. The tables stay, so no packet is lost.
        for record in self._records():
            if not record["flags"] & layout.KEEPALIVE_ONLY:
                self._attach(int(record["peer"]), "gre_encap")
            underlay = int(record["underlay"])
            self._attach(underlay, "gre_decap")
            there = attach.xdp_find(underlay)
            if there and there.name == "gre_decap_xdp":
                attach.xdp_replace(underlay, self._programs["gre_decap_xdp"])
            if there:
                there.close()


_COUNTED = tuple(
    name for name in layout.COUNTERS.names or () if name not in ("drops", "unknown", "fragments")
)


def _running(ipr: IPRoute) -> Program | None:
    """One of the plane's programs, from whichever interface has one."""
    for link in links.every(ipr):
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


def _pair(record: np.void) -> tuple[str, bytes]:
    six = record["family"] == 6
    pair: Any = np.zeros((), layout.PAIR6 if six else layout.PAIR4)
    size = 16 if six else 4
    pair["local"] = np.void(record["local"].tobytes()[:size])
    pair["remote"] = np.void(record["remote"].tobytes()[:size])
    pair["key"] = record["key"]
    pair["keyed"] = int(bool(record["flags"] & layout.KEYED))
    return ("gre_by_pair6" if six else "gre_by_pair4"), pair.tobytes()
