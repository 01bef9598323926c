"""ADR007: space announced that is nobody's to announce."""

from collections.abc import Iterator

from bongsu.checks.address import kind
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """The owner's prefixes and the announced ones, against the special-purpose registries."""
    for index, prefix in enumerate(scene.network.owner.prefixes):
        special = kind(prefix)
        if special is not None:
            yield Finding(
                "ADR007",
                Severity.ERROR,
                ("owner", "prefixes", index),
                f"{prefix} holds {special} space, which nobody owns",
                "only what a registry has assigned to you",
            )
    for name, node in scene.network.nodes.items():
        for place, item in enumerate(node.announce):
            special = kind(item.prefix)
            if special is not None:
                yield Finding(
                    "ADR007",
                    Severity.ERROR,
                    ("nodes", name, "announce", place, "prefix"),
                    f"{item.prefix} holds {special} space: every filter drops it",
                    "only what a registry has assigned to you",
                )
