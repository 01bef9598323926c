"""In the guest: does a GRE keepalive come home when IPsec is around the tunnel?

    python -m tests.vm.jobs.ipsec_keepalive SENDER:A:B[:transport][:open][:engine] ...  as b:xfrm:map

SENDER is the end that asks, A and B are forms; `transport` is the mode, else it is tunnel; `open`
leaves the guard against clear text out; `engine` has the product's own engine ask. Keys are fixed.
Writes one JSON document: for each run what became of the line, and why.
"""

import json
import os
import sys
from pathlib import Path

from bongsu.system import netns
from bongsu.system.run import run
from tests.vm.jobs.ipsec_engine import engine_line
from tests.vm.jobs.ipsec_sender import Sender, Wire
from tests.vm.jobs.ipsec_tunnel import ENDS, Form, Mode, Tunnel, namespace, wire

NET = Path("/proc/sys/net")


def parsed(number: int, name: str) -> tuple[str, Tunnel]:
    sender, a, b, *options = name.split(":")
    mode: Mode = "transport" if "transport" in options else "tunnel"
    return sender, Tunnel(number, Form(a), Form(b), mode, guard="open" not in options)


def build(tunnels: list[Tunnel]) -> None:
    """Both routers with everything but keys and policies for ESP."""
    for end in ENDS:
        netns.create(namespace(end))
        with netns.in_netns(namespace(end)):
            for scope in ("all", "default"):
                # Neighbour discovery would be counted among what has no policy.
                (NET / f"ipv6/conf/{scope}/disable_ipv6").write_text("1")
                (NET / f"ipv4/conf/{scope}/rp_filter").write_text("0")
            (NET / "ipv4/ip_forward").write_text("1")
    for end in ENDS:
        lines = wire(end)
        for tunnel in tunnels:
            lines += tunnel.links(end) + tunnel.guards(end)
        batch(end, lines)
        with netns.in_netns(namespace(end)):
            for tunnel in tunnels:
                for name, value in tunnel.switches(end).items():
                    (NET / "ipv4" / name).write_text(str(value))


def batch(end: str, lines: list[str]) -> None:
    run(["ip", "-n", namespace(end), "-batch", "-"], input="\n".join(lines) + "\n")


def seen(tunnel: Tunnel, end: str) -> dict[str, object]:
    """What one end sees of its tunnel, and what goes over the wire meanwhile."""
    tap, sender = Wire(), Sender(tunnel, end)
    try:
        data = {"fate": sender.echo(), "wire": tap.seen()}
        lines, fates = sender.line()
        return {"line": lines, "fates": fates, "wire": tap.seen(), "data": data}
    finally:
        sender.close()
        tap.close()


def main(names: list[str]) -> None:
    os.sched_setaffinity(0, {0})
    runs = {name: parsed(number, name) for number, name in enumerate(names, start=1)}
    tunnels = [tunnel for _, tunnel in runs.values()]
    build(tunnels)
    for end in ENDS:
        batch(end, [line for tunnel in tunnels for line in tunnel.keys(end)])
    found = {}
    for name, (sender, tunnel) in runs.items():
        look = engine_line if name.endswith(":engine") else seen
        found[name] = look(tunnel, sender)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
