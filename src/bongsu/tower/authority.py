"""The tower's own small authority: who is let in, by a token once, by a certificate from then on."""

from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from bongsu.system import pki
from bongsu.tower import tokens
from bongsu.tower.files import Layout, Settings, TowerError
from bongsu.tower.store.base import Register
from bongsu.wire.messages import Certificate

AUTHORITY_VALID = timedelta(days=3650)
TOWER_VALID = timedelta(days=90)


class Authority:
    """Keys and certificates of one tower."""

    def __init__(self, layout: Layout, settings: Settings, register: Register) -> None:
        self._layout = layout
        self._settings = settings
        self._register = register
        try:
            self._identity = pki.read_identity(layout.authority)
        except (OSError, pki.PkiError) as error:
            raise TowerError(f"the authority cannot be read: {error}") from error

    @property
    def certificate(self) -> bytes:
        """The authority's own, DER."""
        return pki.der(self._identity.certificate)

    @property
    def fingerprint(self) -> str:
        """What a token says of it."""
        return pki.fingerprint(self.certificate)

    def invite(self, node: str, valid: timedelta, now: datetime) -> tokens.Token:
        """A one-time token for a node; the one before it is void."""
        token = tokens.new(self.fingerprint)
        self._register.invite(node, token.number, token.digest(), now + valid, now)
        return token

    def enrol(self, text: str, request: bytes, now: datetime) -> tuple[str, Certificate] | None:
        """A certificate for whoever brings a token, and which node it is for; None for a wrong token.

        The request is judged first, so that a mistake in it does not cost the token. Raises PkiError.
        """
        key = pki.requested_key(request)
        token = tokens.parse(text)
        digest = self._register.invitation(token.number) if token else None
        # Also without a token there is one comparison, so that time tells nothing.
        right = (token or tokens.new("")).proves(digest or bytes(32))
        if token is None or digest is None or not right:
            return None
        node = self._register.redeem(token.number, now)
        return None if node is None else (node, self.sign(node, key, now))

    def renew(self, node: str, request: bytes, now: datetime) -> Certificate:
        """A new certificate for a node that has shown a good one. Raises PkiError."""
        return self.sign(node, pki.requested_key(request), now)

    def sign(self, node: str, key: EllipticCurvePublicKey, now: datetime) -> Certificate:
        """A certificate for a node's key; the tower knows it from now on."""
        valid = timedelta(days=self._settings.certificate_days)
        made = pki.sign_node(self._identity, node, key, now, valid)
        self._register.admit(node, pki.serial(made), made.not_valid_after_utc, now)
        return Certificate(pki.der(made), self.certificate, self._settings.node_port)

    def tower_identity(self, now: datetime) -> bool:
        """See that the tower's own certificate is good for long enough; whether it is a new one."""
        try:
            if not pki.read_identity(self._layout.identity).due(now):
                return False
        except (OSError, pki.PkiError):
            # None yet, or none that can be used: there is nothing to lose.
            pass
        key = pki.new_key()
        made = pki.sign_tower(self._identity, key.public_key(), now, TOWER_VALID)
        authority = self._identity.certificate
        pki.write_identity(self._layout.identity, pki.Identity(key, made, authority))
        return True


def found(layout: Layout, settings: Settings, now: datetime) -> None:
    """Make a tower: a directory with an authority. Raises TowerError."""
    layout.make()
    layout.write_settings(settings)
    pki.write_identity(layout.authority, pki.new_authority(now, AUTHORITY_VALID))
