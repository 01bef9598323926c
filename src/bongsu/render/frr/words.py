"""How FRR names what is made for a session, and its commands that several modules write."""

from bongsu.model.base import Prefix
from bongsu.plan.vpn import CloudPeer
from bongsu.render.text import address, interface

Section = list[str]
"""Lines of a configuration, as `show running-config` would print them."""

STEP = 10
"""Between the sequence numbers of a list, so that a person can put a line in while looking for a fault."""


def list_name(peer: CloudPeer, direction: str) -> str:
    """`VTI1-IN`: prefix list and route map of a session; a tunnel's name, so unique on the node."""
    return f"{interface(peer.tunnel).upper()}-{direction}"


def family_word(prefix: Prefix) -> str:
    """`ip` or `ipv6`."""
    return "ip" if prefix.version == 4 else "ipv6"


def prefix_list(name: str, family: int, prefixes: list[Prefix] | None, *, longer: bool) -> Section:
    """A prefix list; None: everything of the family. Without prefixes it says that nothing matches.

    longer: more-specifics match, too.
    """
    word, longest = ("ip", 32) if family == 4 else ("ipv6", 128)
    if prefixes is None:
        return [f"{word} prefix-list {name} seq {STEP} permit any"]
    if not prefixes:
        # A list that does not exist would let everything through.
        return [f"{word} prefix-list {name} seq {STEP} deny any"]
    return [
        f"{word} prefix-list {name} seq {STEP * number} permit {address(prefix)}"
        + (f" le {longest}" if longer and prefix.prefixlen < longest else "")
        for number, prefix in enumerate(prefixes, 1)
    ]
