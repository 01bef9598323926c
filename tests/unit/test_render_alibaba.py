"""Alibaba's VPN Gateway as a site: what its console is told, and what it cannot be asked for."""

from typing import Any

import pytest
import yaml

from bongsu.model.network import Network
from bongsu.model.node import Platform
from bongsu.plan.alibaba import refusals
from bongsu.plan.compile import compile_network
from bongsu.plan.node import NodePlan
from bongsu.render import RenderError, render_node
from tests.golden.networks import NETWORKS, plans
from tests.unit.check_helpers import merged


def changed(change: dict[str, Any]) -> NodePlan:
    """The gateway's plan in the golden network with a change."""
    values = merged(yaml.safe_load(NETWORKS["vpn-alibaba"].read_text()), change)
    return compile_network(Network.model_validate(values))["shanghai"]


def page(plan: NodePlan) -> str:
    return render_node(plan)["/alibaba/shanghai.md"]


def test_the_page_in_two_forms_and_no_other_file() -> None:
    plan = plans("vpn-alibaba")["shanghai"]
    assert plan.platform is Platform.ALIBABA
    assert set(render_node(plan)) == {"/alibaba/shanghai.md", "/alibaba/shanghai.html"}
    assert "Do not edit" not in page(plan)


def test_customer_gateway_is_the_accelerated_address_and_identities_are_the_ends_own() -> None:
    text = page(plans("vpn-alibaba")["shanghai"])
    for row in (
        "| IP Address | `203.0.113.21` |",
        "| IP Address | `203.0.113.22` |",
        "| LocalId | `203.0.113.151` |",
        "| RemoteId | `198.51.100.11` |",
        "| RemoteId | `198.51.100.75` |",
        "| NAT Traversal | `on` |",
    ):
        assert row in text, row
    assert "| IP Address | `198.51.100.11` |" not in text


def test_without_an_accelerator_it_is_the_headend() -> None:
    direct = {f"ga{n}": {"accelerator": None} for n in (1, 2)}
    text = page(changed({"vpns": {"office": {"tunnels": direct}}}))
    assert "| IP Address | `198.51.100.11` |" in text
    assert "| LocalId | `192.0.2.10` |" in text
    assert "accelerated one" not in text


def test_routes_follow_the_selectors_and_public_space_is_told_of_where_there_is_some() -> None:
    text = page(plans("vpn-alibaba")["shanghai"])
    assert "Policy-based route" in text
    assert "| Local Network | `10.20.0.0/16` |" in text
    assert "Destination-based route" not in text
    assert "| To be taken for private | `172.32.0.0/16` |" in text
    other = page(
        changed(
            {
                "vpns": {"office": {"selectors": "any"}},
                "clouds": {"seoul": {"networks": ["172.31.0.0/16"]}},
            }
        )
    )
    assert "Destination-based route" in other
    assert "Policy-based route" not in other
    assert "Local Network |" not in other
    assert "Public address space" not in other


def test_bgp_is_typed_where_there_is_some() -> None:
    text = page(changed({"vpns": {"office": {"static": False, "bgp": {"keepalive_s": 10}}}}))
    for row in (
        "| Enable BGP | `on` |",
        "| Local ASN | `65020` |",
        "| ASN | `64512` |",
        "| BGP: Tunnel CIDR Block | `169.254.10.0/30` |",
        "| BGP: Local BGP IP address | `169.254.10.2` |",
    ):
        assert row in text, row


VPN: tuple[tuple[dict[str, Any], str], ...] = (
    ({"start": "respond"}, "start"),
    ({"probe": {}}, "probe"),
    ({"ike": {"proposals": ["aes256-sha256-modp2048", "aes128-sha256-modp2048"]}}, "one algorithm"),
    ({"ike": {"proposals": ["aes256gcm16-prfsha256-ecp256"]}}, "has no aes256gcm16, ecp256"),
    ({"esp": {"proposals": ["aes256-sha256-modp3072"]}}, "has no modp3072"),
    ({"esp": {"lifetime_s": 100000}}, "86400"),
    ({"balance": "ecmp"}, "active-standby"),
    ({"static": False, "bgp": {"password": "env:X"}}, "password"),
    ({"static": False, "bgp": {"bfd": {}}}, "bfd"),
    ({"static": False, "bgp": {"deaggregate_on_failure": 17}}, "deaggregate_on_failure"),
    ({"tunnels": {"third": {"headend": "198.51.100.99", "psk": "env:X"}}}, "2 tunnels, not 3"),
    ({"certificate": {"certificate": "/a", "key": "env:K", "ca": "/c"},
      "tunnels": {"ga1": {"psk": None}, "ga2": {"psk": None}}}, "certificate"),
    ({"static": False, "bgp": {}, "tunnels": {"ga1": {"inside": "10.9.9.1/30"}}}, "169.254"),
)  # fmt: skip


@pytest.mark.parametrize(("change", "word"), VPN, ids=lambda item: str(item)[:40])
def test_what_no_form_takes_is_refused(change: dict[str, Any], word: str) -> None:
    plan = changed({"vpns": {"office": change}})
    assert word in " ".join(str(item) for item in refusals(plan))
    with pytest.raises(RenderError, match="Alibaba's VPN Gateway"):
        render_node(plan)


NODE: tuple[dict[str, Any], ...] = (
    {"nodes": {"shanghai": {"role": "pop"}}},
    {"nodes": {"shanghai": {"routes": [{"to": "10.9.0.0/16", "via": "192.0.2.1"}]}}},
    {"nodes": {"shanghai": {"policies": [{"from": "10.9.0.0/16", "via": ["192.0.2.1"]}]}}},
    {"nodes": {"shanghai": {"bgp": {"neighbors": {"x": {"asn": 65001, "address": "192.0.2.1"}}}}}},
    {"tunnels": {"gre1": {"ends": {"shanghai": {"addresses": ["10.8.0.1/30"]},
                                   "branch": {"addresses": ["10.8.0.2/30"]}}}}},
    {"accelerators": {"ga-1": {"egress": {"node": "shanghai"}}}},
)  # fmt: skip


@pytest.mark.parametrize("change", NODE, ids=lambda item: str(item)[:60])
def test_what_is_no_gateways_is_refused(change: dict[str, Any]) -> None:
    assert list(refusals(changed(change)))


def test_the_golden_network_is_not_refused() -> None:
    assert list(refusals(plans("vpn-alibaba")["shanghai"])) == []
