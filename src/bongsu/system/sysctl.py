"""Kernel settings in the format of sysctl.d(5), written straight to /proc/sys.

`key = value` lines; a key is written with dots, or with slashes where an interface's name has dots
of its own. Settings of the network namespace that the caller is in.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC_SYS = Path("/proc/sys")
_PER_INTERFACE = ("net/ipv4/conf/", "net/ipv6/conf/", "net/ipv4/neigh/", "net/ipv6/neigh/")


@dataclass(frozen=True)
class Setting:
    """One key, as a path below /proc/sys."""

    path: str
    value: str

    @property
    def interface(self) -> str | None:
        """The interface it is about; None for the machine's own, `all` and `default`."""
        for prefix in _PER_INTERFACE:
            if self.path.startswith(prefix):
                name = self.path.removeprefix(prefix).rpartition("/")[0]
                return None if name in ("all", "default") else name
        return None


@dataclass(frozen=True)
class Outcome:
    """What became of the settings, by path."""

    changed: list[str]
    missing: list[str]
    """Keys that this kernel or this namespace does not have."""


def parse(text: str) -> list[Setting]:
    """Settings in the file's order. ValueError names the line that is none."""
    settings = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        key, equals, value = line.removeprefix("-").partition("=")
        path = _path(key.strip())
        if not equals or not path or ".." in path.split("/"):
            raise ValueError(f"line {number} is no setting: {line}")
        settings.append(Setting(path, value.strip()))
    return settings


def apply(settings: Iterable[Setting], root: Path = PROC_SYS) -> Outcome:
    """Write what differs. Raises OSError when the kernel refuses a value."""
    changed, missing = [], []
    for setting in settings:
        path = root / setting.path
        try:
            present = path.read_text().split()
            if present != setting.value.split():
                path.write_text(setting.value + "\n")
                changed.append(setting.path)
        except FileNotFoundError:
            missing.append(setting.path)
    return Outcome(changed, missing)


def differing(settings: Iterable[Setting], root: Path = PROC_SYS) -> dict[str, str]:
    """The values that `apply` would replace, by path. Raises OSError."""
    found = {}
    for setting in settings:
        with contextlib.suppress(FileNotFoundError):
            present = (root / setting.path).read_text().split()
            if present != setting.value.split():
                found[setting.path] = " ".join(present)
    return found


def _path(key: str) -> str:
    # sysctl.d(5): the first separator decides; with a slash first, dots are literal.
    for character in key:
        if character == "/":
            return key.strip("/")
        if character == ".":
            return key.replace("/", "\0").replace(".", "/").replace("\0", ".")
    return ""
