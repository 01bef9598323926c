"""Libreswan's database: certificates with their keys get in once, are replaced, and go again."""

import sqlite3
import stat
from pathlib import Path

import pytest

from bongsu.plan.certificate import X509, read_pem
from bongsu.system.ipsec import nss
from bongsu.system.ipsec.nss import Entry
from bongsu.system.run import RunError, run
from tests.authority import EC, RSA, Authority

pytestmark = pytest.mark.root


class Maker(Authority):
    """What it signs, as entries."""

    @property
    def authority(self) -> X509:
        return read_pem(self.pem)

    def entry(self, name: str, key: str = EC) -> Entry:
        pem, private = self.sign(name, key=key)
        return Entry("bongsu-hub", read_pem(pem), private)

    def renewed(self) -> Entry:
        pem, private = self.renew(99)
        return Entry("bongsu-hub", read_pem(pem), private)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    made = tmp_path / "nss"
    nss.prepare(made)
    nss.prepare(made)
    return made


def there(store: Path) -> set[tuple[str, bytes]]:
    """Nickname and DER of each certificate, as they are stored (nssckfw: CKA_LABEL, CKA_VALUE)."""
    with sqlite3.connect(store / "cert9.db") as database:
        found = database.execute("select a3, a11 from nssPublic where a0 = x'00000001'").fetchall()
    return {(bytes(label).decode(), bytes(value)) for label, value in found}


def keys(store: Path) -> set[str]:
    with sqlite3.connect(store / "key4.db") as database:
        found = database.execute("select a102 from nssPrivate where a0 = x'00000003'").fetchall()
    return {bytes(one).hex() for (one,) in found}


def ca(maker: Maker, name: str = "bongsu-hub-ca") -> Entry:
    return Entry(name, maker.authority)


@pytest.mark.parametrize("key", [RSA, EC], ids=["rsa", "ec"])
def test_in_once_and_out_again(store: Path, tmp_path: Path, key: str) -> None:
    maker = Maker(tmp_path / "a", key=key)
    own = maker.entry("hub", key)
    wanted = [own, ca(maker)]
    assert nss.put(store, wanted, tmp_path) == wanted
    assert nss.put(store, wanted, tmp_path) == []
    assert there(store) == {(one.name, one.certificate.der) for one in wanted}
    assert keys(store) == {own.certificate.key_id}
    listed = run(["certutil", "-L", "-d", f"sql:{store}"]).stdout
    trust = dict(line.rsplit(None, 1) for line in listed.splitlines() if "bongsu" in line)
    assert trust == {"bongsu-hub": "u,u,u", "bongsu-hub-ca": "CT,,"}
    assert not list(tmp_path.glob("nss-*"))
    assert nss.prune(store, wanted, tmp_path) == []
    assert nss.prune(store, [], tmp_path) == ["bongsu-hub", "bongsu-hub-ca"]
    assert (there(store), keys(store)) == (set(), set())
    assert not (store / nss.RECORD).exists()


@pytest.mark.parametrize("name", ["hub", "renamed"])
def test_a_renewed_one_takes_the_place_of_the_old_one(
    store: Path, tmp_path: Path, name: str
) -> None:
    maker = Maker(tmp_path / "a")
    first = maker.entry("hub")
    nss.put(store, [first, ca(maker)], tmp_path)
    second = maker.entry(name, RSA)
    assert nss.put(store, [second, ca(maker)], tmp_path) == [second]
    assert ("bongsu-hub", second.certificate.der) in there(store)
    assert len(there(store)) == 2
    assert keys(store) == {second.certificate.key_id}
    third = maker.renewed()
    assert third.certificate.key_id == second.certificate.key_id
    assert nss.put(store, [third, ca(maker)], tmp_path) == [third]
    assert {der for _, der in there(store)} == {third.certificate.der, maker.authority.der}
    assert keys(store) == {third.certificate.key_id}
    assert set(nss.held(store)) == {maker.authority, third.certificate}


def test_a_subject_has_one_nickname_and_each_of_its_certificates_is_told_apart(
    store: Path, tmp_path: Path
) -> None:
    """Two authorities have signed a certificate for one name: an everyday case."""
    makers = [Maker(tmp_path / name, name) for name in ("a", "b", "c")]
    own = [Entry(f"bongsu-{n}", (made := m.entry("site")).certificate, made.key)
           for n, m in enumerate(makers)]  # fmt: skip
    assert len(nss.put(store, own, tmp_path)) == 3
    assert nss.put(store, own, tmp_path) == []
    assert {name for name, _ in there(store)} == {"bongsu-0"}
    assert nss.prune(store, [own[0], own[2]], tmp_path) == ["bongsu-1"]
    assert {der for _, der in there(store)} == {own[0].certificate.der, own[2].certificate.der}
    assert keys(store) == {own[0].certificate.key_id, own[2].certificate.key_id}


def test_connections_may_share(store: Path, tmp_path: Path) -> None:
    """One certificate and one authority of two connections are there once, and once is enough."""
    maker = Maker(tmp_path / "a")
    own = maker.entry("site")
    wanted = [own, ca(maker), Entry("bongsu-other", own.certificate, own.key),
              ca(maker, "bongsu-other-ca")]  # fmt: skip
    assert nss.put(store, wanted, tmp_path) == wanted[:2]
    assert nss.put(store, wanted, tmp_path) == []
    assert nss.prune(store, wanted[2:], tmp_path) == []
    assert len(there(store)) == 2


def test_an_authority_of_the_same_key_stays_when_its_older_self_goes(
    store: Path, tmp_path: Path
) -> None:
    maker = Maker(tmp_path / "a")
    old = ca(maker, "bongsu-other-ca")
    maker.again()
    new = ca(maker)
    assert len(nss.put(store, [old, new], tmp_path)) == 2
    assert len(there(store)) == 2
    nss.prune(store, [new], tmp_path)
    assert {der for _, der in there(store)} == {new.certificate.der}


def test_what_is_not_ours_stays(store: Path, tmp_path: Path) -> None:
    maker = Maker(tmp_path / "a")
    (tmp_path / "mine.pem").write_text(maker.pem)
    argv = ["certutil", "-A", "-d", f"sql:{store}", "-n", "mine", "-t", "CT,,", "-a"]
    run([*argv, "-i", str(tmp_path / "mine.pem")])
    own = maker.entry("site")
    assert nss.put(store, [own, ca(maker)], tmp_path) == [own]
    nss.prune(store, [], tmp_path)
    assert there(store) == {("mine", maker.authority.der)}


def test_a_key_of_another_certificate_is_refused_and_nothing_is_lost(
    store: Path, tmp_path: Path
) -> None:
    maker = Maker(tmp_path / "a")
    first = maker.entry("site")
    nss.put(store, [first], tmp_path)
    second = maker.entry("site")
    with pytest.raises(RunError, match="pkcs12"):
        nss.put(store, [Entry("bongsu-hub", second.certificate, first.key)], tmp_path)
    assert there(store) == {("bongsu-hub", first.certificate.der)}
    assert keys(store) == {first.certificate.key_id}


def test_nobody_else_reads_the_keys(store: Path, tmp_path: Path) -> None:
    """Debian's package makes the directory as any other."""
    for path in (store, store / "key4.db"):
        path.chmod(0o755)
    nss.put(store, [Maker(tmp_path / "a").entry("site")], tmp_path)
    for path in (store, *store.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert not nss.close(store)
