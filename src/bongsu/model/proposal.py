"""Algorithms that two gateways propose to each other, by the keywords that strongSwan made common.

A proposal is a text, `aes256-sha384-modp1536`; `Suite` is what it says. Weak and old algorithms are
known here, so that a check can name them: what is not known is a typing error.
"""

from dataclasses import dataclass

ENCRYPTION = {
    "aes128": 128, "aes192": 192, "aes256": 256,
    "aes128ctr": 128, "aes256ctr": 256,
    "3des": 168, "des": 56, "null": 0,
}  # fmt: skip
"""Ciphers without a check value of their own -> bits of key."""
AEAD = {
    "aes128gcm8": 128, "aes128gcm12": 128, "aes128gcm16": 128,
    "aes192gcm16": 192,
    "aes256gcm8": 256, "aes256gcm12": 256, "aes256gcm16": 256,
    "chacha20poly1305": 256,
}  # fmt: skip
"""Ciphers that authenticate too (RFC 5282, RFC 4106, RFC 7634) -> bits of key."""
SHORT = {"aes": "aes128", "aes128gcm": "aes128gcm16", "aes256gcm": "aes256gcm16", "sha": "sha1",
         "sha2_256": "sha256", "sha2_384": "sha384", "sha2_512": "sha512"}  # fmt: skip
"""Other spellings of the same."""
INTEGRITY = {"md5": 12, "sha1": 12, "sha256": 16, "sha384": 24, "sha512": 32}
"""HMACs -> bytes of check value on the wire (RFC 2403, 2404, 4868)."""
PRF = {"prfmd5": "md5", "prfsha1": "sha1", "prfsha256": "sha256", "prfsha384": "sha384",
       "prfsha512": "sha512"}  # fmt: skip
GROUPS = {
    "modp768": 1, "modp1024": 2, "modp1536": 5, "modp2048": 14, "modp3072": 15, "modp4096": 16,
    "modp6144": 17, "modp8192": 18, "ecp256": 19, "ecp384": 20, "ecp521": 21,
    "modp2048s256": 24, "curve25519": 31,
}  # fmt: skip
"""Diffie-Hellman groups -> IANA's numbers (RFC 2409, 3526, 5903, 8031)."""

WEAK = {
    "null": "does not encrypt at all",
    "des": "has keys of 56 bits, which are found by trying (RFC 8221)",
    "3des": "has blocks of 64 bits, which repeat after some gigabytes (RFC 8221, CVE-2016-2183)",
    "md5": "is broken (RFC 6151)",
    "sha1": "is on its way out (RFC 8247)",
    "modp768": "was broken in public (RFC 8247)",
    "modp1024": "is within reach of states (RFC 8247)",
    "modp1536": "is below what RFC 8247 still advises",
    "modp2048s256": "has primes that nobody can account for (RFC 8247)",
    "ikev1": "is given up by the IETF (RFC 9395)",
}
"""What should be proposed no more -> why. `ikev1` is a protocol and no algorithm."""


def weakness(text: str) -> str:
    """One of WEAK's words, in its one spelling. ValueError."""
    word = SHORT.get(text.lower(), text.lower())
    if word not in WEAK:
        raise ValueError(f"`{text}` is not among what is weak: {', '.join(WEAK)}")
    return word


@dataclass(frozen=True, slots=True)
class Suite:
    """What a proposal says."""

    encryption: str
    integrity: str | None
    """None with an AEAD cipher."""
    prf: str | None
    """A hash, where it is named apart (IKE with an AEAD cipher)."""
    group: str | None

    @property
    def aead(self) -> bool:
        return self.encryption in AEAD

    @property
    def hash(self) -> str:
        """The hash that IKE's PRF is made of."""
        return self.integrity or self.prf or "sha256"

    @property
    def parts(self) -> list[str]:
        """The names of its algorithms; that of a PRF is its hash's."""
        found = (self.encryption, self.integrity, self.prf, self.group)
        return [part for part in found if part is not None]

    @property
    def check_bytes(self) -> int:
        """Length of the check value on the wire (RFC 4106 section 6 has three of them for GCM)."""
        if self.integrity is not None:
            return INTEGRITY[self.integrity]
        return {"gcm8": 8, "cm12": 12}.get(self.encryption[-4:], 16)

    @property
    def key_bits(self) -> int:
        return (AEAD | ENCRYPTION)[self.encryption]

    def __str__(self) -> str:
        prf = f"prf{self.prf}" if self.prf else None
        return "-".join(part for part in (self.encryption, self.integrity, prf, self.group) if part)


def suite(text: str) -> Suite:
    """What a proposal says. ValueError names the part that is not known or not there."""
    encryption = integrity = prf = group = None
    for word in text.lower().split("-"):
        if not word:
            raise ValueError("an algorithm is missing, at all or between two hyphens")
        part = SHORT.get(word, word)
        if part in ENCRYPTION or part in AEAD:
            _once(encryption, part, "ciphers")
            encryption = part
        elif part in INTEGRITY:
            _once(integrity, part, "hashes")
            integrity = part
        elif part in PRF:
            _once(prf, part, "PRFs")
            prf = PRF[part]
        elif part in GROUPS:
            _once(group, part, "groups")
            group = part
        else:
            known = _BY_NUMBER.get(word.removeprefix("dh").removeprefix("group"))
            raise ValueError(
                f"`{word}` is no algorithm that is known here, "
                + (f"where that group is called {known}" if known else _KNOWN)
            )
    if encryption is None:
        raise ValueError("no cipher is named, such as aes256 or aes256gcm16")
    if encryption in AEAD and integrity is not None:
        raise ValueError(f"{encryption} authenticates itself: leave {integrity} out, or write"
                         f" prf{integrity}")  # fmt: skip
    if encryption not in AEAD and integrity is None:
        raise ValueError(f"{encryption} needs a hash beside it, such as sha256")
    return Suite(encryption, integrity, prf, group)


def ike_proposal(text: str) -> str:
    """A proposal for IKE, in its one spelling. ValueError."""
    found = suite(text)
    if found.group is None:
        raise ValueError("IKE needs a Diffie-Hellman group, such as modp2048 or ecp256")
    if found.aead and found.prf is None:
        raise ValueError(f"IKE with {found.encryption} needs a PRF, such as prfsha256")
    return str(found)


def esp_proposal(text: str) -> str:
    """A proposal for ESP, in its one spelling. ValueError."""
    found = suite(text)
    if found.prf is not None:
        raise ValueError(f"ESP has no PRF: leave prf{found.prf} out")
    return str(found)


def _once(before: str | None, part: str, kind: str) -> None:
    if before is not None:
        raise ValueError(f"two {kind}, {before} and {part}: write one proposal for each")


_BY_NUMBER = {str(number): name for name, number in GROUPS.items()}
"""As consoles write groups: `DH20`, `group14`, `14`."""
_KNOWN = "such as aes256, aes256gcm16, sha256, prfsha256, modp2048, ecp256"
