"""What zebra believes of an interface, asked where vtysh asks.

FRR 8 hears of links and of addresses by two sockets, read by two threads. An address that follows the
renaming of its interface closely is filed under the old one, which is then forgotten with it: the kernel
has the address, zebra has not, and every next hop behind it is unreachable to it for ever.
"""

import json
from pathlib import Path
from typing import Any

from bongsu.system.daemons.frr_vty import VtyError, show


def addresses(vty: Path, interface: str) -> set[str] | None:
    """The addresses (`10.0.0.1/30`) that zebra knows there; None if it knows no such interface.

    Raises OSError if nobody is there, VtyError for an answer of another form.
    """
    return parse(show(vty, f"show interface {interface} json"), interface)


def parse(text: str, interface: str) -> set[str] | None:
    """The same of an answer's text."""
    try:
        found: dict[str, Any] = json.loads(text) if text.strip().startswith("{") else {}
        if interface not in found:
            return None
        return {str(each["address"]) for each in found[interface].get("ipAddresses", [])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VtyError(f"zebra's interface {interface}: {error!r}") from error
