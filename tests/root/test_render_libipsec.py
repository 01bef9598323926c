"""The rendered files of user-space IPsec at both ends of a wire: a tunnel by certificates, IKEv2.

One end is the site, the other its cloud's stand-in; each charon has nothing but what is rendered, with
secrets put in place. Packets go through, and none of them is seen on the wire as it is.
"""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from bongsu.model.network import Network
from bongsu.plan.compile import compile_network
from bongsu.plan.connect import stand_in_plan
from bongsu.plan.node import NodePlan
from bongsu.render import render_node
from bongsu.render.libipsec.render import DIRECTORY, ports
from bongsu.system import netns
from bongsu.system.run import Process, run, spawn
from tests.golden.networks import NETWORKS
from tests.root.frr_box import until

pytestmark = pytest.mark.root

SITE, CLOUD = "bst-render-esp-site", "bst-render-esp-cloud"
TUNNEL = "w1"


class Authority:
    """Signs the certificate of a name."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        self._new("-x509", "/CN=authority", self._key, self.certificate)

    def pair(self, name: str) -> tuple[Path, Path]:
        """Certificate and key."""
        made, key, request = (self._folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        self._new("-new", f"/CN={name}", key, request)
        names = self._folder / "names"
        names.write_text(f"subjectAltName=DNS:{name}\n")
        argv = ["openssl", "x509", "-req", "-in", str(request), "-CA", str(self.certificate)]
        argv += ["-CAkey", str(self._key), "-CAcreateserial", "-extfile", str(names)]
        run([*argv, "-out", str(made)])
        return made, key

    def _new(self, what: str, subject: str, key: Path, out: Path) -> None:
        argv = ["openssl", "req", what, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        run([*argv, "-nodes", "-subj", subject, "-keyout", str(key), "-out", str(out)])


class End:
    """One charon of a namespace that exists."""

    def __init__(self, plan: NodePlan, namespace: str, folder: Path) -> None:
        self.plan = plan
        self.namespace = namespace
        self.tunnel = next(t for t in plan.vpns if t.name == TUNNEL)
        self._folder = folder
        self._process: Process | None = None
        self._settings = folder / f"{TUNNEL}.strongswan.conf"

    def start(self, certificate: Path, key: Path, authority: Path) -> None:
        for path, text in render_node(self.plan).items():
            if not path.startswith(f"{DIRECTORY}/"):
                continue
            text = re.sub("BONGSU-SECRET-[0-9a-f]{16}", key.read_text(), text)
            text = re.sub(r'certs = "/etc/ssl/west\.pem"', f"certs = {certificate}", text)
            text = re.sub(r'cacerts = "[^"]*"', f"cacerts = {authority}", text)
            text = text.replace("/run/bongsu/libipsec/", f"{self._folder}/")
            target = self._folder / path.removeprefix(f"{DIRECTORY}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        with (self._folder / "log").open("wb") as log:
            self._process = spawn(
                ["charon-systemd"], netns=self.namespace, env=self._env, stderr=log
            )
        until(lambda: run(["swanctl", "--stats"], env=self._env, check=False).returncode == 0, "up")
        assert self.tunnel.inside is not None
        for words in (["addr", "add", str(self.tunnel.inside)], ["link", "set", "up"]):
            run(["ip", *words, "dev", "ipsec0"], netns=self.namespace)

    def load(self) -> None:
        file = self._folder / f"{TUNNEL}.swanctl.conf"
        run(["swanctl", "--load-all", "--noprompt", "--file", str(file)], env=self._env)

    def associations(self) -> str:
        return run(["swanctl", "--list-sas"], env=self._env).stdout

    def log(self) -> str:
        return (self._folder / "log").read_text()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()

    @property
    def _env(self) -> dict[str, str]:
        return {"STRONGSWAN_CONF": str(self._settings)}


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[tuple[End, End]]:
    given = Network.model_validate(yaml.safe_load(NETWORKS["vpn-ecmp"].read_text()))
    for name in (SITE, CLOUD):
        netns.remove(name)
        netns.create(name)
    plans = (compile_network(given)["west"], stand_in_plan(given, "far"))
    made = []
    for plan, name in zip(plans, (SITE, CLOUD), strict=True):
        folder = tmp_path / name
        folder.mkdir()
        made.append(End(plan, name, folder))
    site, cloud = made
    run(["ip", "link", "add", "wire", "type", "veth", "peer", "wire", "netns", CLOUD], netns=SITE)
    for end in made:
        local, remote = end.tunnel.local, end.tunnel.remote
        for words in (
            ["link", "set", "lo", "up"],
            ["link", "set", "wire", "up"],
            ["addr", "add", f"{local}/32", "dev", "wire"],
            ["route", "add", f"{remote}/32", "dev", "wire", "src", str(local)],
        ):
            run(["ip", *words], netns=end.namespace)
    # What the agent does for a daemon that answers: 4500 is its own port.
    _, number = ports(cloud.plan)[TUNNEL]
    run(
        ["nft", "-f", "-"],
        input="table ip led { chain c { type nat hook prerouting priority -100;"
        f" udp dport 4500 redirect to :{number}\n }}\n }}\n",
        netns=CLOUD,
    )
    try:
        yield site, cloud
    finally:
        for end in made:
            end.stop()
        for name in (SITE, CLOUD):
            netns.remove(name)


def test_a_tunnel_by_certificates(ends: tuple[End, End], tmp_path: Path) -> None:
    site, cloud = ends
    authority = Authority(tmp_path / "ca")
    for end in ends:
        end.start(*authority.pair(end.tunnel.local_id), authority.certificate)
    cloud.load()
    site.load()
    until(lambda: f"  {TUNNEL}: #" in site.associations(), "the child is up")
    until(lambda: "INSTALLED" in cloud.associations(), "at the far end, too")
    found = site.associations()
    assert re.search(rf"{TUNNEL}: #\d+, ESTABLISHED, IKEv2", found)
    assert "AES_CBC-256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/ECP_256" in found
    assert re.search(r"INSTALLED, TUNNEL-in-UDP, ESP:AES_GCM_16-256", found)
    with netns.socket_in(CLOUD, socket.AF_PACKET, socket.SOCK_RAW, 0x0300) as wire:
        wire.bind(("wire", 0x0003))
        wire.settimeout(1)
        peer = str(site.tunnel.peer_inside)
        secret = "73656372657421"
        done = run(["ping", "-c", "5", "-i", "0.2", "-W", "5", "-p", secret, peer], netns=SITE)
        assert " 0% packet loss" in done.stdout
        whole: list[bytes] = []
        while len(whole) < 10:
            packet = wire.recv(2000)
            # What a new interface says of its groups (IGMP) is to no gateway.
            if packet[12:14] == b"\x08\x00" and not 224 <= packet[30] < 240:
                whole.append(packet)
    # Outside IP and UDP from one gateway to the other, and nothing of what is inside.
    gateways = {socket.inet_aton(str(site.tunnel.local)), socket.inet_aton(str(site.tunnel.remote))}
    for packet in whole:
        assert packet[23] == 17
        assert {packet[26:30], packet[30:34]} == gateways
        assert bytes.fromhex(secret) not in packet


def test_anothers_certificate_is_not_enough(ends: tuple[End, End], tmp_path: Path) -> None:
    site, cloud = ends
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    site.start(*authority.pair(site.tunnel.local_id), authority.certificate)
    cloud.start(*other.pair(cloud.tunnel.local_id), authority.certificate)
    cloud.load()
    site.load()
    until(lambda: "constraint" in site.log() or "no trusted" in site.log(), "the site refuses")
    assert "INSTALLED" not in site.associations()
