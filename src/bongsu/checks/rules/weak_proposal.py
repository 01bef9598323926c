"""VPN006: algorithms that should be proposed no more."""

from collections.abc import Iterator

from bongsu.checks.connection import Connection
from bongsu.checks.finding import Finding, Path, Severity
from bongsu.checks.scene import Scene
from bongsu.model.proposal import WEAK, suite
from bongsu.plan.cloud import Accepted

OPEN = ("null", "des")
"""With these it is not encryption."""


def check(scene: Scene) -> Iterator[Finding]:
    """IKEv1 and weak parts of stated proposals, unless the connection's `weak` names them."""
    for connection in scene.connections:
        meant = set(connection.vpn.weak)
        for word, path, better in _weak(connection):
            if word in meant:
                continue
            meant.add(word)  # once for a connection
            yield Finding(
                "VPN006",
                Severity.ERROR if word in OPEN else Severity.WARNING if better else Severity.INFO,
                path,
                f"{'IKEv1' if word == 'ikev1' else word} {WEAK[word]}",
                (f"{better}; or " if better else "the cloud has no better: ")
                + f"`weak: [{word}]` states that it is known and meant",
            )


def _weak(connection: Connection) -> Iterator[tuple[str, Path, str | None]]:
    """What is weak, where, and what the cloud takes in its place."""
    vpn, profile = connection.vpn, connection.profile
    if vpn.ike.version == 1:
        yield (
            "ikev1",
            (*connection.at, "ike", "version"),
            ("`version: 2`" if 2 in profile.ike_versions else None),
        )
    for part, stated, accepted in (
        ("ike", vpn.ike.proposals, profile.ike),
        ("esp", vpn.esp.proposals, profile.esp),
    ):
        for place, text in enumerate(stated or []):
            for word in suite(text).parts:
                if word in WEAK:
                    yield word, (*connection.at, part, "proposals", place), _better(word, accepted)


def _better(word: str, accepted: Accepted) -> str | None:
    for kind, usual in (
        (accepted.groups, ("ecp384", "ecp256", "modp3072", "modp2048")),
        (accepted.hashes, ("sha256", "sha384")),
        (accepted.encryption, ("aes256", "aes256gcm16", "aes128")),
    ):
        known = kind or _ALL
        if _same_kind(word, usual[0]):
            return next((f"{each} in its place" for each in usual if each in known), None)
    return None


_ALL = frozenset({"ecp384", "sha256", "aes256"})
"""Of a gateway of which nothing is known, one that is of today is expected to take these."""


def _same_kind(word: str, other: str) -> bool:
    def of(text: str) -> int:
        return (
            0 if text.startswith(("modp", "ecp")) else 1 if text.startswith(("sha", "md5")) else 2
        )

    return of(word) == of(other)
