"""A relay's plan, and a data plane that only remembers."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import numpy as np

from bongsu.model.accelerator import Health, Mesh
from bongsu.plan.relay import (
    AcceleratorPlan,
    EndpointPlan,
    ListenerPlan,
    RegionPlan,
    RelayPeer,
    RelayPlan,
    number,
)
from bongsu.system.relay import (
    AcceleratorCounters,
    Carried,
    LiveEndpoint,
    Occupancy,
    Stray,
    layout,
)
from bongsu.system.relay.sessions import SESSION, SPI

SHANGHAI, TOKYO, SEOUL = (number("node", name) for name in ("shanghai", "tokyo", "seoul"))
GA = number("accelerator", "ga")


def listener(*endpoints: tuple[str, str, int], **changes: Any) -> ListenerPlan:
    """Endpoints are name, address or host name, and weight."""
    values: dict[str, Any] = {
        "name": "vpn",
        "protocol": "udp",
        "ranges": [(500, 500), (4500, 4500)],
        "endpoints": [
            {"name": name, "address": address, "weight": weight}
            for name, address, weight in endpoints or [("gw", "198.51.100.11", 100)]
        ],
        "affinity": "client",
        "idle_s": 300,
        "validation": "ike",
        "amplification": 3,
        "health": Health(probe="ike", interval_s=1, misses=2),
        "repair": None,
    }
    plan = ListenerPlan.model_validate(values | changes)
    assert all(isinstance(each, EndpointPlan) for each in plan.endpoints)
    return plan


def accelerator(*listeners: ListenerPlan) -> AcceleratorPlan:
    return AcceleratorPlan(
        name="ga",
        number=GA,
        bandwidth_bps=50_000_000,
        regions=[
            RegionPlan(
                name="near", node="shanghai", number=SHANGHAI,
                address=ip_address("203.0.113.21"), public=ip_address("203.0.113.21"),
            )
        ],
        egress="seoul",
        egress_number=SEOUL,
        off_address=ip_address("203.0.113.151"),
        off_public=ip_address("203.0.113.151"),
        listeners=list(listeners) or [listener()],
    )  # fmt: skip


def relay_plan(*accelerators: AcceleratorPlan, own: int = SEOUL, **changes: Any) -> RelayPlan:
    names = {"shanghai": SHANGHAI, "tokyo": TOKYO, "seoul": SEOUL}
    values: dict[str, Any] = {
        "number": own,
        "port": 4610,
        "key": None,
        "mesh": Mesh(),
        "peers": [
            RelayPeer(
                node=name, number=each, local=ip_address("192.0.2.3"),
                remote=ip_address(f"192.0.2.{10 + place}"),
            )
            for place, (name, each) in enumerate(names.items())
            if each != own
        ],
        "accelerators": list(accelerators) or [accelerator()],
    }  # fmt: skip
    return RelayPlan(**(values | changes))


class FakePlane:
    """Remembers what it was told; refuses what stands in `broken`."""

    def __init__(self, name: str = "bpf", reason: str = "") -> None:
        self.name, self.reason = name, reason
        self.calls: list[tuple[Any, ...]] = []
        self.broken: set[str] = set()
        self.paths: dict[int, int] = {}
        self.live: dict[tuple[int, str], list[LiveEndpoint]] = {}
        self.key: bytes | None = None

    def _called(self, name: str, *arguments: Any) -> None:
        if name in self.broken:
            raise OSError(5, f"{name} is broken")
        self.calls.append((name, *arguments))

    def count(self, name: str) -> int:
        return sum(call[0] == name for call in self.calls)

    def apply(self, plan: RelayPlan, key: bytes | None) -> None:
        self._called("apply", plan)
        self.key = key

    def set_path(self, destination: int, next_hop: int) -> None:
        self._called("set_path", destination, next_hop)
        self.paths[destination] = next_hop

    def set_endpoints(
        self, accelerator: int, listener: str, endpoints: Sequence[LiveEndpoint]
    ) -> None:
        self._called("set_endpoints", accelerator, listener)
        self.live[accelerator, listener] = list(endpoints)

    def set_repair(self, ifindex: int | None) -> None:
        self._called("set_repair", ifindex)

    def expire(self) -> int:
        self._called("expire")
        return 0

    def detach(self) -> None:
        self._called("detach")

    def close(self) -> None:
        self._called("close")

    def counters(self) -> dict[str, AcceleratorCounters]:
        up = Carried(10, 1000, {"bad_tag": 2})
        return {"ga": AcceleratorCounters(up, Carried(9, 900), 0, 0, 0, 0, 0)}

    def sessions(self) -> Any:
        rows = np.zeros(2, SESSION)
        for row, role, client, idle in zip(
            rows, ("egress", "egress"), ("192.0.2.99", "192.0.2.98"), (5.0, 1.0), strict=True
        ):
            row["accelerator"], row["listener"], row["role"] = "ga", "vpn", role
            row["client"] = layout.packed(ip_address(client))
            row["off"] = layout.packed(ip_address("203.0.113.151"))
            row["endpoint"] = layout.packed(ip_address("198.51.100.11"))
            row["client_port"], row["port"], row["off_port"] = 61000, 4500, 61000
            row["ike"] = row["esp"] = row["proved"] = role == "egress" and idle == 5.0
            row["idle_s"], row["age_s"], row["serial"] = idle, 60.0, int(idle)
            row["protocol"] = "udp"
        return rows

    def spis(self) -> Any:
        rows = np.zeros(1, SPI)
        rows[0] = (5, 0xABCDEF01, "up", 77, 50.0, 5.0, 76, 7600)
        return rows

    def stray(self) -> Stray:
        return Stray({"unknown_peer": 3}, 12, 0, 0)

    def occupancy(self) -> Occupancy:
        return Occupancy(2, 1, 65536, 32768, 1)
