"""What a Linux node in a lab does in place of a machine that is not here."""

from bongsu.lab.lifecycle import stand_in
from bongsu.model.node import Platform
from bongsu.plan.node import NodePlan
from bongsu.plan.reflection import reflects
from bongsu.render import render_node
from tests.golden.networks import plans


def an_ios(**of_tunnel: object) -> NodePlan:
    plan = plans("gre-keepalive")["b"]
    tunnels = [tunnel.model_copy(update=of_tunnel) for tunnel in plan.tunnels]
    return plan.model_copy(update={"platform": Platform.IOS, "tunnels": tunnels})


def test_a_linux_node_is_itself() -> None:
    plan = plans("gre-keepalive")["b"]
    assert stand_in(plan) is plan


def test_an_ios_is_given_what_a_linux_node_would_be_given() -> None:
    plan = stand_in(an_ios())
    assert plan.platform is Platform.LINUX
    assert "/etc/bird/bird.conf" in render_node(plan)


def test_it_sends_back_what_the_original_would() -> None:
    for rpf in (None, "loose", "strict"):
        original = an_ios(rpf=rpf)
        here = stand_in(original)
        for there, stands in zip(original.tunnels, here.tunnels, strict=True):
            assert reflects(stands, here.platform) == reflects(there, original.platform)


def test_a_service_is_given_what_a_linux_site_would_be_given() -> None:
    """Alibaba's VPN Gateway takes no file; in a lab its tunnels are strongSwan's all the same."""
    original = plans("vpn-alibaba")["shanghai"]
    here = stand_in(original)
    assert here.platform is Platform.LINUX
    assert here.vpns == original.vpns
    files = render_node(here)
    assert "remote_addrs = 203.0.113.21" in files["/etc/swanctl/conf.d/bongsu.conf"]
    assert not [path for path in files if path.startswith("/alibaba/")]
