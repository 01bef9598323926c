"""All links of a lab: the backend is chosen once, by what the kernel can do.

`netem` where the kernel has it, else our own `emulator`; plain links are the kernel's either way.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from bongsu.lab.link import netem
from bongsu.lab.link.emulator import Emulator
from bongsu.lab.link.spec import Direction, LinkBackend, LinkError, LinkSpec, LinkStats
from bongsu.lab.link.wire import Wire
from bongsu.model.lab import Impairment
from bongsu.system import netns

Kind = Literal["netem", "emulator"]


def choose() -> tuple[Kind, str]:
    """The backend for impaired links on this machine, and why."""
    missing = netem.available()
    return ("emulator", missing) if missing else ("netem", "the kernel has sch_netem")


class Links:
    """The links of one lab: an emulator's state directory and a closet (a namespace's name)."""

    name = "links"

    def __init__(self, backends: Sequence[LinkBackend], kind: Kind) -> None:
        self._backends = backends
        self.kind = kind
        """What carries impaired links."""

    @classmethod
    def start(cls, state_dir: Path, closet: str, kind: Kind | None = None) -> "Links":
        """Start what the links need; `kind` overrides the choice. Raises LinkError."""
        if kind is None:
            kind, _ = choose()
        wire = Wire.start(closet)
        if kind == "netem":
            return cls([wire], kind)
        try:
            return cls([wire, Emulator.start(state_dir)], kind)
        except BaseException:
            wire.close()
            Wire.end(closet)
            raise

    @classmethod
    def connect(cls, state_dir: Path, closet: str) -> "Links":
        """The links another process has made. Raises LinkError if there are none."""
        wire = Wire(closet)
        if not Emulator.running(state_dir):
            return cls([wire], "netem")
        try:
            return cls([wire, Emulator.connect(state_dir)], "emulator")
        except BaseException:
            wire.close()
            raise

    @staticmethod
    def end(state_dir: Path, closet: str) -> None:
        """Take everything away, whoever made it and whatever is left of it; no error if nothing."""
        Emulator.end(state_dir)
        if closet in netns.names(closet):
            Wire.end(closet)

    def close(self) -> None:
        """Close the connections; the links stay."""
        for backend in self._backends:
            backend.close()

    def create(self, specs: Sequence[LinkSpec]) -> None:
        """Make links, both interfaces up; all of them or none."""
        names = [spec.name for spec in specs]
        taken = sorted(
            {name for name in names if names.count(name) > 1} | {*self.links()} & {*names}
        )
        if taken:
            raise LinkError(f"link {taken[0]} exists already")
        plain = [spec for spec in specs if spec.plain]
        self._backends[0].create(plain)
        try:
            self._backends[-1].create([spec for spec in specs if not spec.plain])
        except BaseException:
            self._backends[0].remove([spec.name for spec in plain])
            raise

    def remove(self, names: Iterable[str]) -> None:
        """Take links and their interfaces away; a link that is not there is no error."""
        names = list(names)
        for backend in self._backends:
            backend.remove(names)

    def links(self) -> list[str]:
        """Names of all links, sorted."""
        return sorted(name for backend in self._backends for name in backend.links())

    def set(self, name: str, impairment: Impairment) -> int:
        """Change both directions; CLOCK_MONOTONIC ns at which it had taken effect."""
        return self._of(name).set(name, impairment)

    def down(self, name: str) -> int:
        """Take the carrier away at both ends and lose what is in flight; CLOCK_MONOTONIC ns."""
        return self._of(name).down(name)

    def up(self, name: str) -> int:
        """Give the carrier back; CLOCK_MONOTONIC ns."""
        return self._of(name).up(name)

    def silence(self, name: str, on: bool, direction: Direction = "both") -> int:
        """Lose everything while the carrier stays; CLOCK_MONOTONIC ns when nothing came out."""
        return self._of(name).silence(name, on, direction)

    def stats(self, name: str) -> LinkStats:
        """What the link has counted."""
        return self._of(name).stats(name)

    def _of(self, name: str) -> LinkBackend:
        # Asked each time: another process may have made or removed links. The last backend is
        # the emulator if there is one; it says itself if it does not know the name.
        for backend in self._backends[:-1]:
            if name in backend.links():
                return backend
        return self._backends[-1]
