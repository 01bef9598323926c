"""Renders /etc/firewalld/services/bongsu-ipsec.xml: what an IPsec gateway has to let in.

firewalld belongs to the machine's owner: bongsu defines the service and does not put it into a zone.
The exact rules, tunnel by tunnel, are nftables': see bongsu.render.nftables.
"""

from bongsu.plan.node import NodePlan
from bongsu.render.text import interface

PATH = "/etc/firewalld/services/bongsu-ipsec.xml"


def render(plan: NodePlan, header: list[str]) -> dict[str, str]:
    """`{PATH: text}` for a node with VPN tunnels."""
    if not plan.vpns:
        return {}
    uplinks = ", ".join(dict.fromkeys(interface(tunnel.underlay) for tunnel in plan.vpns))
    # Two hyphens must not be in a comment of XML: the command is told without its options.
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<!--", *(f"  {line}" for line in header)]
    lines += [
        f"  Not in force by itself: add the service to the zone of {uplinks}, permanently.",
        "-->",
        "<service>",
        "  <short>IPsec (bongsu)</short>",
        "  <description>IKE, and ESP in UDP and by itself, for the tunnels of this node.</description>",
        '  <port protocol="udp" port="500"/>',
        '  <port protocol="udp" port="4500"/>',
        '  <protocol value="esp"/>',
        "</service>",
    ]
    return {PATH: "\n".join(lines) + "\n"}
