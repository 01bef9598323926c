"""VPN022: a network of a site that the site's node does not lead to."""

from collections.abc import Iterator

from bongsu.checks.connection import Connection
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import EVERYTHING, Prefix


def check(scene: Scene) -> Iterator[Finding]:
    """Connections whose `networks` name what no interface and no route of the node is about."""
    for connection in scene.connections:
        for index, prefix in enumerate(connection.vpn.networks or []):
            if prefix in EVERYTHING.values() or any(
                known.version == prefix.version and known.overlaps(prefix)
                for known in _known(connection)
            ):
                continue
            yield Finding(
                "VPN022",
                Severity.WARNING,
                (*connection.at, "networks", index),
                f"{connection.site} has no interface in {prefix} and no route to it: what comes out of "
                "the tunnel for it leaves by the default route",
                "give the node the interface (`role: lan`) or a route (`routes: [{to:, via:}]`)",
            )


def _known(connection: Connection) -> Iterator[Prefix]:
    for item in connection.node.interfaces.values():
        for address in item.addresses:
            yield address.network
    for route in connection.node.routes:
        yield route.to
