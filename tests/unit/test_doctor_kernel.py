"""What the doctor says of kernels by their release names."""

import os

import pytest

from bongsu.system import doctor


@pytest.mark.parametrize(
    ("release", "ok"),
    [
        ("6.18.44-fc-v595", True),
        ("6.1.0-31-amd64", True),
        ("5.10.0", True),
        ("5.4.0-200-generic", False),
        ("4.19.0", False),
    ],
)
def test_kernel_floor(monkeypatch: pytest.MonkeyPatch, release: str, ok: bool) -> None:
    monkeypatch.setattr(
        os, "uname", lambda: os.uname_result(("Linux", "host", release, "", "x86_64"))
    )
    found = doctor._kernel()
    assert (found.ok, bool(found.hint), found.needed) == (ok, not ok, True)


def test_without_root_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(doctor, "_programs", lambda: iter(()))
    found = doctor.diagnose()
    assert [item.name for item in found] == ["root", "kernel"]
    assert not found[0].ok
    assert "run as root" in found[0].hint
