"""ADR005: a private address that has to be reached from the Internet."""

from collections.abc import Iterator

from bongsu.checks.address import is_public, kind
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Tunnels with one public and one private end, private headends, sessions with public neighbors.

    Two private ends are a private WAN, and a private session a provider's choice: both may be meant.
    """
    for name, line in scene.lines.items():
        (one, first), (other, second) = line.outer.items()
        if is_public(first) == is_public(second):
            continue
        node, address, far = (one, first, second) if is_public(second) else (other, second, first)
        yield Finding(
            "ADR005",
            Severity.ERROR,
            ("tunnels", name, "ends", node),
            f"{address} is {kind(address)}, and the other end, {far}, is on the Internet: "
            "nothing comes back",
            "the end's public address as `source`, on an interface that has it",
        )
    for connection, pipe in scene.pipes:
        if not is_public(pipe.plan.remote) and is_public(pipe.plan.public):
            yield Finding(
                "ADR005",
                Severity.ERROR,
                (*pipe.at, "headend"),
                f"{pipe.plan.remote} is {kind(pipe.plan.remote)}, and {connection.site} is on the "
                "Internet: nothing arrives there",
                "the headend's public address",
            )
    for name, plan in scene.plans.items():
        for peer in plan.external:
            if is_public(peer.address) and not is_public(peer.local):
                yield Finding(
                    "ADR005",
                    Severity.ERROR,
                    ("nodes", name, "bgp", "neighbors", peer.name),
                    f"the session with {peer.address} would leave from {peer.local}, "
                    f"which is {kind(peer.local)}",
                    f"a public address on {peer.interface}",
                )
