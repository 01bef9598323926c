"""The blueprint of a lab with a cloud in it, and with a 1:1 NAT in front of a node."""

import json
from pathlib import Path

import pytest

from bongsu.intent import IntentError, load_text
from bongsu.lab import fault, state
from bongsu.lab.blueprint import Topology
from bongsu.lab.lab import Lab, lab_plans
from bongsu.lab.lifecycle import link_spec
from bongsu.lab.nat import ruleset
from bongsu.lab.state import LabPaths, new_record, update_record, write_record
from bongsu.lab.topology import TopologyError, build_topology
from bongsu.lab.vpn_fault import is_headend, is_tunnel
from bongsu.lab.wrong_key import with_wrong_keys
from bongsu.model.network import Network
from bongsu.render.bundle import make_bundle

EXAMPLE = Path(__file__).parents[2] / "examples" / "hybrid-vpn.yaml"


@pytest.fixture(scope="module")
def network() -> Network:
    return load_text(EXAMPLE.read_text(), EXAMPLE.name).network


@pytest.fixture(scope="module")
def topology(network: Network) -> Topology:
    return build_topology(network, lab_plans(network))


def changed(network: Network, **interface: object) -> Network:
    """The example with other values at its node's uplink."""
    raw = network.model_dump(mode="json", by_alias=True)
    raw["nodes"]["cpe"]["interfaces"]["ens3"].update(interface)
    return Network.model_validate(raw)


def rules(network: Network) -> str:
    (nat,) = build_topology(network, lab_plans(network)).nats
    return ruleset(nat)


def test_a_cloud_is_a_node_with_its_headends_on_the_internet(topology: Topology) -> None:
    assert topology.nodes == ("cpe", "seoul")
    cable = topology.cables[topology.plugs[("seoul", "wan")]]
    assert cable.b.member == "oracle"
    assert [str(address) for address in cable.a.addresses] == [
        "193.122.99.212/31",
        "146.56.44.93/31",
    ]
    # The provider answers for one gateway, and has both headends on the link.
    assert [str(prefix) for prefix, via in cable.b.routes if via is None] == [
        "193.122.99.212/32",
        "146.56.44.93/32",
    ]
    assert {str(here) for here, _ in cable.b.peers} == {"193.122.99.213"}
    assert {"193.122.99.212/31", "146.56.44.92/31"} < {
        str(network) for network in topology.routers["oracle"].networks
    }


def test_a_clouds_hosts_are_on_the_lan_of_their_network(topology: Topology) -> None:
    lans = {segment.interface: segment for segment in topology.segments}
    assert set(lans) == {"net0", "net1"}
    (host,) = lans["net0"].hosts
    assert (host.name, str(host.address), str(host.gateway)) == (
        "vm-cloud",
        "172.16.0.93/24",
        "172.16.0.1",
    )
    assert lans["net1"].hosts == ()
    assert {"vm-cloud", "vm-onprem"} == set(topology.hosts)


def test_the_nat_stands_between_the_node_and_the_as(topology: Topology) -> None:
    (nat,) = topology.nats
    assert (str(nat.private), str(nat.public)) == ("10.0.236.153", "144.24.84.145")
    assert str(nat.gateway) == "10.0.0.1/16"
    assert [str(prefix) for prefix in nat.routes] == ["172.16.0.0/24", "172.16.1.0/24"]
    assert [(host.name, str(host.address)) for host in nat.hosts] == [
        ("vm-onprem", "10.0.85.10/16")
    ]
    near = topology.cables[topology.plugs[("cpe", "ens3")]]
    assert (near.a.member, near.b.member, near.mtu) == ("cpe", nat.name, 9000)
    assert near.b.bridged
    assert [(str(to), str(via)) for to, via in near.a.routes] == [("0.0.0.0/0", "10.0.0.1")]
    far = topology.cables["cpe:ens3:out"]
    assert (far.b.member, far.mtu, far.impairment.delay_ms) == ("isp", 1500, 0.2)
    assert [str(prefix) for prefix, _ in far.b.routes] == ["144.24.84.145/32"]
    # Nobody but the NAT knows the private address.
    router = topology.routers["isp"]
    assert {str(network) for network in router.networks} == {
        "198.18.1.0/24",
        "144.24.84.144/31",
    }
    assert [str(prefix) for prefix, _ in router.on_link] == ["144.24.84.145/32"]


def test_no_address_is_used_twice(topology: Topology) -> None:
    ports = [port for cable in topology.cables.values() for port in (cable.a, cable.b)]
    found = [address.ip for port in ports for address in port.addresses]
    assert len(found) == len(set(found))


def test_every_cable_can_be_made(topology: Topology) -> None:
    specs = {name: link_spec(cable, LabPaths("t")) for name, cable in topology.cables.items()}
    # What does nothing to packets is the kernel's: an emulator would only be in the way.
    assert [name for name, spec in specs.items() if spec.plain] == ["cpe:ens3"]
    members = topology.members()
    assert len(members) == len(set(members)) == 2 + 2 + 1 + 2 + 2


def test_only_the_nodes_address_is_translated(network: Network) -> None:
    text = rules(network)
    assert 'iifname "out" ip daddr 144.24.84.145 counter dnat to 10.0.236.153' in text
    assert 'oifname "out" ip saddr 10.0.236.153 counter snat to 144.24.84.145' in text
    assert "table bridge" not in text


@pytest.mark.parametrize(("check", "there"), [(True, True), (False, False), (None, False)])
def test_the_providers_check_is_there_when_it_is_on(
    network: Network, check: bool | None, there: bool
) -> None:
    text = rules(changed(network, source_dest_check=check))
    assert ("ip saddr != 10.0.236.153 counter drop\n" in text) is there
    assert ("ip daddr != 10.0.236.153 counter drop\n" in text) is there


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"gateway": None}, "cpe's ens3 is behind a 1:1 NAT .* has no IPv4 gateway"),
        (
            {"addresses": ["10.0.236.153/16", "2001:db8::2/64"]},
            "has IPv6 addresses beside it",
        ),
    ],
)
def test_what_no_nat_can_do_is_refused(
    network: Network, values: dict[str, object], says: str
) -> None:
    broken = changed(network, **values)
    with pytest.raises(TopologyError, match=says):
        build_topology(broken, lab_plans(broken))


def test_a_cloud_without_a_connection_is_not_built(network: Network) -> None:
    raw = json.loads(json.dumps(network.model_dump(mode="json", by_alias=True)))
    raw["clouds"]["tokyo"] = {"profile": "oci", "networks": ["172.17.0.0/24"]}
    raw["lab"]["clouds"]["tokyo"] = {"to": "oracle"}
    lab = Lab.of("t", Network.model_validate(raw))
    assert lab.topology.nodes == ("cpe", "seoul")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("node-kill:seoul/vti1", ""),
        ("node-kill:seoul", ""),
        ("daemon-kill:cpe/ike", ""),
        ("daemon-kill:seoul/bgpd", ""),
        ("daemon-kill:cpe/agent", ""),
        ("daemon-kill:cpe/python", "cpe runs no daemon python"),
        ("wrong-key:vti2", ""),
        ("wrong-key:vti9", "there is no tunnel of a VPN"),
        ("wrong-key:cpe", "there is no tunnel of a VPN"),
        ("node-kill:seoul/vti9", "there is no node"),
        ("node-kill:cpe/vti1", "there is no node"),
        ("silent-loss:vti9", "there is no node, AS or tunnel"),
    ],
)
def test_faults_of_tunnels_and_headends(fault: str, says: str) -> None:
    text = EXAMPLE.read_text().replace("fault: silent-loss:vti1", f"fault: {fault}")
    assert fault in text
    if not says:
        load_text(text, EXAMPLE.name)
        return
    with pytest.raises(IntentError) as caught:
        load_text(text, EXAMPLE.name)
    assert says in str(caught.value.problems[0])


def test_which_faults_are_a_tunnels(network: Network) -> None:
    lab = Lab.of("t", network)
    assert is_tunnel(lab, "vti2")
    assert not is_tunnel(lab, "seoul")
    assert is_headend(lab, "seoul/vti2")
    assert not any(is_headend(lab, where) for where in ("seoul", "cpe/vti1", "seoul/vti9", "vti1"))


def test_a_wrong_key_is_of_one_tunnel_and_by_reference(network: Network) -> None:
    plan = Lab.of("t", network).plans["cpe"]
    assert with_wrong_keys(plan, []) == plan
    wrong = {tunnel.name: tunnel.psk for tunnel in with_wrong_keys(plan, ["vti2"]).vpns}
    right = {tunnel.name: tunnel.psk for tunnel in plan.vpns}
    assert wrong == right | {"vti2": "file:/run/bongsu/wrong-key/vti2.psk"}
    assert make_bundle(with_wrong_keys(plan, ["vti2"])).plan != plan


def test_a_wrong_key_outlives_a_power_cut(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that comes back carries out what it did: with the keys that are wrong, and no others."""
    monkeypatch.setattr(state, "LABS_DIR", tmp_path)
    write_record(new_record("t", "network.yaml", keep=True))
    update_record("t", faults={"wrong-key:vti2": 1.0, "silent-loss:vti1": 2.0})
    lab = Lab.of("t", network)
    right = lab.plans["cpe"]
    assert fault._plan_now(lab, "cpe") == with_wrong_keys(right, ["vti2"]) != right
    assert fault._plan_now(lab, "cpe", healed="vti2") == right
    assert fault._plan_now(lab, "seoul") == lab.plans["seoul"]
