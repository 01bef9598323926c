"""The certificates that a plan names, as they lie on this node: read, fitted to their keys, watched.

Certificates are renewed in place, often by somebody else's program, and a daemon that has read the old
one would go on with it until it has run out.
"""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

from bongsu.model.base import SecretRef
from bongsu.model.vpn import Certificate
from bongsu.plan.certificate import X509, read_pem
from bongsu.plan.node import NodePlan
from bongsu.system.run import run

HINT = "apt install openssl"
BOUND = 1024 * 1024
"""Bytes of a file that may be a certificate."""

Pair = tuple[X509, X509]
"""A node's own certificate, and the authority that must have signed the far end's."""
_State = dict[str, tuple[int, ...] | None]


def read_certificates(plan: NodePlan) -> dict[str, Pair]:
    """By connection. Raises ValueError naming every file that is missing or holds none."""
    problems: dict[str, None] = {}
    found: dict[str, Pair] = {}
    for vpn, named in _named(plan):
        own, ca = (_read(path, problems) for path in (named.certificate, named.ca))
        if own is not None and ca is not None:
            found[vpn] = own, ca
    if problems:
        raise ValueError("certificates cannot be read:\n" + "\n".join(problems))
    return found


def fingerprints(plan: NodePlan) -> list[str]:
    """What differs as soon as one certificate does. Raises as `read_certificates` does."""
    return [
        f"{vpn}:{own.sha256}:{ca.sha256}"
        for vpn, (own, ca) in sorted(read_certificates(plan).items())
    ]


def check_keys(plan: NodePlan, secret: Callable[[SecretRef], str]) -> None:
    """Refuse a certificate with another one's key. Raises ValueError, RunError without openssl.

    A renewal is often two files, one after the other: in between nothing must be made of it.
    """
    certificates = read_certificates(plan)
    problems = []
    for vpn, named in _named(plan):
        wanted = certificates[vpn][0].public_key
        if _public_key(secret(named.key)) != wanted:
            problems.append(
                f"the key behind {named.key} is not that of {named.certificate}, or cannot be read"
            )
    if problems:
        raise ValueError("\n".join(dict.fromkeys(problems)))


class CertificateWatch:
    """Tells when files of a plan's certificates are others than they were, and have stayed so a look.

    Looks at names, sizes and times only. Belongs to one thread.
    """

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._taken: _State = {}
        self._pending: _State = {}

    def follow(self, plan: NodePlan) -> None:
        """From now on these files, as they are now: to be called before they are read."""
        paths = [path for _, named in _named(plan) for path in _files(named)]
        self._paths = list(dict.fromkeys(paths))
        self._taken = self._pending = self._look()

    def changed(self) -> list[str]:
        """Paths of what has changed, once for each change."""
        now = self._look()
        if now == self._taken:
            self._pending = now
            return []
        if now != self._pending:
            self._pending = now
            return []
        found = [path for path in self._paths if now[path] != self._taken[path]]
        self._taken = now
        return found

    def _look(self) -> _State:
        return {path: _state(path) for path in self._paths}


def _named(plan: NodePlan) -> Iterator[tuple[str, Certificate]]:
    """Connections with certificates; all tunnels of one have the same."""
    found = {t.vpn: t.certificate for t in plan.vpns if t.certificate is not None}
    return iter(found.items())


def _files(named: Certificate) -> list[str]:
    kind, _, where = named.key.partition(":")
    return [named.certificate, named.ca, *([where] if kind == "file" else [])]


def _state(path: str) -> tuple[int, ...] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read(path: str, problems: dict[str, None]) -> X509 | None:
    try:
        with Path(path).open() as file:
            return read_pem(file.read(BOUND))
    except UnicodeDecodeError:
        problems[f"{path}: no certificate in PEM"] = None
    except OSError as error:
        problems[f"{path}: {error.strerror or 'cannot be read'}"] = None
    except ValueError as error:
        problems[f"{path}: {error}"] = None
    return None


def _public_key(key: str) -> bytes | None:
    """SubjectPublicKeyInfo of a private key; None for what is none."""
    argv = ["openssl", "pkey", "-pubout", "-passin", "pass:"]
    done = run(argv, input=key, check=False, hint=HINT)
    if done.returncode:
        return None
    return base64.b64decode("".join(done.stdout.splitlines()[1:-1]))
