"""The rules of the house, read from the source itself. Ceilings only fall; lists only shrink."""

import ast
import fnmatch
import statistics
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "bongsu"

LONGEST = 500
MEDIAN = 170
MODULES = sorted(SOURCE.rglob("*.py"))
# A tree that lost its modules would keep every rule.
AT_LEAST = 20

PROCESS_CALLS = {
    "asyncio.create_subprocess_exec",
    "asyncio.create_subprocess_shell",
    "os.popen",
    "os.posix_spawn",
    "os.posix_spawnp",
    "os.system",
    "pty.spawn",
    *(f"os.spawn{kind}" for kind in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
}
PROCESS_MODULES = {"subprocess", "_posixsubprocess", "pty"}
PROCESS_DOOR = {"system/run.py"}

# A wall clock jumps: a timer reads the monotonic one, or is given `now`.
WALL_CLOCK_CALLS = {
    "time.time",
    "time.time_ns",
    "datetime.now",
    "datetime.utcnow",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.date.today",
    "date.today",
}
WALL_CLOCK_ALLOWED: dict[str, str] = {
    "agent/events.py": "people read when something happened",
    "agent/keepalive_debug.py": "people read when each keepalive went and came",
    "cli/path/words.py": "the name of a kept run's file says when it began",
    "lab/probe/measure.py": "a kept run says when it was",
    "lab/probe/pinger.py": "the kernel stamps arrivals by the wall clock (SO_TIMESTAMPNS)",
    "system/clock.py": "certificates and tokens end at a time of day; whoever needs it is given the clock",
    "system/relay/kernel.py": "connection tracking stamps the beginning of a flow by the wall clock",
    "system/stamps.py": "the same stamps, told as an age",
}
"""Module, and why it tells people the time of day."""

# Spelled in parts, for this file is read as well.
FORBIDDEN = (
    "pypi" + ".org",
    "python" + "hosted.org",
    "registry." + "npmjs",
    "crates" + ".io",
    "proxy." + "golang",
    "deb." + "debian.org",
    "files.python" + "hosted",
    "file:///" + "opt",
    "/work" + "/main",
    "/work" + "/shared",
    "/tmp" + "/brief",
    "/root/" + ".pyenv",
    "/home" + "/user",
)
SKIPPED_SUFFIXES = {".o", ".pyc", ".png", ".gz", ".whl"}


def name_of(module: Path) -> str:
    return module.relative_to(SOURCE).as_posix()


@cache
def tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text(), filename=str(module))


def imported(module: ast.Module) -> dict[str, str]:
    """Local name to what it stands for: `import a.b as c`, `from a import b as c`."""
    names: dict[str, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                local = alias.asname or alias.name.split(".")[0]
                names[local] = alias.name if alias.asname else local
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def used(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of whatever is used from an imported module, called or passed on."""
    names = imported(module)
    for node in ast.walk(module):
        if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(node.ctx, ast.Load):
            continue
        parts: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id in names:
            yield node.lineno, ".".join([names[inner.id], *reversed(parts)])


def tracked() -> list[Path]:
    """Files that git tracks or would, by .gitignore: a pure test asks no program."""
    patterns = [line.strip() for line in (ROOT / ".gitignore").read_text().splitlines()]
    folders = {pattern.strip("/") for pattern in patterns if pattern.endswith("/")} | {".git"}
    files = [pattern for pattern in patterns if pattern and not pattern.endswith("/")]
    found: list[Path] = []
    waiting = [ROOT]
    while waiting:
        for path in waiting.pop().iterdir():
            inside = path.relative_to(ROOT).as_posix()
            if path.is_symlink():
                continue
            if path.is_dir():
                if path.name not in folders and inside not in folders:
                    waiting.append(path)
            elif not any(fnmatch.fnmatch(path.name, pattern) for pattern in files):
                found.append(path)
    return found


def test_there_are_modules_to_judge() -> None:
    assert len(MODULES) >= AT_LEAST


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_length(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= LONGEST, "is it two rooms?"


def test_median_length() -> None:
    lengths = [len(module.read_text().splitlines()) for module in MODULES]
    assert statistics.median([length for length in lengths if length]) <= MEDIAN


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_docstring(module: Path) -> None:
    parsed = tree(module)
    if parsed.body:
        assert ast.get_docstring(parsed), "a module says what it is for"


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_one_door_to_processes(module: Path) -> None:
    if name_of(module) in PROCESS_DOOR:
        return
    parsed = tree(module)
    roots = {name.split(".")[0] for name in imported(parsed).values()}
    assert not roots & PROCESS_MODULES, "use bongsu.system.run"
    assert [(line, name) for line, name in used(parsed) if name in PROCESS_CALLS] == []


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_timers_are_monotonic(module: Path) -> None:
    if name_of(module) in WALL_CLOCK_ALLOWED:
        return
    assert [(line, name) for line, name in used(tree(module)) if name in WALL_CLOCK_CALLS] == []


@pytest.mark.parametrize("listed", sorted(PROCESS_DOOR | set(WALL_CLOCK_ALLOWED)))
def test_exceptions_are_still_needed(listed: str) -> None:
    parsed = tree(SOURCE / listed)
    roots = {name.split(".")[0] for name in imported(parsed).values()}
    clocks = {name for _, name in used(parsed)} & WALL_CLOCK_CALLS
    assert roots & PROCESS_MODULES or clocks


def test_no_registry_and_no_machine_of_ours_is_named() -> None:
    files = tracked()
    assert len(files) > AT_LEAST
    found = []
    for path in files:
        if path.suffix in SKIPPED_SUFFIXES:
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            found += [
                f"{path.relative_to(ROOT)}:{number}: {word}" for word in FORBIDDEN if word in line
            ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import time\ntime.time()", "time.time"),
        ("from time import time as t\nt()", "time.time"),
        ("import datetime as d\nd.datetime.now()", "datetime.datetime.now"),
        ("from datetime import datetime\nx(key=datetime.now)", "datetime.datetime.now"),
        ("import os\nos.system('x')", "os.system"),
        ("import asyncio\nasyncio.create_subprocess_exec('x')", "asyncio.create_subprocess_exec"),
    ],
)
def test_the_reader_sees_through_aliases(source: str, name: str) -> None:
    assert name in {name for _, name in used(ast.parse(source))}
