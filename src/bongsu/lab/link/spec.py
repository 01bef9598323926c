"""What a link of the lab is: its two ends, what it does to packets, and what it has counted.

Values only; the makers of links (emulator, wire) read them. Every end's MAC is derived from the
link's name, so that a lab looks the same each time it is raised.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, Protocol

from bongsu.model.lab import Impairment

Direction = Literal["both", "a->b", "b->a"]

QUEUE_MS = 100.0
"""A frame that would wait longer for a link of limited rate is dropped: about what routers buffer."""
MTU_MAX = 9000

_LINK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,62}")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")


class LinkError(Exception):
    """A link cannot be made or changed; nothing was changed. `hint` says what to do, if known."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}\nhint: {hint}" if hint else message)
        self.hint = hint


@dataclass(frozen=True)
class LinkSpec:
    """A link between interface `a_if` in namespace `a_ns` and `b_if` in `b_ns`, made by us."""

    name: str
    a_ns: str
    a_if: str
    b_ns: str
    b_if: str
    impairment: Impairment = field(default_factory=Impairment)
    """The same in both directions."""
    mtu: int = 1500
    """Of both interfaces, and of the wire: longer frames are lost even if an interface allows them."""
    plain: bool = False
    """It is never impaired, only taken down or silenced: carried by the kernel at its full speed."""

    def __post_init__(self) -> None:
        if not _LINK_NAME.fullmatch(self.name):
            raise LinkError(f"{self.name!r} is no name for a link")
        for interface in (self.a_if, self.b_if):
            if not _INTERFACE.fullmatch(interface):
                raise LinkError(f"link {self.name}: {interface!r} is no name for an interface")
        if not 68 <= self.mtu <= MTU_MAX:
            raise LinkError(f"link {self.name}: MTU {self.mtu} is not within 68 to {MTU_MAX}")
        if self.plain and self.impairment != Impairment():
            raise LinkError(
                f"link {self.name} is plain and has an impairment: one of them is wrong"
            )
        if (self.a_ns, self.a_if) == (self.b_ns, self.b_if):
            raise LinkError(f"link {self.name}: both ends are {self.a_if} in {self.a_ns}")

    @property
    def ends(self) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
        """Namespace, interface and MAC of a and of b."""
        return (
            (self.a_ns, self.a_if, mac(self.name, "a")),
            (self.b_ns, self.b_if, mac(self.name, "b")),
        )

    @property
    def seed(self) -> int:
        """Of loss and jitter: the same link loses the same frames every time."""
        return int.from_bytes(_digest(self.name)[:7])


def mac(link: str, end: str) -> str:
    """The MAC of a link's end `a` or `b`: unicast, locally administered."""
    return ":".join(f"{byte:02x}" for byte in b"\x02" + _digest(f"{link}\0{end}")[:5])


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True)
class DirectionStats:
    """Frames of one direction since the link was made."""

    silent: bool = False
    in_flight: int = 0
    rx: int = 0
    """Taken from the sender's interface."""
    rx_bytes: int = 0
    tx: int = 0
    """Given to the receiver's interface."""
    tx_bytes: int = 0
    lost: int = 0
    """By the link's loss."""
    silenced: int = 0
    """By silence."""
    down: int = 0
    """While the link was down or an end was gone."""
    queue_full: int = 0
    """They would have waited too long for the link's rate."""
    overflow: int = 0
    """No memory was left for frames in flight: the link is too fast and too long for us."""
    too_long: int = 0
    refused: int = 0
    """The receiver's interface was administratively down."""
    late: int = 0
    """Given more than 1 ms after their time: the machine was too busy."""
    late_max_ns: int = 0


@dataclass(frozen=True)
class LinkStats:
    """What a link has counted. Frame lengths are Ethernet's, without preamble and FCS."""

    down: bool
    gone: str
    """Ends whose namespace is no more: `-`, `a`, `b` or `ab`."""
    ab: DirectionStats
    ba: DirectionStats


class LinkBackend(Protocol):
    """A maker of links. Every method raises LinkError, and then nothing was changed."""

    name: str

    def create(self, specs: Sequence[LinkSpec]) -> None:
        """Make links and bring both interfaces up; all of them or none."""

    def remove(self, names: Iterable[str]) -> None:
        """Take links and their interfaces away; a link that is not there is no error."""

    def close(self) -> None:
        """Close the connection; the links stay."""

    def links(self) -> list[str]:
        """Names of the links that are there, sorted."""

    def set(self, name: str, impairment: Impairment) -> int:
        """Change both directions; CLOCK_MONOTONIC ns at which it had taken effect."""

    def down(self, name: str) -> int:
        """Both ends lose their carrier, and what is in flight is lost; CLOCK_MONOTONIC ns."""

    def up(self, name: str) -> int:
        """The carrier is back; CLOCK_MONOTONIC ns."""

    def silence(self, name: str, on: bool, direction: Direction = "both") -> int:
        """Lose everything, in flight too, with carrier and without an error at the sender.

        Returns CLOCK_MONOTONIC ns at which it had taken effect.
        """

    def stats(self, name: str) -> LinkStats:
        """What the link has counted."""


def parse_direction(text: str) -> DirectionStats:
    """`key=value` words, as the emulator says them; unknown keys are an error of ours."""
    known = {each.name for each in fields(DirectionStats)}
    values: dict[str, int] = {}
    for word in text.split():
        key, _, value = word.partition("=")
        if key not in known:
            raise LinkError(f"the emulator counts {key}, which is not known here")
        values[key] = int(value)
    return DirectionStats(silent=bool(values.pop("silent", 0)), **values)
