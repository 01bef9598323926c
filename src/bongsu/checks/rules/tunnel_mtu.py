"""MTU001: a tunnel promises more than its underlay carries."""

from collections.abc import Iterator

from bongsu.checks.connection import Connection, Pipe
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.checks.size import mss_text
from bongsu.plan.connect import inside_mtu, way_mtu


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
    for connection in scene.connections:
        mtu = connection.vpn.mtu
        if mtu is None:
            continue
        room, pipe = min(
            ((_room(connection, pipe), pipe) for pipe in connection.tunnels), key=_first
        )
        if mtu > room:
            link = _link(connection, pipe)
            yield Finding(
                "MTU001",
                Severity.ERROR,
                (*connection.at, "mtu"),
                f"{mtu} bytes in ESP and UDP do not fit into the {link} of the way to {pipe.name}'s "
                "headend: large packets vanish",
                f"{room} at most ({mss_text(room)}); without `mtu` it is worked out",
            )


def _room(connection: Connection, pipe: Pipe) -> int:
    udp = pipe.plan.encapsulation or pipe.plan.translated
    return inside_mtu(_link(connection, pipe), pipe.plan.local, pipe.plan.esp_proposals, udp=udp)


def _link(connection: Connection, pipe: Pipe) -> int:
    return way_mtu(connection.node.interfaces[pipe.plan.underlay], pipe.plan.accelerated)


def _first(pair: tuple[int, Pipe]) -> int:
    return pair[0]
