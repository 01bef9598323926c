"""GRE002: one key on two tunnels between the same nodes."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Tunnels between one pair of nodes over different addresses; GRE001 has the same addresses."""
    seen: dict[tuple[frozenset[str], int | None], list[str]] = {}
    for name, line in scene.lines.items():
        names = seen.setdefault((frozenset(line.tunnel.ends), line.tunnel.key), [])
        first = names[0] if names else None
        names.append(name)
        if first is None:
            continue
        if set(scene.lines[first].outer.values()) != set(line.outer.values()):
            shown = "no key" if line.tunnel.key is None else f"the key {line.tunnel.key}"
            ends = " and ".join(line.tunnel.ends)
            yield Finding(
                "GRE002",
                Severity.WARNING,
                ("tunnels", name),
                f"{name} and {first}, both between {ends}, have {shown}: when an uplink changes "
                "its address, or NAT stands between, one takes the other's packets",
                "give each its own `key`",
            )
