"""Two namespaces and a wire for the flow monitor, and what its tables say in a few words.

    near ---- far       192.0.2.1 / .2, 2001:db8::1 / ::2, devices wn and wf

The monitor watches wf, unless a test says otherwise.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

from bongsu.protocol.flow.records import FLOW, joined
from bongsu.system import netns
from bongsu.system.flow import layout
from bongsu.system.flow.monitor import Monitor
from bongsu.system.run import run

T = TypeVar("T")
MAC = {"wn": "02:00:00:00:00:01", "wf": "02:00:00:00:00:02"}
ADDRESS = {"near": {4: "192.0.2.1", 6: "2001:db8::1"}, "far": {4: "192.0.2.2", 6: "2001:db8::2"}}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
PATIENCE_S = 10.0


@dataclass
class Wire:
    prefix: str
    monitor: Any = None
    settled: list[Any] = field(default_factory=list)

    def ns(self, where: str) -> str:
        return f"{self.prefix}-{where}"

    def at(self, where: str, act: Callable[[], T]) -> T:
        with netns.in_netns(self.ns(where)):
            return act()

    def ip(self, where: str, *lines: str) -> None:
        run(["ip", "-n", self.ns(where), "-batch", "-"], input="\n".join(lines) + "\n")

    def start(self, where: str = "far", device: str = "wf", **sizes: Any) -> Monitor:
        """A monitor that watches a device."""
        self.monitor = self.at(where, lambda: Monitor(**sizes))
        self.at(where, lambda: self.monitor.watch(device))
        return self.monitor

    def all(self) -> Any:
        """All that was counted since the start, by flow."""
        reading = self.monitor.read()
        self.settled.append(reading.spilled)
        rows = joined(FLOW, *self.settled, reading.live)
        return summed(rows)

    def socket(self, where: str, family: int, kind: int) -> socket.socket:
        made = netns.socket_in(self.ns(where), FAMILY[family], kind)
        made.settimeout(PATIENCE_S)
        return made

    def throw(self, where: str, device: str, *frames: bytes) -> None:
        """Sends frames out of a device, as they are."""
        with netns.socket_in(self.ns(where), socket.AF_PACKET, socket.SOCK_RAW) as hand:
            self.at(where, lambda: hand.bind((device, 0)))
            for frame in frames:
                hand.send(frame)

    def build(self) -> None:
        for where in ("near", "far"):
            netns.create(self.ns(where))
            with netns.in_netns(self.ns(where)):
                for scope in ("all", "default"):
                    for name, value in (("router_solicitations", "0"), ("accept_dad", "0")):
                        Path(f"/proc/sys/net/ipv6/conf/{scope}/{name}").write_text(value)
        self.ip(
            "near",
            "link set lo up",
            f"link add wn address {MAC['wn']} type veth peer name wf address {MAC['wf']} "
            f"netns {self.ns('far')}",
        )
        for where, device in (("near", "wn"), ("far", "wf")):
            other, mac = {"near": ("far", MAC["wf"]), "far": ("near", MAC["wn"])}[where]
            self.ip(
                where,
                "link set lo up",
                f"addr add {ADDRESS[where][4]}/24 dev {device}",
                f"addr add {ADDRESS[where][6]}/64 dev {device} nodad",
                f"link set {device} up",
                *(
                    f"neigh replace {ADDRESS[other][family]} lladdr {mac} dev {device} nud permanent"
                    for family in (4, 6)
                ),
            )

    def close(self) -> None:
        if self.monitor is not None:
            self.at("far", self.monitor.close)
        for where in ("near", "far"):
            netns.remove(self.ns(where))


def summed(rows: Any) -> dict[tuple[Any, ...], Any]:
    """Rows by (source, port, destination, port, direction), added up the slow and plain way."""
    made: dict[tuple[Any, ...], Any] = {}
    for row in rows:
        key = (
            text(row, "saddr"),
            int(row["sport"]),
            text(row, "daddr"),
            int(row["dport"]),
            int(row["direction"]),
        )
        if key not in made:
            made[key] = row.copy()
            continue
        for name in ("packets", "bytes"):
            made[key][name] += row[name]
        made[key]["rtt_us"] = max(made[key]["rtt_us"], row["rtt_us"])
        made[key]["tcp_flags"] |= row["tcp_flags"]
    return made


def text(row: Any, name: str) -> str:
    raw = row[name].tobytes()
    return str(ip_address(raw[:4] if row["family"] == 4 else raw))


def counted(row: Any) -> tuple[int, int]:
    return int(row["packets"]), int(row["bytes"])


_count = 0


@contextlib.contextmanager
def wire() -> Iterator[Wire]:
    global _count
    _count += 1
    made = Wire(f"bst-flow{os.getpid()}-{_count}")
    try:
        made.build()
        yield made
    finally:
        made.close()


def eventually(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


IN, OUT, INNER = 0, layout.EGRESS, layout.INNER
