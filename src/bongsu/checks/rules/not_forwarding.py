"""VPN016: a site that may not forward."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """`forwarding: false` where a connection is for networks and not for the machine itself."""
    for site, connections in scene.connections_of.items():
        node = scene.network.nodes[site]
        own = {address.ip for item in node.interfaces.values() for address in item.addresses}
        behind = [
            net
            for connection in connections
            for net in connection.networks
            if net.num_addresses > 1 or net.network_address not in own
        ]
        if not node.forwarding and behind:
            yield Finding(
                "VPN016",
                Severity.ERROR,
                ("nodes", site, "forwarding"),
                f"{site} may not forward, and the VPN is for {behind[0]} behind it: the tunnel is up, "
                "the gateway answers, and nothing passes",
                "leave it out; or `networks` of the VPN with this machine's own address only",
            )
