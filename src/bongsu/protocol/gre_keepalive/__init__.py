"""GRE keepalive as Cisco IOS has it: a request that carries its own answer.

The request's inner packet is addressed from the far end to us, so that any router which removes GRE
and forwards what was inside sends the answer, and needs to know nothing about keepalives.
"""

from bongsu.protocol.gre_keepalive.machine import (
    Config,
    KeepaliveMachine,
    LineDown,
    LineUp,
    Send,
    Wake,
)
from bongsu.protocol.gre_keepalive.packet import (
    Ends,
    Reason,
    RefusedError,
    Reply,
    parse_reply,
    request,
)

__all__ = [
    "Config",
    "Ends",
    "KeepaliveMachine",
    "LineDown",
    "LineUp",
    "Reason",
    "RefusedError",
    "Reply",
    "Send",
    "Wake",
    "parse_reply",
    "request",
]
