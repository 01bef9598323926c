"""In the guest: the lab's links where the kernel has netem. Writes one JSON document."""

import json
import socket
import statistics
import struct
import time
from pathlib import Path

from bongsu.lab.link.links import Links, choose
from bongsu.lab.link.spec import LinkSpec
from bongsu.model.lab import Impairment
from bongsu.system import netns
from bongsu.system.run import run

A, B, CLOSET = "bst-a", "bst-b", "bst-closet"
STATE = Path("/run/bst-links")
PORT = 9000
# Long enough for what is under way to arrive, on a slow processor.
QUIET_S = 0.7


class Flow:
    """Datagrams from A to B, each with its number and the moment it was sent."""

    def __init__(self) -> None:
        self._from = netns.socket_in(A, socket.AF_INET, socket.SOCK_DGRAM)
        self._to = netns.socket_in(B, socket.AF_INET, socket.SOCK_DGRAM)
        self._to.bind(("192.0.2.2", PORT))

    def send(self, count: int, size: int = 64, gap_s: float = 0.0) -> list[tuple[float, float]]:
        """Sent and received, in seconds, of all that arrived."""
        got = []
        for number in range(count):
            message = struct.pack("=id", number, time.monotonic()).ljust(size, b"\0")
            self._from.sendto(message, ("192.0.2.2", PORT))
            time.sleep(gap_s)
            got += self._receive(0.0)
        return got + self._receive(QUIET_S)

    def _receive(self, quiet_s: float) -> list[tuple[float, float]]:
        got: list[tuple[float, float]] = []
        while True:
            try:
                self._to.settimeout(quiet_s)
                message = self._to.recv(2048)
            except (TimeoutError, BlockingIOError):
                return got
            got.append((struct.unpack_from("=d", message, 4)[0], time.monotonic()))


def carriers() -> list[int]:
    found = []
    for name in (A, B):
        (link,) = json.loads(run(["ip", "-j", "link", "show", "up0"], netns=name).stdout)
        found.append(int("LOWER_UP" in link["flags"]))
    return found


def main() -> None:
    seen: dict[str, object] = {"choose": choose()}
    for name in (A, B):
        netns.create(name)
    links = Links.start(STATE, CLOSET)
    spec = LinkSpec("wan", A, "up0", B, "up0", Impairment(delay_ms=40), mtu=1400)
    links.create([spec])
    seen["kind"], seen["links"] = links.kind, links.links()
    for name, address in ((A, "192.0.2.1/24"), (B, "192.0.2.2/24")):
        run(["ip", "-n", name, "addr", "add", address, "dev", "up0"])
    flow = Flow()
    flow.send(1)  # resolves the neighbour

    delays = [(got - sent) * 1e3 for sent, got in flow.send(40, gap_s=0.02)]
    seen["delay_ms"] = [len(delays), min(delays), statistics.median(delays)]
    links.set("wan", Impairment(loss=0.3))
    seen["passed"] = len(flow.send(600))
    seen["lost"] = links.stats("wan").ab.lost
    links.set("wan", Impairment(rate_mbps=2))
    arrived = [got for _, got in flow.send(24, size=1000)]
    seen["rate"] = [len(arrived), arrived[-1] - arrived[0]]
    links.set("wan", Impairment())
    seen["clean"] = len(flow.send(50))

    links.silence("wan", True)
    seen["silent"] = [len(flow.send(20)), carriers(), links.stats("wan").ab.silent]
    links.silence("wan", False)
    seen["heard"] = len(flow.send(20))
    links.down("wan")
    seen["down"] = [carriers(), links.stats("wan").down]
    links.up("wan")
    seen["up"] = carriers()
    links.close()

    again = Links.connect(STATE, CLOSET)
    seen["found again"] = [again.kind, again.links()]
    again.remove(["wan"])
    again.close()
    Links.end(STATE, CLOSET)
    with netns.in_netns(A):
        left = [name for _, name in socket.if_nameindex() if name == "up0"]
    seen["left"] = [netns.names(), left]
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
