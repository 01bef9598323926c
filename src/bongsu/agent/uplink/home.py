"""A node's directory of its uplink: the identity, where the tower is, and the spool. For root only."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from bongsu.agent.uplink.spool import BOUND_BYTES, NAME
from bongsu.system import files
from bongsu.system.management import Place

DIRECTORY = Path("/var/lib/bongsu/uplink")


class UplinkError(Exception):
    """The operator's: there is no uplink here, or it cannot be made. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


@dataclass(frozen=True)
class Settings:
    """What `bongsu agent enroll` was told, and what the tower answered."""

    node: str
    host: str
    port: int
    netns: str | None = None
    interface: str | None = None
    spool_bytes: int = BOUND_BYTES
    series_s: float = 1.0
    """How often tunnels, paths and accelerators are read."""
    snapshot_s: float = 30.0
    """How often the whole state is told."""

    @property
    def place(self) -> Place:
        """Where the connection lives."""
        return Place(self.netns, self.interface)


class Home:
    """Paths inside one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.identity = directory / "node.pem"
        self.settings = directory / "uplink.json"
        self.spool = directory / NAME

    def write(self, settings: Settings) -> None:
        """Keep the settings; the last file of an enrolment, so that a half one does not count."""
        files.write_atomic(self.settings, json.dumps(asdict(settings), indent=2) + "\n", 0o600)

    def read(self) -> Settings:
        """The settings. Raises UplinkError where this node has not been enrolled."""
        try:
            return Settings(**json.loads(self.settings.read_text()))
        except FileNotFoundError as error:
            raise UplinkError(
                f"{self.directory}: this node has not been enrolled", "bongsu agent enroll TOKEN"
            ) from error
        except (ValueError, TypeError) as error:
            raise UplinkError(f"{self.settings}: {error}") from error
        except OSError as error:
            raise UplinkError(f"{self.settings}: {error.strerror}") from error
