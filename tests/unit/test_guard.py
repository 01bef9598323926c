"""The guard of tests/conftest.py bites, and lets through what is harmless."""

import asyncio
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.conftest import PurityError

pytest_plugins = ["pytester"]


@pytest.mark.parametrize(
    "act",
    [
        lambda: subprocess.run(["true"], check=False),
        lambda: os.system("true"),
        lambda: os.posix_spawn("/bin/true", ["true"], {}),
        lambda: os.execv("/bin/true", ["true"]),
        lambda: os.fork(),
        lambda: multiprocessing.get_context("fork").Process(target=int).start(),
        lambda: asyncio.run(asyncio.create_subprocess_exec("true")),
    ],
    ids=["run", "system", "spawn", "exec", "fork", "multiprocessing", "asyncio"],
)
def test_no_process(act: Callable[[], object]) -> None:
    with pytest.raises(PurityError, match="process"):
        act()


@pytest.mark.parametrize(
    "act",
    [
        lambda: socket.socket(),
        lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
        lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        lambda: socket.create_connection(("127.0.0.1", 9)),
        lambda: socket.getaddrinfo("localhost", 80),
        lambda: socket.socket(socket.AF_UNIX).connect("/run/none"),
        lambda: socket.socket(socket.AF_UNIX).bind("/tmp/none"),
    ],
    ids=["tcp", "udp6", "netlink", "connect", "resolve", "unix-connect", "unix-bind"],
)
def test_no_socket(act: Callable[[], object]) -> None:
    with pytest.raises(PurityError, match="socket"):
        act()


def test_an_event_loop_is_pure() -> None:
    async def nothing() -> int:
        await asyncio.sleep(0)
        return 7

    assert asyncio.run(nothing()) == 7


def test_the_hook_is_one_of_ours() -> None:
    sys.audit("bongsu.test")  # an event unknown to the guard passes


def _inner(pytester: pytest.Pytester, body: str) -> pytest.RunResult:
    pytester.makeconftest("from tests.conftest import *\nfrom tests.conftest import _may_skip\n")
    pytester.makepyfile(body)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider")


SKIPPING = "import pytest\ndef test_x():\n    pytest.skip('no such tool')\n"


def test_a_skip_is_a_failure(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BONGSU_ALLOW_SKIP", raising=False)
    result = _inner(pytester, SKIPPING)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no such tool*", "*BONGSU_ALLOW_SKIP*"])


def test_a_skip_may_be_allowed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONGSU_ALLOW_SKIP", "1")
    _inner(pytester, SKIPPING).assert_outcomes(skipped=1)


def test_a_missing_tool_is_a_failure(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BONGSU_ALLOW_SKIP", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    body = "import pytest\npytestmark = pytest.mark.lab\ndef test_x():\n    pass\n"
    pytester.makeini("[pytest]\nmarkers = lab\n")
    result = _inner(pytester, body)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*needs*bird*"])
