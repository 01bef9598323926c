"""ACC015: a site behind an accelerator that waits to be called."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Connections of `start: respond` with a tunnel through an accelerator; told once each."""
    told = set()
    for ride in scene.rides:
        if ride.connection.vpn.start == "respond" and ride.connection.name not in told:
            told.add(ride.connection.name)
            yield Finding(
                "ACC015",
                Severity.ERROR,
                (*ride.connection.at, "start"),
                f"{ride.name} leads from {ride.connection.site} to the far gateway and has no way for a "
                "call from there: the tunnel never comes up",
                "`start: initiate` at the site",
            )
