"""BGP008: an AS number that the Internet does not take an announcement from."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene

PRIVATE = ((64512, 65534), (4200000000, 4294967294))
"""RFC 6996."""
RESERVED = ((23456, 23456), (65535, 65535), (65552, 131071))
"""AS_TRANS (RFC 6793), last of 16 bits (RFC 7300), and what IANA keeps back. Those for documentation
(RFC 5398) pass: examples are written with them."""


def check(scene: Scene) -> Iterator[Finding]:
    """The owner's AS number."""
    asn = scene.network.owner.asn
    if not scene.network.owner.prefixes:
        return  # nobody outside ever hears of it
    if any(low <= asn <= high for low, high in RESERVED):
        yield Finding(
            "BGP008",
            Severity.ERROR,
            ("owner", "asn"),
            f"AS{asn} is reserved: nobody accepts a route from it",
            "use the AS number that a registry has assigned to you",
        )
    elif any(low <= asn <= high for low, high in PRIVATE):
        yield Finding(
            "BGP008",
            Severity.WARNING,
            ("owner", "asn"),
            f"AS{asn} is private: providers drop its routes, or announce them as their own",
            "use the AS number that a registry has assigned to you",
        )
