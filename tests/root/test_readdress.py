"""An inside address that is given again is news to whoever listens, and stays the tunnel's."""

import os
from collections.abc import Iterator

import pytest
from pyroute2 import IPRoute

from bongsu.intent import load_text
from bongsu.plan.compile import compile_network
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.system import netns
from bongsu.system.ipsec.interfaces import readdress
from bongsu.system.run import run
from tests.unit.test_plan_stand_in import two_sites

pytestmark = pytest.mark.root

NAME = f"bst-readdress-{os.getpid()}"


@pytest.fixture
def tunnel() -> Iterator[VpnTunnelPlan]:
    plans = compile_network(load_text(two_sites("bgp: {}"), "two.yaml").network)
    netns.create(NAME)
    try:
        run(["ip", "-n", NAME, "tuntap", "add", "dev", "vti1", "mode", "tun"])
        run(["ip", "-n", NAME, "link", "set", "vti1", "up"])
        yield plans["busan"].vpns[0]
    finally:
        netns.remove(NAME)


def test_it_is_told_as_gone_and_as_new(tunnel: VpnTunnelPlan) -> None:
    run(["ip", "-n", NAME, "addr", "add", str(tunnel.inside), "dev", "vti1"])
    with netns.in_netns(NAME):
        listener = IPRoute()
        listener.bind(groups=0x10)  # RTMGRP_IPV4_IFADDR
        try:
            assert readdress(tunnel)
            news = [message["event"] for message in listener.get()]
            news += [message["event"] for message in listener.get()] if len(news) < 2 else []
        finally:
            listener.close()
    assert news == ["RTM_DELADDR", "RTM_NEWADDR"]
    shown = run(["ip", "-n", NAME, "-br", "addr", "show", "vti1"]).stdout
    assert str(tunnel.inside) in shown


def test_without_the_address_or_the_interface_nothing_is_done(tunnel: VpnTunnelPlan) -> None:
    with netns.in_netns(NAME):
        assert not readdress(tunnel)
        assert not readdress(tunnel.model_copy(update={"name": "vti9"}))
    assert str(tunnel.inside) not in run(["ip", "-n", NAME, "-br", "addr"]).stdout
