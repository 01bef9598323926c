"""A site's sessions with a cloud, by FRR and by BIRD, with the cloud's stand-in: what comes and goes.

Two links stand for the tunnels. The same file is rendered for either daemon, and the same is asked of
both: exactly what is announced goes out, exactly what is accepted comes in, the first tunnel is
preferred both ways, and too many prefixes close the session.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bongsu.model.network import Network
from bongsu.model.node import RoutingDaemon
from bongsu.plan.compile import compile_network
from bongsu.plan.connect import stand_in_plan
from bongsu.render import render_node
from bongsu.system import netns
from bongsu.system.run import Process, run, spawn
from tests.golden.networks import NETWORKS, plans
from tests.root.frr_box import FrrBox, until

pytestmark = pytest.mark.root

CPE, CLOUD = "bst-render-bgp-cpe", "bst-render-bgp-cloud"
CONF = "/etc/frr/frr.conf"
THEIRS = {"172.16.0.0/24", "172.16.1.0/24"}
FOREIGN, INSIDE_THEIRS = "192.168.77.0/24", "172.16.1.128/25"


def network() -> Network:
    data = yaml.safe_load(NETWORKS["hybrid-vpn"].read_text())
    # A route here that nobody is told of.
    data["nodes"]["cpe"]["routes"] = [{"to": "10.88.0.0/16", "via": "10.0.0.2"}]
    return Network.model_validate(data)


class Pair:
    """The site by one daemon or the other, and the cloud."""

    def __init__(self, daemon: str, directory: Path) -> None:
        self.directory = directory
        given = network()
        plan = compile_network(given)["cpe"]
        self.site = render_node(plan.model_copy(update={"routing": RoutingDaemon(daemon)}))
        self.far = FrrBox(CLOUD, directory)
        self.far_text = render_node(stand_in_plan(given, "seoul"))[CONF]
        self.near = FrrBox(CPE, directory)
        self.bird: Process | None = None

    def raise_(self) -> None:
        for name in (CPE, CLOUD):
            netns.create(name)
            ip(name, "link set lo up")
        for interface, number in (("vti1", 1), ("vti2", 5)):
            ip(CPE, f"link add {interface} type veth peer {interface} netns {CLOUD}")
            for name, host in ((CPE, number), (CLOUD, number + 1)):
                ip(name, f"addr add 10.10.10.{host}/30 dev {interface}")
                ip(name, f"link set {interface} up")
        for name, address, interface in (
            (CPE, "10.0.236.153/16", "ens3"),
            (CLOUD, "172.16.0.1/24", "net0"),
            (CLOUD, "172.16.1.1/24", "net1"),
        ):
            ip(name, f"link add {interface} type veth peer far-{interface}")
            ip(name, f"addr add {address} dev {interface}")
            ip(name, f"link set far-{interface} up")
            ip(name, f"link set {interface} up")
        self.far.start(self.far_text)
        self.loosen()
        if CONF in self.site:
            self.near.start(self.site[CONF])
            # What else this machine knows must not get out, even when somebody says `redistribute`.
            self.near.configure(
                "router bgp 65000", "address-family ipv4 unicast", "redistribute static"
            )
            return
        config = self.directory / "bird.conf"
        config.write_text(self.site["/etc/bird/bird.conf"])
        argv = ["bird", "-f", "-c", str(config), "-s", str(self.directory / "bird.ctl")]
        with (self.directory / "bird.log").open("wb") as log:
            self.bird = spawn(argv, netns=CPE, stderr=log)

    def loosen(self) -> None:
        """The cloud announces what it has no business to announce, and takes whatever it is told: what
        is right is the site's doing. And it makes the first tunnel look the longer way.
        """
        self.far.configure(
            *(f"ip prefix-list VTI{number}-OUT seq 900 permit any" for number in (1, 2)),
            *(f"ip prefix-list VTI{number}-IN seq 900 permit any" for number in (1, 2)),
            "route-map VTI1-OUT permit 10",
            "set as-path prepend 31898 31898",
            "exit",
            "router bgp 31898",
            "no bgp network import-check",
            "address-family ipv4 unicast",
            f"network {FOREIGN}",
            f"network {INSIDE_THEIRS}",
        )

    def tear_down(self) -> None:
        for box in (self.near, self.far):
            box.stop()
        if self.bird is not None:
            self.bird.terminate()
        for name in (CPE, CLOUD):
            netns.remove(name)

    def announced(self) -> dict[str, dict[str, str]]:
        """What the cloud holds of us, by neighbor: prefix -> AS path."""
        found: dict[str, dict[str, str]] = {"10.10.10.1": {}, "10.10.10.5": {}}
        for prefix, paths in self.far.ask("show bgp ipv4 unicast")["routes"].items():
            for path in paths:
                if path.get("peerId") in found:
                    found[path["peerId"]][prefix] = path["path"]
        return found


def ip(namespace: str, arguments: str) -> str:
    return run(["ip", *arguments.split()], netns=namespace).stdout


def learned() -> dict[str, str]:
    """BGP's routes in the site's kernel: prefix -> interface."""
    routes: list[dict[str, Any]] = json.loads(ip(CPE, "-j route show"))
    return {
        route["dst"]: route["dev"]
        for route in routes
        if route.get("protocol") in ("bgp", "bird") and route["dst"] != "10.88.0.0/16"
    }


@pytest.fixture(params=["frr", "bird"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    if not Path("/usr/lib/frr/bgpd").exists():
        pytest.skip("FRR is not installed")
    made = Pair(request.param, tmp_path)
    made.tear_down()
    try:
        made.raise_()
        yield made
    finally:
        made.tear_down()


def test_what_comes_and_goes(pair: Pair) -> None:
    until(lambda: pair.far.established() == {"10.10.10.1", "10.10.10.5"}, "both sessions are up")
    until(lambda: set(learned()) == THEIRS | {INSIDE_THEIRS}, "what is the cloud's is learned")
    assert set(learned().values()) == {"vti1"}, "the first tunnel is the active one"
    until(
        lambda: (
            pair.announced()
            == {
                "10.10.10.1": {"10.0.0.0/16": "65000"},
                "10.10.10.5": {"10.0.0.0/16": "65000 65000"},
            }
        ),
        "exactly the site's network is announced, and the standby with a longer path",
    )
    kept = json.loads(ip(CPE, "-j route show 10.88.0.0/16"))
    assert kept[0]["gateway"] == "10.0.0.2"
    # The tunnel goes: the other one takes over, and what is foreign stays out.
    ip(CLOUD, "link set vti1 down")
    until(lambda: set(learned().values()) == {"vti2"}, "the standby takes over")
    assert set(learned()) == THEIRS | {INSIDE_THEIRS}
    ip(CLOUD, "link set vti1 up")
    until(lambda: set(learned().values()) == {"vti1"}, "the first tunnel is used again")


def test_too_many_prefixes_close_the_session(pair: Pair) -> None:
    until(lambda: set(learned()) == THEIRS | {INSIDE_THEIRS}, "what is the cloud's is learned")
    pair.far.configure(
        "router bgp 31898",
        "address-family ipv4 unicast",
        *(f"network 172.16.0.{host}/32" for host in range(100)),
    )
    until(lambda: pair.far.established() == set(), "both sessions are closed")
    until(lambda: learned() == {}, "and nothing of it is left")


def test_the_guard_of_next_hops(pair: Pair) -> None:
    """With a tunnel's interface gone its next hop must not be looked for by the default route."""
    ip(CPE, "route add default via 10.0.0.1")
    until(lambda: set(learned().values()) == {"vti1"}, "the first tunnel is the active one")
    ip(CPE, "link set vti1 down")
    until(lambda: set(learned().values()) == {"vti2"}, "the standby takes over")
    ip(CPE, "link set vti2 down")
    until(lambda: learned() == {}, "no tunnel, no route")


def test_nothing_to_reload(tmp_path: Path) -> None:
    """FRR, asked what it would change for the file it runs: nothing, in every network."""
    if not Path("/usr/lib/frr/bgpd").exists():
        pytest.skip("FRR is not installed")
    texts = {
        f"{name}-{node}": render_node(plan.model_copy(update={"frr_integrated": True}))[CONF]
        for name in NETWORKS
        for node, plan in plans(name).items()
        if plan.platform == "linux" and plan.routing == "frr"
    }
    given = network()
    texts["stand-in"] = render_node(stand_in_plan(given, "seoul"))[CONF]
    assert len(texts) >= 4
    changed = texts["hybrid-vpn-cpe"].replace("timers 6 18", "timers 10 30")
    for number, (name, text) in enumerate(texts.items()):
        box = FrrBox(f"bst-render-frr-{number}", tmp_path)
        netns.remove(box.namespace)
        netns.create(box.namespace)
        try:
            box.start(text)
            assert box.to_reload(text) == [], name
            if name == "hybrid-vpn-cpe":
                assert len(box.to_reload(changed)) >= 4
        finally:
            box.stop()
            netns.remove(box.namespace)
