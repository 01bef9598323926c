"""How vendors write a keepalive: one form for each dialect, and how well it is known.

Every dialect takes Cisco's form from the peer too, and answers it. `sources` says what each word
rests on; no vendor but Cisco publishes the bytes. What is inferred has been seen on no wire.
"linux-gre-keepalive" is the reflector Jamesits/linux-gre-keepalive, with its code and its threads.
"""

from dataclasses import dataclass
from enum import StrEnum

from bongsu.model.base import Family
from bongsu.model.tunnel import Dialect
from bongsu.protocol.gre_keepalive.header import ETHERTYPES


class Evidence(StrEnum):
    """What a statement rests on, from strong to weak."""

    DOCUMENT = "vendor's document"
    CAPTURE = "capture"
    THREAD = "told in a thread"
    INFERRED = "inferred"


KEEPALIVE = 0x0000
"""Protocol type of the inner GRE header, which makes the answer one."""

_HUAWEI = 0x0004
"""Protocol type of the outer GRE header, assigned to nobody."""


@dataclass(frozen=True)
class Form:
    """What a keepalive looks like. Defaults are Cisco's."""

    differs: str
    """From Cisco's, in a phrase."""
    sources: tuple[tuple[Evidence, str], ...]
    outer4: int = ETHERTYPES[4]
    """Protocol type of the outer GRE header before an inner IPv4 packet, as we send it."""
    mark6: int = KEEPALIVE
    """Protocol type of the inner GRE header in an inner IPv6 packet."""
    inside: bool = False
    """The inner packet is addressed between the tunnel's inside addresses, so that the answer is
    routed into the tunnel and comes back encapsulated."""
    readdresses: bool = False
    """The inner destination may be another than the outer source, for the peer knows only the
    address that it has behind a NAT: the answer goes to the outer source all the same."""
    ttl: int = 255
    """Of the inner packet, IPv6: hop limit."""

    def outer(self, family: Family) -> int:
        """Protocol type of the outer GRE header as we send it; `family` is the inner packet's."""
        return self.outer4 if family == 4 else ETHERTYPES[6]

    def carried(self, kind: int) -> Family | None:
        """Family of the inner packet by the outer protocol type of a peer's request, if it is one."""
        if kind in (ETHERTYPES[4], self.outer4):
            return 4
        return 6 if kind == ETHERTYPES[6] else None

    def mark(self, family: Family) -> int:
        """Protocol type of the inner GRE header as we send it, and have to find in the answer."""
        return KEEPALIVE if family == 4 else self.mark6


FORMS: dict[Dialect, Form] = {
    Dialect.CISCO: Form(
        "nothing: the reference",
        (
            (Evidence.DOCUMENT, "Cisco 118370: headers, addresses, both protocol types, counting"),
            (Evidence.DOCUMENT, "IOS XE has none over IPv6"),
            (Evidence.INFERRED, "over IPv6 the same with IPv6 headers, between nodes of ours"),
            (Evidence.INFERRED, "the key in both headers; TTL 255"),
        ),
    ),
    Dialect.HUAWEI: Form(
        "outer protocol type 0x0004",
        (
            (
                Evidence.CAPTURE,
                "linux-gre-keepalive#3: packets of outer type 0x0004 that hold IPv4 with GRE, beside "
                "such of type 0x0800; a firewall took an answer that was built by hand",
            ),
            (Evidence.DOCUMENT, "command references: `keepalive period 5 retry-times 3`; no bytes"),
            (Evidence.INFERRED, "that it answers the type it sends; inner type 0; IPv6 as Cisco"),
        ),
        outer4=_HUAWEI,
    ),
    Dialect.MIKROTIK: Form(
        "over IPv6 the inner protocol type is 0x86dd; behind a NAT the inner destination is private",
        (
            (
                Evidence.THREAD,
                "linux-gre-keepalive, read-me and code: tested with RouterOS, IPv4 as Cisco, IPv6 "
                "with inner type 0x86dd",
            ),
            (Evidence.THREAD, "linux-gre-keepalive#4: the destination behind a NAT, RouterOS 7"),
            (
                Evidence.INFERRED,
                "nothing follows the inner GRE header; that it answers its own form",
            ),
        ),
        mark6=ETHERTYPES[6],
        readdresses=True,
    ),
    Dialect.VELOCLOUD: Form(
        "inner packet between the inside addresses; the answer comes through the tunnel",
        (
            (
                Evidence.CAPTURE,
                "linux-gre-keepalive#1, printed by tcpdump: request of an Edge and Linux's answer, "
                "both 28 bytes of GRE",
            ),
            (Evidence.INFERRED, "that an Edge answers such a request; the key in both headers"),
        ),
        inside=True,
    ),
    Dialect.HPE: Form(
        "nothing that is known",
        (
            (
                Evidence.DOCUMENT,
                "HPE 5920 and 5900 Layer 3 command reference: `keepalive 10 3`, ranges as Cisco, "
                "always acknowledges, none over IPv6; no bytes",
            ),
            (Evidence.INFERRED, "the bytes are Cisco's"),
        ),
    ),
}
