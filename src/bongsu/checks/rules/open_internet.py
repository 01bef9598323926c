"""SEC001: plain GRE over the open Internet that nobody has said is meant."""

from collections.abc import Iterator

from bongsu.checks.address import is_public
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene


def check(scene: Scene) -> Iterator[Finding]:
    """Tunnels with a public outer address, neither encrypted nor said to be `insecure`."""
    for name, line in scene.lines.items():
        known = line.tunnel.insecure or line.tunnel.ipsec is not None
        if not known and any(is_public(ip) for ip in line.outer.values()):
            ends = " and ".join(str(address) for address in line.outer.values())
            yield Finding(
                "SEC001",
                Severity.ERROR,
                ("tunnels", name),
                f"plain GRE between {ends} crosses the open Internet: anyone on the way reads it, "
                "and anyone who can send from a forged address writes into it",
                "say that this is meant with `insecure: true`",
            )
