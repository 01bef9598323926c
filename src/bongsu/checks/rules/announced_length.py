"""BGP001: a prefix too long for the rest of the Internet to accept."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene

LONGEST = {4: 24, 6: 48}
"""What the Internet's filters let through, by convention (RFC 7454 section 6.1.3)."""


def check(scene: Scene) -> Iterator[Finding]:
    """Announced prefixes, and the more-specifics that a failure would announce."""
    for name, node in scene.network.nodes.items():
        for index, item in enumerate(node.announce):
            version = item.prefix.version
            longest = LONGEST[version]
            if item.prefix.prefixlen > longest:
                yield Finding(
                    "BGP001",
                    Severity.ERROR,
                    ("nodes", name, "announce", index, "prefix"),
                    f"{item.prefix} is longer than /{longest}: most networks drop it",
                    f"announce the /{longest} that holds it, {item.prefix.supernet(new_prefix=longest)}",
                )
            if item.deaggregate_on_failure is not None and item.deaggregate_on_failure > longest:
                yield Finding(
                    "BGP001",
                    Severity.ERROR,
                    ("nodes", name, "announce", index, "deaggregate_on_failure"),
                    f"more-specifics of {item.prefix} would be /{item.deaggregate_on_failure}, "
                    f"longer than /{longest}: most networks drop them",
                    f"/{longest} is the longest that is heard",
                )
