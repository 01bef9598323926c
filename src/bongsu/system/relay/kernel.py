"""The relay without BPF: nftables' NAT and the kernel's connection tracking (see nat for how).

What stands in the table `inet bongsu_relay` carries without us, and is found again by its names. It is
less than the BPF plane (docs/accelerator.md): ways are straight, nothing is repaired, clients are not
validated, and an endpoint is chosen for all clients alike.

Works in the calling thread's namespace.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from bongsu.model.base import Address
from bongsu.plan.relay import RelayPlan
from bongsu.system.gre import links
from bongsu.system.relay import layout, nat
from bongsu.system.relay.base import (
    AcceleratorCounters,
    Carried,
    LiveEndpoint,
    Occupancy,
    RelayError,
    Stray,
)
from bongsu.system.relay.conntrack import Conntrack, Flow
from bongsu.system.relay.sessions import SESSION, SPI
from bongsu.system.rtnl import Rtnl
from bongsu.system.run import RunError, run

ACCOUNTS: Final = ("nf_conntrack_acct", "nf_conntrack_timestamp")
"""Settings of /proc/sys/net/netfilter by which flows have bytes and an age."""
OURS: Final = 2
"""What a forwarding setting of an interface has that was 0 before: to the kernel the same as 1, and
whoever else switches forwarding on writes that."""
IKE: Final = 500
_NETFILTER: Final = Path("/proc/sys/net/netfilter")


def stands() -> bool:
    """Whether a table of ours is loaded."""
    return run(["nft", "list", "table", nat.FAMILY, nat.TABLE], check=False).returncode == 0


def refusal() -> str:
    """Why this kernel cannot do it; empty if it can. Changes nothing."""
    return _refused(nat.CHECKED)


class KernelRelay:
    """Accelerators by NAT in one network namespace. The interface is RelayPlane's."""

    name: Final = "kernel"

    def __init__(self, reason: str, *, timed: bool) -> None:
        self.reason = reason
        self._timed = timed
        self._plan: RelayPlan | None = None
        self._doors: list[nat.Door] = []

    @classmethod
    def open(cls, reason: str = "") -> Self:
        """The relay of this namespace. `reason`: why it is taken. Errors: RelayError, when the kernel
        lacks what it takes.
        """
        if why := refusal():
            raise RelayError(
                f"nftables cannot carry accelerators here: {why}", "apt install nftables"
            )
        return cls(reason, timed=not _refused(nat.TIMED))

    def apply(self, plan: RelayPlan, key: bytes | None) -> None:  # noqa: ARG002  NAT signs nothing
        """Carries what the plan says, from now on; sessions of what stays go on.

        Errors: RelayError, with a hint.
        """
        opened = nat.doors(plan)
        if any(door.family == 6 for door in opened) and not links.forwards("all", 6):
            raise RelayError(
                "IPv6 forwarding is off, and the kernel's NAT forwards",
                "net.ipv6.conf.all.forwarding = 1, and accept_ra = 2 where routes are learned so",
            )
        before = _standing()
        guarded = _guarded() if any(door.family == 4 for door in opened) else []
        switched = sorted({*before.switched, *(name for name in ACCOUNTS if _accounts(name) == 0)})
        _load(
            nat.ruleset(
                opened, plan.accelerators, before,
                timed=self._timed, guarded=guarded, switched=switched,
            )
        )  # fmt: skip
        for name in switched:
            (_NETFILTER / name).write_text("1")
        # last: until now nothing stood before them
        _forward(guarded)
        self._plan, self._doors = plan, opened
        self._end(lambda flow: self._astray(flow, before), translated=False)

    def set_path(self, destination: int, next_hop: int) -> None:
        """The way stays the straight one. Errors: RelayError, when one of them is no peer."""
        known = {peer.number for peer in self._plan.peers} if self._plan else set()
        if not {destination, next_hop} <= known:
            raise RelayError(f"{destination} or {next_hop} is none of this node's PoPs")

    def set_endpoints(
        self, accelerator: int, listener: str, endpoints: Sequence[LiveEndpoint]
    ) -> None:
        """The endpoints that live, of a listener of an accelerator (by number): new sessions go to
        the one of most weight. Sessions of those that do not live end.

        Errors: RelayError, when there is no such listener.
        """
        own = [
            door
            for door in self._doors
            if (door.accelerator.number, door.listener.name) == (accelerator, listener)
        ]
        if not own:
            raise RelayError(f"there is no listener {listener} of accelerator {accelerator}")
        leaving = [door for door in own if door.target is None]
        if not leaving:
            return
        now = _standing().live.get(leaving[0].live)
        chosen = choose(endpoints, now)
        if chosen != now:
            _load(nat.follow(leaving[0].live, leaving[0].listener.protocol, chosen))
        alive = {each.address for each in endpoints}
        self._end(
            lambda flow: (
                flow.reply.source not in alive
                and any(door.takes(flow) and door.translates(flow) for door in leaving)
            )
        )

    def sessions(self) -> npt.NDArray[Any]:
        """Flows that leave or enter here (sessions.SESSION). At the egress their client is the entry
        PoP: NAT stands in between.
        """
        found = self._flows()
        told = np.zeros(len(found), SESSION)
        now = time.time_ns()
        for row, (flow, door) in zip(told, found, strict=True):
            _tell(row, flow, door, now)
        return told

    def spis(self) -> npt.NDArray[Any]:
        """None: NAT does not look into packets."""
        return np.zeros(0, SPI)

    def counters(self) -> dict[str, AcceleratorCounters]:
        """By accelerator, of those in the plan."""
        if self._plan is None:
            return {}
        counted = _standing().counters
        found = {}
        for each in self._plan.accelerators:
            numbers = {what: counted.get(nat.counter(what, each), (0, 0)) for what in nat.COUNTED}
            found[each.name] = AcceleratorCounters(
                up=_carried(numbers["up"], rate=numbers["over_up"], no_endpoint=numbers["none"]),
                down=_carried(numbers["down"], rate=numbers["over_down"]),
                fragments=0, fragmented=0, too_big_sent=0, unrepaired=0, moved=0,
            )  # fmt: skip
        return found

    def stray(self) -> Stray:
        """What belongs to no accelerator: of interfaces that forward only for the relay."""
        foreign = _standing().counters.get(nat.FOREIGN, (0, 0))[0]
        drops = {"not_relayed": foreign} if foreign else {}
        return Stray(drops=drops, transit=0, left=0, learned=0)

    def occupancy(self) -> Occupancy:
        """Of the kernel's table, in which others have their share."""
        limit = _accounts("nf_conntrack_max") or 0
        return Occupancy(
            records=_accounts("nf_conntrack_count") or 0,
            unproved=0, capacity=limit, unproved_capacity=limit, spis=0,
        )  # fmt: skip

    def expire(self) -> int:
        """The kernel forgets by itself."""
        return 0

    def set_repair(self, ifindex: int | None) -> None:
        """Nothing is repaired."""

    def detach(self) -> None:
        """What is loaded runs on; nothing is held."""

    def close(self) -> None:
        """Takes everything away: the table, its flows, and settings that were changed for it."""
        before = _standing()
        for path in _forwarding():
            if path.read_text().strip() == str(OURS):
                path.write_text("0")
        for name in before.switched:
            (_NETFILTER / name).write_text("0")
        run(["nft", "delete", "table", nat.FAMILY, nat.TABLE], check=False)
        self._plan, self._doors = None, []
        self._end(before.had)

    def _flows(self) -> list[tuple[Flow, nat.Door]]:
        found = []
        with Conntrack() as table:
            for family in {door.family for door in self._doors}:
                for flow in table.flows(family, translated=True):
                    door = self._door(flow)
                    if door is not None and door.translates(flow):
                        found.append((flow, door))
        return found

    def _door(self, flow: Flow) -> nat.Door | None:
        return next((door for door in self._doors if door.takes(flow)), None)

    def _astray(self, flow: Flow, before: nat.Standing) -> bool:
        """Not translated as it would be now: rules are only asked about what is new."""
        door = self._door(flow)
        return before.had(flow) if door is None else not door.translates(flow)

    def _end(self, lost: Callable[[Flow], bool], *, translated: bool = True) -> None:
        with Conntrack() as table:
            for family in (4, 6):
                table.end(
                    [each for each in table.flows(family, translated=translated) if lost(each)]
                )


def choose(endpoints: Sequence[LiveEndpoint], now: Address | None) -> Address | None:
    """The endpoint of new sessions: of most weight, of several the one of `now`, or the lowest."""
    willing = [each for each in endpoints if each.weight > 0]
    most = max((each.weight for each in willing), default=0)
    best = {each.address for each in willing if each.weight == most}
    return now if now in best else min(best, key=lambda each: each.packed, default=None)


def _tell(row: Any, flow: Flow, door: nat.Door, now: int) -> None:
    row["accelerator"], row["listener"] = door.accelerator.name, door.listener.name
    row["role"], row["protocol"] = door.role, flow.protocol
    original, reply = flow.original, flow.reply
    row["client"], row["client_port"] = layout.packed(original.source), original.source_port
    row["address"], row["port"] = layout.packed(original.destination), original.port
    if door.role == "egress":
        row["off"], row["off_port"] = layout.packed(reply.destination), reply.port
        row["endpoint"] = layout.packed(reply.source)
    row["proved"] = flow.protocol == "tcp" and flow.assured
    row["ike"] = flow.protocol == "udp" and original.port == IKE
    row["age_s"] = max(now - flow.began_ns, 0) / 1e9 if flow.began_ns else 0
    lasts = door.listener.idle_s if flow.assured else min(nat.UNREPLIED_S, door.listener.idle_s)
    row["idle_s"] = max(lasts - flow.left_s, 0)
    row["up_packets"], row["up_bytes"] = flow.up
    row["down_packets"], row["down_bytes"] = flow.down


def _carried(counted: tuple[int, int], **drops: tuple[int, int]) -> Carried:
    return Carried(*counted, {why: number for why, (number, _) in drops.items() if number})


def _standing() -> nat.Standing:
    done = run(["nft", "-j", "list", "table", nat.FAMILY, nat.TABLE], check=False)
    return (
        nat.standing(json.loads(done.stdout)["nftables"])
        if done.returncode == 0
        else nat.Standing()
    )


def _load(text: str) -> None:
    try:
        run(["nft", "-f", "-"], input=text)
    except RunError as error:
        raise RelayError(f"nft refused the relay's table: {_said(error)}") from error


def _refused(text: str) -> str:
    try:
        run(["nft", "-c", "-f", "-"], input=text)
    except RunError as error:
        return _said(error)
    return ""


def _said(error: RunError) -> str:
    said = error.completed.stderr.strip().splitlines() if error.completed else []
    return said[0].partition("Error: ")[2] or said[0] if said else error.reason


def _accounts(name: str) -> int | None:
    try:
        return int((_NETFILTER / name).read_text())
    except OSError:
        return None


def _forwarding() -> list[Path]:
    """The IPv4 setting of every interface that is up."""
    with Rtnl() as kernel:
        up = [link for link in links.every(kernel) if link.up and link.name != "lo"]
    paths = [Path(f"/proc/sys/net/ipv4/conf/{link.name}/forwarding") for link in up]
    return [path for path in paths if path.exists()]


def _guarded() -> list[str]:
    """Interfaces that forward nothing for others: those are to forward what is ours."""
    return [
        path.parent.name for path in _forwarding() if path.read_text().strip() in ("0", str(OURS))
    ]


def _forward(guarded: Sequence[str]) -> None:
    for path in _forwarding():
        if path.parent.name in guarded:
            path.write_text(str(OURS))
