"""A lab's 1:1 NAT on real packets: who passes it, under which address, and who does not."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bongsu.intent import load_text
from bongsu.lab.lab import Lab
from bongsu.lab.lifecycle import link_spec
from bongsu.lab.link.links import Links
from bongsu.lab.state import LabPaths
from bongsu.lab.wiring import configure_ports, make_namespaces, make_nat, make_segment
from bongsu.model.network import Network
from bongsu.system import netns
from tests.lab.conftest import EXAMPLES

pytestmark = pytest.mark.root

PORT = 4500
"""Any will do: it is the one that matters."""
PUBLIC, PRIVATE, HEADEND = "144.24.84.145", "10.0.236.153", "193.122.99.212"
WAIT_S = 1.0


class World:
    """The example's namespaces, links and NAT, without daemons: routes of the two ASes by hand."""

    def __init__(self, network: Network, name: str, state: Path) -> None:
        self.lab = Lab.of(name, network)
        self.paths = LabPaths(name)
        self.state = state

    def __enter__(self) -> "World":
        topology = self.lab.topology
        make_namespaces(topology, self.paths)
        self.links = Links.start(self.state, self.paths.closet)
        self.links.create([link_spec(one, self.paths) for one in topology.cables.values()])
        configure_ports(topology, self.paths, [*topology.routers, *topology.nodes])
        for segment in topology.segments:
            make_segment(segment, self.paths)
        for nat in topology.nats:
            make_nat(nat, self.paths)
        configure_ports(topology, self.paths, [nat.name for nat in topology.nats])
        between = topology.cables["oracle:isp"]
        for port, other, to in (
            (between.a, between.b, f"{PUBLIC}/32"),
            (between.b, between.a, f"{HEADEND}/32"),
        ):
            via = str(other.addresses[0].ip)
            self.run(port.member, "ip", "route", "add", to, "via", via)
        return self

    def __exit__(self, *_: object) -> None:
        self.links.close()
        Links.end(self.state, self.paths.closet)
        for member in netns.names(self.paths.netns("")):
            netns.remove(member)

    def run(self, member: str, *argv: str) -> str:
        full = ["nsenter", f"--net={netns.path(self.paths.netns(member))}", *argv]
        return subprocess.run(full, check=True, capture_output=True, text=True).stdout

    def socket(self, member: str, address: str) -> socket.socket:
        found = netns.socket_in(self.paths.netns(member), socket.AF_INET, socket.SOCK_DGRAM)
        found.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND: a foreign source is what is tried
        found.bind((address, PORT))
        found.settimeout(WAIT_S)
        return found

    def drops(self, chain: str, family: str = "ip") -> int:
        nat = self.lab.topology.nats[0].name
        text = self.run(nat, "nft", "list", "chain", family, "bongsu_nat", chain)
        return int(text.partition("packets ")[2].split()[0])


@pytest.fixture
def network() -> Network:
    path = EXAMPLES / "hybrid-vpn.yaml"
    return load_text(path.read_text(), path.name).network


@pytest.fixture
def world(network: Network, tmp_path: Path) -> Iterator[World]:
    with World(network, f"bst-r4-{os.getpid()}", tmp_path / "links") as world:
        yield world


@pytest.fixture
def checking(network: Network, tmp_path: Path) -> Iterator[World]:
    raw = network.model_dump(mode="json", by_alias=True)
    raw["nodes"]["cpe"]["interfaces"]["ens3"]["source_dest_check"] = True
    checked = Network.model_validate(raw)
    with World(checked, f"bst-r4c-{os.getpid()}", tmp_path / "links") as world:
        yield world


def heard(by: socket.socket) -> tuple[bytes, str] | None:
    try:
        data, (source, _) = by.recvfrom(100)
    except TimeoutError:
        return None
    return data, source


def test_the_node_is_seen_under_its_public_address_both_ways(world: World) -> None:
    with world.socket("cpe", PRIVATE) as near, world.socket("seoul", HEADEND) as far:
        near.sendto(b"out", (HEADEND, PORT))
        assert heard(far) == (b"out", PUBLIC)
        far.sendto(b"in", (PUBLIC, PORT))
        assert heard(near) == (b"in", HEADEND)


def test_the_cloud_may_speak_first(world: World) -> None:
    with world.socket("cpe", PRIVATE) as near, world.socket("seoul", HEADEND) as far:
        far.sendto(b"in", (PUBLIC, PORT))
        assert heard(near) == (b"in", HEADEND)


def test_a_neighbour_has_no_public_address(world: World) -> None:
    with world.socket("vm-onprem", "10.0.85.10") as near, world.socket("seoul", HEADEND) as far:
        near.sendto(b"out", (HEADEND, PORT))
        assert heard(far) is None
        assert world.drops("private") == 1


def test_the_clouds_networks_are_sent_to_the_node(world: World) -> None:
    """As a route rule of the subnet does; what the node does with them is its tunnels' business."""
    world.run("cpe", "ip", "address", "add", "172.16.0.93/32", "dev", "lo")
    with world.socket("vm-onprem", "10.0.85.10") as near, world.socket("cpe", "172.16.0.93") as far:
        near.sendto(b"out", ("172.16.0.93", PORT))
        assert heard(far) == (b"out", "10.0.85.10")
        far.sendto(b"back", ("10.0.85.10", PORT))
        assert heard(near) == (b"back", "172.16.0.93")


def test_the_providers_check_loses_what_is_forwarded(checking: World) -> None:
    checking.run("cpe", "ip", "address", "add", "172.16.0.93/32", "dev", "lo")
    foreign = checking.socket("cpe", "172.16.0.93")
    with foreign, checking.socket("vm-onprem", "10.0.85.10") as near:
        near.sendto(b"to the cloud", ("172.16.0.93", PORT))
        assert heard(foreign) is None
        assert checking.drops("destination", "bridge") > 0  # the kernel speaks IGMP too
        foreign.sendto(b"from the cloud", ("10.0.85.10", PORT))
        assert heard(near) is None
        assert checking.drops("source", "bridge") > 0
    # What the node says for itself passes.
    with checking.socket("cpe", PRIVATE) as own, checking.socket("seoul", HEADEND) as far:
        own.sendto(b"out", (HEADEND, PORT))
        assert heard(far) == (b"out", PUBLIC)
        far.sendto(b"in", (PUBLIC, PORT))
        assert heard(own) == (b"in", HEADEND)
