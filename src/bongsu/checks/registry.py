"""The table of all checks, and the one function that runs them.

A code is an area and a number and never changes its meaning: ADR addresses, BFD, BGP, FRR, GRE, IOS,
LNX Linux, LSW Libreswan, MTU, PFS pfSense, RTE routing, SEC security, VPN connections to a cloud, VYO
VyOS. A rule is a pure function; it yields findings of its own code only.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bongsu.checks.finding import Finding
from bongsu.checks.rules import (
    absent_network,
    access_list,
    after_failover,
    announced_length,
    announcing_nobody,
    as_numbers,
    bare_esp,
    bfd_alone,
    bfd_interval,
    carried_home,
    certified_name,
    closed_port,
    cloud_announced,
    cloud_bfd,
    cloud_filters,
    dead_peer,
    deaggregation,
    detection_time,
    dialect,
    everything_by_policy,
    export_all,
    frr,
    gateway,
    guessable_keepalive,
    headend,
    held_at_home,
    hidden_identity,
    hold_time,
    host_address,
    hub_keepalive,
    inside_addresses,
    inside_range,
    ios,
    ipsec_keepalive,
    keepalive_family,
    key_lifetimes,
    libreswan,
    linux,
    multipoint,
    neighbor_reach,
    no_way,
    not_forwarding,
    one_sided_keepalive,
    one_tunnel,
    open_internet,
    outer_addresses,
    overlapping_networks,
    overlapping_sides,
    owned_space,
    owner_asn,
    pfsense,
    private_announced,
    private_outside,
    public_inside,
    recursive_routing,
    refused_proposal,
    reused_key,
    reused_psk,
    reverse_path,
    router_id,
    same_address,
    same_mark,
    same_tunnel,
    session_password,
    small_mtu,
    source_check,
    split_vrf,
    stacked_tunnels,
    strict_return,
    takeover,
    tunnel_mtu,
    two_watchers,
    unused_tunnel,
    vti_routing,
    vyos,
    way_out,
    weak_proposal,
    weak_psk,
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
    Rule("ADR009", overlapping_sides.check),
    Rule("BFD001", bfd_interval.check),
    Rule("BFD002", bfd_alone.check),
    Rule("BFD003", cloud_bfd.check),
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
    Rule("BGP011", cloud_filters.check),
    Rule("BGP012", cloud_announced.check),
    Rule("FRR001", frr.check),
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
    Rule("LSW001", libreswan.check),
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
    Rule("VPN001", same_mark.check),
    Rule("VPN002", hidden_identity.check),
    Rule("VPN003", everything_by_policy.check),
    Rule("VPN004", vti_routing.check),
    Rule("VPN005", refused_proposal.check),
    Rule("VPN006", weak_proposal.check),
    Rule("VPN007", inside_range.check),
    Rule("VPN008", dead_peer.check),
    Rule("VPN009", reused_psk.check),
    Rule("VPN010", weak_psk.check),
    Rule("VPN011", one_tunnel.check),
    Rule("VPN012", bare_esp.check),
    Rule("VPN013", key_lifetimes.check),
    Rule("VPN014", closed_port.check),
    Rule("VPN015", source_check.check),
    Rule("VPN016", not_forwarding.check),
    Rule("VPN017", strict_return.check),
    Rule("VPN018", headend.check),
    Rule("VPN019", unused_tunnel.check),
    Rule("VPN020", certified_name.check),
    Rule("VPN021", takeover.check),
    Rule("VPN022", absent_network.check),
    Rule("VYO001", vyos.check),
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
