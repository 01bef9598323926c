"""Why a packet is not taken for a keepalive: one reason each, to be counted and shown."""

from enum import StrEnum


class Reason(StrEnum):
    """What was wrong first, from the outside in."""

    TRUNCATED = "truncated"
    NOT_IP = "not IP of the expected version"
    OPTIONS = "IPv4 options"
    BAD_CHECKSUM = "bad IPv4 header checksum"
    FRAGMENT = "fragment"
    NOT_GRE = "not GRE"
    BAD_FLAGS = "GRE version, routing, sequence or reserved bits"
    BAD_GRE_CHECKSUM = "bad GRE checksum"
    NOT_KEEPALIVE = "GRE protocol type is not a keepalive's"
    TRAILING = "bytes after the GRE header"
    WRONG_ENDS = "not between the tunnel's ends"
    WRONG_KEY = "GRE key or checksum is not the tunnel's"
    WRONG_INNER = "inner addresses do not lead back"
    TTL_SPENT = "inner TTL is spent"
    NOT_OURS = "not sent by us"
    WRONG_NONCE = "nonce is not ours"


class RefusedError(Exception):
    """A packet that is not what it should be; the peer's fault or a stranger's, never fatal."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.value)
