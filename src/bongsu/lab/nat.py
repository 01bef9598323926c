"""The 1:1 NAT in front of a node, as clouds and their Internet gateways do it: a pure blueprint.

It stands between an uplink with a `public` address and the AS: it is the subnet's gateway, sends the
cloud's networks to the node as the subnet's route rules do, and translates the node's address and
nobody else's. Its rules are nftables text; nothing here touches a kernel.
"""

from dataclasses import dataclass
from typing import Literal

from bongsu.model.base import Address, Interface, Prefix

TABLE = "bongsu_nat"
BRIDGE = "br0"
"""The subnet: the node's port and the hosts' are in it, the gateway is its address."""
INSIDE, OUTSIDE = "node", "out"
"""Its ports to the node and to the AS."""


@dataclass(frozen=True)
class Neighbor:
    """A host on the node's subnet."""

    name: str
    address: Interface


@dataclass(frozen=True)
class Nat:
    """A 1:1 NAT and the subnet behind it."""

    name: str
    """The member that it is."""
    node: str
    interface: str
    private: Address
    public: Address
    gateway: Interface
    """Its address on the subnet, and every neighbour's default gateway."""
    routes: tuple[Prefix, ...]
    """Route rules of the subnet: what is behind the node's tunnels goes to the node."""
    hosts: tuple[Neighbor, ...]
    checks: bool
    """The provider's source/destination check is on: the node may neither send nor get what is not
    from or to itself."""
    mtu: int


def ruleset(nat: Nat) -> str:
    """What `nft -f` reads. The check is on the node's own port, where providers have it."""
    text = f"""\
table ip {TABLE} {{
    chain in {{
        type nat hook prerouting priority dstnat
        iifname "{OUTSIDE}" ip daddr {nat.public} counter dnat to {nat.private}
    }}
    chain out {{
        type nat hook postrouting priority srcnat
        oifname "{OUTSIDE}" ip saddr {nat.private} counter snat to {nat.public}
    }}
    chain private {{
        type filter hook forward priority filter
        oifname "{OUTSIDE}" ip saddr != {nat.private} counter drop comment "has no public address"
    }}
}}
"""
    if nat.checks:
        text += f"""\
table bridge {TABLE} {{
    chain source {{
        type filter hook prerouting priority filter
        iifname "{INSIDE}" ether type ip ip saddr != {nat.private} counter drop
    }}
    chain destination {{
        type filter hook postrouting priority filter
        oifname "{INSIDE}" ether type ip ip daddr != {nat.private} counter drop
    }}
}}
"""
    return text


Refusal = Literal["", "no IPv4 gateway", "IPv6 addresses beside it"]


def refusal(addresses: list[Interface], gateways: list[Address]) -> Refusal:
    """Why the lab cannot stand a NAT in front of an interface; empty where it can."""
    if any(item.version == 6 for item in [*addresses, *gateways]):
        return "IPv6 addresses beside it"
    if not gateways:
        return "no IPv4 gateway"
    return ""
