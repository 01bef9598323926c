"""VPN007: inside addresses that the cloud does not give."""

from collections.abc import Iterator

from bongsu.checks.connection import Connection, Pipe
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Inside networks against the range and the sizes of the cloud's profile."""
    for connection, pipe in scene.pipes:
        for words, hint in _wrong(connection, pipe):
            yield Finding("VPN007", Severity.ERROR, (*pipe.at, "inside"), words, hint)


def _wrong(connection: Connection, pipe: Pipe) -> Iterator[tuple[str, str]]:
    inside, profile = pipe.tunnel.inside, connection.profile
    if inside is None or inside.version != 4:
        return
    network = inside.network
    lengths = " or ".join(f"/{length}" for length in sorted(profile.inside_lengths))
    if profile.inside is not None and not network.subnet_of(profile.inside):
        yield (
            f"{profile.title} has inside networks in {profile.inside} only, and {network} is not",
            f"a {lengths or 'network'} of {profile.inside}, as the cloud's page shows it",
        )
    elif profile.inside_lengths and network.prefixlen not in profile.inside_lengths:
        yield (
            f"{profile.title} has inside networks of {lengths}, and this is /{network.prefixlen}",
            "the length that the cloud's page shows",
        )
    for reserved in profile.reserved:
        if network.overlaps(reserved):
            yield f"{profile.title} keeps {reserved} for itself", "another network of the range"
            break
    hosts = list(network.hosts()) if network.num_addresses <= 4 else []
    if profile.cloud_first and len(hosts) == 2 and inside.ip == hosts[0]:
        yield (
            f"of {network} {profile.title} takes {hosts[0]} itself, and this would be ours",
            f"`inside: {hosts[1]}/{network.prefixlen}`",
        )
