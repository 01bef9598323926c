"""`bongsu import` and `render --helper`, as a person calls them."""

import json
import stat
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from bongsu.cli import imports
from bongsu.cli.main import app
from bongsu.intent import load_text
from bongsu.plan.connect import site_networks

EXAMPLE = Path(__file__).parents[2] / "examples" / "hybrid-vpn.yaml"
HERE = EXAMPLE.parent / "downloads"
KEYS = ("InventedOciKey1abcdefghijklmnopqrstuvw", "InventedOciKey2abcdefghijklmnopqrstuvw")
OPTIONS = (
    "--cloud-network", "172.16.0.0/16", "--site-network", "10.20.0.0/16", "--name", "hub",
    "--address", "10.20.0.5/24", "--gateway", "10.20.0.1", "--asn", "65000",
)  # fmt: skip


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def imported(tmp_path: Path, *more: str, name: str = "oci-helper") -> Result:
    file = str(HERE / f"{name}.txt")
    return run("import", file, "--secrets", str(tmp_path / "keys"), *OPTIONS, *more)


def test_yaml_on_standard_output_keys_in_files_of_their_own(tmp_path: Path) -> None:
    done = imported(tmp_path)
    assert done.exit_code == 0, done.output
    network = load_text(done.stdout, "stdout").network
    tunnels = network.vpns["hub"].tunnels
    for tunnel, key in zip(tunnels.values(), KEYS, strict=True):
        assert tunnel.psk is not None
        path = Path(tunnel.psk.removeprefix("file:"))
        assert path.parent == tmp_path / "keys"
        assert path.read_text() == key + "\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert key not in done.output
        assert key not in done.stderr


def test_a_second_import_leaves_the_same_keys_and_mends_their_mode(tmp_path: Path) -> None:
    assert imported(tmp_path).exit_code == 0
    for path in (tmp_path / "keys").iterdir():
        path.chmod(0o644)
    assert imported(tmp_path).exit_code == 0
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "keys").iterdir()} == {0o600}


def test_another_key_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    there = tmp_path / "keys" / "hub-vti1.psk"
    there.write_text("the key of another day\n")
    done = imported(tmp_path)
    assert done.exit_code == 1
    assert "holds another key" in done.output
    assert there.read_text() == "the key of another day\n"
    assert not done.stdout.startswith("version")
    assert all(key not in done.output for key in KEYS)


def test_what_was_written_before_an_error_is_removed_again(tmp_path: Path) -> None:
    """The second key's file holds another: the first one's is gone, and what stood there stands."""
    keys = tmp_path / "keys"
    keys.mkdir()
    there = keys / "hub-vti2.psk"
    there.write_text("the key of another day\n")
    done = imported(tmp_path)
    assert (done.exit_code, done.stdout) == (1, "")
    assert [path.name for path in keys.iterdir()] == [there.name]
    assert there.read_text() == "the key of another day\n"


def test_nothing_stays_of_an_import_that_could_not_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: str) -> None:
        assert len(list((tmp_path / "deep" / "keys").iterdir())) == 2
        raise BrokenPipeError

    monkeypatch.setattr(imports, "text", broken)
    file = str(HERE / "oci-helper.txt")
    done = run("import", file, "--secrets", str(tmp_path / "deep" / "keys"), *OPTIONS)
    assert isinstance(done.exception, BrokenPipeError)
    assert list(tmp_path.iterdir()) == []


def test_a_network_with_errors_gets_no_keys(tmp_path: Path) -> None:
    """No gateway is an error of the network: it is shown, the option is named, nothing is written."""
    file = str(HERE / "aws-generic.txt")
    networks = ("--cloud-network", "172.16.0.0/16", "--site-network", "10.20.0.0/16")
    done = run("import", file, "--secrets", str(tmp_path / "keys"), *networks)
    assert done.exit_code == 1
    assert "error RTE006" in done.stderr
    assert "no key was written" in done.stderr
    for option in ("--gateway 192.0.2.1", "--address 10.0.0.5/24", "--lan eth1=10.0.0.1/24"):
        assert f"add {option}" in done.stderr
    assert list(tmp_path.iterdir()) == []
    whole = ("--gateway", "198.51.100.1", "--address", "198.51.100.20/24")
    done = run("import", file, "--secrets", str(tmp_path / "keys"), *networks, *whole)
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "keys").iterdir())) == 2


def test_a_lan_of_its_own(tmp_path: Path) -> None:
    file = str(HERE / "aws-generic.txt")
    options = ("--cloud-network", "172.16.0.0/16", "--gateway", "198.51.100.1",
               "--address", "198.51.100.20/24", "--lan", "lan0=10.20.0.1/16")  # fmt: skip
    done = run("import", file, "--secrets", str(tmp_path / "keys"), *options)
    assert done.exit_code == 0, done.output
    assert "VPN022" not in done.stderr
    assert "hint:" not in done.stderr
    network = load_text(done.stdout, "stdout").network
    assert network.nodes["cpe"].interfaces["lan0"].role == "lan"
    (vpn,) = network.vpns.values()
    assert [str(prefix) for prefix in site_networks(network, vpn)] == ["10.20.0.0/16"]
    done = run("import", file, *options[:-1], "eth0=10.20.0.1/16")
    assert done.exit_code == 1
    assert "--lan eth0: that is the uplink" in done.stderr


def test_on_a_terminal_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the options would have said, again where an answer makes no sense; Enter passes over."""
    monkeypatch.setattr(imports.import_questions, "somebody_answers", lambda: True)
    said = ["", "ten", "172.16.0.0/16, 172.17.0.0/16",  # what is behind the cloud
            "10.20.0.5/24", "198.51.100.7", "10.20.0.1",  # the uplink: own, seen, gateway
            "x=", "lan0=10.40.0.1/16", "10.30.0.1/30"]  # fmt: skip
    file = str(HERE.parents[1] / "tests" / "unit" / "imports" / "oci-template.txt")
    words = ["import", file, "--secrets", str(tmp_path / "keys")]
    done = CliRunner().invoke(app, words, input="\n".join(said) + "\n")
    assert done.exit_code == 0, done.output
    network = load_text(done.stdout, "stdout").network
    (vpn,) = network.vpns.values()
    assert [str(p) for p in network.clouds["oci"].networks] == ["172.16.0.0/16", "172.17.0.0/16"]
    assert [str(tunnel.inside) for tunnel in vpn.tunnels.values()] == ["10.30.0.1/30"]
    interfaces = network.nodes["cpe"].interfaces
    assert [str(address) for address in interfaces["eth0"].addresses] == ["10.20.0.5/24"]
    assert str(interfaces["eth0"].public) == "198.51.100.7"
    assert str(interfaces["eth0"].gateway) == "10.20.0.1"
    assert [str(address) for address in interfaces["lan0"].addresses] == ["10.40.0.1/16"]
    assert done.stderr.count("that cannot be read") == 3

    done = CliRunner().invoke(app, words, input="172.16.0.0/16\n")
    assert done.exit_code == 1
    assert "left without an answer" in done.stderr
    assert done.stdout == ""


def test_into_a_file_that_has_the_node(tmp_path: Path) -> None:
    network = tmp_path / "network.yaml"
    network.write_text(EXAMPLE.read_text())
    file = str(HERE / "aws-generic.txt")
    done = run("import", file, "--into", str(network), "--site", "cpe", "--name", "second",
               "--cloud-network", "10.80.0.0/16", "--site-network", "10.0.0.0/16",
               "--secrets", str(tmp_path / "keys"))  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "takes us for AS 65010, and cpe is AS 65000" in done.stderr
    assert "takes us for 198.51.100.20, and cpe has no such address" in done.stderr
    assert "a new cloud is plugged in there by hand" in done.stderr
    parts = yaml.safe_load(done.stdout)
    assert list(parts) == ["clouds", "vpns"]
    assert list(parts["vpns"]) == ["hub", "second"]
    assert network.read_text() == EXAMPLE.read_text(), "the file itself is the operator's"
    whole = yaml.safe_load(network.read_text()) | parts
    whole = {key: value for key, value in whole.items() if key not in ("lab", "tests")}
    assert set(load_text(yaml.safe_dump(whole), "x").network.vpns) == {"hub", "second"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("nothing.txt",), 2, "cannot read nothing.txt"),
        ((str(HERE / "oci-helper.txt"), "--as", "csv"), 2, "no format is called csv"),
        ((str(HERE / "oci-helper.txt"), "--as", "aws-ios"), 1, "no tunnel is described here"),
        ((str(HERE / "oci-helper.txt"),), 1, "--cloud-network"),
        ((str(HERE / "oci-helper.txt"), "--cloud-network", "ten"), 2, "no address with its length"),
        ((str(HERE / "oci-helper.txt"), "--address", "10.0.0.5"), 2, "such as 10.0.0.5/24"),
        ((str(HERE / "oci-helper.txt"), "--gateway", "here"), 2, "--gateway here: no address"),
        ((str(EXAMPLE),), 1, "of no format that is known here"),
        ((str(HERE / "oci-helper.txt"), "--into", str(EXAMPLE), "--site", "x"), 2, "no node x"),
        ((str(HERE / "oci-helper.txt"), "--into", str(HERE / "aws-ios.txt")), 1, "aws-ios.txt:"),
        ((str(HERE / "oci-helper.txt"), "--site", "No Name"), 1, "--site is no name"),
    ],
)
def test_one_clear_error(arguments: tuple[str, ...], code: int, says: str, tmp_path: Path) -> None:
    done = run("import", *arguments, "--secrets", str(tmp_path / "keys"))
    assert done.exit_code == code, done.output
    assert says in done.output
    assert done.stdout == ""
    assert not (tmp_path / "keys").exists(), "nothing is written before all is well"


def test_through_an_accelerator_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "network.yaml"
    values = yaml.safe_load((HERE.parent / "accelerated-vpn.yaml").read_text())
    del values["vpns"], values["lab"], values["tests"]
    values["nodes"]["gw-shanghai"]["bgp"] = {"asn": 65020}
    listener = values["accelerators"]["ga-1"]["listeners"]["ipsec"]
    listener["endpoints"]["tunnel-1"]["address"] = "198.51.100.254"
    file.write_text(yaml.safe_dump(values))
    more = ["--into", str(file), "--site", "gw-shanghai", "--name", "spare", "--cloud", "seoul"]
    more += ["--secrets", str(tmp_path / "keys")]
    download = str(HERE / "aws-ios.txt")
    done = run("import", download, *more, "--accelerator", "ga-1")
    assert done.exit_code == 0, done.stderr
    found = yaml.safe_load(done.stdout)
    assert found["accelerators"]["ga-1"]["listeners"]["ipsec"]["endpoints"] == {
        "tunnel-1": {"address": "203.0.113.31"}
    }
    (tunnel,) = found["vpns"]["spare"]["tunnels"].values()
    assert tunnel["accelerator"] == "ga-1"
    said = " ".join(done.stderr.split())
    assert "endpoint tunnel-1 of ga-1 was 198.51.100.254 and is 203.0.113.31 now" in said
    assert "tunnel 2 is left out" in said
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["spare-aws-1.psk"]
    wrong = run("import", download, *more, "--accelerator", "/x")
    assert wrong.exit_code == 2
    assert "--accelerator /x: no accelerator" in wrong.stderr


def test_pages_are_written_and_shown(tmp_path: Path) -> None:
    out = tmp_path / "pages"
    done = run("render", str(EXAMPLE), "--helper", "-o", str(out))
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in out.iterdir()) == ["hub.html", "hub.md"]
    shown = run("render", str(EXAMPLE), "--helper")
    assert shown.stdout == (out / "hub.md").read_text()
    pages = json.loads(run("render", str(EXAMPLE), "--helper", "--json").stdout)
    assert pages["hub.html"] == (out / "hub.html").read_text()
    assert f"bongsu check {EXAMPLE}" in shown.stdout


def test_no_vpn_no_page() -> None:
    other = EXAMPLE.with_name("anycast.yaml")
    done = run("render", str(other), "--helper")
    assert done.exit_code == 2
    assert "has no VPN, so there is no page" in done.output
