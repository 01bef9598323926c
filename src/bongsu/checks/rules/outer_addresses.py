"""GRE004: outer addresses that cannot carry the tunnel."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Sources that the interface has not, and ends of different families."""
    for name, line in scene.lines.items():
        for node, end in line.tunnel.ends.items():
            interface = scene.network.nodes[node].interfaces[line.speaks[node]]
            if end.source is not None and end.source not in [a.ip for a in interface.addresses]:
                yield Finding(
                    "GRE004",
                    Severity.ERROR,
                    ("tunnels", name, "ends", node, "source"),
                    f"{line.speaks[node]} of {node} has no address {end.source}",
                    "it has " + ", ".join(str(a.ip) for a in interface.addresses),
                )
        (one, first), (other, second) = line.outer.items()
        if first.version != second.version:
            yield Finding(
                "GRE004",
                Severity.ERROR,
                ("tunnels", name, "ends"),
                f"{one} would speak IPv{first.version} and {other} IPv{second.version}",
                "both ends need underlay addresses of one family",
            )
        elif first == second:
            yield Finding(
                "GRE004",
                Severity.ERROR,
                ("tunnels", name, "ends"),
                f"both ends would speak from {first}",
                "each end has an underlay address of its own",
            )
