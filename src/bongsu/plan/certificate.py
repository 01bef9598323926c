"""What bongsu has to know of an X.509 certificate: whose it is, who signed it, and its key's name.

Read from its DER (ITU-T X.690, RFC 5280 section 4.1), as far as that goes and no farther: whether it is
to be believed is judged by the IKE daemon alone. Pure: texts in, values out.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

Attribute = tuple[str, bytes]
"""Its type as a dotted number, its value as it is encoded."""
Name = tuple[tuple[Attribute, ...], ...]
"""A distinguished name: its parts in order, nearly always of one attribute each."""

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_SEQUENCE, _SET, _INTEGER, _BITS, _VERSION = 0x30, 0x31, 0x02, 0x03, 0xA0
_RSA = "1.2.840.113549.1.1.1"
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_KNOWN = {
    "2.5.4.3": "CN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
    "2.5.4.10": "O", "2.5.4.11": "OU", "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID", "1.2.840.113549.1.9.1": "E",
}  # fmt: skip


@dataclass(frozen=True)
class X509:
    """One certificate."""

    der: bytes
    subject: Name
    issuer: Name
    not_before: str
    """Digits of the UTC time, year first: they sort as times do."""
    public_key: bytes
    """SubjectPublicKeyInfo, DER."""
    is_rsa: bool
    """Whether its key is; else it is most likely one of an elliptic curve."""
    key_id: str
    """What NSS calls its key by (CKA_ID, CKAID): SHA-1 of the modulus or of the point, hexadecimal."""

    @property
    def sha256(self) -> str:
        """Of the whole certificate, hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def is_root(self) -> bool:
        """Whether it signs itself, by its name."""
        return self.subject == self.issuer

    @property
    def pem(self) -> str:
        """As a file of its own."""
        text = base64.b64encode(self.der).decode()
        lines = [text[start : start + 64] for start in range(0, len(text), 64)]
        return "\n".join([_BEGIN, *lines, _END, ""])


def read_pem(text: str) -> X509:
    """The first certificate of a PEM text, which is the only one that IKE daemons take.

    Raises ValueError.
    """
    _, begun, rest = text.partition(_BEGIN)
    body, ended, _ = rest.partition(_END)
    if not begun or not ended:
        raise ValueError("no certificate in PEM")
    try:
        return read_der(base64.b64decode("".join(body.split()), validate=True))
    except (binascii.Error, IndexError, ValueError) as error:
        raise ValueError("no certificate in PEM: it is cut off or damaged") from error


def read_der(der: bytes) -> X509:
    """Raises ValueError or IndexError."""
    ((kind, whole),) = _elements(der)
    _expect(kind, _SEQUENCE)
    (_, body), *_ = _elements(whole)
    fields = list(_elements(body))
    if fields[0][0] == _VERSION:
        fields = fields[1:]
    issuer, validity, subject, key = (content for _, content in fields[2:6])
    (kind, begins), *_ = _elements(validity)
    (_, algorithm), (kind_of_key, bits) = _elements(key)
    _expect(kind_of_key, _BITS)
    is_rsa = _dotted(next(_elements(algorithm))[1]) == _RSA
    return X509(
        der,
        subject=_name(subject),
        issuer=_name(issuer),
        not_before=_time(kind, begins),
        public_key=_wrap(_SEQUENCE, key),
        is_rsa=is_rsa,
        key_id=_key_id(bits[1:], is_rsa=is_rsa),
    )


def words(name: Name) -> str:
    """A name for people: `C=KR, O=Example, CN=lab`."""
    return ", ".join("+".join(_say(*attribute) for attribute in part) for part in name)


def _say(kind: str, value: bytes) -> str:
    _, content = next(_elements(value))
    return f"{_KNOWN.get(kind, kind)}={content.decode(errors='replace')}"


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(data[at : at + count])
            at += count
        if at + length > len(data):
            raise ValueError("cut off")
        yield tag, data[at : at + length]
        at += length


def _wrap(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content


def _name(data: bytes) -> Name:
    found = []
    for kind, part in _elements(data):
        _expect(kind, _SET)
        found.append(tuple(_attribute(content) for _, content in _elements(part)))
    return tuple(found)


def _attribute(data: bytes) -> Attribute:
    (_, kind), (tag, value) = _elements(data)
    return _dotted(kind), _wrap(tag, value)


def _dotted(data: bytes) -> str:
    numbers, value = [], 0
    for byte in data:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, [first, numbers[0] - 40 * first, *numbers[1:]]))


def _time(kind: int, data: bytes) -> str:
    text = data.decode("ascii").rstrip("Z")
    if kind not in (_UTC_TIME, _GENERALIZED_TIME) or not text.isdigit():
        raise ValueError("no time")
    if kind == _GENERALIZED_TIME:
        return text
    # RFC 5280 section 4.1.2.5.1.
    return ("20" if text[:2] < "50" else "19") + text


def _key_id(key: bytes, *, is_rsa: bool) -> str:
    if is_rsa:
        ((_, numbers),) = _elements(key)
        kind, modulus = next(_elements(numbers))
        _expect(kind, _INTEGER)
        key = modulus.lstrip(b"\0")
    return hashlib.sha1(key, usedforsecurity=False).hexdigest()


def _expect(kind: int, wanted: int) -> None:
    if kind != wanted:
        raise ValueError(f"element {kind:#x} in place of {wanted:#x}")
