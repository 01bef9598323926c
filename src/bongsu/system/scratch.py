"""A network namespace to try things in, gone when the trial ends.

What a kernel says of itself (configuration, modules, versions) proves little; what could be made in
here proves everything. Nothing outside is touched.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bongsu.system import netns
from bongsu.system.run import RunError, run


@dataclass(frozen=True)
class Scratch:
    """The namespace, by its name."""

    name: str

    def refused(self, command: str) -> str:
        """Why a command does not work here, its words split at blanks; empty if it does."""
        try:
            run(command.split(), netns=self.name, timeout_s=10)
        except RunError as error:
            said = error.completed.stderr.strip() if error.completed else ""
            return said.splitlines()[-1].removeprefix("Error: ") if said else error.reason
        return ""


@contextmanager
def scratch() -> Iterator[Scratch]:
    """A namespace with nothing in it but `lo`. Raises NetnsError."""
    name = f"bongsu-scratch-{os.getpid()}"
    netns.create(name)
    try:
        yield Scratch(name)
    finally:
        netns.remove(name)
