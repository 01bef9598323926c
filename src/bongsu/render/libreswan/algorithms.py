"""Proposals in Libreswan's spelling: `aes_cbc256-sha2_384;modp1536`, `aes_gcm256;dh20`.

Libreswan 4 has no DES and no group below 1536 bits unless built with them, ties IKE's PRF to its
hash, and knows AEAD ciphers for IKEv2 only. What it cannot say raises RenderError.
"""

from bongsu.model.proposal import Suite, suite
from bongsu.render.text import RenderError

ENCRYPTION = {
    "aes128": "aes_cbc128", "aes192": "aes_cbc192", "aes256": "aes_cbc256",
    "aes128ctr": "aes_ctr128", "aes256ctr": "aes_ctr256",
    "3des": "3des_cbc", "null": "null",
    "aes128gcm8": "aes_gcm_a128", "aes128gcm12": "aes_gcm_b128", "aes128gcm16": "aes_gcm128",
    "aes192gcm16": "aes_gcm192",
    "aes256gcm8": "aes_gcm_a256", "aes256gcm12": "aes_gcm_b256", "aes256gcm16": "aes_gcm256",
    "chacha20poly1305": "chacha20_poly1305",
}  # fmt: skip
HASHES = {"md5": "md5", "sha1": "sha1", "sha256": "sha2_256", "sha384": "sha2_384",
          "sha512": "sha2_512"}  # fmt: skip
GROUPS = {
    "modp1024": "modp1024", "modp1536": "modp1536", "modp2048": "modp2048",
    "modp3072": "modp3072", "modp4096": "modp4096", "modp6144": "modp6144", "modp8192": "modp8192",
    "ecp256": "dh19", "ecp384": "dh20", "ecp521": "dh21", "modp2048s256": "dh24",
    "curve25519": "dh31",
}  # fmt: skip


def ike(proposals: list[str], version: int) -> str:
    """The value of `ike=`."""
    found = []
    for text in proposals:
        chosen = suite(text)
        if chosen.aead and version == 1:
            raise RenderError(f"{text}: Libreswan has no {chosen.encryption} in IKEv1")
        if chosen.prf is not None and chosen.integrity not in (None, chosen.prf):
            raise RenderError(f"{text}: Libreswan's PRF is the hash, {chosen.integrity}")
        found.append(_say(text, chosen, chosen.hash))
    return ",".join(found)


def esp(proposals: list[str], version: int) -> str:
    """The value of `phase2alg=`."""
    suites = [(text, suite(text)) for text in proposals]
    groups = {chosen.group for _text, chosen in suites}
    if len(groups) > 1 and (version == 1 or None in groups):
        raise RenderError(
            f"{', '.join(proposals)}: Libreswan has one group for all of IKEv1's, and a group for"
            " each or for none of IKEv2's"
        )
    return ",".join(_say(text, chosen, chosen.integrity) for text, chosen in suites)


def forward_secrecy(proposals: list[str]) -> bool:
    """Whether the proposals have a group, so that each rekeying has new keys."""
    return any(suite(text).group is not None for text in proposals)


def _say(text: str, chosen: Suite, hash_: str | None) -> str:
    cipher = _word(ENCRYPTION, chosen.encryption, text)
    said = cipher if hash_ is None else f"{cipher}-{_word(HASHES, hash_, text)}"
    return said if chosen.group is None else f"{said};{_word(GROUPS, chosen.group, text)}"


def _word(table: dict[str, str], word: str, text: str) -> str:
    if word not in table:
        raise RenderError(f"{text}: Libreswan has no {word}")
    return table[word]
