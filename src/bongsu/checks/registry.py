"""The table of all checks, and the one function that runs them.

A code is an area and a number and never changes its meaning: ADR addresses, BFD, BGP, GRE, IOS, LNX
Linux, MTU, PFS pfSense, RTE routing, SEC security. A rule is a pure function; it yields findings of
its own code only.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bongsu.checks.finding import Finding
from bongsu.checks.rules import (
    access_list,
    after_failover,
    announced_length,
    announcing_nobody,
    as_numbers,
    bfd_alone,
    bfd_interval,
    carried_home,
    deaggregation,
    detection_time,
    dialect,
    export_all,
    gateway,
    guessable_keepalive,
    held_at_home,
    hold_time,
    host_address,
    hub_keepalive,
    inside_addresses,
    ios,
    ipsec_keepalive,
    keepalive_family,
    linux,
    multipoint,
    neighbor_reach,
    no_way,
    one_sided_keepalive,
    open_internet,
    outer_addresses,
    overlapping_networks,
    owned_space,
    owner_asn,
    pfsense,
    private_announced,
    private_outside,
    public_inside,
    recursive_routing,
    reused_key,
    reverse_path,
    router_id,
    same_address,
    same_tunnel,
    session_password,
    small_mtu,
    split_vrf,
    stacked_tunnels,
    tunnel_mtu,
    two_watchers,
    way_out,
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
    Rule("ADR001", same_address.check),
    Rule("ADR002", overlapping_networks.check),
    Rule("ADR003", gateway.check),
    Rule("ADR004", inside_addresses.check),
    Rule("ADR005", private_outside.check),
    Rule("ADR006", public_inside.check),
    Rule("ADR007", private_announced.check),
    Rule("ADR008", host_address.check),
    Rule("BFD001", bfd_interval.check),
    Rule("BFD002", bfd_alone.check),
    Rule("BGP001", announced_length.check),
    Rule("BGP002", owned_space.check),
    Rule("BGP003", export_all.check),
    Rule("BGP004", announcing_nobody.check),
    Rule("BGP005", hold_time.check),
    Rule("BGP006", router_id.check),
    Rule("BGP007", as_numbers.check),
    Rule("BGP008", owner_asn.check),
    Rule("BGP009", neighbor_reach.check),
    Rule("BGP010", deaggregation.check),
    Rule("GRE001", same_tunnel.check),
    Rule("GRE002", reused_key.check),
    Rule("GRE003", one_sided_keepalive.check),
    Rule("GRE004", outer_addresses.check),
    Rule("GRE005", keepalive_family.check),
    Rule("GRE006", reverse_path.check),
    Rule("GRE007", split_vrf.check),
    Rule("GRE008", access_list.check),
    Rule("GRE009", hub_keepalive.check),
    Rule("GRE010", multipoint.check),
    Rule("GRE011", ipsec_keepalive.check),
    Rule("GRE012", dialect.check),
    Rule("GRE013", detection_time.check),
    Rule("GRE014", two_watchers.check),
    Rule("IOS001", ios.check),
    Rule("LNX001", linux.check),
    Rule("MTU001", tunnel_mtu.check),
    Rule("MTU002", small_mtu.check),
    Rule("MTU003", stacked_tunnels.check),
    Rule("PFS001", pfsense.check),
    Rule("RTE001", carried_home.check),
    Rule("RTE002", held_at_home.check),
    Rule("RTE003", recursive_routing.check),
    Rule("RTE004", way_out.check),
    Rule("RTE005", after_failover.check),
    Rule("RTE006", no_way.check),
    Rule("SEC001", open_internet.check),
    Rule("SEC002", session_password.check),
    Rule("SEC003", guessable_keepalive.check),
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
