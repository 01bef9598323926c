"""The blueprint of a lab: addresses, relations, refusals."""

import json
from pathlib import Path

import pytest

from bongsu.intent import load_text
from bongsu.lab.blueprint import Topology
from bongsu.lab.internet import router_config, session_symbol
from bongsu.lab.lifecycle import link_spec
from bongsu.lab.state import LabPaths
from bongsu.lab.topology import TopologyError, build_topology
from bongsu.model.network import Network
from bongsu.plan.compile import compile_network

EXAMPLE = Path(__file__).parents[2] / "examples" / "anycast.yaml"


@pytest.fixture(scope="module")
def network() -> Network:
    return load_text(EXAMPLE.read_text(), EXAMPLE.name).network


@pytest.fixture(scope="module")
def topology(network: Network) -> Topology:
    return build_topology(network, compile_network(network))


def changed(network: Network, **lab: object) -> Network:
    raw = network.model_dump(mode="json", by_alias=True)
    raw["lab"].update(lab)
    return Network.model_validate(raw)


def test_every_member_has_one_namespace(topology: Topology) -> None:
    members = topology.members()
    assert len(members) == len(set(members)) == 14 + 3 + 1 + 1


def test_six_vantages_in_six_ases_beside_five_transits(topology: Topology) -> None:
    asns = {topology.routers[name].asn for name in topology.vantages}
    assert len(asns) == 6
    transits = {router.asn for name, router in topology.routers.items() if "transit" in name}
    assert len(transits) == 5
    assert not asns & transits


def test_no_address_is_used_twice(topology: Topology) -> None:
    ports = [port for cable in topology.cables.values() for port in (cable.a, cable.b)]
    addresses = [address.ip for port in ports for address in port.addresses]
    addresses += [here for port in ports for here, _ in port.peers]
    assert len(addresses) == len(set(addresses))


def test_both_ends_of_a_session_agree(topology: Topology) -> None:
    sessions = {
        (session.local, session.remote): session
        for router in topology.routers.values()
        for session in router.sessions
    }
    opposite = {"peer": "peer", "customer": "provider", "provider": "customer"}
    inside = [session for session in sessions.values() if session.allowed is None]
    assert len(inside) == 2 * 15
    for session in inside:
        other = sessions[(session.remote, session.local)]
        assert (other.local_asn, other.remote_asn) == (session.remote_asn, session.local_asn)
        assert other.relation == opposite[session.relation]


def test_the_provider_filters_its_customer(topology: Topology) -> None:
    session = next(s for s in topology.routers["cloud-icn"].sessions if s.allowed is not None)
    assert session.name == "seoul-vultr"
    assert [str(prefix) for prefix in session.allowed or ()] == ["103.178.34.0/23"]
    assert (session.local_asn, session.multihop) == (64515, 2)


def test_ipv6_only_where_the_network_speaks_it(topology: Topology) -> None:
    assert topology.families == (4,)
    assert all(a.version == 4 for r in topology.routers.values() for a in r.loopbacks)


def test_a_configuration_holds_the_lab_password_and_no_other_customer(topology: Topology) -> None:
    secrets = {"env:SEOUL_BGP_PASSWORD": "first", "env:TOKYO_BGP_PASSWORD": "second"}
    text = router_config(topology.routers["cloud-icn"], secrets, topology.families)
    assert 'password "first";' in text
    assert "second" not in text
    assert "103.178.34.0/23{ 23, 24 }" in text


def test_a_vantage_point_speaks_from_an_address_that_is_routed(topology: Topology) -> None:
    """A router that forwards answers a spent TTL from the link, so it keeps the kernel's choice."""
    (own,) = topology.vantages["busan"].values()
    text = router_config(topology.routers["busan"], {}, topology.families, {4: own})
    assert f"krt_prefsrc = {own};" in text
    secrets = {"env:SEOUL_BGP_PASSWORD": "x"}
    assert "krt_prefsrc" not in router_config(
        topology.routers["cloud-icn"], secrets, topology.families
    )


def test_symbols_are_birds() -> None:
    assert session_symbol("seoul-vultr") == "s_seoul_vultr"


@pytest.mark.parametrize(
    ("lab", "says"),
    [
        ({"uplinks": {}}, "seoul's uplink ens3 goes nowhere"),
        (
            {"hosts": {"web": {"node": "home", "interface": "lan", "address": "198.51.100.7"}}},
            "host web (198.51.100.7) is in no network of home's lan",
        ),
        (
            {"hosts": {"seoul": {"node": "home", "interface": "lan", "address": "103.178.34.9"}}},
            "seoul is the name of a node and of a host",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(network: Network, lab: dict, says: str) -> None:  # type: ignore[type-arg]
    broken = changed(network, **lab)
    with pytest.raises(TopologyError, match="^" + says.replace("(", r"\(").replace(")", r"\)")):
        build_topology(broken, compile_network(broken))


def test_a_file_without_a_lab_is_refused(network: Network) -> None:
    bare = network.model_copy(update={"lab": None})
    with pytest.raises(TopologyError, match="no `lab:` section"):
        build_topology(bare, compile_network(bare))


def test_too_many_ases(network: Network) -> None:
    ases = {f"as{n}": {"asn": 1000 + n} for n in range(256)}
    broken = changed(network, internet={"ases": ases, "links": []}, vantages={}, uplinks={})
    with pytest.raises(TopologyError, match="255 ASes"):
        build_topology(broken, compile_network(broken))


@pytest.fixture(scope="module")
def document_c() -> Network:
    path = EXAMPLE.with_name("gre-keepalive.yaml")
    return load_text(path.read_text(), path.name).network


def test_wires_join_the_interfaces_they_name(document_c: Network) -> None:
    topology = build_topology(document_c, compile_network(document_c))
    assert topology.routers == {}
    assert topology.vantages == {}
    cable = topology.cables[topology.plugs[("b", "eth1")]]
    assert topology.plugs[("a", "eth1")] == cable.name
    assert [(port.member, port.interface) for port in (cable.a, cable.b)] == [
        ("a", "eth1"),
        ("b", "eth1"),
    ]
    assert [str(port.addresses[0]) for port in (cable.a, cable.b)] == [
        "172.31.0.5/30",
        "172.31.0.6/30",
    ]
    assert cable.impairment.delay_ms == 20
    assert topology.between([("a", "eth0"), ("a", "lan")]) == [topology.cables["a:eth0"]]


def test_loopbacks_and_hosts_have_their_addresses(document_c: Network) -> None:
    topology = build_topology(document_c, compile_network(document_c))
    assert [str(address) for address in topology.loopbacks["a"]] == ["192.168.1.1/32"]
    assert str(topology.hosts["phone-a"]) == "172.16.1.200"
    assert {"pc-a", "phone-a", "pc-b"} < set(topology.members())


@pytest.mark.parametrize(
    ("wires", "words"),
    [
        ([], "add a wire to lab.wires that ends at a/eth0"),
        ([{"a": "a/eth0", "b": "b/eth0"}, {"a": "a/eth1", "b": "b/eth0"}], "takes one wire"),
    ],
)
def test_a_link_has_one_wire(document_c: Network, wires: list[object], words: str) -> None:
    network = changed(document_c, wires=wires)
    with pytest.raises(TopologyError, match=words):
        build_topology(network, compile_network(network))


def test_a_name_of_a_wire_fits_whatever_its_ends_are_called(document_c: Network) -> None:
    text = json.dumps(document_c.model_dump(mode="json", by_alias=True))
    for short in ("a", "b"):
        long = short * 31
        for old, new in ((f'"{short}"', f'"{long}"'), (f'"{short}/', f'"{long}/')):
            text = text.replace(old, new)
    raw = json.loads(text.replace("eth0", "e" * 15))
    # Keys of a wire, not nodes.
    for wire in raw["lab"]["wires"]:
        wire["a"], wire["b"] = wire.pop("a" * 31), wire.pop("b" * 31)
    network = Network.model_validate(raw)
    topology = build_topology(network, compile_network(network))
    for cable in topology.cables.values():
        link_spec(cable, LabPaths("t"))


def test_a_provider_on_the_link_has_its_address_on_the_port() -> None:
    """BIRD looks for a single-hop neighbor on a link: an address of `lo` would leave it idle."""
    path = Path(__file__).parents[1] / "lab" / "networks" / "on-link.yaml"
    network = load_text(path.read_text(), path.name).network
    topology = build_topology(network, compile_network(network))
    port = topology.cables[topology.plugs[("edge", "ens3")]].b
    assert [(str(here), str(there)) for here, there in port.peers] == [
        ("203.0.113.1", "203.0.113.10"),
        ("2001:db8:113::1", "2001:db8:113::10"),
        ("2001:db8:113::77", "2001:db8:113::10"),
    ]
    router = topology.routers["cloud"]
    assert {str(a.ip) for a in router.loopbacks} == {"198.18.1.1", "3fff:0:1::1"}
    text = router_config(router, {"env:EDGE_PASSWORD": "once"}, topology.families)
    assert text.count('password "once";') == 1


def test_a_provider_further_away_is_behind_the_port(topology: Topology) -> None:
    port = topology.cables[topology.plugs[("seoul", "ens3")]].b
    assert [(str(here), str(there)) for here, there in port.peers] == [
        ("203.0.113.1", "203.0.113.10")
    ]
    assert "169.254.169.254" in {str(a.ip) for a in topology.routers["cloud-icn"].loopbacks}
