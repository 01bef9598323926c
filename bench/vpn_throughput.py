"""What a VPN tunnel carries, and how fast: bare link, the same tunnel by hand, and bongsu's.

The example hybrid-vpn.yaml on this machine, its links without delay: a CPE behind a 1:1 NAT, two
ASes, the cloud. Twice: raised by bongsu, its tunnel kept by the agent; and with two charons started
by hand on the very files that bongsu renders, one command after the other, nobody watching and nothing
filtered. Where the kernel has no ESP both are strongSwan's kernel-libipsec. Both are asked from a host at
the site to one in the cloud; the bare link, under both, from gateway to gateway.

One stream of iperf3 at a time; the three take turns in an order that changes every round. RTT is of
echo requests on an otherwise idle path. bongsu is to add nothing that can be measured.

    sudo .venv/bin/python bench/vpn_throughput.py [--rounds N] [--seconds S] [--probes N]
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from bongsu.intent import load_text
from bongsu.lab.lab import Lab
from bongsu.lab.lifecycle import link_spec, raise_lab, remove_lab
from bongsu.lab.link.links import Links
from bongsu.lab.member import end_inhabitants
from bongsu.lab.probe.pinger import Pinger, Source
from bongsu.lab.wiring import configure_ports, make_namespaces, make_nat, make_segment
from bongsu.model.network import Network
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render.bundle import make_bundle
from bongsu.render.libipsec.render import ports
from bongsu.render.secret import marker
from bongsu.system import netns
from bongsu.system.run import Process, run, spawn
from common import Figure, Ratio, machine, report

EXAMPLE = Path(__file__).parents[1] / "examples" / "hybrid-vpn.yaml"
DELAYS = re.compile(r", delay_ms: [0-9.]+")
CPE, CLOUD, TUNNEL = "cpe", "seoul", "vti1"
PORT = 5201
KNOWN = {"port": 500, "port_nat_t": 4500}
LIBIPSEC_MTU = 1400
"""kernel-libipsec reads that much of a packet, whatever its device's MTU is."""
PATIENCE_S = 30.0
LIMIT_S = 30.0
INTERVAL_S = 0.002


@dataclass(frozen=True)
class Way:
    """A way to be measured."""

    name: str
    near: str
    """Namespace that asks."""
    far: str
    source: str
    target: str


def main() -> None:
    """Raise both, let them take turns; print and keep the runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--probes", type=int, default=500, help="echo requests, each round")
    arguments = parser.parse_args()
    before = machine()
    text, cut = DELAYS.subn("", EXAMPLE.read_text())
    assert cut
    network = load_text(text, EXAMPLE.name).network
    with ours(network, text) as kept, by_hand(network) as hand:
        near, far = (f"{hand.near.rpartition('.')[0]}.{node}" for node in (CPE, CLOUD))
        bare = Way("bare link", near, far, "10.0.236.153", "193.122.99.212")
        ways = [bare, hand, kept]
        figures = measured(ways, arguments.rounds, arguments.seconds, arguments.probes)
    throughput, median, tail = (
        {way.name: figures[kind, way.name] for way in ways} for kind in ("tcp", "p50", "p99")
    )
    report(
        "vpn_throughput",
        [*throughput.values(), *median.values(), *tail.values()],
        [
            Ratio("TCP: bongsu / by hand", throughput["bongsu"], throughput["by hand"], 0.95),
            Ratio("TCP: bongsu / bare link", throughput["bongsu"], throughput["bare link"]),
            Ratio("RTT p50: by hand / bongsu", median["by hand"], median["bongsu"], 0.95),
            Ratio("RTT p99: by hand / bongsu", tail["by hand"], tail["bongsu"]),
        ],
        before=before,
        notes=[
            f"one TCP stream, {arguments.seconds:g} s each, {arguments.rounds} rounds in random order, "
            "payload that arrived; sender, receiver and both daemons share the machine's cores",
            f"RTT of {arguments.probes} echo requests a round, one every {INTERVAL_S * 1e3:g} ms",
        ],
    )


def measured(
    ways: list[Way], rounds: int, seconds: float, probes: int
) -> dict[tuple[str, str], Figure]:
    """By kind of figure and way."""
    runs: dict[tuple[str, str], list[float]] = {
        (kind, way.name): [] for kind in ("tcp", "p50", "p99") for way in ways
    }
    order = random.Random(1)
    with contextlib.ExitStack() as stack:
        for namespace in {way.far for way in ways}:
            server = spawn(["iperf3", "-s", "-p", str(PORT)], netns=namespace)
            stack.callback(server.terminate, 1)
        for way in ways:
            waited(f"no answer by {way.name}", partial(answers, way))
        for number in range(rounds):
            turn = ways.copy()
            order.shuffle(turn)
            for way in turn:
                runs["tcp", way.name].append(tcp(way, seconds))
                rtt = echoes(way, probes)
                runs["p50", way.name].append(statistics.median(rtt))
                runs["p99", way.name].append(statistics.quantiles(rtt, n=100)[98])
            latest = ", ".join(f"{way.name} {runs['tcp', way.name][-1]:.2f} Gb/s" for way in ways)
            print(f"{number + 1}/{rounds}: {latest}", flush=True)
    units = {"tcp": "Gb/s", "p50": "ms", "p99": "ms"}
    titles = {"tcp": "TCP", "p50": "RTT p50", "p99": "RTT p99"}
    return {
        (kind, name): Figure(
            f"{titles[kind]}, {name}", units[kind], values, lower_is_better=kind != "tcp"
        )
        for (kind, name), values in runs.items()
    }


def tcp(way: Way, seconds: float) -> float:
    """Gb/s of payload that arrived."""
    argv = [
        *("iperf3", "-J", "-c", way.target, "-B", way.source, "-p", str(PORT)),
        *("-t", str(seconds), "-O", "0.5"),
    ]
    done = run(argv, netns=way.near, timeout_s=seconds + LIMIT_S)
    return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]) / 1e9


def echoes(way: Way, count: int) -> list[float]:
    """Round trips in ms; a lost one would spoil the percentiles, and ends the bench."""
    source = Source(way.name, way.near, ip_address(way.source), ip_address(way.target))
    (series,) = Pinger([source], INTERVAL_S, count).start().wait()
    if series.lost:
        raise SystemExit(f"{way.name}: {series.lost} of {count} echo requests were lost")
    return [ns / 1e6 for ns in series.rtt_ns]


def answers(way: Way) -> bool:
    """Whether an echo request comes back."""
    argv = ["ping", "-n", "-c", "1", "-W", "1", "-I", way.source, way.target]
    return run(argv, netns=way.near, check=False).returncode == 0


def waited(what: str, holds: Callable[[], bool]) -> None:
    """Until it holds; ends the bench with `what` if it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(what)
        time.sleep(0.1)


def between_hosts(name: str, lab: Lab) -> Way:
    """From the site's host to the cloud's."""
    (near, source), (far, target) = sorted(lab.topology.hosts.items(), reverse=True)
    return Way(name, lab.paths.netns(near), lab.paths.netns(far), str(source), str(target))


@contextmanager
def ours(network: Network, text: str) -> Iterator[Way]:
    """Raised as `bongsu lab up` raises it."""
    lab = raise_lab(network, EXAMPLE, text, name="bench-vpn", keep=False)
    try:
        yield between_hosts("bongsu", lab)
    finally:
        remove_lab(lab.name)


@contextmanager
def by_hand(network: Network) -> Iterator[Way]:
    """The same network around two daemons that were started by hand."""
    lab = Lab.of(f"bst-vpn{os.getpid()}", network)
    paths = lab.paths
    folder = Path(tempfile.mkdtemp(prefix="bongsu-bench-"))
    started: list[Process] = []
    try:
        underlay(lab, folder / "links")
        for node in (CLOUD, CPE):
            started.append(daemon(lab, node, folder / node))
        yield between_hosts("by hand", lab)
    finally:
        for process in started:
            process.terminate(1)
        members = netns.names(paths.netns(""))
        end_inhabitants(members, grace_s=0.0)
        Links.end(folder / "links", paths.closet)
        for member in members:
            netns.remove(member)
        shutil.rmtree(folder)


def underlay(lab: Lab, state: Path) -> None:
    """Links, the NAT, the ASes with static routes in place of BGP."""
    topology, paths = lab.topology, lab.paths
    make_namespaces(topology, paths)
    links = Links.start(state, paths.closet)
    try:
        links.create([link_spec(cable, paths) for cable in topology.cables.values()])
    finally:
        links.close()
    for segment in topology.segments:
        make_segment(segment, paths)
    for nat in topology.nats:
        make_nat(nat, paths)
    configure_ports(topology, paths, topology.members())
    cable = topology.cables["oracle:isp"]
    for here, there, to in (
        (cable.a, cable.b, tunnel(lab, CPE).public),
        (cable.b, cable.a, tunnel(lab, CPE).remote),
    ):
        argv = ["ip", "route", "add", f"{to}/32", "via", str(there.addresses[0].ip)]
        run(argv, netns=paths.netns(here.member))


def tunnel(lab: Lab, node: str) -> VpnTunnelPlan:
    """That tunnel's end at a node."""
    return next(one for one in lab.plans[node].vpns if one.name == TUNNEL)


def daemon(lab: Lab, node: str, folder: Path) -> Process:
    """A charon on the files that bongsu renders, its TUN device, its address: step by step."""
    folder.mkdir()
    here, end = lab.paths.netns(node), tunnel(lab, node)
    settings, connections = files(lab, node, folder)
    socket = folder / f"{TUNNEL}.vici"
    env = {"STRONGSWAN_CONF": str(settings)}
    with (folder / "charon.log").open("wb") as log:
        process = spawn(["charon-systemd"], netns=here, env=env, stderr=log, stdout=log)
    made = f"charon of {node} makes no TUN device: {folder}/charon.log"
    waited(made, lambda: socket.exists() and linked(here, "ipsec0"))
    steps = [
        *("rule del pref 220", "link set ipsec0 down", f"link set ipsec0 name {TUNNEL}"),
        # charon puts a route of its own, that nothing looks at, on the name it gave the device.
        *(
            "tuntap add dev ipsec0 mode tun",
            "link set ipsec0 up",
            f"addr add {end.inside} dev {TUNNEL}",
        ),
        f"link set {TUNNEL} mtu {min(end.mtu, LIBIPSEC_MTU)} up",
        *(f"route add {prefix} dev {TUNNEL}" for prefix in end.remote_networks),
    ]
    forward = ["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]
    run([*forward, "net.ipv4.conf.all.send_redirects=0"], netns=here)
    for step in steps:
        run(["ip", *step.split()], netns=here)
    argv = ["swanctl", "--load-all", "--file", str(connections), "--uri", f"unix://{socket}"]
    run(argv, netns=here, env=env)
    return process


def files(lab: Lab, node: str, folder: Path) -> tuple[Path, Path]:
    """bongsu's own two files, with secrets, and a socket of this folder; the cloud has 500 and 4500."""
    tree = make_bundle(lab.plans[node]).to_tree()
    found = []
    for kind in ("strongswan", "swanctl"):
        (text,) = (body for path, body in tree.items() if path.endswith(f"/{TUNNEL}.{kind}.conf"))
        text = text.replace("/run/bongsu/libipsec", str(folder))
        for name, value in lab.secrets.items():
            text = text.replace(marker(f"env:{name}"), value)
        if node == CLOUD and kind == "strongswan":
            for word, own in zip(
                ("port", "port_nat_t"), ports(lab.plans[node])[TUNNEL], strict=True
            ):
                text, cut = re.subn(rf"\b{word} = {own}\b", f"{word} = {KNOWN[word]}", text)
                assert cut == 1
        path = folder / f"{TUNNEL}.{kind}.conf"
        path.touch(mode=0o600)
        path.write_text(text)
        found.append(path)
    return found[0], found[1]


def linked(namespace: str, name: str) -> bool:
    """Whether an interface is there."""
    return run(["ip", "link", "show", name], netns=namespace, check=False).returncode == 0


if __name__ == "__main__":
    main()
