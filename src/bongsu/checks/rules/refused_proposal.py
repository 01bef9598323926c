"""VPN005: what the cloud's gateway would not take."""

from collections.abc import Iterator

from bongsu.checks.connection import Connection
from bongsu.checks.finding import Finding, Path, Severity
from bongsu.checks.scene import Scene
from bongsu.model.proposal import suite
from bongsu.plan.cloud import Accepted


def check(scene: Scene) -> Iterator[Finding]:
    """Versions, proposals and lifetimes that the file states, against the cloud's profile."""
    for connection in scene.connections:
        vpn, profile = connection.vpn, connection.profile
        if vpn.ike.version not in profile.ike_versions:
            taken = " and ".join(f"IKEv{version}" for version in sorted(profile.ike_versions))
            yield Finding(
                "VPN005",
                Severity.ERROR,
                (*connection.at, "ike", "version"),
                f"{profile.title} does not speak IKEv{vpn.ike.version}",
                taken,
            )
        for part, stated, accepted in (
            ("ike", vpn.ike.proposals, profile.ike),
            ("esp", vpn.esp.proposals, profile.esp),
        ):
            yield from _proposals(connection, (*connection.at, part), stated or [], accepted)
        for part, lifetime, bounds in (
            ("ike", vpn.ike.lifetime_s, profile.ike_lifetimes_s),
            ("esp", vpn.esp.lifetime_s, profile.esp_lifetimes_s),
        ):
            if lifetime is not None and bounds is not None:
                yield from _lifetime(connection, (*connection.at, part), lifetime, bounds)


def _proposals(
    connection: Connection, at: Path, stated: list[str], accepted: Accepted
) -> Iterator[Finding]:
    refused = [accepted.refuses(suite(text)) for text in stated]
    none = bool(stated) and all(refused)
    for place, (text, parts) in enumerate(zip(stated, refused, strict=True)):
        if not parts:
            continue
        words = f"{connection.profile.title} does not take {', '.join(parts)}"
        yield Finding(
            "VPN005",
            Severity.ERROR if none else Severity.INFO,
            (*at, "proposals", place),
            f"{words}: {text} is answered with NO_PROPOSAL_CHOSEN, and no tunnel comes up"
            if none
            else f"{words}: {text} is never chosen",
            _instead(connection, at),
        )


def _instead(connection: Connection, at: Path) -> str:
    profile = connection.profile
    best = profile.ike_proposals if at[-1] == "ike" else profile.esp_proposals
    return f"leave `proposals` out, and {best[0]} is proposed"


def _lifetime(
    connection: Connection, at: Path, lifetime: int, bounds: tuple[int, int]
) -> Iterator[Finding]:
    least, most = bounds
    if not least <= lifetime <= most:
        yield Finding(
            "VPN005",
            Severity.WARNING,
            (*at, "lifetime_s"),
            f"{connection.profile.title} takes lifetimes of {least} to {most} s, and this is "
            f"{lifetime}: IKEv1 may refuse it, and with IKEv2 the cloud's own clock decides",
            f"{most} at the most" if lifetime > most else f"{least} at the least",
        )
