"""Which ends send a keepalive back: Cisco's rules, one by one, and where Linux differs."""

from ipaddress import ip_address, ip_interface
from typing import Any

import pytest

from bongsu.model.access import AccessRule
from bongsu.model.node import Platform
from bongsu.model.tunnel import Dialect, Keepalive
from bongsu.plan.reflection import Obstacle, keepalive_route, obstacles, reflects
from bongsu.plan.tunnel import TunnelPlan

PLAIN: dict[str, Any] = {
    "name": "tunnel0",
    "peer": "a",
    "underlay": "eth0",
    "local": ip_address("192.168.1.2"),
    "remote": ip_address("192.168.1.1"),
    "key": None,
    "ttl": 255,
    "tos": "inherit",
    "mtu": 1476,
    "overhead": 24,
    "addresses": [ip_interface("10.10.10.2/30")],
    "peer_addresses": [ip_address("10.10.10.1")],
    "inner_sources": [],
    "inner_destinations": [],
    "keepalive": None,
    "peer_keepalive": Keepalive(seconds=5, retries=4),
    "bfd": None,
    "bgp": False,
    "egress": False,
    "preference": 100,
    "insecure": True,
}


def tunnel(**changes: Any) -> TunnelPlan:
    return TunnelPlan.model_validate(PLAIN | changes)


def rule(text: str) -> AccessRule:
    permit, source, destination = text.split()
    fields = {"permit": permit, "from": source, "to": destination}
    return AccessRule.model_validate({key: word for key, word in fields.items() if word != "any"})


@pytest.mark.parametrize("platform", [Platform.LINUX, Platform.IOS])
def test_a_plain_end_sends_keepalives_back(platform: Platform) -> None:
    assert obstacles(tunnel(), platform) == []
    assert reflects(tunnel(), platform)


@pytest.mark.parametrize(
    ("platform", "rpf", "back"),
    [
        (Platform.IOS, "strict", False),
        (Platform.IOS, "loose", False),
        (Platform.LINUX, "strict", False),
        (Platform.LINUX, "loose", True),
    ],
)
def test_reverse_path_forwarding(platform: Platform, rpf: str, back: bool) -> None:
    assert reflects(tunnel(rpf=rpf), platform) is back
    assert (Obstacle.RPF in obstacles(tunnel(rpf=rpf), platform)) is not back


@pytest.mark.parametrize(
    ("inside", "outside", "back"),
    [("red", "red", True), ("red", None, False), (None, "red", False), ("red", "blue", False)],
)
def test_inside_and_outside_in_one_vrf(inside: str, outside: str, back: bool) -> None:
    assert reflects(tunnel(vrf=inside, transport_vrf=outside), Platform.IOS) is back


@pytest.mark.parametrize(
    ("rules", "back"),
    [
        (["gre 192.168.1.2/32 192.168.1.1/32"], True),
        (["icmp any any", "gre any any"], True),
        (["ip 192.168.1.0/24 192.168.1.0/24"], True),
        ([], False),
        (["icmp any any"], False),
        (["tcp 192.168.1.2/32 192.168.1.1/32"], False),
        # The wrong way round: that is the request's outside, which is gone by now.
        (["gre 192.168.1.1/32 192.168.1.2/32"], False),
        (["gre 192.168.1.2/32 192.168.1.9/32"], False),
        (["ip ::/0 ::/0"], False),
    ],
)
def test_the_access_list_has_to_permit_gre_from_us_to_the_peer(
    rules: list[str], back: bool
) -> None:
    assert reflects(tunnel(inbound=[rule(text) for text in rules])) is back


def test_velocloud_asks_between_the_inside_addresses() -> None:
    dialect = {"peer_keepalive": Keepalive(dialect=Dialect.VELOCLOUD)}
    assert reflects(tunnel(**dialect, inbound=[rule("gre 10.10.10.2/32 10.10.10.1/32")]))
    assert not reflects(tunnel(**dialect, inbound=[rule("gre 192.168.1.2/32 192.168.1.1/32")]))


def test_velocloud_s_are_ipv4_whatever_else_is_inside() -> None:
    """The engine speaks it between the first IPv4 addresses, and the data plane knows those."""
    both = tunnel(
        peer_keepalive=Keepalive(dialect=Dialect.VELOCLOUD),
        addresses=[ip_interface("fd00::2/64"), ip_interface("10.10.10.2/30")],
        peer_addresses=[ip_address("fd00::1"), ip_address("10.10.10.1")],
    )
    assert keepalive_route(both) == both.inside4()


def test_multipoint_and_pfsense_send_none_back() -> None:
    assert obstacles(tunnel(multipoint=True)) == [Obstacle.MULTIPOINT]
    assert obstacles(tunnel(), Platform.PFSENSE) == [Obstacle.PLATFORM]


def test_every_obstacle_is_told_at_once() -> None:
    blocked = tunnel(multipoint=True, vrf="red", rpf="strict", inbound=[])
    assert set(obstacles(blocked, Platform.PFSENSE)) == set(Obstacle)
