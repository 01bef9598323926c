"""Secret references -> values, on the node that needs them, and nowhere else.

Values live in this object and in files that others cannot read; they are never logged. `redact` takes
them out of any text that other programs wrote.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bongsu.model.base import SecretRef
from bongsu.plan.cloud import PROFILES
from bongsu.plan.node import NodePlan
from bongsu.plan.psk import psk_weakness
from bongsu.render.secret import marked, marker

LENGTH_LIMIT = 80
"""TCP_MD5SIG_MAXKEYLEN (linux/tcp.h): no BGP daemon can use a longer one."""
PSK_LIMIT = 255
"""Bytes of a pre-shared key; clouds take 64 or 128."""
RELAY_KEY_LEAST = 16
"""Bytes: a SipHash key has no more, and one that is shorter could be searched for."""
KEY_LIMIT = 64 * 1024
"""Bytes of a private key's PEM text."""


class SecretError(Exception):
    """Secrets are missing or unusable on this node: the operator's to mend. All of them at once."""


class Secrets:
    """BIRD's string constants, what markers in files stand for, and the values."""

    def __init__(
        self,
        references: Mapping[str, SecretRef],
        marked: Mapping[SecretRef, "Usable"] | None = None,
    ) -> None:
        """Look every reference up. Raises SecretError naming each one that fails."""
        self._values: dict[str, str] = {}
        self._marked: dict[SecretRef, str] = {}
        problems: dict[str, None] = {}
        for constant, reference in sorted(references.items()):
            if (value := _look_up(reference, _usable, problems)) is not None:
                self._values[constant] = value
        for reference, usable in sorted((marked or {}).items()):
            if (value := _look_up(reference, usable, problems)) is not None:
                self._marked[reference] = value
        if problems:
            raise SecretError("secrets cannot be resolved:\n" + "\n".join(problems))

    def fill(self, text: str) -> str:
        """A file's text with values in place of markers. ValueError for a marker that stands for none."""
        for reference, value in self._marked.items():
            text = text.replace(marker(reference), value)
        if marked(text):
            raise ValueError("a file has the marker of a secret that its plan does not name")
        return text

    def value(self, reference: SecretRef) -> str:
        """What a marker stands for. KeyError for a reference that the plan does not name."""
        return self._marked[reference]

    def bird_text(self) -> str | None:
        """The file that bird.conf includes; None when there is nothing secret."""
        if not self._values:
            return None
        lines = [f'define {name} = "{value}";\n' for name, value in self._values.items()]
        return "# Made by bongsu from references; not part of any bundle.\n" + "".join(lines)

    def redact(self, text: str) -> str:
        """The text without any secret value."""
        values = {*self._values.values(), *self._marked.values()}
        for value in sorted(values, key=len, reverse=True):
            text = text.replace(value, "<hidden>")
        return text


Usable = Callable[[str], str]
"""A value as it goes into a file. ValueError says why it cannot."""


def usable_marked(plan: NodePlan) -> dict[SecretRef, Usable]:
    """What each reference that a marker may stand for is checked by."""
    found: dict[SecretRef, Usable] = {}
    for tunnel in plan.vpns:
        if tunnel.psk is not None:
            found[tunnel.psk] = _pre_shared_key
        if tunnel.certificate is not None:
            found[tunnel.certificate.key] = _private_key
    for peer in plan.cloud_peers:
        if peer.password is not None:
            found[peer.password] = _password
    if plan.relay is not None and plan.relay.key is not None:
        found[plan.relay.key] = _relay_key
    return found


def weak_keys(plan: NodePlan, secrets: Secrets) -> Iterator[tuple[str, SecretRef, str]]:
    """Tunnels whose pre-shared key can be guessed or is none of the cloud's: reference, and why."""
    for tunnel in plan.vpns:
        if tunnel.psk is None:
            continue
        why = psk_weakness(secrets.value(tunnel.psk), PROFILES[tunnel.profile])
        if why is not None:
            yield tunnel.name, tunnel.psk, why


def _look_up(reference: SecretRef, usable: Usable, problems: dict[str, None]) -> str | None:
    try:
        return usable(_resolve(reference))
    except (OSError, ValueError, KeyError) as error:
        problems[f"{reference}: {_reason(error)}"] = None
        return None


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


def _pre_shared_key(value: str) -> str:
    if not value:
        raise ValueError("empty")
    if len(value.encode()) > PSK_LIMIT:
        raise ValueError(f"longer than {PSK_LIMIT} bytes")
    if value[:2].lower() in ("0x", "0s"):
        # swanctl.conf(5) decodes it, ipsec.secrets(5) in quotes does not, and clouds differ.
        raise ValueError("begins with 0x or 0s, which some daemons decode and some do not")
    if not (value.isascii() and value.isprintable()) or set(value) & set('"\\'):
        raise ValueError("holds a quote, a backslash or a character that is not printable ASCII")
    if value != value.strip():
        raise ValueError("begins or ends with a blank")
    return value


def _password(value: str) -> str:
    # vtysh ends a word at a blank and takes ! and # for comments where a word begins.
    if set(value) & set(" \\") or value[:1] in ("!", "#"):
        raise ValueError("holds a blank or a backslash, or begins with ! or #")
    if not value.isascii():
        raise ValueError("holds a character that is not ASCII")
    return _usable(value)


def _relay_key(value: str) -> str:
    if len(value.encode()) < RELAY_KEY_LEAST:
        raise ValueError(f"shorter than {RELAY_KEY_LEAST} bytes")
    if len(value) > KEY_LIMIT:
        raise ValueError(f"longer than {KEY_LIMIT} characters")
    return value


def _private_key(value: str) -> str:
    if len(value) > KEY_LIMIT:
        raise ValueError(f"longer than {KEY_LIMIT} bytes")
    if "-----BEGIN " not in value or "PRIVATE KEY-----" not in value:
        raise ValueError("no private key in PEM")
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return "not in the agent's environment"
    if isinstance(error, UnicodeDecodeError):
        return "not text"
    if isinstance(error, OSError):
        return error.strerror or "cannot be read"
    return str(error)
