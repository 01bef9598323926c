"""Rules for all tests: what pure tests may not do, and when a test may be passed over.

Tests in the PURE folders can neither start a process nor reach a socket: an audit hook (PEP 578)
refuses while one of them runs. Tests marked root, lab or vm fail where their tools are missing,
and so does every skip, unless BONGSU_ALLOW_SKIP is set: a run cannot become green by skipping.
"""

import os
import shutil
import socket
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says what else the machine does.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")

HERE = Path(__file__).parent
PURE = ("unit", "golden", "errors", "property")

PROCESS_EVENTS = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pty.spawn",
    "subprocess.Popen",
}
SOCKET_EVENTS = {
    "socket.bind",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.sendmsg",
    "socket.sendto",
}
NEEDS = {
    "root": ("ip", "nft", "tc"),
    "lab": ("ip", "nft", "tc", "bird", "birdc", "netplan"),
    "vm": ("qemu-system-x86_64", "busybox", "setpriv", "certutil"),
}


class PurityError(RuntimeError):
    """A pure test tried to start a process or to use the network."""


class _Guard:
    """An audit hook cannot be taken out again, so it is armed and disarmed."""

    armed = False

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event in PROCESS_EVENTS:
            raise PurityError(f"{event}: a pure test cannot start a process: {args[:2]!r}")
        # A pair of connected AF_UNIX sockets is how asyncio wakes itself up: it reaches nobody.
        if event == "socket.__new__" and args[1] != socket.AF_UNIX:
            raise PurityError("a pure test cannot open a socket")
        if event in SOCKET_EVENTS:
            raise PurityError(f"{event}: a pure test cannot use a socket")


_guard = _Guard()
sys.addaudithook(_guard)


def _is_pure(path: Path) -> bool:
    return path.is_relative_to(HERE) and path.relative_to(HERE).parts[0] in PURE


def _may_skip() -> bool:
    return bool(os.environ.get("BONGSU_ALLOW_SKIP"))


def _missing(item: pytest.Item) -> list[str]:
    missing = []
    for mark, tools in NEEDS.items():
        if item.get_closest_marker(mark) is None:
            continue
        if mark != "vm" and os.geteuid() != 0:
            missing.append("root")
        missing += [tool for tool in tools if shutil.which(tool) is None]
        if mark == "vm" and not any(Path("/boot").glob("vmlinuz-*")):
            missing.append("a kernel in /boot")
    return sorted(set(missing))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    _guard.armed = _is_pure(item.path)
    try:
        return (yield)
    finally:
        _guard.armed = False


def pytest_runtest_setup(item: pytest.Item) -> None:
    if missing := _missing(item):
        pytest.skip(f"needs {', '.join(missing)}: scripts/install-debian.sh --vm")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and not _may_skip():
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}\n(set BONGSU_ALLOW_SKIP=1 to skip tests that cannot run here)"
    return report
