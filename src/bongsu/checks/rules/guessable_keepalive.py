"""SEC003: a keepalive that a stranger can answer."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Family
from bongsu.model.node import Platform

GUESSED: dict[Family, int] = {4: 16, 6: 20}
"""Bits that tell an answer of ours: the identification of IPv4, the flow label of IPv6."""


def check(scene: Scene) -> Iterator[Finding]:
    """Keepalives across the open Internet without key, nonce or IPsec."""
    told = set()
    for watch in scene.watches:
        own = watch.own
        if not own.insecure or own.ipsec is not None or own.key is not None or own.multipoint:
            continue
        if watch.keepalive.nonce or watch.path in told:
            continue
        told.add(watch.path)
        linux = watch.platform is Platform.LINUX
        yield Finding(
            "SEC003",
            Severity.WARNING,
            watch.path,
            f"who can send to {own.local} from a forged {own.remote} has "
            f"{GUESSED[own.local.version]} bits at most to guess, and keeps {watch.tunnel} up when "
            "it is dead",
            "`nonce: true`, which the far end need not know of, or a `key`" if linux else "a `key`",
        )
