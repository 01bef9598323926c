"""Links by the kernel alone: veth and bridge, with netem (tc-netem(8)) where something is impaired.

Each end is a veth whose far side lies in a namespace of our own, the closet; there a bridge of two
ports is the wire. So nothing of ours is seen on a node but its interface, its root qdisc stays free
for it, taking a port down is a pulled cable at the other side of the veth, and senders are not told
of losses. netem sits where the wire leaves to the receiver. Where the kernel has no netem only
plain links can be made.
"""

import contextlib
import errno
import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from bongsu.lab.link.netem import Netem
from bongsu.lab.link.spec import (
    Direction,
    DirectionStats,
    LinkError,
    LinkSpec,
    LinkStats,
)
from bongsu.model.lab import Impairment
from bongsu.system import netns

# All link-local multicast but the three that the kernel never lets a bridge forward (STP, pause,
# LACP): a cable passes LLDP.
_GROUP_FORWARD = 0xFFF8
_IFF_UP = 1


class Wire:
    """The links of one closet. Safe for threads."""

    name = "netem"

    def __init__(self, closet: str) -> None:
        """Open the closet `start` made. Raises LinkError if there is none."""
        self.closet = closet
        self._lock = threading.Lock()
        try:
            with netns.in_netns(closet):
                self._ip: Any = IPRoute()
            self._netem = Netem(closet)
        except netns.NetnsError as error:
            raise LinkError(f"no links are kept in {closet}: {error}") from error

    @classmethod
    def start(cls, closet: str) -> "Wire":
        """Make the closet, or open it if it is there."""
        if not netns.exists(closet):
            netns.create(closet)
            with netns.in_netns(closet):
                for which in ("all", "default"):
                    # A wire sends nothing of its own.
                    switch = Path(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6")
                    if switch.exists():
                        switch.write_text("1")
        return cls(closet)

    @staticmethod
    def end(closet: str) -> None:
        """Remove the closet and with it every link and the interfaces at their ends."""
        netns.remove(closet)

    def close(self) -> None:
        """Close the connection to the kernel; the links stay."""
        self._ip.close()
        self._netem.close()

    def create(self, specs: Sequence[LinkSpec]) -> None:
        """Make links, both interfaces up; all of them or none."""
        made: list[str] = []
        with self._lock:
            try:
                for spec in specs:
                    if self._index(_device("w", spec.name)) is not None:
                        raise LinkError(f"link {spec.name} exists already")
                    made.append(spec.name)
                    with _told(spec.name):
                        self._create(spec)
            except BaseException:
                self._remove(made)
                raise

    def remove(self, names: Iterable[str]) -> None:
        """Take links and their interfaces away; a link that is not there is no error."""
        with self._lock:
            self._remove(names)

    def links(self) -> list[str]:
        """Names of the links, sorted."""
        with self._lock:
            links = self._ip.get_links()
            bridges = (link for link in links if str(link.get("ifname")).startswith("w"))
            return sorted(str(link.get("ifalias")) for link in bridges)

    def set(self, name: str, impairment: Impairment) -> int:
        """Change both directions; frames in flight keep the delay they had. Monotonic ns."""
        with self._lock, _told(name):
            ports = self._ports(name)
            if self._impairment(ports[0]) is None:
                raise LinkError(
                    f"link {name} is plain: it cannot be impaired", hint="make it without `plain`"
                )
            for port in ports:
                self._netem.change(port, impairment)
            self._note(ports[0], impairment)
            return time.monotonic_ns()

    def down(self, name: str) -> int:
        """Take the carrier away at both ends; the qdisc is emptied with it. Monotonic ns."""
        return self._admin(name, "down")

    def up(self, name: str) -> int:
        """Give the carrier back; CLOCK_MONOTONIC ns."""
        return self._admin(name, "up")

    def silence(self, name: str, on: bool, direction: Direction = "both") -> int:
        """Lose everything while the carrier stays; CLOCK_MONOTONIC ns when nothing came out."""
        with self._lock, _told(name):
            a, b = self._ports(name)
            ports = {"both": (a, b), "a->b": (b,), "b->a": (a,)}.get(direction)
            if ports is None:
                raise LinkError("a direction is a->b, b->a or both")
            impairment = self._impairment(a)
            for port in ports:
                # The bridge learns nothing, so it floods everything or, without these, nothing.
                flood = 0 if on else 1
                self._ip.brport(
                    "set", index=port, unicast_flood=flood, mcast_flood=flood, bcast_flood=flood
                )
                if on and impairment is not None:
                    # A new qdisc: what the old one held does not arrive any more.
                    self._netem.remove(port)
                    self._netem.add(port, impairment)
            return time.monotonic_ns()

    def stats(self, name: str) -> LinkStats:
        """Counted by the ports; `lost` has netem's loss and what did not fit its queue."""
        with self._lock, _told(name):
            if self._index(_device("w", name)) is None:
                raise LinkError(f"no link {name}")
            links = [self._link(_device(end, name)) for end in "ab"]
            gone = "".join(end for end, link in zip("ab", links, strict=True) if link is None)
            up = [bool(link["flags"] & _IFF_UP) for link in links if link is not None]
            return LinkStats(
                down=not any(up),
                gone=gone or "-",
                ab=self._direction(links[0], links[1]),
                ba=self._direction(links[1], links[0]),
            )

    def _create(self, spec: LinkSpec) -> None:
        bridge = self._add(
            ifname=_device("w", spec.name),
            kind="bridge",
            br_stp_state=0,
            br_forward_delay=0,
            br_mcast_snooping=0,
            br_group_fwd_mask=_GROUP_FORWARD,
        )
        self._ip.link("set", index=bridge, ifalias=spec.name, state="up")
        for end, (where, interface, mac) in zip("ab", spec.ends, strict=True):
            fd = netns.open_fd(where)
            try:
                # Each side is born where it belongs: moving one costs 17 ms.
                peer = {"ifname": interface, "net_ns_fd": fd, "address": mac, "mtu": spec.mtu}
                port = self._add(
                    ifname=_device(end, spec.name), kind="veth", mtu=spec.mtu, peer=peer
                )
            finally:
                os.close(fd)
            self._ip.link("set", index=port, master=bridge, state="up")
            self._ip.brport("set", index=port, learning=0)
            # netem would lose or delay a burst of 64 KiB as one: frames leave the node as on a wire.
            limits = {} if spec.plain else {"gso_max_segs": 1}
            with netns.in_netns(where), IPRoute() as ip:
                ip.link("set", index=socket.if_nametoindex(interface), state="up", **limits)
            if not spec.plain:
                self._netem.add(port, spec.impairment)
                if end == "a":
                    self._note(port, spec.impairment)

    def _add(self, *, ifname: str, **arguments: Any) -> int:
        self._ip.link("add", ifname=ifname, **arguments)
        index = self._index(ifname)
        if index is None:
            raise LinkError(f"{ifname} went away while it was made")
        return index

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            for kind in "abw":
                index = self._index(_device(kind, name))
                if index is not None:
                    with contextlib.suppress(NetlinkError):
                        self._ip.link("delete", index=index)

    def _admin(self, name: str, state: str) -> int:
        with self._lock, _told(name):
            for port in self._ports(name):
                self._ip.link("set", index=port, state=state)
            return time.monotonic_ns()

    def _index(self, device: str) -> int | None:
        found = self._ip.link_lookup(ifname=device)
        return int(found[0]) if found else None

    def _link(self, device: str) -> Any:
        index = self._index(device)
        try:
            return None if index is None else self._ip.get_links(index)[0]
        except NetlinkError as error:
            if error.code != errno.ENODEV:
                raise
            return None  # it went with the namespace of its other side just now

    def _ports(self, name: str) -> tuple[int, int]:
        a, b = (self._index(_device(end, name)) for end in "ab")
        if a is None or b is None:
            known = self._index(_device("w", name)) is not None
            raise LinkError(f"an end of link {name} is gone" if known else f"no link {name}")
        return a, b

    def _note(self, port: int, impairment: Impairment) -> None:
        # Port a's alias remembers it for other processes; a plain link has none.
        self._ip.link("set", index=port, ifalias=impairment.model_dump_json())

    def _impairment(self, port: int) -> Impairment | None:
        text = self._ip.get_links(port)[0].get("ifalias")
        return Impairment.model_validate_json(text) if text else None

    def _direction(self, source: Any, target: Any) -> DirectionStats:
        rx = source.get("stats64") if source is not None else None
        tx = target.get("stats64") if target is not None else None
        lost, silent = 0, False
        if target is not None:
            for qdisc in self._ip.get_qdiscs(index=target["index"]):
                if qdisc.get_attr("TCA_KIND") == "netem":
                    lost = int(qdisc.get_attr("TCA_STATS")["drop"])
            for port in self._ip.brport("dump"):
                if port["index"] == target["index"]:
                    options = port.get_attr("IFLA_PROTINFO")
                    silent = options.get_attr("IFLA_BRPORT_UNICAST_FLOOD") == 0
        return DirectionStats(
            silent=silent,
            rx=rx["rx_packets"] if rx else 0,
            rx_bytes=rx["rx_bytes"] if rx else 0,
            tx=tx["tx_packets"] if tx else 0,
            tx_bytes=tx["tx_bytes"] if tx else 0,
            lost=lost,
        )


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    """What the kernel refuses is said of the link it was asked for."""
    try:
        yield
    except netns.NetnsError as error:
        raise LinkError(f"link {name}: {error}") from error
    except NetlinkError as error:
        raise LinkError(f"link {name}: the kernel refuses: {error}") from error
    except OSError as error:
        hint = "this kernel has no netem; use the emulator" if error.errno == errno.ENOENT else ""
        raise LinkError(f"link {name}: {error.strerror}", hint=hint) from error


def _device(kind: str, link: str) -> str:
    """The closet's device of a link: `a` and `b` its ports, `w` its bridge."""
    return kind + hashlib.sha256(link.encode()).hexdigest()[:12]
