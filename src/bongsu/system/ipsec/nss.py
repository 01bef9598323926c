"""Certificates and keys for Libreswan, which reads none from files: into its NSS database, by name.

certutil(1), pk12util(1) (libnss3-tools), openssl-pkcs12(1). A key is in a file of mode 0600 for as long as
it takes, below a directory of the caller's.
"""

import tempfile
from pathlib import Path

from bongsu.system.run import run

HINT = "apt install libnss3-tools openssl"
TRUST = "CT,,"
"""A CA whose certificates are believed, of servers and of clients."""


def prepare(store: Path) -> None:
    """Have a database there, be it empty: Libreswan does not start without. Raises RunError."""
    if (store / "cert9.db").exists():
        return
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    run(["certutil", "-N", "-d", f"sql:{store}", "--empty-password"], hint=HINT)


def put(store: Path, name: str, certificate: Path, key: str, ca: Path, scratch: Path) -> bool:
    """Have a certificate with its key under `name`, and its CA under `NAME-ca`.

    False if they are there already. Raises RunError, OSError.
    """
    wanted = (_plain(certificate.read_text()), _plain(ca.read_text()))
    if (_stored(store, name), _stored(store, f"{name}-ca")) == wanted:
        return False
    database = ["-d", f"sql:{store}"]
    for old in (name, f"{name}-ca"):
        # With its key; there may be none.
        run(["certutil", "-F", *database, "-n", old], check=False)
        run(["certutil", "-D", *database, "-n", old], check=False)
    with tempfile.TemporaryDirectory(prefix="nss-", dir=scratch) as directory:
        secret, bundle = Path(directory, "key.pem"), Path(directory, "bundle.p12")
        secret.touch(mode=0o600)
        secret.write_text(key)
        run(
            ["openssl", "pkcs12", "-export", "-in", str(certificate), "-inkey", str(secret),
             "-name", name, "-passout", "pass:", "-out", str(bundle)], hint=HINT,
        )  # fmt: skip
        bundle.chmod(0o600)
        run(["pk12util", "-i", str(bundle), *database, "-W", "", "-K", ""], hint=HINT)
    run(["certutil", "-A", *database, "-n", f"{name}-ca", "-t", TRUST, "-a", "-i", str(ca)],
        hint=HINT)  # fmt: skip
    return True


def _stored(store: Path, name: str) -> str:
    return _plain(
        run(["certutil", "-L", "-d", f"sql:{store}", "-n", name, "-a"], check=False).stdout
    )


def _plain(pem: str) -> str:
    """The first certificate of a PEM text, without its line ends."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    return "".join(pem.partition(begin)[2].partition(end)[0].split())
