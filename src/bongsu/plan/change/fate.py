"""What becomes of one thing of a node."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bongsu.model.base import Model

Kind = Literal[
    "interface",
    "GRE tunnel",
    "IPsec tunnel",
    "BGP session",
    "accelerator",
    "relay",
    "routing",
    "node",
]
What = Literal["added", "removed", "changed", "kept"]

SESSIONS = frozenset({"GRE tunnel", "IPsec tunnel", "BGP session", "accelerator"})
"""Kinds that have something to lose."""


@dataclass(frozen=True)
class Fate:
    """One thing, and whether it goes on."""

    kind: Kind
    name: str
    what: What
    ends: bool = False
    """Whether what stands is ended; another may be negotiated in its place."""
    why: tuple[str, ...] = ()
    """What differs, by its name in the plan."""


def differing(old: Model, new: Model, keys: Iterable[str] | None = None) -> tuple[str, ...]:
    """Names of the fields that differ, of those asked for."""
    names = type(new).model_fields if keys is None else keys
    return tuple(key for key in names if getattr(old, key, None) != getattr(new, key, None))
