"""Keys, requests and certificates of the management network: P-256, X.509, PEM files of mode 0600.

A node's name stands in its certificate as a URI (urn:bongsu:node:NAME), the tower's as the DNS name
TOWER_NAME: neither depends on an address, so both may move and may stand behind a NAT.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bongsu.system import files

TOWER_NAME = "tower.bongsu.internal"
"""What every node asks for, wherever its tower is (.internal: reserved for private use by ICANN)."""
NODE_URI = "urn:bongsu:node:"
CLOCKS_APART = timedelta(minutes=10)
"""A certificate is valid from a little before it was made: clocks differ."""


class PkiError(Exception):
    """A key, a request or a certificate that is none, or not one of ours."""


@dataclass(frozen=True)
class Identity:
    """A key and its certificate, and who signed it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    authority: x509.Certificate

    def due(self, now: datetime) -> bool:
        """Whether half of its time is over: time to have it renewed."""
        begins = self.certificate.not_valid_before_utc + CLOCKS_APART
        ends = self.certificate.not_valid_after_utc
        return now >= begins + (ends - begins) / 2

    def expired(self, now: datetime) -> bool:
        """Whether nobody takes it any more."""
        return now >= self.certificate.not_valid_after_utc


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key of P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def signing_request(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    """PKCS #10, DER. The name is a courtesy: whoever signs knows better."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def requested_key(request: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a request, which proves that its sender has the private one. Raises PkiError."""
    try:
        parsed = x509.load_der_x509_csr(request)
        key = parsed.public_key()
        genuine = parsed.is_signature_valid
    except Exception as error:
        # The parser's errors are many (ValueError, UnsupportedAlgorithm, ...): all are the sender's.
        raise PkiError("not a request for a certificate (PKCS #10)") from error
    if not genuine:
        raise PkiError("the request is not signed with its own key")
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise PkiError("the request's key is not of P-256")
    return key


def new_authority(now: datetime, valid: timedelta) -> Identity:
    """An authority that signs itself, and nothing but ends."""
    key = new_key()
    mark = hashlib.sha256(_spki(key.public_key())).hexdigest()[:16]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"bongsu tower {mark}")])
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    made = (
        _builder(name, name, key.public_key(), now, valid)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return Identity(key, made, made)


def sign_node(
    authority: Identity, node: str, key: ec.EllipticCurvePublicKey, now: datetime, valid: timedelta
) -> x509.Certificate:
    """A certificate for a node's client, and for nothing else."""
    uri = x509.UniformResourceIdentifier(NODE_URI + node)
    return _sign(authority, node, key, uri, ExtendedKeyUsageOID.CLIENT_AUTH, now, valid)


def sign_tower(
    authority: Identity, key: ec.EllipticCurvePublicKey, now: datetime, valid: timedelta
) -> x509.Certificate:
    """A certificate for the tower's server."""
    name = x509.DNSName(TOWER_NAME)
    return _sign(authority, "tower", key, name, ExtendedKeyUsageOID.SERVER_AUTH, now, valid)


def node_of(certificate: x509.Certificate) -> str:
    """The node that a certificate is for. Raises PkiError."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise PkiError("a certificate without a node's name") from error
    found = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(found) != 1 or not found[0].startswith(NODE_URI):
        raise PkiError("a certificate without a node's name")
    return found[0].removeprefix(NODE_URI)


def issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether the authority signed it."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def serial(certificate: x509.Certificate) -> str:
    """Its number, as the state has it."""
    return f"{certificate.serial_number:040x}"


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a DER certificate, in hex."""
    return hashlib.sha256(certificate).hexdigest()


def der(certificate: x509.Certificate) -> bytes:
    """Its bytes."""
    return certificate.public_bytes(serialization.Encoding.DER)


def parse(certificate: bytes) -> x509.Certificate:
    """A DER certificate. Raises PkiError."""
    try:
        return x509.load_der_x509_certificate(certificate)
    except Exception as error:
        raise PkiError("not a certificate") from error


def write_identity(path: Path, identity: Identity) -> None:
    """Key and certificates in one file, so that they are old or new together; mode 0600."""
    key = identity.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pem = serialization.Encoding.PEM
    parts = [key, identity.certificate.public_bytes(pem), identity.authority.public_bytes(pem)]
    files.write_atomic(path, b"".join(parts).decode(), 0o600)


def read_identity(path: Path) -> Identity:
    """What write_identity wrote. Raises PkiError, OSError."""
    data = path.read_bytes()
    try:
        key = serialization.load_pem_private_key(data, None)
        certificates = x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise PkiError(f"{path}: no key and certificates") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or len(certificates) != 2:
        raise PkiError(f"{path}: not one key of P-256 and two certificates")
    if _spki(key.public_key()) != _spki(certificates[0].public_key()):
        raise PkiError(f"{path}: the certificate is for another key")
    return Identity(key, certificates[0], certificates[1])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    valid: timedelta,
) -> x509.CertificateBuilder:
    now = now.astimezone(UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_APART)
        .not_valid_after(now + valid)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _sign(
    authority: Identity,
    common: str,
    key: ec.EllipticCurvePublicKey,
    name: x509.GeneralName,
    purpose: x509.ObjectIdentifier,
    now: datetime,
    valid: timedelta,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=False, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    return (
        _builder(subject, authority.certificate.subject, key, now, valid)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(signer, critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _spki(key: object) -> bytes:
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
