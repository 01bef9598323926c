"""pfSense: fragments that parse, a click path that is whole, refusals that name everything."""

from xml.etree import ElementTree

import pytest

from bongsu.model.tunnel import Bfd, Keepalive
from bongsu.plan.node import NodePlan
from bongsu.render import RenderError, render_node
from tests.golden.networks import plans


def home() -> NodePlan:
    return plans("anycast-pfsense")["home"]


def test_gre_has_the_fields_that_the_gui_saves() -> None:
    root = ElementTree.fromstring(render_node(home())["/pfsense/gres.xml"])
    assert root.tag == "gres"
    (gre,) = root
    assert gre.tag == "gre"
    assert {field.tag: field.text or "" for field in gre} == {
        "if": "wan",
        "tunnel-local-addr": "10.99.1.2",
        "tunnel-remote-addr": "10.99.1.1",
        "tunnel-local-addr6": "",
        "tunnel-remote-addr6": "",
        "tunnel-remote-net": "24",
        "tunnel-remote-net6": "128",
        "remote-addr": "203.0.113.10",
        "descr": "GRE_SEOUL to seoul",
        "greif": "gre0",
    }


def test_the_gateway_of_the_prefix_is_a_virtual_ip() -> None:
    root = ElementTree.fromstring(render_node(home())["/pfsense/virtualip.xml"])
    (vip,) = root
    fields = {field.tag: field.text for field in vip}
    assert fields.pop("uniqid", "").__len__() == 13
    assert fields == {
        "mode": "ipalias",
        "interface": "lan",
        "descr": "gateway of 103.178.34.0/23",
        "type": "single",
        "subnet_bits": "23",
        "subnet": "103.178.34.1",
    }


def test_an_interfaces_own_address_is_no_virtual_ip() -> None:
    plan = home()
    lan = plan.interfaces[1]
    own = lan.model_copy(update={"addresses": lan.addresses[1:]})
    files = render_node(plan.model_copy(update={"interfaces": [plan.interfaces[0], own]}))
    assert len(ElementTree.fromstring(files["/pfsense/virtualip.xml"])) == 0
    assert "Nothing to do" in files["/pfsense/README.md"]


def test_every_step_has_a_check() -> None:
    readme = render_node(home())["/pfsense/README.md"]
    steps = readme.split("\n## ")[1:9]
    assert [step[0] for step in steps] == list("12345678")
    assert all("\nCheck: " in step for step in steps)


def test_two_tunnels_make_a_gateway_group_and_frr_appears_when_asked_for() -> None:
    plan = home()
    first = plan.tunnels[0].model_copy(update={"bgp": True, "bfd": Bfd()})
    second = first.model_copy(update={"name": "gre-tokyo", "peer": "tokyo", "preference": 200})
    readme = render_node(plan.model_copy(update={"tunnels": [first, second]}))["/pfsense/README.md"]
    assert readme.index("`GRE_TOKYO_TUNNELV4` | Tier 1") < readme.index(
        "`GRE_SEOUL_TUNNELV4` | Tier 2"
    )
    assert "FRR BFD > Peers" in readme
    assert "Remote AS 64500" in readme


def test_everything_that_cannot_be_done_is_named_at_once() -> None:
    plan = home()
    tunnel = plan.tunnels[0].model_copy(update={"key": 7, "keepalive": Keepalive()})
    interface = plan.interfaces[0].model_copy(update={"name": "igb0"})
    with pytest.raises(RenderError) as error:
        render_node(plan.model_copy(update={"tunnels": [tunnel], "interfaces": [interface]}))
    for reason in ("no key", "keepalive", "igb0"):
        assert reason in str(error.value)


def test_a_far_end_that_sends_keepalives_is_refused() -> None:
    plan = home()
    tunnel = plan.tunnels[0].model_copy(update={"peer_keepalive": Keepalive()})
    with pytest.raises(RenderError, match="sends no GRE keepalive back"):
        render_node(plan.model_copy(update={"tunnels": [tunnel]}))
