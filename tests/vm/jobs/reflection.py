"""In the guest: does ip_gre send a keepalive's reply home, under every setting that matters?

Reads /job/request and /job/echo (outer IPv4 packets from 192.0.2.1 to 192.0.2.2, built outside) and
writes one JSON document: a list of [settings, replies]. After each request an echo request goes the
same way, on the same processor; what has not come back when the echo has, never will. No timing.
"""

import itertools
import json
import os
import socket
from pathlib import Path

from bongsu.system import netns
from bongsu.system.run import run

NEAR, FAR = "bst-near", "bst-far"
NEAR_ADDRESS, FAR_ADDRESS = "192.0.2.1", "192.0.2.2"
SWITCHES = {
    "ip_forward": (0, 1),
    "conf/all/accept_local": (0, 1),
    "conf/gre1/accept_local": (0, 1),
    "conf/all/rp_filter": (0, 1, 2),
    "conf/gre1/rp_filter": (0, 1, 2),
}
ETH_P_IP = 0x0800
ECHO_TIMEOUT_S = 10.0


def build() -> None:
    for name in (NEAR, FAR):
        netns.create(name)
    run(
        ["ip", "-n", NEAR, "-batch", "-"],
        input=f"""\
link add va type veth peer name vb netns {FAR}
addr add {NEAR_ADDRESS}/24 dev va
link set lo up
link set va up
""",
    )
    run(
        ["ip", "-n", FAR, "-batch", "-"],
        input=f"""\
addr add {FAR_ADDRESS}/24 dev vb
link set lo up
link set vb up
link add gre1 type gre local {FAR_ADDRESS} remote {NEAR_ADDRESS} ttl 255
addr add 10.99.1.2/24 dev gre1
link set gre1 up
""",
    )


def configure(values: dict[str, int]) -> None:
    with netns.in_netns(FAR):
        root = Path("/proc/sys/net/ipv4")
        # Writing ip_forward sets `forwarding` of every interface, so it comes first.
        (root / "conf/vb/rp_filter").write_text("0")
        for name, value in values.items():
            (root / name).write_text(str(value))


class Wire:
    """The near end of the veth: sends outer packets, sees what the far kernel sends back."""

    def __init__(self) -> None:
        self._out = netns.socket_in(NEAR, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._in = netns.socket_in(NEAR, socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        with netns.in_netns(NEAR):
            self._in.bind(("va", ETH_P_IP))
        self._in.settimeout(ECHO_TIMEOUT_S)
        self._request = Path("/job/request").read_bytes()
        self._echo = Path("/job/echo").read_bytes()

    def replies(self) -> list[str]:
        """Keepalives that came back before the echo did, in hex."""
        for packet in (self._request, self._echo):
            self._out.sendto(packet, (FAR_ADDRESS, 0))
        found: list[str] = []
        while True:
            packet, (_, _, kind, _, _) = self._in.recvfrom(2048)
            if kind == socket.PACKET_OUTGOING:
                continue
            if packet[9] == socket.IPPROTO_ICMP and packet[20] == 0:
                return found
            # Protocol type 0 is a keepalive's; the far end may also solicit routers (0x86dd).
            if packet[9] == socket.IPPROTO_GRE and packet[22:24] == b"\0\0":
                found.append(packet.hex())


def main() -> None:
    os.sched_setaffinity(0, {0})
    build()
    wire = Wire()
    seen: list[tuple[dict[str, int], list[str]]] = []
    for values in itertools.product(*SWITCHES.values()):
        setting = dict(zip(SWITCHES, values, strict=True))
        configure(setting)
        seen.append((setting, wire.replies()))
    best = dict.fromkeys(SWITCHES, 0) | {"ip_forward": 1, "conf/gre1/accept_local": 1}
    # The interface's own switch is enough: the rest of the machine need not forward.
    configure(best | {"ip_forward": 0, "conf/gre1/forwarding": 1})
    seen.append(({"only gre1 forwards": 1}, wire.replies()))
    configure(best)
    run(["ip", "-n", FAR, "link", "set", "gre1", "down"])
    seen.append(({"gre1 is down": 1}, wire.replies()))
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
