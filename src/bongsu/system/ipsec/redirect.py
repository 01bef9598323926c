"""Where libipsec answers: what comes for 500 and 4500 is led to the ports of the tunnel's own charon.

A far end calls the well-known ports, and only one process can have them. A table of ours sends what
comes from a tunnel's far end, to its near end, to that tunnel's ports; connection tracking turns the
answers back, and what routers say of them (docs/decisions/0011). The table holds nothing else and is
replaced as a whole.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from bongsu.model.base import Address
from bongsu.system.run import run

FAMILY, TABLE = "inet", "bongsu-libipsec"
IKE, IKE_NAT = 500, 4500
PRIORITY = -100
"""dstnat, by number: the word is not known in every family of old kernels."""


@dataclass(frozen=True)
class Redirect:
    """One tunnel's ends and its daemon's ports."""

    local: Address
    remote: Address
    port: int
    port_nat: int


def ruleset(redirects: Iterable[Redirect]) -> str:
    """The table as nft(8) reads it, a replacement of what there was."""
    rules = []
    for item in redirects:
        family = "ip" if item.local.version == 4 else "ip6"
        start = f"    {family} saddr {item.remote} {family} daddr {item.local} udp dport"
        # Not `redirect`: that means the interface's first address, and a headend may be another.
        own = str(item.local) if item.local.version == 4 else f"[{item.local}]"
        for known, port in ((IKE, item.port), (IKE_NAT, item.port_nat)):
            rules.append(f"{start} {known} dnat {family} to {own}:{port}")
    return "\n".join(
        [
            f"table {FAMILY} {TABLE}",
            f"delete table {FAMILY} {TABLE}",
            f"table {FAMILY} {TABLE} {{",
            "  chain prerouting {",
            f"    type nat hook prerouting priority {PRIORITY}; policy accept;",
            *rules,
            "  }",
            "}",
            "",
        ]
    )


def fingerprint() -> str | None:
    """A hash of the table as the kernel has it; None if there is none."""
    listed = run(["nft", "-s", "list", "table", FAMILY, TABLE], check=False)
    if listed.returncode != 0:
        return None
    return hashlib.sha256(listed.stdout.encode()).hexdigest()


def load(redirects: Iterable[Redirect]) -> None:
    """Make the table so. Raises RunError."""
    run(["nft", "-f", "-"], input=ruleset(redirects))


def delete() -> bool:
    """Remove the table; False if there was none."""
    return run(["nft", "delete", "table", FAMILY, TABLE], check=False).returncode == 0
