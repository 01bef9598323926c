"""VPN017: a strict look at the way back, where answers may come by another tunnel."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """`rpf: strict` of a site's connections to a cloud that it has more than one tunnel to."""
    count: dict[tuple[str, str], int] = {}
    for connection in scene.connections:
        pair = (connection.site, connection.vpn.cloud)
        count[pair] = count.get(pair, 0) + len(connection.tunnels)
    for connection in scene.connections:
        if connection.vpn.rpf is None:
            continue
        at = (*connection.at, "rpf")
        if not connection.routed:
            yield Finding(
                "VPN017",
                Severity.WARNING,
                at,
                "it has no effect: without an interface of its own a tunnel has no such filter",
                "leave it out; what comes out of the tunnel is filtered by `networks`",
            )
        elif connection.vpn.rpf == "strict" and count[connection.site, connection.vpn.cloud] > 1:
            yield Finding(
                "VPN017",
                Severity.ERROR,
                at,
                "the cloud answers by the tunnel that it likes, and strict drops what does not come "
                "by the one that we would take: one way works and half of the sessions hang",
                "leave it out: loose (RFC 3704) keeps forged sources out all the same, as the filter "
                "by networks does",
            )
