"""Names of endpoints -> addresses, again and again. The last good answer stays while there is no other.

The machine's own resolver is asked, with its files and its cache: that is what keeps to the records'
time to live. It is asked in a thread of its own, for it may not answer for half a minute, and neither
the agent's work nor its end waits for that.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from ipaddress import ip_address

from bongsu.model.base import Address

AGAIN_S = 30.0
"""Between two look-ups of a name that has an address; clouds say 60 s of theirs."""
SOON_S = 5.0
"""Where there is no address, or nobody answers at it."""
KEPT = 16
"""Addresses of one name that are looked at."""

Lookup = Callable[[str, int], list[Address]]
"""Name and family (4, 6) -> addresses. Blocks. OSError."""


def system_lookup(name: str, family: int) -> list[Address]:
    """By the machine's resolver."""
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    found = socket.getaddrinfo(name, None, kind, socket.SOCK_DGRAM)
    return [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


async def resolve(name: str, family: int, lookup: Lookup = system_lookup) -> list[Address]:
    """The addresses, in the resolver's order. OSError."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Address]] = loop.create_future()

    def give(found: list[Address] | None, error: OSError | None) -> None:
        if answer.done():
            return  # given up meanwhile
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(found or [])

    def ask() -> None:
        found, failed = None, None
        try:
            found = lookup(name, family)[:KEPT]
        except OSError as error:
            failed = error
        except UnicodeError as error:  # what idna cannot spell
            failed = OSError(str(error))
        # The loop may have ended: then nobody waits for this.
        if not loop.is_closed():
            loop.call_soon_threadsafe(give, found, failed)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    return await answer


def choose(found: list[Address], before: Address | None) -> Address | None:
    """One of a name's addresses: the one in use while it is among them, else the first."""
    if before in found or not found:
        return before
    return found[0]
