"""What BIRD 2.0.12 can and cannot do, as far as the template depends on it."""

MAX_SYMBOL = 64
"""Characters of an identifier (SYM_MAX_LEN)."""

MAX_ANNOUNCED_LENGTH = {4: 24, 6: 48}
"""Longer prefixes are filtered by most of the Internet, and are how leaks and hijacks look."""

FIRST_PREFERENCE = 40000
"""Preference of the first of several tunnels, within BIRD's 16 bits; each further one has one less.
Above every default (static 200, BGP 100), so that what the file declares decides."""

LAST_PREFERENCE = 1
"""Preference of what remains when nothing else does: the route that keeps packets from looping."""

SPOKEN_PREFERENCE = 50000
"""Preference of a default route learned by BGP, over the static ones: it can say more."""

EXTERNAL_DISTANCE, INTERNAL_DISTANCE = 20, 200
"""Administrative distances of BGP, as Cisco has them, so that `distance` means what is expected."""


def preference_of(distance: int) -> int:
    """BIRD's preference of an administrative distance: it prefers the greater of the one, Cisco the
    lesser of the other; 255 is never used by either."""
    return 255 - distance


DEFAULT_ROUTE = {4: "0.0.0.0/0", 6: "::/0"}

TAKEOVER = (1, 1)
"""Second and third part of the large community (RFC 8092) that marks a takeover inside our AS."""

# A pipe between tables passes every route of a net, also those that another one hides; a condition
# by preference does not survive it. A recursive static route is one route whose destination turns
# unreachable, which a filter can see: takeover is built on that.
