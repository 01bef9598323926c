"""The tower's directory: what is in it, who may read it (root), and its settings."""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from bongsu.system import files

DIRECTORY = Path("/var/lib/bongsu-tower")
NODE_PORT = 8743
ENROLMENT_PORT = 8744


class TowerError(Exception):
    """The operator's: the tower cannot be made or run so. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


@dataclass(frozen=True)
class Settings:
    """What `bongsu tower init` was told."""

    host: str
    """Where nodes find the tower: a name or an address of its management network."""
    node_port: int = NODE_PORT
    enrolment_port: int = ENROLMENT_PORT
    listen: str = ""
    """The address to listen on; empty: on every one."""
    certificate_days: float = 7.0
    """Of a node's certificate. Renewed at half of it: for the other half the tower may be dead."""
    raw_hours: float = 24.0
    ten_seconds_days: float = 30.0
    five_minutes_days: float = 730.0
    events_days: float = 730.0


class Layout:
    """Paths inside one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = directory / "authority.pem"
        self.identity = directory / "tower.pem"
        self.settings = directory / "settings.json"
        self.state = directory / "state.db"
        self.series = directory / "series.duckdb"
        self.lock = directory / "tower.lock"

    def make(self) -> None:
        """The directory, for its owner only. Raises TowerError where a tower is already."""
        if self.authority.exists():
            raise TowerError(
                f"{self.directory} is a tower already",
                "its nodes trust its authority; another tower needs another --state",
            )
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)

    def need(self) -> Settings:
        """The settings. Raises TowerError where there is no tower."""
        try:
            data = json.loads(self.settings.read_text())
            return Settings(**data)
        except FileNotFoundError as error:
            raise TowerError(
                f"{self.directory} is no tower", "bongsu tower init --host HOST"
            ) from error
        except (ValueError, TypeError) as error:
            raise TowerError(f"{self.settings}: {error}") from error

    def write_settings(self, settings: Settings) -> None:
        """Keep them."""
        files.write_atomic(self.settings, json.dumps(asdict(settings), indent=2) + "\n", 0o600)

    def hold(self) -> int:
        """The lock of a running tower: one process owns the series. Raises TowerError."""
        fd = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            raise TowerError(f"a tower runs in {self.directory} already") from error
        return fd
