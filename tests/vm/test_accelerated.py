"""examples/accelerated-vpn.yaml on Debian's own kernel: strongSwan on XFRM at both gateways, the relay's
BPF programs at the PoPs, and the kernel's NAT in their place.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bongsu.intent import load_text
from bongsu.lab.blueprint import Port
from bongsu.lab.lab import lab_plans
from bongsu.lab.topology import build_topology
from bongsu.model.network import Network
from bongsu.plan.node import NodePlan
from bongsu.render import render_node
from bongsu.render.secret import marker
from bongsu.render.strongswan.render import CONNECTIONS, SECRETS, SETTINGS
from tests.vm.harness import resume

pytestmark = pytest.mark.vm

EXAMPLE = Path(__file__).parents[2] / "examples" / "accelerated-vpn.yaml"
SITE = "192.0.2.10"
ACCELERATED = {"ga1": "203.0.113.21", "ga2": "203.0.113.22"}
OFF = {"ga1": "203.0.113.151", "ga2": "203.0.113.152"}
HEADENDS = {"ga1": "198.51.100.11", "ga2": "198.51.100.75"}
GATEWAY, CLOUD, ROUTER = "gw-shanghai", "seoul", "internet"
FAR = {GATEWAY: "172.31.0.0/16", CLOUD: "10.20.0.0/16"}
"""What each gateway leads into the first tunnel: here no daemon does."""

Seen = dict[str, Any]


def daemon(plan: NodePlan, secrets: dict[str, str]) -> dict[str, str]:
    """One charon's files, as rendered: two share the guest's file system."""
    rendered = render_node(plan)
    socket = f"unix:///run/{plan.node}.vici"
    own = (
        f"charon-systemd {{\n  plugins {{\n    vici {{\n      socket = {socket}\n    }}\n  }}\n}}\n"
    )
    connections = rendered[CONNECTIONS] + rendered[SECRETS]
    for name, value in secrets.items():
        connections = connections.replace(marker(f"env:{name}"), value)
    # The machine's own says which plugins are loaded: not kernel-libipsec.
    settings = "include /etc/strongswan.conf\n" + rendered[SETTINGS] + own
    return {"settings": settings, "connections": connections}


def up(port: Port) -> list[str]:
    lines = [f"link set {port.interface} up"]
    lines += [f"addr add {address} dev {port.interface}" for address in port.addresses]
    lines += [f"addr add {here} peer {there} dev {port.interface}" for here, there in port.peers]
    for prefix, gateway in port.routes:
        way = "scope link" if gateway is None else f"via {gateway}"
        lines.append(f"route replace {prefix} {way} dev {port.interface}")
    return lines


def world(network: Network) -> dict[str, Any]:
    """The lab's machines, each by its own link to one router in place of the Internet."""
    plans = lab_plans(network)
    topology = build_topology(network, plans)
    assert network.lab is not None
    lines: dict[str, list[str]] = {
        member: ["link set lo up"]
        for member in (ROUTER, *plans, *(host.name for s in topology.segments for host in s.hosts))
    }
    links = []
    for cable in topology.cables.values():
        near, far = cable.a, cable.b
        if near.member not in plans:
            continue
        there = f"veth peer name {far.interface} netns {ROUTER}"
        links.append(f"link add {near.interface} netns {near.member} type {there}")
        lines[near.member] += up(near)
        lines[ROUTER] += up(far)
    for segment in topology.segments:
        (host,) = segment.hosts
        there = f"veth peer name eth0 netns {host.name}"
        links.append(f"link add {segment.interface} netns {segment.node} type {there}")
        lines[segment.node] += up(Port(segment.node, segment.interface, segment.addresses))
        lines[host.name] += ["link set eth0 up", f"addr add {host.address} dev eth0"]
        lines[host.name].append(f"route add default via {host.gateway}")
    for node in (GATEWAY, CLOUD):
        for tunnel in plans[node].vpns:
            kind = f"type xfrm dev {tunnel.underlay} if_id {tunnel.mark}"
            lines[node].append(f"link add {tunnel.name} {kind}")
            lines[node].append(f"addr add {tunnel.inside} dev {tunnel.name}")
            lines[node].append(f"link set {tunnel.name} mtu {tunnel.mtu} up")
        lines[node].append(f"route add {FAR[node]} dev {plans[node].vpns[0].name}")
    pops = {name: plan for name, plan in plans.items() if plan.relay is not None}
    return {
        "lines": lines,
        "links": links,
        "routers": [ROUTER, GATEWAY, CLOUD],
        "files": {name: _files(plan) for name, plan in pops.items()},
        "daemons": {node: daemon(plans[node], network.lab.secrets) for node in (GATEWAY, CLOUD)},
        "relays": {
            name: plan.relay.model_dump(mode="json") for name, plan in pops.items() if plan.relay
        },
        "key": network.lab.secrets["RELAY_KEY"],
    }


def _files(plan: NodePlan) -> dict[str, str]:
    rendered = render_node(plan)
    return {
        "filter": rendered["/etc/nftables.d/60-bongsu.nft"],
        "settings": rendered["/etc/sysctl.d/60-bongsu.conf"],
    }


@pytest.fixture(scope="module")
def seen() -> Seen:
    network = load_text(EXAMPLE.read_text(), EXAMPLE.name).network
    result = resume(
        "exec $PYTHON -m tests.vm.jobs.accelerated",
        {"world.json": json.dumps(world(network))},
        timeout_s=500,
    )
    assert result.rc == 0, result.output
    return dict(json.loads(result.output[result.output.rindex("\n{") :]))


def passes(asked: Seen) -> None:
    """Nothing is lost between the hosts, either way."""
    for text in asked["pings"]:
        assert "4 received" in text, text


@pytest.mark.parametrize("when", ["up", "rekeyed", "through", "kernel"])
@pytest.mark.parametrize("tunnel", ACCELERATED)
def test_both_daemons_see_the_addresses_that_they_should(
    seen: Seen, when: str, tunnel: str
) -> None:
    """By whichever relay: the site speaks to the accelerated address, the cloud hears the off one."""
    near, far = (
        next(part for part in re.split(r"^(?=\S)", seen[when][end], flags=re.M)
             if part.startswith(f"{tunnel}: "))
        for end in ("near", "far")
    )  # fmt: skip
    assert f"remote '{HEADENDS[tunnel]}' @ {ACCELERATED[tunnel]}[4500]" in near
    assert re.search(rf"local  '\S+' @ {re.escape(SITE)}\[4500\]", near)
    assert re.search(rf"remote '\S+' @ {re.escape(OFF[tunnel])}\[\d+\]", far)
    assert f"local  '{HEADENDS[tunnel]}' @ {HEADENDS[tunnel]}[4500]" in far
    for text in (near, far):
        assert "ESTABLISHED, IKEv2" in text
        assert "INSTALLED, TUNNEL-in-UDP" in text


@pytest.mark.parametrize("when", ["up", "rekeyed", "through", "kernel"])
def test_the_hosts_reach_each_other(seen: Seen, when: str) -> None:
    passes(seen[when])


def test_the_kernels_carry_esp_in_udp(seen: Seen) -> None:
    near, far = seen["up"]["states"][GATEWAY], seen["up"]["states"][CLOUD]
    assert {(one["from"], one["to"]) for one in near} == {
        pair for address in ACCELERATED.values() for pair in ((SITE, address), (address, SITE))
    }
    assert {(one["from"], one["to"]) for one in far} == {
        pair
        for tunnel, off in OFF.items()
        for pair in ((off, HEADENDS[tunnel]), (HEADENDS[tunnel], off))
    }
    assert all(one["gcm"] for one in (*near, *far))
    assert all(one["espinudp"] for one in near)


def test_the_relay_knows_its_sessions(seen: Seen) -> None:
    told = seen["up"]["relay"]
    assert {pop["backend"] for pop in told.values()} == {"bpf"}
    left = [each for each in told["pop-seoul"]["sessions"] if each["port"] == 4500]
    assert {(each["address"], each["off"], each["endpoint"]) for each in left} == {
        (ACCELERATED[tunnel], OFF[tunnel], HEADENDS[tunnel]) for tunnel in OFF
    }
    assert all(each["proved"] and each["client"] == SITE for each in left)
    # the hosts' routes lead into the first tunnel
    assert [each["accelerator"] for each in left if each["esp"]] == ["ga-1"]
    assert told["pop-seoul"]["spis"] == 2
    for pop in told.values():
        assert all(drops == [{}, {}] for drops in pop["drops"].values())


def test_new_keys_pass(seen: Seen) -> None:
    before, after = seen["rekeyed"]["ike"]
    assert len(before) == len(after) == 2
    assert not {*before} & {*after}


def test_another_path_needs_no_negotiation(seen: Seen) -> None:
    through = seen["through"]
    assert through["ike"][0] == through["ike"][1] != []
    assert through["esp"][0] == through["esp"][1]
    # eight pings and their answers
    assert through["transit"] >= 16


def test_the_kernels_nat_carries_it_too(seen: Seen) -> None:
    told = seen["kernel"]["relay"]
    assert {pop["backend"] for pop in told.values()} == {"kernel"}
    entered = {(each["client"], each["address"]) for each in told["pop-shanghai"]["sessions"]}
    assert (SITE, ACCELERATED["ga1"]) in entered
    left = {
        (each["client"], each["off"], each["endpoint"]) for each in told["pop-seoul"]["sessions"]
    }
    assert ("203.0.113.10", OFF["ga1"], HEADENDS["ga1"]) in left
    assert seen["left"] == dict.fromkeys(("pop-shanghai", "pop-seoul"), "table inet bongsu\n")
