"""The nftables side of a node: check a ruleset, load it, see whether it still stands.

Only files that replace one table of ours are loaded; other people's tables are never flushed.
"""

import hashlib
from pathlib import Path

from bongsu.system.run import run

FAMILY, TABLE = "inet", "bongsu"


def check(path: Path) -> None:
    """Let nft itself read the file, changing nothing. Raises RunError with its words."""
    run(["nft", "-c", "-f", str(path)])


def load(path: Path) -> None:
    """Load the file in one transaction. Raises RunError."""
    run(["nft", "-f", str(path)])


def fingerprint() -> str | None:
    """A hash of our table as the kernel has it, counters left out; None if there is none.

    It differs once anybody has changed the table, so a ruleset that still stands need not be loaded
    again (which would reset its counters).
    """
    listed = run(["nft", "-s", "list", "table", FAMILY, TABLE], check=False)
    if listed.returncode != 0:
        return None
    return hashlib.sha256(listed.stdout.encode()).hexdigest()


def delete() -> bool:
    """Remove our table; False if there was none."""
    return run(["nft", "delete", "table", FAMILY, TABLE], check=False).returncode == 0
