"""One-time tokens: what the operator carries to a new node, and what the tower keeps of it.

A token is three words: its number, 256 random bits, and the hash of the tower's authority, so that the
node knows the tower before it tells it anything. The tower keeps a SHA-256 of the secret; nothing slower
is needed, since 256 bits cannot be guessed.
"""

import base64
import hashlib
import hmac
import os
import re
from dataclasses import dataclass

NUMBER_BYTES = 9
SECRET_BYTES = 32
_TOKEN = re.compile(r"([A-Za-z0-9_-]{12})\.([A-Za-z0-9_-]{43})\.([0-9a-f]{64})")


@dataclass(frozen=True)
class Token:
    """A token in parts. Its `repr` does not show the secret."""

    number: str
    secret: bytes
    authority: str
    """SHA-256 of the authority's certificate, hex."""

    def __str__(self) -> str:
        return f"{self.number}.{_words(self.secret)}.{self.authority}"

    def __repr__(self) -> str:
        return f"Token({self.number})"

    def digest(self) -> bytes:
        """What the tower keeps."""
        return hashlib.sha256(self.secret).digest()

    def proves(self, digest: bytes) -> bool:
        """Whether this is the token of which the tower has kept `digest`; in constant time."""
        return hmac.compare_digest(self.digest(), digest)


def new(authority: str) -> Token:
    """A token that nobody has had before."""
    return Token(_words(os.urandom(NUMBER_BYTES)), os.urandom(SECRET_BYTES), authority)


def parse(text: str) -> Token | None:
    """A token from its text; None if it is none."""
    match = _TOKEN.fullmatch(text.strip())
    if match is None:
        return None
    secret = base64.urlsafe_b64decode(match[2] + "=")
    return Token(match[1], secret, match[3])


def _words(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
