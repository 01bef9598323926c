"""The rendered bird.conf of two PoPs and a home in five real BIRDs, over plain veth tunnels.

What is proved here: an announcement lives and dies with its tunnel, a takeover is announced exactly
while another PoP is lost, replies leave by the best living PoP and never by the WAN.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from bongsu.model.network import Network
from bongsu.plan.compile import compile_network
from bongsu.render import render_node
from bongsu.render.bird import SECRETS_PATH, secret_constants
from bongsu.system import netns
from bongsu.system.run import Process, run, spawn

pytestmark = pytest.mark.root

EXAMPLES = Path(__file__).parents[2] / "examples"
PREFIX = "bst-render-bird"
P = "103.178.34.0/23"
SPECIFICS = ("103.178.34.0/24", "103.178.35.0/24")
DEADLINE_S = 20
"""BFD begins at one packet a second, BGP retries after up to five; a loaded machine is slower."""

PROVIDER = """
router id {gateway};
protocol device {{}}
protocol direct {{ ipv4; }}
protocol bgp customer {{
  local 169.254.169.254 as 64515;
  neighbor {customer} as 64500;
  multihop 2;
  password "lab";
  hold time 90;
  connect delay time 1;
  ipv4 {{ import all; export all; }};
}}
"""


class Wan:
    """Namespaces and BIRDs of the test; `bird` asks one of them, `ip` its kernel."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.birds: dict[str, Process] = {}

    def raise_(self) -> None:
        for node in ("seoul", "tokyo", "home", "cloud-icn", "cloud-nrt"):
            netns.create(f"{PREFIX}-{node}")
            self.ip(node, "link set lo up")
        for pop, cloud, net in (
            ("seoul", "cloud-icn", "203.0.113"),
            ("tokyo", "cloud-nrt", "198.51.100"),
        ):
            self.veth(pop, "ens3", cloud, "customer")
            self.ip(pop, f"addr add {net}.10/24 dev ens3")
            self.ip(cloud, f"addr add {net}.1/24 dev customer")
            self.ip(cloud, "addr add 169.254.169.254/32 dev lo")
            self.ip(pop, f"route add default via {net}.1")
        for pop, number in (("seoul", 1), ("tokyo", 2)):
            self.veth(pop, f"gre-{pop}", "home", f"gre-{pop}")
            self.ip(pop, f"addr add 10.99.{number}.1/24 dev gre-{pop}")
            self.ip("home", f"addr add 10.99.{number}.2/24 dev gre-{pop}")
        network = Network.model_validate(yaml.safe_load((EXAMPLES / "anycast.yaml").read_text()))
        for node, plan in compile_network(network).items():
            secrets = self.directory / f"{node}.secrets"
            secrets.write_text(
                "".join(f'define {name} = "lab";\n' for name in secret_constants(plan))
            )
            text = render_node(plan)["/etc/bird/bird.conf"]
            self.start(node, text.replace(SECRETS_PATH, str(secrets)))
        self.start("cloud-icn", PROVIDER.format(gateway="203.0.113.1", customer="203.0.113.10"))
        self.start("cloud-nrt", PROVIDER.format(gateway="198.51.100.1", customer="198.51.100.10"))

    def veth(self, a: str, a_if: str, b: str, b_if: str) -> None:
        self.ip(a, f"link add {a_if} type veth peer {b_if} netns {PREFIX}-{b}")
        self.ip(a, f"link set {a_if} up")
        self.ip(b, f"link set {b_if} up")

    def start(self, node: str, text: str) -> None:
        config = self.directory / f"{node}.conf"
        config.write_text(text)
        run(["bird", "-p", "-c", str(config)])
        with (self.directory / f"{node}.log").open("wb") as log:
            self.birds[node] = spawn(
                ["bird", "-f", "-c", str(config), "-s", self.socket(node)],
                netns=f"{PREFIX}-{node}",
                stderr=log,
            )

    def socket(self, node: str) -> str:
        return str(self.directory / f"{node}.ctl")

    def ip(self, node: str, arguments: str) -> str:
        return run(["ip", *arguments.split()], netns=f"{PREFIX}-{node}").stdout

    def bird(self, node: str, command: str) -> str:
        return run(["birdc", "-s", self.socket(node), *command.split()], check=False).stdout

    def routes(self, node: str) -> set[str]:
        """Prefixes a provider holds from us."""
        shown = self.bird(node, "show route protocol customer")
        return {prefix for prefix in (P, *SPECIFICS) if prefix in shown}

    def silence(self, node: str, interface: str, on: bool) -> None:
        """Drop everything both ways while the carrier stays."""
        if not on:
            run(["nft", "delete table inet silence"], netns=f"{PREFIX}-{node}")
            return
        run(
            ["nft", "-f", "-"],
            input=f"""table inet silence {{
              chain i {{ type filter hook prerouting priority -400; iifname "{interface}" drop; }}
              chain o {{ type filter hook postrouting priority 400; oifname "{interface}" drop; }}
            }}""",
            netns=f"{PREFIX}-{node}",
        )

    def tear_down(self) -> None:
        for process in self.birds.values():
            os.kill(process.pid, signal.SIGCONT)
            process.terminate()
        for name in netns.names(f"{PREFIX}-"):
            netns.remove(name)

    def settled(self) -> None:
        """Both PoPs announce the prefix and nothing else, replies leave by the preferred one."""
        until(lambda: self.routes("cloud-icn") == {P} and self.routes("cloud-nrt") == {P})
        until(lambda: "dev gre-seoul" in self.ip("home", "route show table 103"))
        until(lambda: "on gre-tokyo" in self.bird("home", "show route table reply4"))


def until(condition: Callable[[], bool]) -> None:
    """Poll until it holds. Fails after DEADLINE_S."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "did not come to hold"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def wan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wan]:
    wan = Wan(tmp_path_factory.mktemp("wan"))
    try:
        wan.raise_()
        yield wan
    finally:
        wan.tear_down()


def test_alive(wan: Wan) -> None:
    wan.settled()
    assert "dev gre-seoul" in wan.ip("seoul", f"route show {P}")
    assert wan.ip("seoul", "route show default").split()[2] == "203.0.113.1"
    assert "proto bird" not in wan.ip("home", "route show")
    assert "proto bird" in wan.ip("home", "route show table 103")
    told = wan.bird("cloud-icn", "show route protocol customer all")
    assert "BGP.as_path: 64500\n" in told
    assert "community" not in told
    for prefix in SPECIFICS:
        assert "unicast" in wan.bird("home", f"show route for {prefix} table takeover4")
        assert "Network not found" in wan.bird("tokyo", f"show route {prefix}")


def test_silent_loss_of_a_tunnel_moves_everything_to_the_other_pop(wan: Wan) -> None:
    wan.settled()
    wan.silence("seoul", "gre-seoul", True)
    until(lambda: wan.routes("cloud-icn") == set())
    until(lambda: wan.routes("cloud-nrt") == {P, *SPECIFICS})
    until(lambda: "dev gre-tokyo" in wan.ip("home", "route show table 103"))
    until(lambda: "blackhole" in wan.ip("seoul", f"route show {P}"))
    assert "dev gre-tokyo" in wan.ip("tokyo", f"route show {SPECIFICS[0]}")
    assert "community" not in wan.bird("cloud-nrt", "show route protocol customer all")
    wan.silence("seoul", "gre-seoul", False)
    wan.settled()
    until(lambda: SPECIFICS[0] not in wan.ip("tokyo", "route show"))


def test_more_specifics_win_while_the_dead_pops_provider_still_holds_the_prefix(wan: Wan) -> None:
    wan.settled()
    os.kill(wan.birds["seoul"].pid, signal.SIGSTOP)
    until(lambda: wan.routes("cloud-nrt") == {P, *SPECIFICS})
    assert wan.routes("cloud-icn") == {P}
    os.kill(wan.birds["seoul"].pid, signal.SIGCONT)
    wan.settled()


def test_without_any_tunnel_nothing_is_announced_and_replies_are_refused(wan: Wan) -> None:
    wan.settled()
    for pop in ("seoul", "tokyo"):
        wan.ip(pop, f"link set gre-{pop} down")
    until(lambda: wan.routes("cloud-icn") == set() == wan.routes("cloud-nrt"))
    until(lambda: "unreachable default" in wan.ip("home", "route show table 103"))
    assert "blackhole" in wan.ip("tokyo", f"route show {P}")
    for pop in ("seoul", "tokyo"):
        wan.ip(pop, f"link set gre-{pop} up")
    wan.settled()
