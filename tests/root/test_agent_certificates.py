"""Certificates that are renewed in place, with a real charon at both ends and an agent at one.

The site has two connections, each with an authority of its own; the cloud's stand-in answers both.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bongsu.intent.loader import load_text
from bongsu.model.vpn import Certificate
from bongsu.plan.compile import compile_network
from bongsu.plan.connect import stand_in_plan
from bongsu.plan.node import NodePlan
from bongsu.system.agent_client import AgentError
from tests.authority import RSA, Authority
from tests.root.agent_box import Box, until
from tests.root.vpn_world import World, world

pytestmark = pytest.mark.root

WITHIN_S = 60
SITE, CLOUD = "site.example.net", "cloud.example.net"
TUNNELS = {"hub": "one", "spare": "two"}
FILE = """
version: 1
name: certificates
nodes:
  cpe:
    role: router
    interfaces:
      wan: {role: uplink, addresses: [192.0.2.10/24], gateway: 192.0.2.1}
      lan: {role: lan, addresses: [10.0.85.1/24]}
clouds:
  seoul: {profile: generic, networks: [172.16.0.0/24]}
vpns:
"""
VPN = """
  VPN:
    site: cpe
    cloud: seoul
    static: true
    certificate: {certificate: /etc/ssl/VPN.pem, key: "file:/etc/ssl/VPN.key", ca: /etc/ssl/VPN-ca.pem}
    tunnels:
      TUNNEL: {headend: HEADEND, inside: INSIDE, id: site.example.net, peer_id: cloud.example.net}
"""


def plans() -> tuple[NodePlan, NodePlan]:
    """Site and cloud."""
    text = FILE
    for vpn, headend, inside in (
        ("hub", "198.51.100.2", "169.254.1.1/30"),
        ("spare", "198.51.100.6", "169.254.1.5/30"),
    ):
        words = {"VPN": vpn, "TUNNEL": TUNNELS[vpn], "HEADEND": headend, "INSIDE": inside}
        own = VPN
        for word, value in words.items():
            own = own.replace(word, value)
        text += own
    network = load_text(text, "certificates.yaml").network
    return compile_network(network)["cpe"], stand_in_plan(network, "seoul")


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Authority]:
    folder = tmp_path_factory.mktemp("ca")
    return {vpn: Authority(folder / vpn, vpn) for vpn in TUNNELS}


@pytest.fixture(scope="module")
def here(
    tmp_path_factory: pytest.TempPathFactory, authorities: dict[str, Authority]
) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("vpn")) as made:
        for box, name in ((made.cpe, SITE), (made.cloud, CLOUD)):
            folder = box.home / "etc" / "ssl"
            folder.mkdir()
            for vpn, authority in authorities.items():
                put(folder, vpn, *authority.sign("gateway", name))
                (folder / f"{vpn}-ca.pem").write_text(authority.pem)
        made.start(*plans())
        until(lambda: states(made) == {"one": "up", "two": "up"}, "not up", WITHIN_S)
        yield made


def put(folder: Path, vpn: str, certificate: str, key: str) -> None:
    (folder / f"{vpn}.pem").write_text(certificate)
    (folder / f"{vpn}.key").write_text(key)


def files(box: Box) -> Path:
    """The agent's own /etc/ssl, from outside."""
    return Path(f"/proc/{box.agent_pid()}/root/etc/ssl")


def states(here: World) -> dict[str, str]:
    return {name: one["state"] for name, one in here.tunnels().items()}


def standing(here: World, name: str) -> tuple[str, ...]:
    """What would be another one had anything been negotiated anew."""
    tunnel = here.tunnels()[name]
    return (tunnel["ike"] or {}).get("id", ""), *(sa["spi_in"] for sa in tunnel["esp"])


def told(here: World) -> list[str]:
    events = here.cpe.client.call("events", limit=1000)
    return [event["cause"] for event in events if event["kind"] == "certificate"]


def heard(here: World, tunnel: str) -> list[str]:
    """How the site has proved to be itself, each time, as the cloud's daemon says."""
    log = (here.cloud.home / "run" / "bongsu" / f"charon-{tunnel}.log").read_text()
    return re.findall(rf"authentication of '{SITE}' with (RSA|ECDSA)", log)


def test_a_certificate_without_its_key_is_not_taken(
    here: World, authorities: dict[str, Authority]
) -> None:
    """A renewal is two files, one after the other."""
    before = {name: standing(here, name) for name in TUNNELS.values()}
    folder = files(here.cpe)
    # What was refused changes nothing, not even which files are watched.
    elsewhere = [
        tunnel.model_copy(
            update={
                "certificate": Certificate(
                    certificate="/etc/ssl/no.pem", key="file:/etc/ssl/hub.key", ca="/etc/ssl/no.pem"
                )
            }
        )
        for tunnel in plans()[0].vpns
    ]
    refused = plans()[0].model_copy(update={"vpns": elsewhere})
    with pytest.raises(AgentError, match=r"/etc/ssl/no\.pem"):
        here.cpe.client.call("apply", bundle=here.cpe.bundle(refused, "refused"))
    certificate, key = authorities["hub"].sign("gateway", SITE, key=RSA)
    (folder / "hub.pem").write_text(certificate)
    until(lambda: any("not that of /etc/ssl/hub.pem" in text for text in told(here)),
          "the half is not told", WITHIN_S)  # fmt: skip
    assert {name: standing(here, name) for name in TUNNELS.values()} == before
    assert heard(here, "one") == ["ECDSA"]

    (folder / "hub.key").write_text(key)
    until(lambda: heard(here, "one")[-1] == "RSA", "not the new one", WITHIN_S)
    until(lambda: states(here)["one"] == "up", "not up again", WITHIN_S)
    assert standing(here, "one") != before["one"]
    assert standing(here, "two") == before["two"]
    assert heard(here, "two") == ["ECDSA"]
    assert here.cpe.client.call("apply", bundle="/run/bundle")["changes"] == []


def test_an_authority_renewed_with_its_key_still_holds(
    here: World, authorities: dict[str, Authority]
) -> None:
    before = {name: standing(here, name) for name in TUNNELS.values()}
    authorities["hub"].again()
    (files(here.cpe) / "hub-ca.pem").write_text(authorities["hub"].pem)
    until(lambda: standing(here, "one") != before["one"], "not negotiated anew", WITHIN_S)
    until(lambda: states(here)["one"] == "up", "not up again", WITHIN_S)
    assert standing(here, "two") == before["two"]


def test_another_authority_is_not_believed(here: World, authorities: dict[str, Authority]) -> None:
    """The other connection's, which the node knows well."""
    before = standing(here, "two")
    (files(here.cpe) / "hub-ca.pem").write_text(authorities["spare"].pem)

    def refused() -> bool:
        one = here.tunnels()["one"]
        return one["state"] == "down" and "not signed by our CA" in (one["cause"] or "")

    until(refused, "taken all the same", WITHIN_S)
    assert standing(here, "two") == before
    (files(here.cpe) / "hub-ca.pem").write_text(authorities["hub"].pem)
    until(lambda: states(here)["one"] == "up", "not up again", WITHIN_S)
