"""BGP007: AS numbers that do not fit together."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.plan.connect import cloud_asn


def check(scene: Scene) -> Iterator[Finding]:
    """Nodes in another AS than the owner's, external neighbors in our own, and clouds."""
    owner = scene.network.owner.asn
    for name, node in scene.network.nodes.items():
        heard = scene.plans[name].internal or scene.plans[name].external
        # A site that speaks with its clouds only may have an AS number of its own.
        if node.bgp.asn is not None and node.bgp.asn != owner and heard:
            yield Finding(
                "BGP007",
                Severity.ERROR,
                ("nodes", name, "bgp", "asn"),
                f"{name} is AS{node.bgp.asn} and the owner AS{owner}: sessions over tunnels are "
                "within one AS, and ROAs name the owner's",
                "leave it out, and the owner's is used",
            )
        for key, neighbor in node.bgp.neighbors.items():
            if neighbor.asn == scene.plans[name].asn:
                yield Finding(
                    "BGP007",
                    Severity.ERROR,
                    ("nodes", name, "bgp", "neighbors", key, "asn"),
                    f"{key} has our own AS number, {neighbor.asn}: to it we would be internal",
                    "the provider's AS number is meant",
                )
    yield from _clouds(scene)


def _clouds(scene: Scene) -> Iterator[Finding]:
    told = set()
    for connection in scene.connections:
        if connection.vpn.bgp is None:
            continue
        site, name, profile = connection.site, connection.vpn.cloud, connection.profile
        theirs, ours = cloud_asn(connection.cloud), scene.plans[site].asn
        at = ("clouds", name, "asn") if connection.cloud.asn is not None else ("clouds", name)
        if theirs is None and name not in told:
            told.add(name)
            yield Finding(
                "BGP007",
                Severity.ERROR,
                at,
                f"nobody knows the AS number of {name}, and BGP refuses every other",
                "`asn:` with what the gateway's page says",
            )
        elif theirs == ours:
            stated = connection.node.bgp.asn is not None
            yield Finding(
                "BGP007",
                Severity.ERROR,
                ("nodes", site, "bgp", "asn") if stated else ("nodes", site),
                f"{site} and the cloud {name} are both AS{ours}: each refuses the other's routes",
                f"an AS number of the site's own in nodes.{site}.bgp.asn, such as 65000, told to the "
                "cloud as well",
            )
        if profile.asn_fixed and theirs != profile.asn and name not in told:
            told.add(name)
            yield Finding(
                "BGP007",
                Severity.WARNING,
                at,
                f"{profile.title} is AS{profile.asn} in all but a few regions, and this says {theirs}",
                "leave `asn` out, unless the cloud's page shows it",
            )
