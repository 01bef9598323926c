"""ACC013: two names that are one number on the wire."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.plan.relay import number, relay_nodes


def check(scene: Scene) -> Iterator[Finding]:
    """Nodes that relay, and accelerators."""
    named = (("node", "nodes", relay_nodes(scene.network)),
             ("accelerator", "accelerators", list(scene.network.accelerators)))  # fmt: skip
    for kind, place, names in named:
        seen: dict[int, str] = {}
        for name in names:
            first = seen.setdefault(number(kind, name), name)
            if first != name:
                yield Finding(
                    "ACC013",
                    Severity.ERROR,
                    (place, name),
                    f"{first} and {name} have the same number, made of their names: relays would take "
                    "one for the other",
                    "another name for one of them",
                )
