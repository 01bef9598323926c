"""Certificates with real Libreswan: two connections, each with an authority of its own.

Both authorities are in Libreswan's one database. The cloud is strongSwan in the same guest.
"""

import json
import re
import time
from typing import Any

import pytest

from bongsu.agent.services.libreswan import HEADER
from bongsu.intent import load_text
from bongsu.plan.certificate import read_pem
from bongsu.plan.compile import compile_network
from bongsu.plan.connect import stand_in_plan
from bongsu.plan.node import NodePlan
from bongsu.protocol.link.attribution import Attribution
from bongsu.protocol.link.diagnosis import Diagnosis
from bongsu.render.bundle import make_bundle
from bongsu.render.libreswan.certificates import Proof, document, expanded, named_apart
from bongsu.render.libreswan.render import CONNECTIONS
from bongsu.render.secret import marker
from tests.authority import Authority
from tests.vm.harness import resume

pytestmark = pytest.mark.vm

SITE, CLOUD = "site.example.net", "cloud.example.net"
FILE = """
version: 1
name: certificates
nodes:
  site:
    role: router
    ipsec: libreswan
    interfaces:
      wan: {role: uplink, addresses: [192.0.2.10/24], gateway: 192.0.2.1}
      lan: {role: lan, addresses: [10.0.85.1/24]}
clouds:
  seoul: {profile: generic, networks: [172.16.0.0/24]}
vpns:
"""
VPN = """
  VPN:
    site: site
    cloud: seoul
    static: true
    binding: vti
    certificate: {certificate: /etc/ssl/VPN.pem, key: "file:/etc/ssl/VPN.key", ca: /etc/ssl/VPN-ca.pem}
    tunnels:
      TUNNEL: {headend: HEADEND, inside: INSIDE, id: site.example.net, peer_id: cloud.example.net}
"""
VPNS = (
    ("hub", "one", "198.51.100.2", "169.254.1.1/30"),
    ("spare", "two", "198.51.100.6", "169.254.1.5/30"),
)
Seen = dict[str, Any]
Pairs = dict[str, tuple[str, str]]


def plans() -> tuple[NodePlan, NodePlan]:
    """Site and cloud."""
    text = FILE
    for vpn, tunnel, headend, inside in VPNS:
        words = {"VPN": vpn, "TUNNEL": tunnel, "HEADEND": headend, "INSIDE": inside}
        own = VPN
        for word, value in words.items():
            own = own.replace(word, value)
        text += own
    network = load_text(text, "certificates.yaml").network
    return compile_network(network)["site"], stand_in_plan(network, "seoul")


def files(plan: NodePlan, keys: dict[str, str]) -> dict[str, str]:
    """A bundle's files of IPsec, with keys in place of their markers."""
    found = {}
    for path, text in make_bundle(plan).files.items():
        if path.startswith(("/etc/ipsec.d/", "/etc/swanctl/", "/etc/strongswan.d/")):
            for tunnel in plan.vpns:
                assert tunnel.certificate is not None
                text = text.replace(marker(tunnel.certificate.key), keys.get(tunnel.vpn, ""))
            found[path] = text
    return found


def shows(cloud: NodePlan, pairs: Pairs, authorities: dict[str, Authority]) -> dict[str, str]:
    """What the cloud has when these are its certificates."""
    found = {f"/etc/ssl/{vpn}.pem": pem for vpn, (pem, _) in pairs.items()}
    found |= {f"/etc/ssl/{vpn}-ca.pem": one.pem for vpn, one in authorities.items()}
    keys = {vpn: key for vpn, (_, key) in pairs.items()}
    private = {path: text for path, text in files(cloud, keys).items() if "/private/" in path}
    assert len(private) == 2
    return found | private


def stage(site: NodePlan, pairs: Pairs, authorities: dict[str, Authority]) -> Seen:
    """What the site's agent makes of these certificates."""
    proofs = [Proof(vpn, read_pem(pem), read_pem(authorities[vpn].pem))
              for vpn, (pem, _) in sorted(pairs.items())]  # fmt: skip
    return {
        "entries": [
            {"name": f"bongsu-{vpn}", "pem": pem, "key": key} for vpn, (pem, key) in pairs.items()
        ]
        + [
            {"name": f"bongsu-{vpn}-ca", "pem": one.pem, "key": ""}
            for vpn, one in authorities.items()
        ],
        "document": document(proofs, HEADER),
        "text": expanded(make_bundle(site).files[CONNECTIONS], proofs),
        "proofs": proofs,
    }


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("ca")
    authorities = {vpn: Authority(folder / vpn, f"authority, {vpn}") for vpn, *_ in VPNS}
    site, cloud = plans()
    own = {vpn: one.sign(f"site-{vpn}", SITE) for vpn, one in authorities.items()}
    theirs = {vpn: one.sign("gateway", CLOUD) for vpn, one in authorities.items()}
    stages = {"first": stage(site, own, authorities)}
    # NSS tells the newer by whole seconds.
    time.sleep(1.1)
    own = own | {"hub": authorities["hub"].sign("site-hub", SITE)}
    stages["renewed"] = stage(site, own, authorities)
    stages["renewed"]["serial"] = authorities["hub"].serial()
    had = [
        one for proof in stages["first"]["proofs"] for one in (proof.certificate, proof.authority)
    ]
    stages["renewed"]["by_name"] = named_apart(stages["renewed"]["proofs"], had)
    for one in stages.values():
        del one["proofs"]
    world = {
        "files": {"site": files(site, {}), "cloud": files(cloud, {})},
        "lines": {
            "site": ["addr add 192.0.2.10/24 dev wan", "route add 198.51.100.0/24 dev wan"],
            "cloud": ["addr add 198.51.100.2/24 dev wan", "addr add 198.51.100.6/24 dev wan",
                      "route add 192.0.2.0/24 dev wan",
                      *(line for t in cloud.vpns for line in (
                          f"link add {t.name} type xfrm dev wan if_id {t.mark}",
                          f"addr add {t.inside} dev {t.name}", f"link set {t.name} up"))],
        },
        "inside": {t.name: [str(t.inside.ip), str(t.peer_inside)] for t in site.vpns if t.inside},
        "stages": stages,
        "shown": {
            "right": shows(cloud, theirs, authorities),
            "authority": shows(
                cloud, theirs | {"spare": authorities["hub"].sign("gateway", CLOUD)}, authorities),
            "name": shows(
                cloud, theirs | {"spare": authorities["spare"].sign("gateway", "else.example.net")},
                authorities),
        },
    }  # fmt: skip
    result = resume(
        "exec $PYTHON -m tests.vm.jobs.libreswan_certificates",
        {"world.json": json.dumps(world)},
        timeout_s=500,
    )
    assert result.rc == 0, result.output
    return {"stages": stages, **json.loads(result.output[result.output.rindex("\n{") :])}


def heard(log: str) -> Diagnosis:
    """What the watch makes of the lines that are about the second tunnel."""
    attribution = Attribution({"one": "198.51.100.2", "two": "198.51.100.6"})
    diagnosis = Diagnosis()
    for number, line in enumerate(log.splitlines()):
        if attribution.of(line) == "two":
            diagnosis.hear(line, number)
    return diagnosis


def test_both_are_up_and_carry(seen: Seen) -> None:
    assert all(len(seen["first"][name]) == 1 for name in ("one", "two"))
    for name, text in seen["ping"].items():
        assert "3 received" in text, (name, text)
    assert seen["put"] == [["bongsu-hub", "bongsu-spare", "bongsu-hub-ca", "bongsu-spare-ca"]]


def test_each_far_end_is_held_to_its_authority(seen: Seen) -> None:
    """As Libreswan has understood it: a comma is in their names."""
    found = re.findall(r"""000 "(\w+)": +CAs: '.*'\.\.\.'(.*)'""", seen["status"])
    assert dict(found) == {"one": r"CN=authority\, hub", "two": r"CN=authority\, spare"}
    both = ["bongsu-hub-ca", "bongsu-spare-ca"]
    assert sorted(re.findall(r"(bongsu-\w+-ca) +CT,,", seen["listed"])) == both


@pytest.mark.parametrize(
    ("shown", "way", "code", "words"),
    [("authority", "calling", "certificate", "not signed by our CA"),
     ("authority", "called", "certificate", "not signed by our CA"),
     ("name", "calling", "id", "certificate is not for cloud.example.net")],
)  # fmt: skip
def test_another_certificate_is_refused_and_the_reason_told(
    seen: Seen, way: str, shown: str, code: str, words: str
) -> None:
    """One of the other connection's authority, which is in the same database; one of another name."""
    found = seen[shown][way]
    assert found["carried"]["two"] == []
    assert found["carried"]["one"] == seen["first"]["one"]
    reason = heard(found["log"]).reason
    assert reason is not None
    assert (reason.code, words in reason.text) == (code, True), reason


def test_a_renewed_certificate_serves_from_the_next_authentication_on(seen: Seen) -> None:
    """Of the same subject, with another key; nothing is negotiated until somebody asks."""
    assert seen["stages"]["renewed"]["by_name"]
    found = seen["renewed"]
    assert found["done"] == {
        "put": ["bongsu-hub"], "done": ["renewed the certificates of one"], "loose": [], "pruned": []
    }  # fmt: skip
    assert found["after"] == found["before"]
    assert not {*found["last"]["one"]} & {*found["before"]["one"]}
    assert found["last"]["two"] == found["before"]["two"]
    assert found["proofs"][-1] == ["one", "CN=site-hub"]
    held = re.findall(r'certificate "bongsu-hub" - SN: 0x(\w+)', found["certificates"])
    assert [number.lstrip("0") for number in held] == [seen["stages"]["renewed"]["serial"]]


def test_the_database_has_what_is_in_force_and_nobody_else_reads_it(seen: Seen) -> None:
    assert len(re.findall(r"^bongsu-\S+ ", seen["listed"], re.M)) == 4
    assert len(re.findall(r"^< *\d+>", seen["keys"], re.M)) == 2
    assert {mode & 0o077 for mode in seen["modes"].values()} == {0}
