"""In the guest: the keepalive engine itself inside IPsec, reading its replies from a raw socket."""

import socket
import time
from ipaddress import IPv4Address

from bongsu.protocol.gre_keepalive import Ends, gre_payload
from bongsu.system import netns
from bongsu.system.keepalive.engine import KeepaliveEngine
from bongsu.system.keepalive.memory import Memory
from bongsu.system.keepalive.session import Session
from tests.vm.jobs.ipsec_tunnel import DEVICES, OTHER, Tunnel, namespace

INTERVAL_NS, RETRIES, ROUNDS = 400_000_000, 4, 6
"""Slower than a guest without KVM needs for an answer; rounds are enough to lose the line."""
WITHIN_S = 30.0


def engine_line(tunnel: Tunnel, end: str) -> dict[str, object]:
    """The line after ROUNDS requests, and whether replies were counted."""
    local, remote = IPv4Address(tunnel.outer(end)), IPv4Address(tunnel.outer(OTHER[end]))
    with netns.in_netns(namespace(end)):
        # Tunnel protection is at the device: what is to be encrypted has to leave by it.
        bound = tunnel.form(end) in DEVICES
        session = Session(
            local=local,
            remote=remote,
            interval_ns=INTERVAL_NS,
            retries=RETRIES,
            payload=gre_payload(Ends(local, remote, None)),
            inner=4,
            ifindex=socket.if_nametoindex(tunnel.device) if bound else 0,
            mode="socket",
        )
        engine = KeepaliveEngine(Memory.private(8))
        engine.add(1, session)
    try:
        record = engine.records[1]
        deadline = time.monotonic() + WITHIN_S
        while record["sent"] < ROUNDS and time.monotonic() < deadline:
            time.sleep(0.05)
        return {
            "sent": bool(record["sent"] >= ROUNDS),
            "line": "up" if engine.up(1) else "down",
            "received": bool(record["received"]),
            "errors": int(record["send_errors"]),
        }
    finally:
        engine.close()
