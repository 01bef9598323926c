"""Packets of one's own making at the far ends of a gateway's interfaces, and what its filter counts."""

import ipaddress
import json
import socket
import time
from collections.abc import Mapping

from bongsu.system import netns
from bongsu.system.run import run

ESP = 50
DEADLINE_S = 5


class Wires:
    """Packet sockets at the far ends, each an interface `far` in a namespace of its own."""

    def __init__(self, gateway: str, far: Mapping[str, str], ethertype: int) -> None:
        """far: by the gateway's interface, the namespace at its far end."""
        self.gateway, self.ethertype = gateway, ethertype
        shown = json.loads(run(["ip", "-j", "link"], netns=gateway).stdout)
        self.macs = {link["ifname"]: link["address"] for link in shown}
        self.sockets = {}
        for interface, namespace in far.items():
            wire = netns.socket_in(
                namespace, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ethertype)
            )
            wire.bind(("far", ethertype))
            wire.settimeout(DEADLINE_S)
            self.sockets[interface] = wire

    def send(self, interface: str, packet: bytes) -> None:
        mac = bytes.fromhex(self.macs[interface].replace(":", ""))
        head = mac + b"\2\0\0\0\0\1" + self.ethertype.to_bytes(2)
        self.sockets[interface].send(head + packet)

    def arrives(self, interface: str, source: str, destination: str) -> bytes:
        """The IP payload of the next packet between the two addresses; fails after DEADLINE_S."""
        ends = [ipaddress.ip_address(each).packed for each in (source, destination)]
        begin, head = (12, 20) if len(ends[0]) == 4 else (8, 40)
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            packet = self.sockets[interface].recv(2000)[14:]
            if packet[begin:head] == b"".join(ends):
                return packet[head:]
        raise AssertionError("it did not arrive")

    def dropped(self, interface: str, packet: bytes) -> str:
        """Names of the counters that the packet raises."""
        before = self.counters()
        self.send(interface, packet)
        return self.raised(before)

    def counters(self) -> dict[str, int]:
        shown = run(["nft", "-j", "list", "counters"], netns=self.gateway).stdout
        return {
            item["counter"]["name"]: item["counter"]["packets"]
            for item in json.loads(shown)["nftables"]
            if "counter" in item
        }

    def raised(self, before: dict[str, int]) -> str:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            found = [name for name, count in self.counters().items() if count != before[name]]
            if found:
                return " ".join(found)
        return "nothing"
