"""What static and policy routes send into a tunnel, and whether something stands ready to take over."""

from collections.abc import Iterator
from dataclasses import dataclass

from bongsu.model.base import Prefix
from bongsu.model.network import Network
from bongsu.model.node import Node


@dataclass(frozen=True, slots=True)
class Use:
    """What a node sends into one of its tunnels by its own routes."""

    prefixes: tuple[Prefix | str, ...]
    """Destinations, in the file's order; a policy without one is told as it is."""
    replaced: bool
    """Of one of them at least, something else would take over when the tunnel's line goes down."""


UNUSED = Use((), False)


def uses(network: Network) -> dict[tuple[str, str], Use]:
    """By node and tunnel; only those that are used. Cost is that of the routes and policies."""
    found: dict[tuple[str, str], Use] = {}
    for name, node in network.nodes.items():
        for tunnel, prefix, replaced in (*_routes(node), *_policies(node)):
            before = found.get((name, tunnel), UNUSED)
            prefixes = tuple(dict.fromkeys((*before.prefixes, prefix)))
            found[name, tunnel] = Use(prefixes, before.replaced or replaced)
    return found


def _routes(node: Node) -> Iterator[tuple[str, Prefix | str, bool]]:
    hops: dict[Prefix, set[object]] = {}
    for route in node.routes:
        hops.setdefault(route.to, set()).add(route.via)
    for route in node.routes:
        if isinstance(route.via, str):
            yield route.via, route.to, len(hops[route.to]) > 1


def _policies(node: Node) -> Iterator[tuple[str, Prefix | str, bool]]:
    for number, policy in enumerate(node.policies, 1):
        words = policy.to or f"what policy {number} takes"
        for place, via in enumerate(policy.via):
            if isinstance(via, str):
                yield via, words, place + 1 < len(policy.via)
