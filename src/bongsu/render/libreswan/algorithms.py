"""Proposals in Libreswan's spelling: `aes_cbc256-sha2_384;modp1536`, `aes_gcm256;dh20`.

What it cannot say has been refused before (bongsu.plan.libreswan).
"""

from bongsu.model.proposal import Suite, suite

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
    "modp1536": "modp1536", "modp2048": "modp2048", "modp3072": "modp3072", "modp4096": "modp4096",
    "modp6144": "modp6144", "modp8192": "modp8192",
    "ecp256": "dh19", "ecp384": "dh20", "ecp521": "dh21", "curve25519": "dh31",
}  # fmt: skip


def ike(proposals: list[str]) -> str:
    """The value of `ike=`. The hash is the PRF's, too."""
    return ",".join(_say(chosen, chosen.hash) for chosen in map(suite, proposals))


def esp(proposals: list[str]) -> str:
    """The value of `phase2alg=`."""
    return ",".join(_say(chosen, chosen.integrity) for chosen in map(suite, proposals))


def forward_secrecy(proposals: list[str]) -> bool:
    """Whether the proposals have a group, so that each rekeying has new keys."""
    return any(suite(text).group is not None for text in proposals)


def _say(chosen: Suite, hash_: str | None) -> str:
    said = ENCRYPTION[chosen.encryption]
    if hash_ is not None:
        said += f"-{HASHES[hash_]}"
    return said if chosen.group is None else f"{said};{GROUPS[chosen.group]}"
