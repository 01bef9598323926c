"""BGP009: a neighbor that no session can be opened with."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Neighbors off the link without `multihop`, of a family we have no address of, or ourselves."""
    for name, node in scene.network.nodes.items():
        own = [ip for item in node.interfaces.values() for ip in item.addresses]
        for key, neighbor in node.bgp.neighbors.items():
            path = ("nodes", name, "bgp", "neighbors", key, "address")
            remote = neighbor.address
            if any(address.ip == remote for address in own):
                words, hint = f"{remote} is {name}'s own address", "the provider's is meant"
            elif not any(address.version == remote.version for address in own):
                words = f"{name} has no IPv{remote.version} address to reach {remote} from"
                hint = "add one to the uplink"
            elif (
                neighbor.multihop is None
                and not remote.is_link_local
                and not any(remote in address.network for address in own)
            ):
                words = f"{remote} is on no link of {name}, and the session may take only one hop"
                hint = "`multihop: 2`, or an address on the link"
            else:
                continue
            yield Finding("BGP009", Severity.ERROR, path, words, hint)
