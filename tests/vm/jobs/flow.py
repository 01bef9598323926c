"""In the guest: the flow monitor on the kernel's own GRE and VLAN interfaces.

    python -m tests.vm.jobs.flow

    A (va) ---- (vb) B       GRE between them, and a VLAN

Writes one JSON document: flows by interface, family, protocol, direction, tunnel and VLAN.
"""

import json
import socket
from ipaddress import ip_address
from typing import Any

from bongsu.system import netns
from bongsu.system.flow.choice import Choice
from bongsu.system.flow.monitor import Ends, Monitor
from bongsu.system.run import run

A, B = "bst-vm-a", "bst-vm-b"
OUTER = {A: "192.0.2.1", B: "192.0.2.2"}
OTHER = {A: B, B: A}
DEVICE = {A: "va", B: "vb"}
END = {A: 1, B: 2}
DATAGRAMS, SIZE, TUNNEL = 20, 100, 7


def build() -> None:
    for name in (A, B):
        netns.create(name)
    run(["ip", "-n", A, "link", "add", "va", "type", "veth", "peer", "name", "vb", "netns", B])
    for name, device in DEVICE.items():
        remote = OUTER[OTHER[name]]
        lines = (
            f"addr add {OUTER[name]}/24 dev {device}",
            f"link set {device} up",
            f"link add g type gre local {OUTER[name]} remote {remote} key 7 ttl 64",
            f"addr add 10.9.0.{END[name]}/24 dev g",
            f"addr add fd00:9::{END[name]}/64 dev g nodad",
            "link set g up",
            f"link add link {device} name tagged type vlan id 9",
            f"addr add 10.8.0.{END[name]}/24 dev tagged",
            "link set tagged up",
        )
        run(["ip", "-n", name, "-batch", "-"], input="\n".join(lines) + "\n")


def send(target: str) -> None:
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with netns.socket_in(B, family, socket.SOCK_DGRAM) as sink:
        sink.settimeout(30)
        sink.bind((target, 9))
        with netns.socket_in(A, family, socket.SOCK_DGRAM) as source:
            for _ in range(DATAGRAMS):
                source.sendto(bytes(SIZE), (target, 9))
                sink.recv(1000)


def main() -> None:
    build()
    with netns.in_netns(B):
        monitor = Monitor(sets=256, spilled=1024)
        monitor.choose(Choice(http=True))
        monitor.watch("vb", underlay=True)
        monitor.watch("g", tunnel=TUNNEL)
        monitor.watch("tagged")
        monitor.declare({TUNNEL: Ends(ip_address(OUTER[B]), ip_address(OUTER[A]), 7)})
        names = dict(socket.if_nameindex())
    for target in (OUTER[B], "10.9.0.2", "fd00:9::2", "10.8.0.2"):
        send(target)
    found: dict[str, Any] = {}
    for row in monitor.read().live:
        if row["dport"] not in (0, 9) or row["proto"] not in (17, 47):
            continue
        name = names[int(row["ifindex"])]
        numbers = [int(row[f]) for f in ("family", "proto", "direction", "tunnel", "vlan")]
        old = found.get(key := " ".join(map(str, (name, *numbers))), [0, 0])
        found[key] = [old[0] + int(row["packets"]), old[1] + int(row["bytes"])]
    with netns.in_netns(B):
        monitor.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
