"""The node that plays a cloud in the lab: the other end of every tunnel that leads to it."""

from bongsu.intent import load_text
from bongsu.plan.compile import compile_network
from bongsu.plan.connect import stand_in_plan

SITE = """
  {name}:
    role: router
    interfaces:
      wan: {{role: uplink, addresses: [198.51.{number}.2/30], gateway: 198.51.{number}.1}}
      lan: {{role: lan, addresses: [10.{number}.0.1/24]}}
    bgp: {{asn: {asn}, router_id: 10.{number}.0.1}}
"""
VPN = """
  to-{name}:
    site: {name}
    cloud: seoul
    tunnels:
      vti1: {{headend: 203.0.113.2, inside: 169.254.{number}.1/30, psk: "env:PSK_{number}"}}
      vti2: {{headend: 203.0.113.6, inside: 169.254.{number}.5/30, psk: "env:PSK_{number}"}}
    {routing}
"""


def two_sites(routing: str) -> str:
    sites = [("busan", 1, 65001), ("daegu", 2, 65002)]
    nodes = "".join(SITE.format(name=n, number=i, asn=a) for n, i, a in sites)
    vpns = "".join(VPN.format(name=n, number=i, routing=routing) for n, i, _ in sites)
    cloud = "{asn: 64600, networks: [172.16.0.0/24]}"
    return f"version: 1\nname: two\nnodes:{nodes}\nclouds:\n  seoul: {cloud}\nvpns:{vpns}"


def test_tunnels_of_one_name_are_told_apart() -> None:
    network = load_text(two_sites("bgp: {}"), "two.yaml").network
    cloud = stand_in_plan(network, "seoul")
    assert [tunnel.name for tunnel in cloud.vpns] == ["vti1", "vti2", "vti1-2", "vti2-2"]
    assert [(peer.tunnel, peer.asn) for peer in cloud.cloud_peers] == [
        ("vti1", 65001),
        ("vti2", 65001),
        ("vti1-2", 65002),
        ("vti2-2", 65002),
    ]
    assert len({tunnel.mark for tunnel in cloud.vpns}) == 4
    assert [str(address) for address in cloud.interfaces[0].addresses] == [
        "203.0.113.2/31",
        "203.0.113.6/31",
    ]


def test_static_routes_lead_into_the_tunnels_as_they_are_called_here() -> None:
    network = load_text(two_sites("static: true"), "two.yaml").network
    cloud = stand_in_plan(network, "seoul")
    assert [(str(r.prefix), r.hop.tunnel, r.distance) for r in cloud.vpn_routes] == [
        ("10.1.0.0/24", "vti1", 1),
        ("10.1.0.0/24", "vti2", 2),
        ("10.2.0.0/24", "vti1-2", 1),
        ("10.2.0.0/24", "vti2-2", 2),
    ]


def test_what_is_ours_there_is_theirs_here() -> None:
    network = load_text(two_sites("bgp: {}"), "two.yaml").network
    sites = compile_network(network)
    for name, theirs in (("busan", 0), ("daegu", 2)):
        site = sites[name].vpns[0]
        cloud = stand_in_plan(network, "seoul").vpns[theirs]
        assert (cloud.local, cloud.remote) == (site.remote, site.public)
        assert (cloud.local_id, cloud.remote_id) == (site.remote_id, site.local_id)
        assert site.inside is not None
        assert (str(cloud.inside), cloud.peer_inside) == (f"{site.peer_inside}/30", site.inside.ip)
        assert cloud.psk == site.psk
        assert cloud.start == "respond"
