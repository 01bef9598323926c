"""SEC003: a keepalive that a stranger can answer."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.node import Platform


def check(scene: Scene) -> Iterator[Finding]:
    """Keepalives across the open Internet without key, nonce or IPsec."""
    for watch in scene.watches:
        own = watch.own
        if not own.insecure or own.ipsec is not None or own.key is not None or own.multipoint:
            continue
        if watch.keepalive.nonce:
            continue
        linux = watch.platform is Platform.LINUX
        yield Finding(
            "SEC003",
            Severity.WARNING,
            watch.path,
            f"who can send from a forged {own.remote} has 16 bits at most to guess, and keeps "
            f"{watch.tunnel} up at {watch.sender} when it is dead",
            "`nonce: true`, which the far end need not know of, or a `key`" if linux else "a `key`",
        )
