"""What `bongsu doctor` prints: every word of it, whole, on a page of 80 columns."""

import pytest
from typer.testing import CliRunner

from bongsu.cli.main import app
from bongsu.system import doctor
from bongsu.system.doctor import Capability

FOUND = [
    Capability("root", True, "uid 0", needed=True),
    Capability("BTF", True, "/sys/kernel/btf/vmlinux/of-a-kernel-with-a-long-name"),
    Capability("spoofed own addresses", False, "Unknown device type.",
               "strongSwan's kernel-libipsec takes its place, " * 3, needed=True),
    Capability("QEMU", True, "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)"),
]  # fmt: skip


def test_it_fits_80_columns_and_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "diagnose", lambda: FOUND)
    done = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "80"})
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    words = done.stdout.split()
    for item in FOUND:
        assert set(f"{item.name} {item.detail} {item.hint}".split()) <= set(words)
    marks = {line[:21].strip(): line[23:26] for line in lines if line[:21].strip()}
    assert marks == {item.name: "yes" if item.ok else "no " for item in FOUND}
