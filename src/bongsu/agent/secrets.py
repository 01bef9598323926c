"""Secret references -> values, on the node that needs them, and nowhere else.

Values live in this object and in one file of mode 0640; they are never logged. `redact` takes them
out of any text that other programs wrote.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from bongsu.model.base import SecretRef

LENGTH_LIMIT = 80
"""TCP_MD5SIG_MAXKEYLEN (linux/tcp.h): BIRD cannot use a longer one."""


class SecretError(Exception):
    """Secrets are missing or unusable on this node: the operator's to mend. All of them at once."""


class Secrets:
    """BIRD's string constants and their values."""

    def __init__(self, references: Mapping[str, SecretRef]) -> None:
        """Look every reference up. Raises SecretError naming each one that fails."""
        self._values: dict[str, str] = {}
        problems = []
        for constant, reference in sorted(references.items()):
            try:
                self._values[constant] = _usable(_resolve(reference))
            except (OSError, ValueError, KeyError) as error:
                problems.append(f"{reference}: {_reason(error)}")
        if problems:
            raise SecretError("secrets cannot be resolved:\n" + "\n".join(problems))

    def bird_text(self) -> str | None:
        """The file that bird.conf includes; None when there is nothing secret."""
        if not self._values:
            return None
        lines = [f'define {name} = "{value}";\n' for name, value in self._values.items()]
        return "# Made by bongsu from references; not part of any bundle.\n" + "".join(lines)

    def redact(self, text: str) -> str:
        """The text without any secret value."""
        for value in sorted(self._values.values(), key=len, reverse=True):
            text = text.replace(value, "<hidden>")
        return text


def _resolve(reference: SecretRef) -> str:
    kind, _, where = reference.partition(":")
    if kind == "env":
        return os.environ[where]
    # One line feed at the end is the editor's, not the secret's.
    return Path(where).read_text().removesuffix("\n")


def _usable(value: str) -> str:
    if not value:
        raise ValueError("empty")
    if len(value.encode()) > LENGTH_LIMIT:
        raise ValueError(f"longer than {LENGTH_LIMIT} bytes")
    # BIRD's strings end at the quote and have no escapes.
    if not value.isprintable() or '"' in value:
        raise ValueError("holds a quote or a character that is not printable")
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return "not in the agent's environment"
    if isinstance(error, UnicodeDecodeError):
        return "not text"
    if isinstance(error, OSError):
        return error.strerror or "cannot be read"
    return str(error)
