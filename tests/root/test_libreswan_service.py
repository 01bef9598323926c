"""Libreswan's service and a real pluto: what both hold after each change of a certificate."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bongsu.system import netns
from bongsu.system.run import run

pytestmark = pytest.mark.root

ROOTS = [Path("/var/lib/bongsu/debian/libreswan/root"), Path("/")]
"""Where Libreswan may be: Debian's excludes strongSwan, so it is unpacked beside it."""
PROJECT = Path(__file__).parents[2]
Seen = dict[str, Any]


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"bst-libreswan-{os.getpid()}"
    netns.create(name)
    lines = "link set lo up\naddr add 192.0.2.10/24 dev lo\n"
    run(["ip", "-batch", "-"], input=lines, netns=name)
    yield name
    netns.remove(name)


@pytest.fixture
def seen(namespace: str, tmp_path: Path) -> Seen:
    root = next((one for one in ROOTS if (one / "usr/libexec/ipsec/pluto").exists()), None)
    assert root is not None, "no Libreswan: scripts/install-debian.sh --vm"
    for name in ("upper", "work", "own", "ssl"):
        (tmp_path / name).mkdir()
    own = tmp_path / "own"
    script = "\n".join(
        [
            "set -e",
            "mount --make-rprivate /",
            f"mount -t overlay o -o lowerdir={root}/usr/libexec:/usr/libexec /usr/libexec",
            f"mount -t overlay o -o lowerdir={root}/etc:/etc,upperdir={tmp_path}/upper,"
            f"workdir={tmp_path}/work /etc",
            "mount -t tmpfs tmpfs /run",
            "mount -t tmpfs tmpfs /var/lib/misc",
            "mkdir -p /var/lib/misc/upper /var/lib/misc/work /etc/ipsec.d /etc/ssl",
            "mount -t overlay o -o lowerdir=/var/lib,upperdir=/var/lib/misc/upper,"
            "workdir=/var/lib/misc/work /var/lib",
            "mount -t sysfs sys /sys",
            f"exec {sys.executable} -m tests.root.libreswan_service {own}",
        ]
    )
    done = run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script],
        netns=namespace, cwd=PROJECT, timeout_s=240, check=False,
    )  # fmt: skip
    logs = [path.read_text(errors="replace")[-3000:] for path in own.rglob("*.log")]
    assert done.returncode == 0, "\n".join([done.stdout, done.stderr, *logs])
    return dict(json.loads(done.stdout))


def serials(found: Seen) -> list[str]:
    return [one.lstrip("0") for one in re.findall(r"SN: 0x(\w+)", found["certificates"])]


def names(found: Seen) -> list[str]:
    return sorted(re.findall(r"^(bongsu-\S+)", found["listed"], re.M))


def test_from_the_first_to_the_last(seen: Seen) -> None:
    """One pluto from first to last, and each change no more than it has to be."""
    first = seen["first"]
    assert first["changes"][-1] == "started pluto"
    assert names(first) == ["bongsu-hub", "bongsu-hub-ca", "bongsu-spare", "bongsu-spare-ca"]
    held = re.findall(r"""000 "(\w+)": +CAs: '.*'\.\.\.'(.*)'""", first["status"])
    assert dict(held) == {"one": "CN=hub", "two": "CN=spare"}

    assert seen["again"]["changes"] == []

    renewed = seen["renewed"]
    assert renewed["changes"][0].startswith("put certificate bongsu-hub into")
    assert renewed["changes"][-1] == "pluto: read the keys, renewed the certificates of one"
    assert renewed["serial"] in serials(renewed)
    assert len(serials(renewed)) == 2

    assert seen["shared"]["changes"][-1] == "pluto: read the keys, reloaded one"
    assert names(seen["shared"]).count("bongsu-spare") == 2
    assert len(set(serials(seen["shared"]))) == 2

    assert "not that of /etc/ssl/hub.pem" in seen["another's key"]
    assert "both called CN=spare and have two keys" in seen["one name"]

    fewer = seen["fewer"]
    assert "took certificate bongsu-hub-ca out of /var/lib/ipsec/nss" in fewer["changes"]
    assert names(fewer) == ["bongsu-spare", "bongsu-spare-ca"]
    assert '"one"' not in fewer["status"]
    stages = ("first", "again", "renewed", "shared", "fewer")
    assert len({seen[stage]["pid"] for stage in stages}) == 1

    assert seen["forgotten"]
    last = seen["last"]
    assert (names(last), last["file"], last["record"]) == ([], False, False)
    assert not re.search(r"^<", last["keys"], re.M)
