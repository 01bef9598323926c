"""How hard a pre-shared key is to guess.

Whoever answers an IKE initiator in the gateway's place, or asks in its name, learns enough to try
keys at home for as long as he likes (RFC 7296 section 2.15; of IKEv1 in aggressive mode it is
enough to listen). So a key has to have the strength of a cipher's and not that of a login's.
What is said of a key never holds a part of it.
"""

import math
import re
from itertools import pairwise
from string import ascii_lowercase, ascii_uppercase, digits

from bongsu.plan.cloud.profile import CloudProfile

ENOUGH_BITS = 80
"""Below it a key can be found by trying: 16 random letters and digits have 95."""
WORD_BITS = 12.9
"""A word of a list, as by throwing five dice (Diceware)."""
SEEN = 4
"""An alphabet is taken to be this many times what is seen of it, at the most."""
SHORTEST_WORD, LONGEST_WORD = 5, 14
KNOWN = (
    "password", "passwort", "passwd", "secret", "changeme", "welcome", "letmein", "qwerty", "admin",
    "root", "test", "example", "sample", "default", "public", "private", "shared", "cisco", "juniper",
    "oracle", "amazon", "alibaba", "azure", "google", "cloud", "libreswan", "strongswan", "ipsec",
    "vpn", "tunnel", "presharedkey", "psk", "key", "bongsu", "lab", "only",
)  # fmt: skip
"""Words that are tried first: they add nothing."""
_ROWS = (ascii_lowercase, digits, "qwertyuiop", "asdfghjkl", "zxcvbnm")
_STEPS = {a + b for row in _ROWS for a, b in pairwise(row)}
_STEPS |= {step[::-1] for step in _STEPS} | {a + a for a in ascii_lowercase + digits}
_PAIRS = frozenset(
    """
    th he in er an re nd at on nt ha es st en ed to it ou ea hi is or ti as te et ng of al de
    se le sa si ar ve ra ld ur ro ri io ic ne me ec co rr ct ho rs ba tt ta pl ap la el li il
    us lo ow ut om ch ce ma bl lu ue gr ee tr ab be wo rd ke ey pa ss no we un pr do fi ge go
    so am ca cl su po ot nk op
    """.split()  # noqa: SIM905 - a hundred quotes would hide it
)
"""Letters that often follow each other in English."""


def psk_weakness(value: str, profile: CloudProfile | None = None) -> str | None:
    """What is wrong with a key, without a word of it; None if nothing is known to be."""
    if profile is not None and profile.psk is not None and not re.fullmatch(profile.psk, value):
        return (
            f"{profile.title} does not take it: its {len(value)} characters are too many, or too "
            "few, or of a kind that its keys have not"
        )
    bits = strength_bits(value)
    if bits < ENOUGH_BITS:
        return (
            f"it has the strength of about {bits:.0f} random bits, and {ENOUGH_BITS} are the least "
            "that cannot be tried out"
        )
    return None


def strength_bits(value: str) -> float:
    """Estimate, from above, of the guesses that finding it takes, as their logarithm to base 2.

    A password of random characters has the logarithm of its alphabet for each; what repeats, runs on
    like `abcd` or `qwer`, or reads like a word has less.
    """
    value = _once(value)
    # Few characters, often used, are no alphabet of 62; in a random key a quarter of it is seen soon.
    each = math.log2(max(min(_alphabet(value), SEEN * len(set(value))), 2))
    bits, place = 0.0, 0
    while place < len(value):
        known = _known(value, place)
        if known:
            bits, place = bits + 1, place + known
            continue
        run = _run(value, place)
        if run > 2:
            bits, place = bits + each + 1, place + run
            continue
        word = _word(value, place)
        if word:
            bits, place = bits + min(WORD_BITS, word * each), place + word
            continue
        bits, place = bits + each, place + 1
    return bits


def _alphabet(value: str) -> int:
    groups = (ascii_lowercase, ascii_uppercase, digits)
    size = sum(len(group) for group in groups if any(char in group for char in value))
    plain = ascii_lowercase + ascii_uppercase + digits
    size += 33 if any(char not in plain for char in value) else 0
    if size > 16 and all(char in "0123456789abcdef" for char in value.lower()):
        return 16
    return size


def _once(value: str) -> str:
    """A key that is one text again and again is that text."""
    at = (value + value).find(value, 1) if value else 0
    return value[:at] if at else value


def _known(value: str, place: int) -> int:
    rest = value[place : place + 16].lower()
    return max((len(word) for word in KNOWN if rest.startswith(word)), default=0)


def _run(value: str, place: int) -> int:
    """How many characters from here follow each other on a keyboard, in the alphabet or not at all."""
    end = place + 1
    while end < len(value) and value[end - 1 : end + 1].lower() in _STEPS:
        end += 1
    return end - place


def _word(value: str, place: int) -> int:
    """The length of what could be a word here: letters of one case, perhaps a capital before them."""
    found = re.compile(r"[A-Z]?[a-z]+|[A-Z]+").match(value, place)
    if found is None or not SHORTEST_WORD <= len(found.group()) <= LONGEST_WORD:
        return 0
    letters = found.group().lower()
    pairs = [a + b for a, b in pairwise(letters)]
    return len(letters) if 2 * sum(pair in _PAIRS for pair in pairs) > len(pairs) else 0
