"""GRE keepalive as Cisco IOS has it: a request that carries its own answer.

The request's inner packet is addressed from the far end to us, so that any router which removes GRE
and forwards what was inside sends the answer, and needs to know nothing about keepalives.
"""

from bongsu.protocol.gre_keepalive.dialects import FORMS, Evidence, Form
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
    Reply,
    gre_payload,
    identify,
    inner,
    parse_reply,
    request,
    slot_of,
)
from bongsu.protocol.gre_keepalive.reflector import Request, parse_request, reflect
from bongsu.protocol.gre_keepalive.refusal import Reason, RefusedError

__all__ = [
    "FORMS",
    "Config",
    "Ends",
    "Evidence",
    "Form",
    "KeepaliveMachine",
    "LineDown",
    "LineUp",
    "Reason",
    "RefusedError",
    "Reply",
    "Request",
    "Send",
    "Wake",
    "gre_payload",
    "identify",
    "inner",
    "parse_reply",
    "parse_request",
    "reflect",
    "request",
    "slot_of",
]
