"""VPN014: the provider's filter stops IKE or ESP."""

from collections.abc import Iterator

from bongsu.checks.connection import Pipe
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """What an uplink `allows`, where the file says so, against what its tunnels need."""
    missing: dict[tuple[str, str], dict[str, str]] = {}
    for connection, pipe in scene.pipes:
        allows = connection.node.interfaces[pipe.plan.underlay].allows
        if allows is None:
            continue
        for opening in _needed(pipe):
            if opening not in allows:
                place = missing.setdefault((connection.site, pipe.plan.underlay), {})
                if place.get(opening) != "respond":
                    place[opening] = connection.vpn.start
    for (site, interface), openings in missing.items():
        # A filter lets answers in; but nothing answers ESP, and nobody answers whom he cannot hear.
        fatal = [each for each, start in openings.items() if each == "esp" or start == "respond"]
        words = " and ".join(openings)
        yield Finding(
            "VPN014",
            Severity.ERROR if fatal else Severity.WARNING,
            ("nodes", site, "interfaces", interface, "allows"),
            f"the filter before {site} lets in no {words}: "
            + (
                "no tunnel comes up"
                if fatal
                else "the tunnels live as long as this side keeps talking, and a headend that starts "
                "anew, or renews a key, is not heard"
            ),
            f"open {words} for the headends in the security list or group, and say it here",
        )


def _needed(pipe: Pipe) -> tuple[str, ...]:
    """IKE, and ESP or what it is wrapped in (RFC 3948)."""
    in_udp = pipe.plan.encapsulation or pipe.plan.nat
    return ("udp/500", "udp/4500" if in_udp else "esp")
