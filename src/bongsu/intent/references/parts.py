"""The parts of a file that refer to each other, as far as their shape allows to look at them."""

import difflib
from collections.abc import Iterable
from functools import cached_property
from ipaddress import ip_interface
from typing import Any

from bongsu.intent.document import Document
from bongsu.intent.problem import Path, Problem, value_text
from bongsu.model.node import Role

ROLES = ("uplink", "lan", "link", "loopback")
NODE_ROLES = tuple(role.value for role in Role)
KNOWN = 12
"""Names listed in a hint; of 3,000 the rest is no help."""


class Parts:
    """Views of a file's values, and the list that problems are gathered in."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []
        root = mapping(document.root)
        self.root = root
        self.nodes = mapping(root.get("nodes"))
        self.tunnels = mapping(root.get("tunnels"))
        self.clouds = mapping(root.get("clouds"))
        self.vpns = mapping(root.get("vpns"))
        self.accelerators = mapping(root.get("accelerators"))
        self.lab = mapping(root.get("lab"))
        self.has_lab = isinstance(root.get("lab"), dict)
        self.no_lab = root.get("lab") is None and isinstance(document.root, dict)
        self.ases = mapping(mapping(self.lab.get("internet")).get("ases"))
        self.vantages = mapping(self.lab.get("vantages"))
        self.hosts = mapping(self.lab.get("hosts"))
        self.tests = sequence(root.get("tests"))

    def interfaces(self, node: str, role: str | None = None) -> list[str]:
        """Names of a node's interfaces, of one role if asked."""
        found = self._interfaces(node)
        return [name for name, item in found.items() if role in (None, mapping(item).get("role"))]

    def likely(self, node: str, *roles: str) -> list[str]:
        """Names of the interfaces that have one of the roles, or may: their own role is wrong.

        One wrong word is one error, and not one for everything that leans on it.
        """
        return [
            name
            for name, item in self._interfaces(node).items()
            if (role := mapping(item).get("role")) in roles or role not in ROLES
        ]

    def outward(self, node: str) -> list[str]:
        """Names of the interfaces that lead away from a node, or may: uplinks and links."""
        return self.likely(node, "uplink", "link")

    def pops(self) -> list[str]:
        """Names of the nodes that are PoPs, or may be: their role is wrong."""
        roles = {name: mapping(node).get("role") for name, node in self.nodes.items()}
        return [name for name, role in roles.items() if role == "pop" or role not in NODE_ROLES]

    def _interfaces(self, node: str) -> dict[str, Any]:
        return mapping(mapping(self.nodes.get(node)).get("interfaces"))

    def interface(self, node: str, name: str) -> dict[str, Any]:
        """One interface of a node; empty if there is none."""
        return mapping(self._interfaces(node).get(name))

    def tunnels_of(self, node: str) -> dict[str, dict[str, Any]]:
        """The tunnels that end at a node, with its end of each."""
        return self._tunnels_of.get(node, {})

    @cached_property
    def _tunnels_of(self) -> dict[str, dict[str, dict[str, Any]]]:
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for name, tunnel in self.tunnels.items():
            for node, end in mapping(mapping(tunnel).get("ends")).items():
                found.setdefault(node, {})[name] = mapping(end)
        return found

    def say(self, path: Path, message: str, hint: str | None = None, *, key: bool = False) -> None:
        """Note a problem with what stands at the path, or with the path's last key."""
        place = self.document.key_position if key else self.document.position
        line, column = place(path)
        self.problems.append(Problem(self.document.file, line, column, path, None, message, hint))

    def lab_secret(self, path: Path, reference: Any) -> None:
        """Note a secret from the environment that the lab, if there is one, has no value for."""
        named = reference[4:] if str(reference).startswith("env:") else None
        if self.has_lab and named is not None and named not in mapping(self.lab.get("secrets")):
            words = "the lab has no value for this secret"
            self.say(path, words, "add a throw-away one to lab.secrets")

    @cached_property
    def vpn_tunnels(self) -> list[str]:
        """Names of the IPsec tunnels of all connections."""
        return [key for vpn in self.vpns.values() for key in mapping(mapping(vpn).get("tunnels"))]

    def public(self, node: str) -> list[str]:
        """Names of a node's interfaces behind a 1:1 NAT: hosts can stand beside it there."""
        return [
            name for name, item in self._interfaces(node).items() if mapping(item).get("public")
        ]

    def want(
        self, path: Path, name: Any, known: Iterable[str], kind: str, *, key: bool = False
    ) -> None:
        """Note a problem unless the name is one of those that are known. Other shapes pass."""
        names = known if isinstance(known, dict) else list(known)
        if isinstance(name, str) and name not in names:
            self.say(path, f"there is no {kind} {value_text(name)}", hint(name, names), key=key)


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def interfaces(addresses: Any) -> list[Any]:
    """Addresses with their prefix lengths; what is none is left out, for its shape is told of."""
    found = []
    for text in sequence(addresses):
        try:
            found.append(ip_interface(text))
        except (ValueError, TypeError):
            continue
    return found


def hint(name: str, known: Iterable[str]) -> str:
    """What may have been meant, and what is known."""
    names = list(known)
    shown = ", ".join(names[:KNOWN]) + (
        f" and {len(names) - KNOWN} more" if len(names) > KNOWN else ""
    )
    listing = f"known: {shown or 'none'}"
    # Bounded, so that a file of 3,000 wrong names does not compare each with each.
    close = difflib.get_close_matches(name, names[:200], 1, 0.7)
    return f"did you mean {close[0]}? {listing}" if close else listing
