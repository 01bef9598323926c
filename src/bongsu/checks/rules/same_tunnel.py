"""GRE001: two tunnels whose packets cannot be told apart."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.base import Address


def check(scene: Scene) -> Iterator[Finding]:
    """Tunnels with one pair of outer addresses and one key."""
    seen: dict[tuple[frozenset[Address], int | None], str] = {}
    for name, line in scene.lines.items():
        key = line.tunnel.key
        first = seen.setdefault((frozenset(line.outer.values()), key), name)
        if first != name:
            ends = " and ".join(str(address) for address in line.outer.values())
            shown = "no key" if key is None else f"the key {key}"
            yield Finding(
                "GRE001",
                Severity.ERROR,
                ("tunnels", name, "key") if key is not None else ("tunnels", name),
                f"{name} and {first} both run between {ends} with {shown}: "
                "a packet could belong to either",
                "give each tunnel of a pair a `key` of its own",
            )
