"""The words that clouds and routers have for algorithms -> the keywords of bongsu.model.proposal."""

import re

from bongsu.model.proposal import GROUPS, suite

GROUP_NAMES = {number: name for name, number in GROUPS.items()}
_CIPHER = re.compile(
    r"(?:esp-)?aes[-_ ]?(?:(?P<mode1>cbc|gcm|ctr)[-_ ]?)?(?P<bits>128|192|256)"
    r"(?:[-_ ]?(?P<mode2>cbc|gcm|ctr))?(?:[-_ ]?(?P<icv>8|12|16|64|96|128))?"
)
_HASH = re.compile(r"(?:esp-|hmac-)?(?P<name>md5|sha)[-_]?(?P<one>1)?(?:2[-_]?)?(?P<bits>256|384|512)?"
                   r"(?:[-_](?:96|128|192|256|hmac))*")  # fmt: skip


def cipher(words: str) -> str | None:
    """`aes-256-cbc`, `aes_gcm256`, `AES256-GCM-16`, `aes 128`, `esp-gcm 256` -> keyword; None: unknown."""
    text = words.strip().lower()
    if text in ("3des", "esp-3des", "3des-cbc", "des3", "triple-des"):
        return "3des"
    if text in ("des", "esp-des", "des-cbc"):
        return "des"
    text = re.sub(r"^(?:esp-)?gcm\b", "aes-gcm", text)
    if text in ("aes", "esp-aes"):
        return "aes128"
    found = _CIPHER.fullmatch(text)
    if found is None:
        return None
    mode = found["mode1"] or found["mode2"] or "cbc"
    check = {"64": "8", "96": "12", "128": "16", None: "16"}.get(found["icv"], found["icv"])
    keyword = f"aes{found['bits']}"
    return {"cbc": keyword, "ctr": f"{keyword}ctr"}.get(mode, f"{keyword}gcm{check}")


def digest(words: str) -> str | None:
    """`sha1`, `hmac-sha1-96`, `sha2_384`, `SHA2-256`, `esp-sha256-hmac` -> keyword; None: unknown."""
    found = _HASH.fullmatch(words.strip().lower())
    if found is None:
        return None
    if found["name"] == "md5":
        return "md5"
    return f"sha{found['bits']}" if found["bits"] else "sha1"


def group(words: str) -> str | None:
    """`Group 2`, `Diffie-Hellman Group 14`, `group20`, `modp1536`, `dh19` -> keyword; None: unknown."""
    text = words.strip().lower()
    if text in GROUPS:
        return text
    found = re.search(r"([0-9]{1,2})$", text)
    return GROUP_NAMES.get(int(found[1])) if found else None


def ike_proposal(encryption: str, integrity: str | None, dh: str) -> str:
    """A proposal for IKE; with an AEAD cipher the hash is its PRF's. ValueError."""
    aead = "gcm" in encryption
    hashed = f"prf{integrity or 'sha256'}" if aead else integrity
    return str(suite("-".join(part for part in (encryption, hashed, dh) if part)))


def esp_proposal(encryption: str, integrity: str | None, dh: str | None) -> str:
    """A proposal for ESP; an AEAD cipher has no hash beside it. ValueError."""
    hashed = None if "gcm" in encryption else integrity
    return str(suite("-".join(part for part in (encryption, hashed, dh) if part)))
