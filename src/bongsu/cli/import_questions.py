"""What an import still has to know: asked on a terminal, and else told with the option that says it."""

import sys
from collections.abc import Callable
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from bongsu.cli.output import err, sentence
from bongsu.intent.imports import Imported
from bongsu.intent.imports.wishes import Missing, Wishes, answered, missing

Reader = Callable[[str], Any]


def somebody_answers() -> bool:
    """Whether there is a person: standard output may well be a file, which the YAML goes into."""
    return sys.stdin.isatty() and err.is_terminal


def ask_all(imported: Imported, wishes: Wishes, existing: dict[str, Any] | None) -> Wishes:
    """The wishes with an answer to everything that is missing; what is not needed may be passed over.

    Asks on standard error, until an answer makes sense. EOFError and KeyboardInterrupt end it.
    """
    passed: set[str] = set()
    while True:
        item = next((m for m in missing(imported, wishes, existing) if m.said not in passed), None)
        if item is None:
            return wishes
        value = _ask(item)
        if value is None:
            passed.add(item.said)
        else:
            wishes = answered(imported, wishes, item, value)


def tell_rest(imported: Imported, wishes: Wishes, existing: dict[str, Any] | None) -> None:
    """What nobody was asked, and a network may do without."""
    for item in missing(imported, wishes, existing):
        if not item.needed:
            sentence(f"hint: {item.said}: {item.hint}", to=err, styles={"^hint": "cyan"})


def _ask(item: Missing) -> Any:
    """The answer, read; None for Enter where it may be passed over."""
    many = ", separated by blanks" if item.several else ""
    end = "" if item.needed else "; Enter passes it over"
    sentence(f"{item.question} (such as {item.example}{many}{end})", to=err)
    while True:
        err.print("> ", end="")
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        words = line.replace(",", " ").split()
        if not words and not item.needed:
            return None
        try:
            found = tuple(READERS[item.wish](word) for word in words)
        except ValueError:
            found = ()
        if found and (item.several or len(found) == 1):
            return found if item.several else found[0]
        sentence(f"that cannot be read; such as {item.example}", to=err)


def network(text: str) -> Any:
    """A network with its length."""
    return ip_network(_with_length(text))


def interface(text: str) -> Any:
    """An address with its length."""
    return ip_interface(_with_length(text))


def lan(text: str) -> tuple[str, Any]:
    """`[INTERFACE=]ADDRESS/LENGTH`: the interface's name, empty if it has none, and the address."""
    name, equals, address = text.rpartition("=")
    if equals and not name:
        raise ValueError(text)
    return name, interface(address)


def as_number(text: str) -> int:
    """An AS number."""
    found = int(text)
    if not 0 < found < 2**32:
        raise ValueError(text)
    return found


READERS: dict[str, Reader] = {
    "cloud_networks": network,
    "site_networks": network,
    "address": interface,
    "public": ip_address,
    "gateway": ip_address,
    "lan": lan,
    "inside": interface,
    "asn": as_number,
}


def _with_length(text: str) -> str:
    if "/" not in text:
        raise ValueError(text)
    return text
