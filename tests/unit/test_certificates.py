"""Certificates as bongsu reads them, and what Libreswan is told of them.

The three were made by openssl; their key's names are what NSS calls them, and the rest openssl.
"""

import base64
import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bongsu.agent.certificates import CertificateWatch, fingerprints, read_certificates
from bongsu.model.vpn import Binding, Certificate
from bongsu.plan.certificate import X509, Name, read_der, read_pem, words
from bongsu.plan.node import NodePlan
from bongsu.render.libreswan.certificates import Proof, document, expanded, named_apart, refusals
from bongsu.render.libreswan.render import CONNECTIONS, render
from bongsu.system.daemons import pluto
from bongsu.system.daemons.pluto import Pluto, but_certificates, connections
from bongsu.system.daemons.whack import ANY, authorities
from tests.golden.networks import plans

RSA = """\
-----BEGIN CERTIFICATE-----
MIIDUTCCAjmgAwIBAgIUFmStPYtZpkX5l/dO4/LIlTO+zp4wDQYJKoZIhvcNAQEL
BQAwNzELMAkGA1UEBhMCS1IxFTATBgNVBAoMDEV4YW1wbGUsIEluYzERMA8GA1UE
AwwIbGFiIHJvb3QwIBcNMjYxMTMwMTA1MjEyWhgPMjA1MTA3MjIxMDUyMTJaMDcx
CzAJBgNVBAYTAktSMRUwEwYDVQQKDAxFeGFtcGxlLCBJbmMxETAPBgNVBAMMCGxh
YiByb290MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAySWSgVQg2T6K
oILU6lvPf9o8FXBWqFWdHHGj1SJSPoRObiYq1wr+zer16GVolVlxMs1agiyE9p/q
ro6n8GvIb8oVroysCaBDj5MrVATGfpC6TLzeeM72kowsSx8g636hY7rmUpoK25+5
qS6LElPUOzit/vALMlllRc5aFm0lchTjEbHKzM7VyMJ7NnDt6xSeFc8JlFBIA1Qf
jlNMWJv+55RyVOm4nYCy+0BweeMTJi7lwlHQB5nNo/6C7QNcTd3DASzhMd8rYF6m
V05O3vsiI7iJ3BVUslNUfg2I+V0lEIrYgNUFWfxqDIaLYc2Z0qhRQRYfpQqUcKWe
GVs8NwuhrwIDAQABo1MwUTAdBgNVHQ4EFgQUAaPLAUFPVzRdQC+mSomPa98zLZMw
HwYDVR0jBBgwFoAUAaPLAUFPVzRdQC+mSomPa98zLZMwDwYDVR0TAQH/BAUwAwEB
/zANBgkqhkiG9w0BAQsFAAOCAQEAcbRqgY5izc+cTwAnBSbhV4phhrZln1ATQs2M
FMWojpH1BRDBVtbw8j5QRceN4t2aVplPsqsXBshz4wLOzPo5thg8EWOU1hqyRJwy
9XXuc8QXv3MScjT/k3X0nDKkfj+g1PlCKBmnyESELWCN9nIZBQC7NYkY64hKiGAm
lAx6bv4Wt3aOqiXU5XcwFJFAQbPa07QPJLrpek44arA49OjYIuUJVsrkhhqXb7qx
iI45gwE3j/etr/go7TOVZ2X4N0RARbPn7rm6B5ghKGggfnpLQqizvwXPYbGH8o3O
ckYF4X0XD5yFqHbPTctUL0BoOvEsg16z2L9fIIruwg32PRW0Gg==
-----END CERTIFICATE-----
"""
ROOT = """\
-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUJFi8QM5ejutTRLQ/QciuJvmxj0MwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEcm9vdDAgFw0yNjExMzAxMDUyMTJaGA8yMDU0MDQxNjEwNTIx
MlowDzENMAsGA1UEAwwEcm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNHv
E4LsN9mhdfic4D6XoICKCBM12COqVu0ZxKDJHeg8KN/lA43QsTwnscJmKozEX1Vn
/dMC9N1r00CDbhxwIRWjUzBRMB0GA1UdDgQWBBSLAH8Ulw5v1Vojh658268BQqGv
lTAfBgNVHSMEGDAWgBSLAH8Ulw5v1Vojh658268BQqGvlTAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIAZon6HT/5cJpR9OPL37IdVTalyjgNDgZmK9
05+I7nLDAiEA1SYb+S6rDBMH3/C/LYk2Pff8JTK0nhz6oQ2ms0KpRoE=
-----END CERTIFICATE-----
"""
OWN = """\
-----BEGIN CERTIFICATE-----
MIIBNzCB3gIUNHKNGjgN853LWSNHMqIXR4xN/pUwCgYIKoZIzj0EAwIwDzENMAsG
A1UEAwwEcm9vdDAgFw0yNjExMzAxMDUyMTNaGA8yMDU0MDQxNjEwNTIxM1owLDEe
MAsGA1UEAwwEc2l0ZTAPBgoJkiaJk/IsZAEBDAE3MQowCAYDVQQKDAF4MFkwEwYH
KoZIzj0CAQYIKoZIzj0DAQcDQgAEMtELZ3A8oeyxUiQ8Ylppt1ff2cZfe9laulde
kCNPJYWu63OH9sVJcK01+xowNWDd64B8kEOhWRCtoHgw9IKVIDAKBggqhkjOPQQD
AgNIADBFAiEAwhdF+UVlh919RbBGB1I52xk+56jOeZCJIEZklILjMioCIG3QPgR0
lQ1HiB5SCxhB3IWcaiU4lWbtXUdzSPyJ5Z2w
-----END CERTIFICATE-----
"""
rsa, root, own = (read_pem(text) for text in (RSA, ROOT, OWN))


def common(name: str) -> Name:
    return ((("2.5.4.3", b"\x0c" + bytes([len(name)]) + name.encode()),),)


@pytest.mark.parametrize(
    ("pem", "key_id", "sha256", "subject", "issuer"),
    [
        (RSA, "0f410998ebbd426b3121e636e98c2d4d32bfbe75", "7062b486", "C=KR, O=Example, Inc, CN=lab root",
         "C=KR, O=Example, Inc, CN=lab root"),
        (ROOT, "8b007f14970e6fd55a2387ae7cdbaf0142a1af95", "aeb9af73", "CN=root", "CN=root"),
        (OWN, "664f14a4d9308e316d70c55cde0d338898e3901b", "940ce81b", "CN=site+UID=7, O=x", "CN=root"),
    ],
    ids=["rsa", "root", "own"],
)  # fmt: skip
def test_read(pem: str, key_id: str, sha256: str, subject: str, issuer: str) -> None:
    found = read_pem(pem)
    assert (found.key_id, found.sha256[:8]) == (key_id, sha256)
    assert (words(found.subject), words(found.issuer)) == (subject, issuer)
    assert found.is_root == (subject == issuer)
    assert found.is_rsa == (pem is RSA)
    assert found.not_before[:12] == "202611301052"
    assert found.pem == pem


def test_the_first_of_a_file_counts() -> None:
    assert read_pem("Bag Attributes\n" + OWN + ROOT) == own


@given(st.integers(0, len(own.der) - 1), st.integers(0, 255))
def test_what_is_damaged_is_refused_or_another_one(at: int, byte: int) -> None:
    damaged = bytearray(own.der)
    damaged[at] = byte
    body = base64.b64encode(damaged).decode()
    text = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
    with contextlib.suppress(ValueError):
        assert read_pem(text).der == bytes(damaged)


@given(st.integers(0, len(own.der) - 1))
def test_what_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises((ValueError, IndexError)):
        read_der(own.der[:length])


@pytest.mark.parametrize(
    "text", ["", "no", "-----BEGIN CERTIFICATE-----\nAAAA", OWN.replace("M", "é")]
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no certificate in PEM"):
        read_pem(text)


def test_an_authority_is_named_exactly_and_the_key_decides_how_it_signs() -> None:
    """Libreswan reads a comma, a plus and a slash in a name as its own; encoded, there are none."""
    assert Proof("hub", own, rsa).options == {
        "leftckaid": own.key_id,
        "authby": "ecdsa",
        "rightca": '"2.5.4.6=#13024b52, 2.5.4.10=#0c0c4578616d706c652c20496e63,'
        ' 2.5.4.3=#0c086c616220726f6f74"',
    }
    assert Proof("hub", rsa, rsa).options["authby"] == "rsasig,ecdsa"
    assert Proof("hub", rsa, rsa, 1).options["authby"] == "rsasig"


def site(*vpns: str) -> NodePlan:
    """A node of Libreswan with one tunnel for each connection."""
    plan = plans("vpn-ecmp")["east"]
    tunnels = [
        plan.vpns[0].model_copy(
            update={"name": f"t{number}", "vpn": vpn, "binding": Binding.VTI, "mark": number + 1}
        )
        for number, vpn in enumerate(vpns)
    ]
    return plan.model_copy(update={"vpns": tunnels})


def test_tunnels_include_their_connections_section() -> None:
    proofs = [Proof("hub", own, root)]
    made = document(proofs, ["Made by bongsu."])
    assert made.startswith(
        "# Made by bongsu.\n\nconn bongsu-certificate-hub\n    # CN=site+UID=7, O=x\n"
    )
    text = render(site("hub", "hub"), [])[CONNECTIONS]
    assert text.count("    also=bongsu-certificate-hub\n") == 2
    whole = connections(expanded(text, proofs))
    assert set(whole) == {"t0", "t1"}
    for body in whole.values():
        assert f"leftckaid={own.key_id}\nauthby=ecdsa\nrightca=" in body
        assert f"certificates={own.sha256}-{root.sha256}" in body
        assert "also=" not in body
        assert not {"leftckaid", "certificates"} & {
            line.partition("=")[0] for line in but_certificates(body).splitlines()
        }
        assert "rightca=" in but_certificates(body)


def test_a_comment_ends_with_its_line() -> None:
    evil = replace(own, subject=common("a\nconn b"))
    lines = document([Proof("hub", evil, root)], []).splitlines()
    assert [line for line in lines if line.startswith("conn")] == ["conn bongsu-certificate-hub"]


other = replace(root, der=b"x", key_id="00" * 20)


@pytest.mark.parametrize(
    ("proofs", "said"),
    [
        ([Proof("a", own, root), Proof("b", own, root)], []),
        ([Proof("a", own, root), Proof("b", rsa, rsa)], []),
        (
            [Proof("a", own, root), Proof("b", replace(own, der=b"x"), root)],
            ["a and b have one key"],
        ),
        ([Proof("a", own, root), Proof("b", rsa, other)], ["a and b are both called CN=root"]),
        ([Proof("a", rsa, own)], ["two attributes", "signed by another one"]),
        ([Proof("a", own, root, 1)], ["no RSA key"]),
        ([Proof("a", rsa, root, 1)], []),
    ],
)
def test_what_libreswan_cannot_keep_apart(proofs: list[Proof], said: list[str]) -> None:
    found = refusals(proofs)
    assert len(found) == len(said)
    assert all(words in text for words, text in zip(said, found, strict=True))


def dated(name: str, der: bytes, begins: str) -> X509:
    return replace(own, subject=common(name), der=der, not_before=begins, key_id=der.hex())


@pytest.mark.parametrize(
    ("held", "wanted", "apart"),
    [
        ([], [("a", b"1", "1")], True),
        ([("a", b"1", "1")], [("a", b"1", "1")], True),
        ([("a", b"1", "1")], [("a", b"2", "2")], True),
        ([("a", b"1", "1")], [("b", b"2", "1")], True),
        # An older one, or as old: Libreswan may go on with what it has.
        ([("a", b"1", "2")], [("a", b"2", "1")], False),
        ([("a", b"1", "1")], [("a", b"2", "1")], False),
        # Two of one subject at once.
        ([("a", b"1", "1")], [("a", b"1", "1"), ("a", b"2", "2")], False),
        ([("a", b"1", "1"), ("a", b"2", "2")], [("a", b"3", "3")], True),
    ],
)
def test_whether_certificates_are_found_by_their_nicknames(
    held: list[Any], wanted: list[Any], apart: bool
) -> None:
    proofs = [Proof(f"vpn{number}", dated(*one), root) for number, one in enumerate(wanted)]
    assert named_apart(proofs, [dated(*one) for one in held]) is apart


class Asked(Pluto):
    """What it was told, in order; nothing runs."""

    def __init__(self, status: str = "") -> None:
        super().__init__()
        self.told: list[str]
        object.__setattr__(self, "told", [])
        object.__setattr__(self, "status", status)

    def _whack(self, *arguments: str) -> str:
        self.told.append(" ".join(arguments))
        return str(getattr(self, "status", ""))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    made = Asked()
    monkeypatch.setattr(pluto, "run", lambda argv, **_: made.told.append(f"addconn {argv[-1]}"))
    return made


def text(*proofs: Proof) -> str:
    names = [proof.vpn for proof in proofs]
    return expanded(render(site(*names), [])[CONNECTIONS], proofs)


NEW = replace(own, der=b"new", key_id="11" * 20)


def test_renewed_certificates_leave_the_connection_where_names_do(asked: Asked) -> None:
    before = text(Proof("a", own, root), Proof("b", rsa, root))
    after = text(Proof("a", NEW, root), Proof("b", rsa, root))
    assert asked.reload(before, after, by_name=True) == ["renewed the certificates of t0"]
    assert asked.told == ["--rereadsecrets", "--rereadcerts"]


def test_else_the_one_connection_is_made_anew(asked: Asked) -> None:
    before = text(Proof("a", own, root), Proof("b", rsa, root))
    after = text(Proof("a", NEW, root), Proof("b", rsa, root))
    assert asked.reload(before, after) == ["reloaded t0"]
    again = "--asynchronous --initiate --name t0"
    assert asked.told == ["--rereadsecrets", "addconn t0", again]


@pytest.mark.parametrize(
    "proof", [Proof("a", own, rsa), Proof("a", rsa, root)], ids=["authority", "kind of key"]
)
def test_another_authority_or_way_to_sign_is_another_connection(asked: Asked, proof: Proof) -> None:
    assert asked.reload(text(Proof("a", own, root)), text(proof), by_name=True) == ["reloaded t0"]
    assert "--rereadcerts" not in asked.told


def test_a_renewed_authority_of_the_same_name_is_read_too(asked: Asked) -> None:
    again = replace(root, der=b"again")
    before, after = text(Proof("a", own, root)), text(Proof("a", own, again))
    assert asked.reload(before, after, by_name=True) == ["renewed the certificates of t0"]


def test_nothing_is_told_where_nothing_differs(asked: Asked) -> None:
    same = text(Proof("a", own, root))
    assert asked.reload(same, same, by_name=True) == []
    assert asked.told == ["--rereadsecrets"]


STATUS = """\
000 "t0":   CAs: 'CN=a'...'{}'
000 "t1":   CAs: '%any'...'CN=it's, O=b\\, c'
"""


def test_a_connection_without_its_authority_is_found() -> None:
    """pluto 4.10 leaves out a name that it cannot read, and takes anybody."""
    assert authorities(STATUS.format("CN=root")) == {"t0": "CN=root", "t1": "CN=it's, O=b\\, c"}
    wanted = text(Proof("a", own, root), Proof("b", rsa, rsa))
    assert Asked(STATUS.format(ANY)).loose(wanted) == ["t0"]
    assert Asked(STATUS.format("CN=root")).loose(wanted) == []
    assert Asked().loose("conn psk\n    left=192.0.2.1\n") == []


@pytest.fixture
def plan(tmp_path: Path) -> NodePlan:
    for name, content in (("own.pem", OWN), ("ca.pem", ROOT), ("own.key", "key")):
        (tmp_path / name).write_text(content)
    certificate = Certificate(certificate=f"{tmp_path}/own.pem", key=f"file:{tmp_path}/own.key",
                              ca=f"{tmp_path}/ca.pem")  # fmt: skip
    found = site("hub")
    tunnel = found.vpns[0].model_copy(update={"certificate": certificate})
    return found.model_copy(update={"vpns": [tunnel, tunnel.model_copy(update={"name": "t9"})]})


def test_a_plans_certificates_are_read_once_for_a_connection(plan: NodePlan) -> None:
    assert read_certificates(plan) == {"hub": (own, root)}
    assert fingerprints(plan) == [f"hub:{own.sha256}:{root.sha256}"]
    assert read_certificates(plans("hybrid-vpn")["cpe"]) == {}


def test_every_file_that_is_none_is_named(plan: NodePlan, tmp_path: Path) -> None:
    (tmp_path / "own.pem").unlink()
    (tmp_path / "ca.pem").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="cannot be read") as caught:
        read_certificates(plan)
    assert str(caught.value).splitlines()[1:] == [
        f"{tmp_path}/own.pem: No such file or directory",
        f"{tmp_path}/ca.pem: no certificate in PEM",
    ]


@pytest.mark.parametrize("name", ["own.pem", "ca.pem", "own.key"])
def test_a_change_is_told_once_and_when_it_has_settled(
    plan: NodePlan, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    watch = CertificateWatch()
    assert watch.changed() == []
    watch.follow(plan)
    assert watch.changed() == []
    path.write_text("half")
    assert watch.changed() == []
    path.write_text("all of it")
    assert watch.changed() == []
    assert watch.changed() == [str(path)]
    assert watch.changed() == []
    path.unlink()
    assert [watch.changed() for _ in range(3)] == [[], [str(path)], []]


def test_a_change_that_was_taken_back_is_none(plan: NodePlan, tmp_path: Path) -> None:
    watch = CertificateWatch()
    watch.follow(plan)
    path, kept = tmp_path / "own.pem", tmp_path / "kept"
    os.link(path, kept)
    path.unlink()
    assert watch.changed() == []
    os.link(kept, path)
    assert [watch.changed() for _ in range(2)] == [[], []]
