"""Certificates and keys for Libreswan, which reads none from files: in its NSS database.

What bongsu put there is on record beside it, so that it alone is ever replaced or taken away. In an NSS
database all certificates of one subject share a nickname; a certificate is therefore known by its key,
as a PKCS#11 URI (RFC 7512) says it, and each key has at most one of ours that is in force. The database
has no password: who may read its directory has the keys, so nobody else may.

certutil(1), pk12util(1) (libnss3-tools), openssl-pkcs12(1). A key is in a file of mode 0600 for as long
as it takes, below a directory of the caller's.
"""

import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bongsu.plan.certificate import X509, read_pem
from bongsu.system import files
from bongsu.system.run import run

HINT = "apt install libnss3-tools openssl"
TRUST = "CT,,"
"""A CA whose certificates are believed, of servers and of clients."""
RECORD = "bongsu.json"
MOST = 16
"""Certificates of one key that are looked for when they are taken away."""


@dataclass(frozen=True)
class Entry:
    """A certificate that is to be in the database."""

    name: str
    """Its nickname, unless one of the same subject has another already."""
    certificate: X509
    key: str = ""
    """Its private key, PEM; none for an authority, which is to be believed."""


def prepare(store: Path) -> None:
    """Have a database there, be it empty: Libreswan does not start without. Raises RunError."""
    if (store / "cert9.db").exists():
        return
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    run(["certutil", "-N", *_database(store), "--empty-password"], hint=HINT)


def held(store: Path) -> list[X509]:
    """The certificates that bongsu has put there, authorities too. ValueError for a broken record."""
    return [one.certificate for one in _recorded(store)]


def put(store: Path, wanted: Sequence[Entry], scratch: Path) -> list[Entry]:
    """Have these certificates and keys; those that were not there are returned.

    One that another of its name or key replaces goes first. Raises RunError, OSError, ValueError.
    """
    record = _recorded(store)
    keys = _keys(store)
    absent = [
        entry
        for entry in _each(wanted)
        if not _is_there(store, entry) or (entry.key and entry.certificate.key_id not in keys)
    ]
    if absent:
        close(store)
    kept = {entry.certificate.sha256 for entry in wanted}
    for entry in absent:
        with tempfile.TemporaryDirectory(prefix="nss-", dir=scratch) as directory:
            # Refused before anything is taken away, should the key be another one's.
            made = _bundle(entry, Path(directory)) if entry.key else None
            for old in [one for one in record if one.certificate.sha256 not in kept]:
                if old.name == entry.name or old.certificate.key_id == entry.certificate.key_id:
                    _take_away(store, old)
                    record.remove(old)
            if entry.certificate.sha256 not in {one.certificate.sha256 for one in record}:
                record.append(_Held(entry.name, entry.certificate, bool(entry.key)))
            _write(store, record)
            _bring_in(store, entry, made, Path(directory))
    return absent


def prune(store: Path, wanted: Sequence[Entry], scratch: Path) -> list[str]:
    """Take away what bongsu put there and these are not; their names. Raises as `put` does."""
    if not (store / RECORD).exists():
        return []
    kept = {entry.certificate.sha256 for entry in wanted}
    record = _recorded(store)
    gone = [one for one in record if one.certificate.sha256 not in kept]
    for old in gone:
        _take_away(store, old)
        record.remove(old)
        _write(store, record)
    # A wanted one with the same key went with it.
    lost = {old.certificate.key_id for old in gone}
    put(store, [entry for entry in wanted if entry.certificate.key_id in lost], scratch)
    if not record:
        files.remove(store / RECORD)
    return [old.name for old in gone]


def close(store: Path) -> bool:
    """Let nobody else read the database, whatever made it; False if it was so."""
    changed = False
    for path in (store, *store.glob("*.db")):
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            path.chmod(mode & 0o700)
            changed = True
    return changed


@dataclass(frozen=True)
class _Held:
    name: str
    certificate: X509
    private: bool


def _recorded(store: Path) -> list[_Held]:
    path = store / RECORD
    try:
        found = json.loads(path.read_text())
        return [_Held(one["name"], read_pem(one["pem"]), bool(one["private"])) for one in found]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no record of bongsu's: mend or remove it") from error


def _write(store: Path, record: Iterable[_Held]) -> None:
    values = [
        {"name": one.name, "pem": one.certificate.pem, "private": one.private} for one in record
    ]
    files.write_atomic(store / RECORD, json.dumps(values, indent=1) + "\n", 0o600)


def _each(wanted: Iterable[Entry]) -> Iterator[Entry]:
    """The same certificate may serve several connections."""
    found: dict[str, Entry] = {}
    for entry in wanted:
        found.setdefault(entry.certificate.sha256, entry)
    return iter(found.values())


def _bundle(entry: Entry, directory: Path) -> Path:
    certificate, secret, bundle = (directory / name for name in ("own.pem", "key.pem", "own.p12"))
    certificate.write_text(entry.certificate.pem)
    secret.touch(mode=0o600)
    secret.write_text(entry.key)
    run(
        ["openssl", "pkcs12", "-export", "-in", str(certificate), "-inkey", str(secret),
         "-passin", "pass:", "-name", entry.name, "-passout", "pass:", "-out", str(bundle)],
        hint=HINT,
    )  # fmt: skip
    bundle.chmod(0o600)
    return bundle


def _bring_in(store: Path, entry: Entry, bundle: Path | None, directory: Path) -> None:
    if bundle is not None:
        run(["pk12util", "-i", str(bundle), *_database(store), "-W", "", "-K", ""], hint=HINT)
        return
    path = directory / "ca.pem"
    path.write_text(entry.certificate.pem)
    run(["certutil", "-A", *_database(store), "-n", entry.name, "-t", TRUST, "-a", "-i", str(path)],
        hint=HINT)  # fmt: skip


def _is_there(store: Path, entry: Entry) -> bool:
    """Whether it is listed; all of its subject are, whichever is asked for."""
    argv = ["certutil", "-L", *_database(store), "-n", _uri(entry.certificate), "-a"]
    listed = run(argv, check=False).stdout.replace("\r", "")
    return entry.certificate.pem.strip() in listed


def _take_away(store: Path, old: _Held) -> None:
    """Its key first; there may be none of either."""
    if old.private:
        run(["certutil", "-F", *_database(store), "-k", old.certificate.key_id], check=False)
    argv = ["certutil", "-D", *_database(store), "-n", _uri(old.certificate)]
    for _ in range(MOST):
        if run(argv, check=False).returncode:
            return


def _keys(store: Path) -> set[str]:
    listed = run(["certutil", "-K", *_database(store)], check=False).stdout
    return set(re.findall(r"^<\s*\d+>\s+\S+\s+([0-9a-f]{40})\b", listed, re.M))


def _uri(certificate: X509) -> str:
    key = re.sub("(..)", r"%\1", certificate.key_id)
    return f"pkcs11:id={key};type=cert"


def _database(store: Path) -> list[str]:
    return ["-d", f"sql:{store}"]
