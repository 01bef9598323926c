"""Libreswan's database gets a certificate with its key once, and another one when it is another."""

from pathlib import Path

import pytest

from bongsu.system.ipsec import nss
from bongsu.system.run import run

pytestmark = pytest.mark.root


def made(directory: Path, name: str) -> tuple[Path, str, Path]:
    """A certificate, its key, and who signed it."""
    directory.mkdir()
    ca, key = directory / "ca.pem", directory / "key.pem"
    for line in (
        "req -x509 -newkey rsa:2048 -nodes -keyout cakey.pem -out ca.pem -days 9 -subj /CN=authority",
        f"req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN={name}",
        "x509 -req -in request.pem -CA ca.pem -CAkey cakey.pem -CAcreateserial -days 9 -out own.pem",
    ):
        run(["openssl", *line.split()], cwd=directory)
    return directory / "own.pem", key.read_text(), ca


def test_in_once_and_replaced(tmp_path: Path) -> None:
    store = tmp_path / "nss"
    nss.prepare(store)
    nss.prepare(store)
    first, second = made(tmp_path / "a", "first"), made(tmp_path / "b", "second")
    assert nss.put(store, "bongsu-hub", *first, tmp_path)
    assert not nss.put(store, "bongsu-hub", *first, tmp_path)
    listed = run(["certutil", "-L", "-d", f"sql:{store}"]).stdout
    trust = dict(line.rsplit(None, 1) for line in listed.splitlines() if "bongsu" in line)
    assert trust == {"bongsu-hub": "u,u,u", "bongsu-hub-ca": "CT,,"}
    assert nss.put(store, "bongsu-hub", *second, tmp_path)
    shown = run(["certutil", "-L", "-d", f"sql:{store}", "-n", "bongsu-hub"]).stdout
    assert "CN=second" in shown
    keys = run(["certutil", "-K", "-d", f"sql:{store}"]).stdout
    assert keys.count("bongsu-hub") == 1
    assert not list(tmp_path.glob("nss-*"))
