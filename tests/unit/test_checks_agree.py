"""What a check passes, the renderer and the agent take; what they refuse, a check has said."""

from itertools import product

import pytest

from bongsu.agent.keepalive import keepalive_ends
from bongsu.checks import run_checks
from bongsu.intent import load_text
from bongsu.plan.compile import compile_network
from bongsu.plan.node import NodePlan
from bongsu.plan.tunnel import TunnelPlan
from bongsu.render import RenderError, render_node

PFSENSE = """
version: 1
name: small
owner: {{asn: 64500, prefixes: [103.178.34.0/23]}}
nodes:
  seoul:
    role: pop
    interfaces: {{ens3: {{role: uplink, addresses: [203.0.113.10/24], gateway: 203.0.113.1}}}}
    bgp: {{neighbors: {{up: {{asn: 64515, address: 203.0.113.1}}}}}}
    announce: [{{prefix: 103.178.34.0/23}}]
  home:
    role: home
    platform: pfsense
    interfaces:
      wan: {{role: uplink, addresses: [192.0.2.10/24], gateway: 192.0.2.1}}
      {lan}: {{role: lan, addresses: [103.178.34.1/23]}}
{home}
tunnels:
  gre-seoul:
    ends:
      seoul: {{addresses: [10.99.1.1/30]{seoul_end}}}
      home: {{addresses: [10.99.1.2/30]{home_end}}}
    bgp: false
    egress: true
    insecure: true
{tunnel}
"""
ENDS = ("", ", keepalive: false", ", keepalive: {seconds: 5}")
CHOICES = {
    "lan": ("lan", "opt12", "igb1", "opt"),
    "home": (
        "",
        "    announce: [{prefix: 103.178.34.0/23}]",
        "    bgp: {neighbors: {up: {asn: 64510, address: 192.0.2.1}}}",
    ),
    "tunnel": ("", "    key: 0", "    keepalive: {}"),
    "seoul_end": ENDS,
    "home_end": ENDS,
}


def refused(plan: NodePlan) -> str:
    """Why the renderer refuses it; empty if it does not."""
    try:
        render_node(plan)
    except RenderError as error:
        return str(error)
    return ""


def test_of_a_pfsense_check_and_render_say_the_same() -> None:
    """Every combination of what pfSense can and cannot do: the same verdict, the same reasons."""
    verdicts = set()
    for chosen in product(*CHOICES.values()):
        text = PFSENSE.format(**dict(zip(CHOICES, chosen, strict=True)))
        network = load_text(text, "f").network
        plans = compile_network(network)
        found = [item for item in run_checks(network, plans) if item.code == "PFS001"]
        refusal = refused(plans["home"])
        assert bool(found) == bool(refusal), text
        assert all(f"{item.message} ({item.hint})" in refusal for item in found)
        assert refusal.count(";") == max(len(found) - 1, 0)
        verdicts.add(bool(found))
    assert verdicts == {True, False}


SIX = """
version: 1
name: small
owner: {{asn: 64500, prefixes: [103.178.34.0/23]}}
nodes:
  seoul:
    role: pop
    interfaces: {{ens3: {{role: uplink, addresses: [{seoul}]}}}}
  home:
    role: home
    interfaces: {{wan: {{role: uplink, addresses: [{home}]}}}}
tunnels:
  gre-seoul:
    ends:
      seoul: {{addresses: [10.99.1.1/30]{seoul_end}}}
      home: {{addresses: [10.99.1.2/30]{home_end}}}
{tunnel}
"""


def over_ipv6(tunnel: TunnelPlan) -> bool:
    """Whether the agent would refuse the tunnel's keepalive."""
    try:
        keepalive_ends(tunnel)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("seoul", ["203.0.113.1/24", "'2001:db8:a::1/64'"])
@pytest.mark.parametrize("home", ["192.0.2.1/24, '2001:db8:b::1/64'", "'2001:db8:b::1/64'"])
@pytest.mark.parametrize("tunnel", ["", "    keepalive: {}"])
def test_of_keepalives_check_and_agent_say_the_same(seoul: str, home: str, tunnel: str) -> None:
    for seoul_end, home_end in product(ENDS, ENDS):
        values = {"seoul": seoul, "home": home, "tunnel": tunnel}
        text = SIX.format(seoul_end=seoul_end, home_end=home_end, **values)
        network = load_text(text, "f").network
        plans = compile_network(network)
        codes = {item.code for item in run_checks(network, plans)}
        sending = [plan.tunnels[0] for plan in plans.values() if plan.tunnels[0].keepalive]
        # Ends of two families are GRE004's, with keepalives or without.
        if "GRE004" not in codes:
            assert ("GRE005" in codes) == any(over_ipv6(item) for item in sending), text
        else:
            assert "GRE005" not in codes
