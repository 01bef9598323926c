"""The table of all checks, and the one function that runs them.

A code is an area and a number and never changes its meaning: ADR addresses, BFD, BGP, GRE, MTU, RTE
routing, SEC security. A rule is a pure function; it yields findings of its own code only.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bongsu.checks.finding import Finding
from bongsu.checks.rules import (
    announced_length,
    open_internet,
)
from bongsu.checks.scene import Scene
from bongsu.model.network import Network
from bongsu.plan.node import NodePlan


@dataclass(frozen=True, slots=True)
class Rule:
    """One check: its code, and the function that yields its findings."""

    code: str
    check: Callable[[Scene], Iterable[Finding]]


RULES: tuple[Rule, ...] = (
    Rule("BGP001", announced_length.check),
    Rule("SEC001", open_internet.check),
)


def codes() -> list[str]:
    """All codes, in order."""
    return [rule.code for rule in RULES]


def run_checks(network: Network, plans: Mapping[str, NodePlan]) -> list[Finding]:
    """Findings of all checks, in the order of the table. Cost is linear, or n log n, in the network.

    `plans` are those of `compile_network(network)`.
    """
    scene = Scene(network, plans)
    return [finding for rule in RULES for finding in rule.check(scene)]
