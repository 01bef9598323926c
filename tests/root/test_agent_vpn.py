"""Two agents carry IPsec tunnels with real charons, FRR and BIRD: up, seen, broken, mended, kept."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bongsu.system.run import run, spawn
from tests.root.agent_box import PASSWORD, until
from tests.root.vpn_world import HEADENDS, World, plans, world

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("vpn")) as here:
        here.start(*plans())
        yield here


@pytest.fixture
def site(shared: World) -> World:
    """With both tunnels up, whatever the test before did."""
    shared.heal()
    shared.cpe.client.call("apply", bundle="/run/bundle")
    shared.wait_up()
    return shared


def established(here: World) -> dict[str, tuple[str, ...]]:
    """What would be another one had anything been negotiated anew."""
    tunnels = here.tunnels()
    return {
        name: (one["ike"]["id"] if one["ike"] else "", *(sa["spi_in"] for sa in one["esp"]))
        for name, one in tunnels.items()
    }


def test_tunnels_come_up_and_carry(site: World) -> None:
    for name, tunnel in site.tunnels().items():
        assert tunnel["ike"]["state"] == "established"
        assert tunnel["ike"]["version"] == 1
        assert tunnel["ike"]["proposal"] == "aes256-sha384-modp1536"
        assert [sa["proposal"] for sa in tunnel["esp"]] == ["aes256gcm16-modp1536"]
        assert tunnel["remote"] == HEADENDS[name]
        assert tunnel["esp"][0]["bytes_in"] > 0
        assert tunnel["probe"]["answered"] > 0
    sessions = site.sessions()
    assert {name: s["established"] for name, s in sessions.items()} == {"vti1": True, "vti2": True}
    assert all((s["received"], s["sent"], s["asn"]) == (1, 1, 31898) for s in sessions.values())


def test_nothing_is_in_clear_on_the_wire(site: World) -> None:
    """Between the two gateways there is UDP, and no packet of the inside."""
    with (site.middle.home / "seen").open("wb") as seen:
        dump = spawn(["tcpdump", "-lnni", "m1", "ip"], netns=site.middle.netns, stdout=seen)
        time.sleep(0.5)
        assert dump.returncode is None
        assert site.reaches()
        time.sleep(0.5)
        dump.terminate()
    text = (site.middle.home / "seen").read_text()
    assert "UDP" in text
    assert not any(inside in text for inside in ("10.0.85.", "172.16.", "10.10.10.", "ICMP"))


def test_a_second_apply_changes_nothing_and_resets_nothing(site: World) -> None:
    before, sessions = established(site), site.sessions()
    began = time.monotonic()
    report = site.cpe.client.call("apply", bundle="/run/bundle")
    assert report["changes"] == []
    took = time.monotonic() - began
    assert established(site) == before
    for name, session in site.sessions().items():
        assert session["since_s"] >= sessions[name]["since_s"]
        assert session["since_s"] - sessions[name]["since_s"] < took + 5
    assert site.daemon("bgpd")["restarts"] == 0


def test_a_comment_in_every_file_resets_nothing(site: World) -> None:
    """Every plan has its digest in the head of every file."""
    plan, _ = plans()
    other = plan.model_copy(update={"network": "renamed"})
    before = established(site), site.sessions()
    pids = {name: site.daemon(name)["pid"] for name in ("charon-vti1", "bgpd", "zebra")}
    report = site.cpe.client.call("apply", bundle=site.cpe.bundle(other, "renamed"))
    assert any("wrote /etc/frr/frr.conf" in change for change in report["changes"])
    assert established(site) == before[0]
    assert {name: site.daemon(name)["pid"] for name in pids} == pids
    assert all(s["since_s"] >= before[1][name]["since_s"] for name, s in site.sessions().items())


def test_a_changed_tunnel_is_reloaded_and_the_other_is_not(site: World) -> None:
    plan, _ = plans()
    changed = plan.vpns[0].model_copy(update={"esp_lifetime_s": 1800})
    other = plan.model_copy(update={"vpns": [changed, *plan.vpns[1:]]})
    before = established(site)
    report = site.cpe.client.call("apply", bundle=site.cpe.bundle(other, "other"))
    assert "charon-vti1: loaded what differs" in report["changes"]
    assert established(site)["vti2"] == before["vti2"]
    until(
        lambda: (t := site.tunnels()["vti1"])["esp"] and t["esp"][0]["rekey_in_s"] < 1800,
        "the new lifetime is not in force", 30,
    )  # fmt: skip
    site.wait_up()
    assert established(site)["vti2"] == before["vti2"]


def test_silent_loss_moves_the_traffic_at_once_and_back_in_the_end(site: World) -> None:
    until(lambda: site.way() == "vti1", "the first tunnel is not preferred", 30)
    site.drop(HEADENDS["vti1"])
    began = time.monotonic()
    until(lambda: site.way() == "vti2", "the traffic did not move", 10)
    # 4 probes at 200 ms, where hold timer and DPD need 18 and 6 s.
    assert time.monotonic() - began < 5
    until(lambda: site.tunnels()["vti1"]["state"] == "down", "not seen", 5)
    assert site.tunnels()["vti1"]["code"] == "probe"
    assert "probes through the tunnel unanswered" in site.tunnels()["vti1"]["cause"]
    site.heal()
    site.wait_up()
    until(lambda: site.way() == "vti1", "the traffic did not come back", 40)


def test_a_daemon_that_dies_comes_back_with_its_tunnel(site: World) -> None:
    for name in ("charon-vti1", "bgpd", "zebra"):
        before = site.daemon(name)
        os.kill(site.cpe.outside(before["pid"]), signal.SIGKILL)

        def again(name: str = name, before: dict[str, Any] = before) -> bool:
            now = site.daemon(name)
            return now["restarts"] == before["restarts"] + 1 and bool(now["uptime_s"])

        until(again, f"{name} was not started again")
        until(
            lambda: (s := site.sessions()) and all(one["established"] for one in s.values()),
            f"BGP did not come back after {name} died", 40,
        )  # fmt: skip
        until(site.reaches, f"no way after {name} died", 40)
        until(lambda: site.way() == "vti1", f"another way after {name} died", 60)


def test_no_secret_is_anywhere_but_in_its_file(site: World) -> None:
    told = str(site.cpe.client.call("status")) + str(site.cpe.client.call("vpn"))
    told += str(site.cpe.client.call("events", limit=2000)) + site.cpe.errors()
    run_directory = site.cpe.home / "run"
    for path in run_directory.rglob("*"):
        if path.is_file() and path.suffix in (".log", ".json", ".conf"):
            told += path.read_text(errors="replace")
    assert PASSWORD not in told
    weak = [e for e in site.cpe.client.call("events", limit=1000) if e["kind"] == "secret"]
    assert [(e["subject"], e["details"]["code"]) for e in weak] == [
        ("vti1", "VPN010"),
        ("vti2", "VPN010"),
    ], "told once, and not by each apply"
    secret = site.cpe.home / "etc/bongsu/libipsec/vti1.swanctl.conf"
    assert PASSWORD in secret.read_text()
    assert secret.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("routing", ["frr", "bird"])
def test_a_killed_agent_is_followed_by_one_that_adopts(tmp_path: Path, routing: str) -> None:
    site_plan, cloud = plans(routing=routing, version=2)
    with world(tmp_path) as here:
        here.cloud.start(here.cloud.bundle(cloud))
        here.cpe.start(here.cpe.bundle(site_plan), pid_namespace=False)
        here.cloud.wait_ready()
        here.cpe.wait_ready()
        here.wait_up()
        before, sessions = established(here), here.sessions()
        os.kill(here.cpe.client.call("status")["pid"], signal.SIGKILL)
        here.cpe.wait_end()
        assert here.reaches()
        here.cpe.start("/run/bundle", pid_namespace=False)
        here.cpe.wait_ready()
        daemons = here.cpe.client.call("status")["daemons"]
        assert [one["name"] for one in daemons if not one["adopted"]] == []
        assert {"charon-vti1", "charon-vti2"} < {one["name"] for one in daemons}
        until(lambda: established(here) == before, "negotiated anew", 5)
        here.wait_up()
        for name, session in here.sessions().items():
            assert session["since_s"] > sessions[name]["since_s"]
        assert here.cpe.events("carrier") == []
        here.cpe.client.call("stop", purge=True)
        assert here.cpe.wait_end() == 0
        assert "vti" not in here.cpe.ip("-o link")
        assert "ipsec" not in here.cpe.ip("-o link")
        assert "bongsu" not in here.cpe.text("nft", "list", "ruleset")
        assert not (here.cpe.home / "run" / "bongsu").exists()


@pytest.mark.parametrize(
    ("change", "layer", "words"),
    [
        ({"psk": "file:KEY"}, "IKE", "the pre-shared key"),
        ({"ike": "aes128-sha256-modp2048"}, "IKE", "NO_PROPOSAL_CHOSEN"),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_why_it_is_down(
    tmp_path: Path, change: dict[str, str], layer: str, words: str, version: int
) -> None:
    """The site has something that the cloud has not."""
    key = tmp_path / "key"
    key.write_text("another one, and a wrong one\n")
    if "psk" in change:
        change = {"psk": f"file:{key}"}
    site_plan, _ = plans(version=version, **change)
    _, cloud = plans(version=version)
    with world(tmp_path) as here:
        here.start(site_plan, cloud)
        until(
            lambda: words in (here.tunnels()["vti1"]["cause"] or ""),
            "the reason was not found", 30,
        )  # fmt: skip
        tunnel = here.tunnels()["vti1"]
        assert (tunnel["state"], tunnel["layer"]) == ("down", layer)
        told = [e for e in here.cpe.events("link-state") if e["subject"] == "vti1"]
        assert words in told[-1]["cause"]
        assert "another one" not in str(told) + here.cpe.errors()


def test_nobody_there(tmp_path: Path) -> None:
    """The cloud's agent does not run: nothing answers on UDP 500 and 4500."""
    site_plan, _ = plans()
    with world(tmp_path) as here:
        run(["nft", "add table ip x; add chain ip x o { type filter hook output priority 0; "
             "policy drop; }"], netns=here.cloud.netns)  # fmt: skip
        here.cpe.start(here.cpe.bundle(site_plan))
        here.cpe.wait_ready()
        until(lambda: here.tunnels()["vti1"]["code"] == "no-answer", "not told", 30)
        assert "UDP 500 and 4500" in here.tunnels()["vti1"]["cause"]
        here.cpe.ip("link set wan down")
        until(lambda: here.tunnels()["vti1"]["layer"] == "underlay", "the first cause is below", 10)
