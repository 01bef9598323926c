"""A site joined to a cloud: examples/hybrid-vpn.yaml raised by the command line, and every promise tried.

What the agent says is held against other witnesses: strongSwan asked by swanctl, FRR by vtysh, a capture
in the provider's namespace, the NAT's own counters.
"""

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from bongsu.intent import load_text
from bongsu.lab.fault import bring_in, heal
from bongsu.lab.lab import Lab
from bongsu.lab.lifecycle import settle
from bongsu.lab.member import inhabitants
from bongsu.lab.outage import measure
from bongsu.lab.probe.survey import sources
from bongsu.lab.state import LabPaths
from bongsu.lab.wrong_key import KEYS
from bongsu.system import netns
from tests.lab.conftest import EXAMPLES, Cli, answered, as_json, remains

pytestmark = pytest.mark.lab

NAME = "t-hybrid"
EXAMPLE = EXAMPLES / "hybrid-vpn.yaml"
PUBLIC, PRIVATE = "144.24.84.145", "10.0.236.153"
HEADENDS = {"vti1": "193.122.99.212", "vti2": "146.56.44.93"}
PEERS = {"vti1": "10.10.10.2", "vti2": "10.10.10.6"}
DECLARED_MS = 30000
"""The example's own bound for a tunnel that dies: BGP's hold time of 18 s, and some."""
PATIENCE_S = 60.0
PATTERN = "626f6e677375"
"""What the hosts' pings are filled with."""

Found = dict[str, Any]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Raised as anybody would, so that the other commands find it."""
    program = Path(sys.executable).with_name("bongsu")
    up = [str(program), "lab", "up", str(EXAMPLE), "--name", NAME]
    done = subprocess.run(up, capture_output=True, text=True, timeout=240)
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        path = LabPaths(NAME).network
        yield Lab.of(NAME, load_text(path.read_text(), str(path)).network)
    finally:
        down = [str(program), "lab", "down", "--lab", NAME]
        subprocess.run(down, capture_output=True, timeout=120)
    assert remains(NAME) == []


def inside(lab: Lab, member: str, *argv: str, code: int | None = 0) -> str:
    """A command on a member's network."""
    full = ["nsenter", f"--net={netns.path(lab.paths.netns(member))}", *argv]
    done = subprocess.run(full, capture_output=True, text=True, timeout=60)
    assert code is None or done.returncode == code, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


def vtysh(lab: Lab, node: str, question: str) -> Found:
    """FRR's own answer."""
    sockets = str(lab.paths.node(node) / "run" / "frr")
    argv = ["vtysh", "--vty_socket", sockets, "-c", f"{question} json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    # Nothing while its daemons start.
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def associations(lab: Lab, node: str, tunnel: str) -> str:
    """strongSwan's own answer."""
    socket = lab.paths.node(node) / "run" / "bongsu" / "libipsec" / f"{tunnel}.vici"
    argv = ["swanctl", "--list-sas", "--uri", f"unix://{socket}"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30).stdout


def peers(lab: Lab, node: str) -> dict[str, Found]:
    return dict(vtysh(lab, node, "show bgp ipv4 unicast summary")["peers"])


def best(lab: Lab, node: str, prefix: str) -> str | None:
    """The interface that FRR's route to a prefix uses."""
    for route in vtysh(lab, node, f"show ip route {prefix}").get(prefix, []):
        if route.get("selected"):
            return str(route["nexthops"][0]["interfaceName"])
    return None


def wait_for(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def whole(lab: Lab) -> None:
    assert settle(lab, PATIENCE_S) == []


def shown(cli: Cli, node: str = "cpe", code: int = 0) -> dict[str, Found]:
    """`bongsu show vpn`, by tunnel."""
    answer = as_json(cli("show", "vpn", "--lab", NAME, "--node", node, "--json", code=code))
    assert isinstance(answer, list)
    return {tunnel["name"]: tunnel for one in answer for tunnel in one["tunnels"]}


@pytest.mark.parametrize("tunnel", HEADENDS)
@pytest.mark.parametrize("node", ["cpe", "seoul"])
def test_both_associations_stand_as_the_file_says(lab: Lab, node: str, tunnel: str) -> None:
    text = associations(lab, node, tunnel)
    ours, theirs = (PUBLIC, HEADENDS[tunnel])[:: 1 if node == "cpe" else -1]
    assert "ESTABLISHED, IKEv1" in text
    assert f"local  '{ours}'" in text
    assert f"remote '{theirs}'" in text
    assert "AES_CBC-256/HMAC_SHA2_384_192/PRF_HMAC_SHA2_384/MODP_1536" in text
    assert "INSTALLED, TUNNEL-in-UDP, ESP:AES_GCM_16-256" in text


def test_bgp_is_established_with_two_received_and_one_sent(lab: Lab) -> None:
    found = peers(lab, "cpe")
    assert set(found) == set(PEERS.values())
    for peer in found.values():
        assert (peer["state"], peer["remoteAs"]) == ("Established", 31898)
        assert (peer["pfxRcd"], peer["pfxSnt"]) == (2, 1)
    for peer in peers(lab, "seoul").values():
        assert (peer["state"], peer["remoteAs"]) == ("Established", 65000)
        assert (peer["pfxRcd"], peer["pfxSnt"]) == (1, 2)
    # The first tunnel of the file carries, in both directions.
    assert best(lab, "cpe", "172.16.0.0/24") == "vti1"
    assert best(lab, "seoul", "10.0.0.0/16") == "vti1"


@pytest.mark.parametrize(
    ("source", "target", "ttl"),
    [("vm-onprem", "172.16.0.93", 62), ("vm-cloud", "10.0.85.10", 61)],
)
def test_the_hosts_reach_each_other(lab: Lab, source: str, target: str, ttl: int) -> None:
    """Both gateways are on the way, and for the site's subnet its router as well."""
    text = inside(lab, source, "ping", "-n", "-c", "5", "-i", "0.1", "-W", "2", target)
    assert "5 received" in text
    assert set(re.findall(r"ttl=(\d+)", text)) == {str(ttl)}


def test_long_packets_pass(lab: Lab) -> None:
    """As long as the tunnel takes, and one byte more is told to the sender."""
    mtu = int(json.loads(inside(lab, "cpe", "ip", "-j", "link", "show", "vti1"))[0]["mtu"])
    ping = ("ping", "-n", "-c", "2", "-i", "0.2", "-W", "2", "-M", "do")
    assert "2 received" in inside(lab, "vm-onprem", *ping, "-s", f"{mtu - 28}", "172.16.0.93")
    said = inside(lab, "vm-onprem", *ping, "-s", f"{mtu - 27}", "172.16.0.93", code=1)
    assert f"mtu = {mtu}" in said or f"mtu={mtu}" in said


def test_nothing_is_in_clear_on_the_wire(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "wire.pcap"
    capture = subprocess.Popen(
        ["nsenter", f"--net={netns.path(lab.paths.netns('isp'))}",
         *("tcpdump", "-n", "-U", "-i", "to-cpe", "-w", str(file), "not", "arp")],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert capture.stderr is not None
        assert "listening" in capture.stderr.readline()
        ping = ("ping", "-n", "-c", "20", "-i", "0.05", "-p", PATTERN)
        inside(lab, "vm-onprem", *ping, "172.16.0.93")
        inside(lab, "vm-cloud", *ping, "10.0.85.10")
        time.sleep(0.5)
    finally:
        capture.terminate()
        capture.wait()
    assert bytes.fromhex(PATTERN) * 4 not in file.read_bytes()
    text = subprocess.run(
        ["tcpdump", "-n", "-r", str(file)], capture_output=True, text=True, check=True
    ).stdout
    wanted = re.compile(
        rf"{re.escape(PUBLIC)}\.\d+ > (193\.122\.99\.212|146\.56\.44\.93)\.(4500|500): "
        rf"|(193\.122\.99\.212|146\.56\.44\.93)\.(4500|500) > {re.escape(PUBLIC)}\.\d+: "
    )
    lines = [line for line in text.splitlines() if " IP " in line]
    # The provider sees the public address and UDP, and no router's private one.
    assert [line for line in lines if not wanted.search(line)] == []
    assert sum("UDP-encap: ESP" in line for line in lines) >= 80


def test_the_nat_translates_one_address(lab: Lab) -> None:
    (nat,) = lab.topology.nats
    rules = inside(lab, nat.name, "nft", "list", "table", "ip", "bongsu_nat")
    out = re.search(r"saddr 10\.0\.236\.153 counter packets (\d+)", rules)
    assert out is not None
    assert int(out[1]) > 0
    assert "daddr 144.24.84.145" in rules


def test_show_vpn_says_the_same(lab: Lab, cli: Cli) -> None:
    whole(lab)
    found = shown(cli)
    assert set(found) == set(HEADENDS)
    for name, tunnel in found.items():
        assert tunnel["state"] == "up", tunnel
        assert HEADENDS[name] in json.dumps(tunnel)
        link = json.loads(inside(lab, "cpe", "ip", "-j", "link", "show", name))[0]
        assert tunnel["mtu"] == link["mtu"] < lab.plans["cpe"].vpns[0].mtu


def test_nothing_changes_when_nothing_changed(lab: Lab) -> None:
    """The same bundle once more: the same associations, the same sessions, no process anew."""
    whole(lab)

    def look() -> Found:
        return {
            "spis": sorted(
                re.findall(r"(?:in|out)\s+([0-9a-f]{8})", "".join(
                    associations(lab, node, tunnel) for node in ("cpe", "seoul") for tunnel in PEERS
                ))
            ),
            "connections": {
                address: peer["connectionsEstablished"]
                for address, peer in peers(lab, "cpe").items()
            },
        }  # fmt: skip

    before = look()
    assert len(before["spis"]) == 8
    for node in ("cpe", "seoul"):
        lab.agent(node).call("apply", bundle="/run/bongsu/bundle")
    time.sleep(3)
    assert look() == before


def test_a_headend_dies_and_the_other_carries(lab: Lab) -> None:
    whole(lab)
    fault = "node-kill:seoul/vti1"
    there = sources(lab, lab.target("vm-cloud"), ["vm-onprem"])
    try:
        outage = measure(there, lambda: bring_in(lab, fault).at_ns, limit_s=DECLARED_MS / 1e3 + 10)
        assert outage.recovered
        assert 0 < outage.worst_ms <= DECLARED_MS
        assert best(lab, "cpe", "172.16.0.0/24") == "vti2"
        assert best(lab, "seoul", "10.0.0.0/16") == "vti2"
        assert peers(lab, "cpe")[PEERS["vti1"]]["state"] != "Established"
    finally:
        heal(lab, fault)
    whole(lab)
    wait_for(
        "the first tunnel takes over again", lambda: best(lab, "cpe", "172.16.0.0/24") == "vti1"
    )


def test_an_ike_daemon_that_dies_comes_back(lab: Lab) -> None:
    whole(lab)
    before = associations(lab, "cpe", "vti1")
    bring_in(lab, "daemon-kill:cpe/ike")
    wait_for(
        "new associations",
        lambda: "INSTALLED" in (now := associations(lab, "cpe", "vti1")) and now != before,
    )
    whole(lab)
    assert answered(lab, "vm-onprem", ip_address("172.16.0.93")) == 5


def test_a_wrong_key_is_named(lab: Lab, cli: Cli) -> None:
    """`wrong-key:TUNNEL`: one tunnel falls and both ends say why, the other carries; healed, it is up."""
    whole(lab)
    fault = "wrong-key:vti1"
    target = ip_address("172.16.0.93")
    right = lab.secrets["OCI_PSK_1"]
    assert fault in cli("lab", "fault", fault, "--lab", NAME).stdout
    try:
        wrong = (lab.paths.node("cpe") / KEYS / "vti1.psk").read_text().strip()
        assert wrong != right

        def named(node: str) -> bool:
            with contextlib.suppress(AssertionError):
                cause = shown(cli, node, code=1)["vti1"]["cause"] or ""
                return "the pre-shared keys differ" in cause
            return False

        for node in ("cpe", "seoul"):
            wait_for(f"show vpn of {node} names the key", lambda node=node: named(node))
        found = shown(cli, code=1)
        assert found["vti1"]["state"] == "down"
        assert found["vti2"]["state"] == "up"
        said = cli("show", "vpn", "--lab", NAME, "--node", "cpe", code=1).stdout
        assert "the pre-shared keys differ" in said
        events = json.dumps(lab.agent("cpe").call("events"))
        assert "the pre-shared keys differ" in events
        for text in (said, events, json.dumps(found)):
            assert wrong not in text
            assert right not in text
        wait_for("the other tunnel", lambda: best(lab, "cpe", "172.16.0.0/24") == "vti2")
        wait_for("both ways", lambda: answered(lab, "vm-onprem", target) == 5)
        assert fault in cli("lab", "status").stdout
    finally:
        heal(lab, fault)
    whole(lab)
    wait_for("the first tunnel", lambda: best(lab, "cpe", "172.16.0.0/24") == "vti1")
    assert not (lab.paths.node("cpe") / KEYS / "vti1.psk").exists()
    says = cli("lab", "fault", "--heal", fault, "--lab", NAME, code=1).stderr
    assert f"{fault} is not in effect" in says


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("wrong-key:vti9", "no IPsec tunnel vti9 in the lab"),
        ("wrong-key:cpe", "no IPsec tunnel cpe in the lab"),
    ],
)
def test_a_wrong_key_of_nothing(lab: Lab, cli: Cli, fault: str, says: str) -> None:
    done = cli("lab", "fault", fault, "--lab", NAME, code=1)
    assert says in done.stderr
    assert "tunnels with a key: vti1, vti2" in done.stderr


def test_one_command(cli: Cli) -> None:
    """`bongsu lab test FILE`: raised, every promise of the file tried, removed."""
    done = cli("lab", "test", str(EXAMPLE), "--name", "t-hybrid-test")
    assert done.stdout.count("[PASS]") == 3
    assert remains("t-hybrid-test") == []


def test_a_raiser_that_is_killed_leaves_nothing(cli: Cli) -> None:
    """Daemons in namespaces and TUN devices are the lab's, whoever started them."""
    name = "t-hybrid-kill"
    program = str(Path(sys.executable).with_name("bongsu"))
    words = [program, "lab", "test", str(EXAMPLE), "--name", name]
    raiser = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        sockets = LabPaths(name).node("cpe") / "run/bongsu/libipsec"
        wait_for("a daemon of the lab", lambda: any(sockets.glob("*.vici")))
        pids = [one.pid for one in inhabitants(netns.names(LabPaths(name).netns("")))]
        assert len(pids) > 4
    finally:
        raiser.kill()
        raiser.wait()
    assert f"removed {name}" in cli("lab", "down", "--lab", name).stdout
    assert remains(name) == []
    # What has ended is still to be fetched by its parent.
    there = [Path(f"/proc/{pid}") for pid in pids]
    wait_for("nobody of it", lambda: not any(path.exists() for path in there))
