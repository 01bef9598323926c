"""Every rendered file of IPsec and FRR is loaded by the program that reads it.

strongSwan has no dry run: a scratch charon loads connections and keys, and so does one made of each
node's own settings for user space. Libreswan's is nearly none, so its algorithms are parsed apart.
"""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bongsu.model.network import Network
from bongsu.plan.connect import stand_in_plan
from bongsu.plan.node import NodePlan
from bongsu.plan.selectors import children
from bongsu.render import render_node
from bongsu.render.libipsec.render import ports
from bongsu.render.libreswan.render import CONNECTIONS
from bongsu.render.secret import marked
from bongsu.render.strongswan.render import CONNECTIONS as SWANCTL
from bongsu.system import netns
from bongsu.system.run import Completed, Process, run, spawn
from tests.golden.networks import NETWORKS, plans
from tests.root.frr_box import PROGRAMS, until

pytestmark = pytest.mark.root

NAMESPACE = "bst-render-vpn"


def with_stand_ins(network: str) -> dict[str, NodePlan]:
    """The plans of a network, and those of the nodes that play its clouds in a lab."""
    given = Network.model_validate(yaml.safe_load(NETWORKS[network].read_text()))
    clouds = {vpn.cloud for vpn in given.vpns.values()}
    return plans(network) | {f"{name}-cloud": stand_in_plan(given, name) for name in clouds}


ALL = {
    f"{network}-{node}": plan
    for network in NETWORKS
    for node, plan in with_stand_ins(network).items()
    if plan.platform == "linux" and plan.vpns
}
LIBRESWAN = [Path("/"), Path("/var/lib/bongsu/debian/libreswan/root")]
"""Where it may be installed: Debian's excludes strongSwan, so it is unpacked beside it."""
COMPLAINT = re.compile("[Uu]nknown command|No such command|open configuration")
"""What FRR's programs say of a file; some of them end with 0 all the same."""
KEY, CERTIFICATE = "key.pem", "certificate.pem"


def chosen(**values: Any) -> list[Any]:
    """The nodes whose plans have these values, at least one."""
    found = [
        pytest.param(plan, id=name)
        for name, plan in ALL.items()
        if all(getattr(plan, key) == value for key, value in values.items())
    ]
    assert found, values
    return found


@pytest.fixture
def namespace() -> Iterator[str]:
    netns.remove(NAMESPACE)
    netns.create(NAMESPACE)
    run(["ip", "link", "set", "lo", "up"], netns=NAMESPACE)
    yield NAMESPACE
    netns.remove(NAMESPACE)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that FRR's daemons, which are another user, can read; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="bongsu-test-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


class Charon:
    """A charon of given settings, and swanctl(8) towards it."""

    def __init__(self, settings: Path, namespace: str, log: Path) -> None:
        self._env = {"STRONGSWAN_CONF": str(settings)}
        self.log = log
        with log.open("wb") as stderr:
            self._process: Process = spawn(
                ["charon-systemd"], netns=namespace, env=self._env, stderr=stderr
            )

    def load(self, file: Path) -> str:
        until(lambda: self._swanctl("--stats").returncode == 0, "charon answers")
        done = self._swanctl("--load-all", "--noprompt", "--file", str(file))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "fail" not in re.sub("opening directory .*", "", done.stderr), done.stderr
        return done.stdout

    def connections(self) -> str:
        return self._swanctl("--list-conns").stdout

    def stop(self) -> None:
        self._process.terminate()

    def _swanctl(self, *arguments: str) -> Completed:
        return run(["swanctl", *arguments], env=self._env, check=False)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its certificate."""
    folder = tmp_path_factory.mktemp("pair")
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    argv += ["-nodes", "-subj", "/CN=gateway", "-addext", "subjectAltName=DNS:west.example.net"]
    run([*argv, "-keyout", str(folder / KEY), "-out", str(folder / CERTIFICATE)])
    return folder


def put(files: dict[str, str], folder: Path, pair: Path) -> None:
    """Write files below a folder, with secrets in the place of their markers and a certificate that
    exists in that of the node's."""
    for path, text in files.items():
        # A key may hold signs of strongSwan's language; FRR's passwords end at a blank.
        value = "a#b}c=d;e" if path.startswith("/etc/frr/") else "a b#c}d=e;f"
        if path.endswith(".pem"):
            value = (pair / KEY).read_text()
        text = re.sub(r"BONGSU-SECRET-[0-9a-f]{16}", value, text)
        text = re.sub(r'(certs|cacerts) = "?/[^"\s]+"?', rf"\1 = {pair / CERTIFICATE}", text)
        assert not marked(text)
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


@pytest.mark.parametrize("plan", chosen(ipsec="strongswan"))
def test_strongswan(plan: NodePlan, namespace: str, tmp_path: Path, pair: Path) -> None:
    files = {
        p: t for p, t in render_node(plan).items() if p.startswith(("/etc/swanctl/", "/etc/st"))
    }
    put(files, tmp_path, pair)
    settings, socket = tmp_path / "strongswan.conf", tmp_path / "vici"
    plugins = "random nonce openssl pem pkcs1 pkcs8 x509 pubkey constraints kernel-netlink"
    settings.write_text(
        f"charon-systemd {{\n port = 0\n port_nat_t = 0\n"
        f" load = {plugins} socket-default vici hmac kdf gcm\n"
        f" plugins {{ vici {{ socket = unix://{socket} }} }}\n}}\n"
        f"swanctl {{ socket = unix://{socket}\n load = random openssl pem x509 pkcs8 pubkey }}\n"
        f"include {tmp_path}/etc/strongswan.d/*.conf\n"
    )
    whole = tmp_path / "etc/swanctl/swanctl.conf"
    whole.write_text("include conf.d/*.conf\n")
    charon = Charon(settings, namespace, tmp_path / "charon.log")
    try:
        said = charon.load(whole)
        assert f"loaded {len(plan.vpns)} connections" in said
        assert said.count("loaded ike secret") == sum(t.psk is not None for t in plan.vpns)
        assert ("loaded private key" in said) == any(t.certificate for t in plan.vpns)
        listed = charon.connections()
        for tunnel in plan.vpns:
            assert re.search(rf"^{tunnel.name}: IKEv{tunnel.ike_version}", listed, re.M)
            for child in children(tunnel):
                assert re.search(rf"^  {child.name}: TUNNEL", listed, re.M)
    finally:
        charon.stop()
    # The settings arrived: what they say of logging is where the log is.
    assert "loaded plugins" in charon.log.read_text()


@pytest.mark.parametrize("plan", [pytest.param(plan, id=name) for name, plan in ALL.items()])
def test_libipsec(plan: NodePlan, namespace: str, tmp_path: Path, pair: Path) -> None:
    """The first tunnel's daemon, with the settings that are written for it: it has a TUN device,
    kernel-libipsec does its ESP, and swanctl finds it by the same settings."""
    if not Path("/dev/net/tun").exists():
        pytest.skip("no TUN devices here")
    folder = "/etc/bongsu/libipsec/"
    put({p: t for p, t in render_node(plan).items() if p.startswith(folder)}, tmp_path, pair)
    first = plan.vpns[0]
    base = tmp_path / folder.lstrip("/")
    settings = base / f"{first.name}.strongswan.conf"
    text = settings.read_text()
    assert text.count("/run/bongsu/libipsec/") == 2
    settings.write_text(text.replace("/run/bongsu/libipsec/", f"{tmp_path}/"))
    charon = Charon(settings, namespace, tmp_path / "charon.log")
    try:
        said = charon.load(base / f"{first.name}.swanctl.conf")
        assert "successfully loaded 1 connections" in said
        assert ("loaded private key" in said) == (first.certificate is not None)
        assert "ipsec0" in run(["ip", "-br", "link"], netns=namespace).stdout
        bound = run(["ss", "-Hlun"], netns=namespace).stdout
        assert all(f":{port} " in bound for port in ports(plan)[first.name])
        assert ":500 " not in bound
    finally:
        charon.stop()
    assert "kernel-libipsec" in charon.log.read_text()


@pytest.mark.parametrize("plan", [pytest.param(plan, id=name) for name, plan in ALL.items()])
def test_nftables(plan: NodePlan, namespace: str) -> None:
    """Loaded, not only checked: the kernel judges the elements of sets itself."""
    rules = render_node(plan)["/etc/nftables.d/60-bongsu.nft"]
    run(["nft", "-f", "-"], input=rules, netns=namespace)


@pytest.mark.parametrize("plan", chosen(routing="frr"))
def test_frr(plan: NodePlan, open_folder: Path) -> None:
    """Both ways of writing them, whichever the node has."""
    if not (PROGRAMS / "bgpd").exists():
        pytest.skip("FRR is not installed")
    for integrated in (True, False):
        files = render_node(plan.model_copy(update={"frr_integrated": integrated}))
        folder = open_folder / ("one" if integrated else "each")
        put({p: t for p, t in files.items() if p.startswith("/etc/frr/")}, folder, folder)
        found = sorted((folder / "etc/frr").glob("*.conf"))
        names = {path.name for path in found} - {"vtysh.conf"}
        assert "frr.conf" in names if integrated else {"zebra.conf", "staticd.conf"} <= names
        for path in found:
            if path.name == "vtysh.conf":
                continue
            program = "vtysh" if integrated else str(PROGRAMS / path.stem)
            done = run([program, "-C", "-f", str(path)])
            assert not COMPLAINT.search(done.stdout + done.stderr)
        daemons = (folder / "etc/frr/daemons").read_text()
        # The file is read by a shell.
        run(["sh", "-n", str(folder / "etc/frr/daemons")])
        for path in found:
            if not integrated and path.stem in ("bgpd", "bfdd"):
                assert f"\n{path.stem}=yes\n" in daemons


def test_frr_bites(open_folder: Path) -> None:
    """Its dry run does find a word that it does not know."""
    if not (PROGRAMS / "bgpd").exists():
        pytest.skip("FRR is not installed")
    wrong = open_folder / "frr.conf"
    wrong.write_text("router bgp 65000\n neighbour 192.0.2.1 remote-as 65001\nexit\n")
    for program in ("vtysh", str(PROGRAMS / "bgpd")):
        done = run([program, "-C", "-f", str(wrong)], check=False)
        assert COMPLAINT.search(done.stdout + done.stderr), program


def libreswan() -> Path:
    """The root of an installed Libreswan."""
    for root in LIBRESWAN:
        if (root / "usr/libexec/ipsec/addconn").exists():
            return root
    pytest.skip("Libreswan is not installed")


def program(root: Path, name: str, *arguments: str) -> str:
    """What a Libreswan program says. Raises RunError."""
    libraries = str(root / "usr/lib/x86_64-linux-gnu")
    done = run(
        [str(root / "usr/libexec/ipsec" / name), *arguments], env={"LD_LIBRARY_PATH": libraries}
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("plan", chosen(ipsec="libreswan"))
def test_libreswan(plan: NodePlan, tmp_path: Path) -> None:
    root = libreswan()
    text = render_node(plan)[CONNECTIONS]
    file = tmp_path / "ipsec.conf"
    file.write_text(text)
    program(root, "addconn", "--config", str(file), "--checkconfig")
    said = program(root, "readwriteconf", "--config", str(file))
    for tunnel in plan.vpns:
        for child in children(tunnel, pairs=True):
            assert re.search(rf"^conn {child.name}$", said, re.M)
    for tunnel in plan.vpns:
        section = text.split(f"conn {tunnel.name}\n")[1].split("\n\n")[0]
        for key, kind in (("ike", "ike"), ("phase2alg", "esp")):
            value = re.search(rf"^    {key}=(.*)$", section, re.M)
            assert value is not None
            way = f"-v{tunnel.ike_version}"
            pfs = [] if kind == "ike" or "pfs=no" in section else ["-pfs"]
            parsed = program(root, "algparse", way, *pfs, f"{kind}={value[1]}")
            assert "ERROR" not in parsed


def test_libreswan_bites(tmp_path: Path) -> None:
    root = libreswan()
    text = render_node(ALL["hybrid-vpn-cpe"])[CONNECTIONS]
    for old, new in (
        ("    auto=start", "    autom=start"),
        ("vti-routing=no", "vti-routing=maybe"),
    ):
        file = tmp_path / "ipsec.conf"
        assert old in text
        file.write_text(text.replace(old, new))
        argv = [str(root / "usr/libexec/ipsec/addconn"), "--config", str(file), "--checkconfig"]
        env = {"LD_LIBRARY_PATH": str(root / "usr/lib/x86_64-linux-gnu")}
        done = run(argv, env=env, check=False)
        assert done.returncode or done.stderr, new


def test_every_node_was_tried() -> None:
    assert SWANCTL in render_node(ALL["vpn-policy-branch"])
    assert {plan.ipsec for plan in ALL.values()} == {"strongswan", "libreswan"}
    assert {plan.routing for plan in ALL.values()} == {"bird", "frr"}
