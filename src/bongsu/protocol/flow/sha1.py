"""SHA-1 (FIPS 180-4) of many short messages at once, for identifiers that are defined by it.

Not for security: nobody should rely on SHA-1 for that. A message is one block: at most 55 bytes.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]
MOST: Final = 55
_START: Final = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_ROUND: Final = (0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6)


def digests(messages: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Of n messages of one length, shape (n, length): shape (n, 20). Errors: ValueError."""
    count, length = messages.shape
    if length > MOST:
        raise ValueError(f"a message of {length} bytes: at most {MOST} fit into one block")
    block = np.zeros((count, 64), np.uint8)
    block[:, :length] = messages
    block[:, length] = 0x80
    block[:, 62], block[:, 63] = length * 8 >> 8, length * 8 & 0xFF
    schedule = list(block.view(">u4").astype(np.uint32).T)
    for at in range(16, 80):
        mixed = schedule[at - 3] ^ schedule[at - 8] ^ schedule[at - 14] ^ schedule[at - 16]
        schedule.append(_turned(mixed, 1))
    state: list[Any] = [np.full(count, word, np.uint32) for word in _START]
    a, b, c, d, e = state
    for at, word in enumerate(schedule):
        which = at // 20
        if which == 0:
            chosen = (b & c) | (~b & d)
        elif which == 2:
            chosen = (b & c) | (b & d) | (c & d)
        else:
            chosen = b ^ c ^ d
        fresh = _turned(a, 5) + chosen + e + np.uint32(_ROUND[which]) + word
        a, b, c, d, e = fresh, a, _turned(b, 30), c, d
    ended = [before + after for before, after in zip(state, (a, b, c, d, e), strict=True)]
    return np.stack(ended, axis=1).astype(">u4").view(np.uint8).reshape(count, 20)


def _turned(words: Words, bits: int) -> Words:
    return (words << np.uint32(bits)) | (words >> np.uint32(32 - bits))
