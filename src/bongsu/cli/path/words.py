"""What the verbs that measure paths are told: durations, ends, files."""

import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from math import ceil
from pathlib import Path
from typing import NoReturn

from bongsu.cli.lab import open_lab
from bongsu.cli.output import EXIT_USAGE, fail
from bongsu.cli.path.picture import KINDS, can_draw, drawn
from bongsu.lab.probe.ends import lab_ends, members
from bongsu.lab.probe.measure import Ends, read_kept
from bongsu.lab.state import LabError, lab_names
from bongsu.model.base import Address
from bongsu.protocol.path.chart import chart
from bongsu.protocol.path.flow import DEFAULT_SIZE, LONGEST, MINIMUM, Protocol
from bongsu.protocol.path.machine import Pace
from bongsu.protocol.path.run import Head, Run, RunError
from bongsu.system.path_socket import source_towards

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)")


def duration_ns(text: str, option: str) -> int:
    """`10ms`, `1s`, `0.5`, `48h` in nanoseconds; ends with exit 2 for anything else."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or float(match[1]) == 0:
        wrong(f"{option} {text}: that is no duration", "such as 10ms, 1s, 0.5, 30m, 48h")
    return round(float(match[1]) * _UNITS_S[match[2]] * 1e9)


def wrong(message: str, hint: str = "") -> NoReturn:
    """The command line makes no sense."""
    fail(message, hint, code=EXIT_USAGE)


def pace_of(
    interval: str,
    hops_every: str,
    wait: str,
    count: int | None,
    duration: str | None,
    max_hops: int,
) -> Pace:
    """The pace asked for; a duration is as many cycles as fit into it."""
    interval_ns = duration_ns(interval, "--interval")
    if duration is not None:
        if count is not None:
            wrong("--count and --duration: one of them")
        count = ceil(duration_ns(duration, "--duration") / interval_ns)
    try:
        return Pace(
            interval_ns,
            max(duration_ns(hops_every, "--hops-every"), interval_ns),
            duration_ns(wait, "--wait"),
            count,
            max_hops,
        )
    except ValueError as error:
        wrong(str(error))


def ends_of(source: str | None, target: str, lab: str | None) -> Ends:
    """From a member of the lab, or from this machine."""
    if source is not None:
        return lab_ends(open_lab(lab), source, target)
    ways = ((source_towards(None, there), there) for there in _resolved(target, lab))
    here, there = next((way for way in ways if way[0] is not None), (None, None))
    if here is None or there is None:
        fail(f"this machine has no way to {target}")
    return Ends(socket.gethostname(), target, here, there)


def head_of(ends: Ends, pace: Pace, protocol: Protocol, size: int | None) -> Head:
    """What is asked, as it is kept with the run."""
    least = MINIMUM[ends.target.version]
    if size is not None and not least <= size <= LONGEST:
        wrong(f"--size {size}: {least} to {LONGEST} bytes, the IP header included")
    return Head(
        source_name=ends.source_name,
        target_name=ends.target_name,
        source=str(ends.source),
        target=str(ends.target),
        protocol=protocol,
        interval_ns=pace.interval_ns,
        round_ns=pace.round_ns,
        wait_ns=pace.wait_ns,
        count=pace.count,
        max_hops=pace.max_hops,
        size=size if size is not None else max(DEFAULT_SIZE, least),
        lab=ends.lab,
        netns=ends.netns,
    )


def pair_of_files(directory: Path, heads: Sequence[Head]) -> list[Path]:
    """Where two runs that are compared are kept: FROM-TO.run each; ends if one is there already."""
    names = [_word(f"{head.source_name}-{head.target_name}") for head in heads]
    if len(set(names)) < len(names):
        names = [f"{name}-{letter}" for name, letter in zip(names, "ab", strict=True)]
    paths = [directory / f"{name}.run" for name in names]
    if there := [str(path) for path in paths if path.exists()]:
        wrong(f"{' and '.join(there)}: there already", "name another directory with --out")
    return paths


def new_file(head: Head) -> Path:
    """Where a run is kept if nobody says where: below the XDG state directory."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    name = _word(f"{head.source_name}-{head.target_name}")
    moment = datetime.now(tz=UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return Path(state).expanduser() / "bongsu" / "mtr" / f"{moment}-{name}.run"


def _word(text: str) -> str:
    """As a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:100]


@contextmanager
def privileged() -> Iterator[None]:
    """Raw sockets are not for everybody: who may open them is said."""
    try:
        yield
    except PermissionError as error:
        if error.filename is not None:
            raise
        fail("probes are raw packets: run this as root, or with CAP_NET_RAW", code=EXIT_USAGE)


def started(run: Run) -> str:
    """When it began, as mtr has it."""
    began = run.parts[0] if run.parts else 0
    return datetime.fromtimestamp(began / 1e9, tz=UTC).astimezone().strftime("%Y-%m-%dT%H:%M:%S%z")


def kept(path: Path) -> Run:
    """A kept run; ends with what is wrong with the file."""
    try:
        return read_kept(path)
    except RunError as error:
        fail(f"{path} is no run of ours: {error}", error.hint)


def check_chart(path: Path | None) -> None:
    """Said before anything is measured: a chart is an SVG or PNG, in a directory that is there."""
    if path is None:
        return
    if path.suffix.lower() not in KINDS:
        wrong(f"--chart {path}: charts are SVG or PNG", "name it FILE.svg or FILE.png")
    if not can_draw(path):
        wrong(
            f"--chart {path}: PNG is drawn by resvg-py, which is not here",
            "pip install resvg-py, or name it FILE.svg, which every browser opens",
        )
    if not path.parent.is_dir():
        wrong(f"--chart {path}: there is no directory {path.parent}")


def write_chart(path: Path | None, runs: Sequence[tuple[str, Run]]) -> None:
    """Draw the runs, if that was asked for."""
    if path is None:
        return
    if any(not run.done for _, run in runs):
        fail("nothing to draw: no probe's fate is known yet")
    data = drawn(path, chart(runs))
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _resolved(target: str, lab: str | None) -> list[Address]:
    try:
        return [ip_address(target)]
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(target, None, type=socket.SOCK_DGRAM)
    except OSError as error:
        hint = _member_hint(target, lab)
        fail(f"{target} is no address, and no name that is known here: {error.strerror}", hint)
    return list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))


def _member_hint(target: str, lab: str | None) -> str:
    for name in lab_names() if lab is None else [lab]:
        try:
            if target in members(open_lab(name)):
                return f"it is in lab {name}, which only its members see: bongsu mtr FROM {target}"
        except (LabError, OSError):
            continue
    return ""
