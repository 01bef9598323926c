"""Getting a certificate: by a token the first time, by the old certificate from then on.

The token is told to nobody but the tower whose authority's hash stands in it: a first connection only
asks who is there, a second one is held to the authority that the hash has vouched for.
"""

import hmac
import os
import re
from collections.abc import Mapping
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from bongsu.agent.uplink.home import Home, Settings, UplinkError
from bongsu.system import grpc, pki, tls
from bongsu.system.management import Place
from bongsu.wire import bounds, codec
from bongsu.wire.messages import Certificate, EnrolRequest, WireError

INTRODUCE = "/bongsu.wire.v1.Enrolment/Introduce"
ENROL = "/bongsu.wire.v1.Enrolment/Enrol"
RENEW = "/bongsu.wire.v1.Uplink/Renew"
CALL_S = 30.0
WINDOW = 64 * 1024
_TOKEN = re.compile(r"[A-Za-z0-9_-]{12}\.[A-Za-z0-9_-]{43}\.([0-9a-f]{64})")


async def enrol(
    home: Home, token: str, host: str, port: int, place: Place, choices: Mapping[str, float | int]
) -> Settings:
    """Make a key, have it certified, keep all of it. Raises UplinkError.

    `choices` are Settings that the operator chose otherwise.
    """
    token = token.strip()
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise UplinkError("this is no token", "bongsu tower token NODE prints one")
    if home.settings.exists():
        raise UplinkError(
            f"{home.directory} is enrolled already", f"to begin anew, remove {home.directory}"
        )
    key = pki.new_key()
    try:
        root = await _introduced(host, port, place, match[1])
        line = grpc.Line(host, port, tls.node_context(root), place, WINDOW)
        async with line:
            said = EnrolRequest(token, pki.signing_request(key, os.uname().nodename[:64]))
            answer = await line.call(
                ENROL, codec.encode_enrol(said), bounds.ENROLMENT_BYTES, CALL_S
            )
        made = codec.decode_certificate(answer)
        identity = _checked(key, made, root)
        node = pki.node_of(identity.certificate)
    except grpc.CALL_ERRORS as error:
        raise UplinkError(f"{host} port {port}: {grpc.words(error)}") from error
    except (WireError, pki.PkiError, grpc.TooLongError) as error:
        raise UplinkError(f"{host} port {port} is no tower of ours: {error}") from error
    home.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.directory.chmod(0o700)
    pki.write_identity(home.identity, identity)
    settings = Settings(node, host, made.port, place.netns, place.interface, **choices)  # type: ignore[arg-type]
    home.write(settings)
    return settings


async def renew(home: Home, identity: pki.Identity, line: grpc.Line) -> pki.Identity:
    """A new key and certificate over a connection that stands. Raises PkiError, WireError, CALL_ERRORS."""
    key = pki.new_key()
    node = pki.node_of(identity.certificate)
    request = codec.encode_renew(pki.signing_request(key, node))
    made = codec.decode_certificate(await line.call(RENEW, request, bounds.ENROLMENT_BYTES, CALL_S))
    renewed = _checked(key, made, _pem(pki.der(identity.authority)))
    if pki.node_of(renewed.certificate) != node:
        raise pki.PkiError("the new certificate is for another node")
    pki.write_identity(home.identity, renewed)
    return renewed


def root_of(identity: pki.Identity) -> str:
    """The authority that an identity was signed by, as a TLS context wants it."""
    return _pem(pki.der(identity.authority))


def valid(identity: pki.Identity, now: datetime) -> None:
    """Raises UplinkError if the identity has ended: only a token helps then."""
    if identity.expired(now):
        ended = identity.certificate.not_valid_after_utc
        raise UplinkError(
            f"this node's certificate has ended at {ended:%Y-%m-%d %H:%M} UTC",
            "a new token, and bongsu agent enroll",
        )


async def _introduced(host: str, port: int, place: Place, fingerprint: str) -> str:
    async with grpc.Line(host, port, tls.stranger_context(), place, WINDOW) as line:
        answer = await line.call(INTRODUCE, b"", bounds.ENROLMENT_BYTES, CALL_S)
    authority = codec.decode_introduction(answer)
    if not hmac.compare_digest(pki.fingerprint(authority), fingerprint):
        raise pki.PkiError("its authority is not the token's")
    return _pem(authority)


def _checked(key: EllipticCurvePrivateKey, made: Certificate, root: str) -> pki.Identity:
    certificate, authority = pki.parse(made.certificate), pki.parse(made.authority)
    if _pem(made.authority) != root or not pki.issued_by(certificate, authority):
        raise pki.PkiError("a certificate of another authority")
    return pki.Identity(key, certificate, authority)


def _pem(certificate: bytes) -> str:
    return pki.parse(certificate).public_bytes(Encoding.PEM).decode()
