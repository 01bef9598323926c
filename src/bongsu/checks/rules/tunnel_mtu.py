"""MTU001: a tunnel promises more than its underlay carries."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.checks.size import mss_text


def check(scene: Scene) -> Iterator[Finding]:
    """Stated inside MTUs against the smaller underlay less the encapsulation."""
    for name, line in scene.lines.items():
        if line.tunnel.mtu is not None and line.tunnel.mtu > line.room:
            underlay = line.room + line.overhead
            yield Finding(
                "MTU001",
                Severity.ERROR,
                ("tunnels", name, "mtu"),
                f"{line.tunnel.mtu} bytes and {line.overhead} of encapsulation do not fit into "
                f"the underlay's {underlay}: large packets vanish",
                f"{line.room} at most ({mss_text(line.room)}); without `mtu` it is worked out",
            )
