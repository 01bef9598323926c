"""VPN015: the provider drops what a site forwards for its neighbours."""

from collections.abc import Iterator

from bongsu.checks.connection import Connection
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """`source_dest_check` of the interfaces by which a site reaches the networks behind it."""
    told = set()
    for connection in scene.connections:
        for name in _toward_neighbours(connection):
            if (connection.site, name) in told:
                continue
            told.add((connection.site, name))
            interface = connection.node.interfaces[name]
            at = ("nodes", connection.site, "interfaces", name)
            if interface.source_dest_check:
                yield Finding(
                    "VPN015",
                    Severity.ERROR,
                    (*at, "source_dest_check"),
                    f"the provider drops what passes {name} and is neither from nor to "
                    f"{connection.site}: everything that the tunnel brings for the hosts there",
                    "switch the check off at the provider (skip source/destination check), and say "
                    "`source_dest_check: false`",
                )
            elif interface.source_dest_check is None and interface.public is not None:
                yield Finding(
                    "VPN015",
                    Severity.INFO,
                    at,
                    f"{connection.site} forwards for the hosts on {name}, and stands behind a 1:1 "
                    "NAT: clouds drop what a machine forwards unless they are told not to",
                    "`source_dest_check: false` once it is off there",
                )


def _toward_neighbours(connection: Connection) -> list[str]:
    """Interfaces in a network of the site's side that holds more than the machine itself."""
    return [
        name
        for name, interface in connection.node.interfaces.items()
        for address in interface.addresses[:1]
        if any(
            net.version == address.version
            and net.num_addresses > 1
            and net.overlaps(address.network)
            for net in connection.networks
        )
    ]
