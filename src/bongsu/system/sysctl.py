"""Kernel settings in the format of sysctl.d(5), written straight to /proc/sys.

`key = value` lines; a key is written with dots, or with slashes where an interface's name has dots
of its own. Settings of the network namespace that the caller is in.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC_SYS = Path("/proc/sys")
_CONF4 = "net/ipv4/conf"
FILTER_OF_ALL = f"{_CONF4}/all/rp_filter"
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


def spread(settings: Iterable[Setting], root: Path = PROC_SYS) -> list[Setting]:
    """What has to be written before `settings`, if they lower the reverse path filter of `all`, so
    that every interface they do not name goes on being filtered as it was: the greater of the two
    values decides (ip-sysctl.rst). Raises OSError.
    """
    wanted = {setting.path: setting.value for setting in settings}
    if FILTER_OF_ALL not in wanted or not (root / FILTER_OF_ALL).exists():
        return []
    before = int((root / FILTER_OF_ALL).read_text())
    if int(wanted[FILTER_OF_ALL]) >= before:
        return []
    return [
        Setting(path, str(before))
        for name, value in _filters(root).items()
        if (path := f"{_CONF4}/{name}/rp_filter") not in wanted and value < before
    ]


def is_filter(path: str) -> bool:
    """Whether this is a setting that `spread` may have written."""
    return path.startswith(f"{_CONF4}/") and path.endswith("/rp_filter")


def own_addresses_taken(root: Path = PROC_SYS) -> bool:
    """Whether every interface takes packets with this machine's own addresses as source: accept_local
    is on for all. A strict reverse path filter is no help, for it drops only those addresses that
    live on another interface. Raises OSError.
    """
    path = root / _CONF4 / "all/accept_local"
    return path.exists() and path.read_text().strip() != "0"


def _filters(root: Path) -> dict[str, int]:
    """Of each interface, and of those to come (`default`)."""
    found = {}
    for path in (root / _CONF4).glob("*/rp_filter"):
        # an interface may go while it is looked at
        with contextlib.suppress(FileNotFoundError):
            if path.parent.name != "all":
                found[path.parent.name] = int(path.read_text())
    return found


def _path(key: str) -> str:
    # sysctl.d(5): the first separator decides; with a slash first, dots are literal.
    for character in key:
        if character == "/":
            return key.strip("/")
        if character == ".":
            return key.replace("/", "\0").replace(".", "/").replace("\0", ".")
    return ""
