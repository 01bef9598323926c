"""What an IKE daemon's log says about a failure, in words that lead somewhere.

Lines of strongSwan 5.9 and of Libreswan 4. A far end that refuses says no more than it must
(RFC 7296 section 2.21.2), so at the side that calls, a wrong key and a wrong identity may look alike:
then both are named. Pure; a line that means nothing here is None.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from bongsu.protocol.link.evidence import Cause, Layer

ADDRESS = r"[0-9A-Fa-f:.]+"


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    layer: Layer
    code: str
    text: str
    sure: int
    """A surer reason is not replaced by a less sure one."""


def _rule(pattern: str, layer: Layer, code: str, text: str, sure: int = 2) -> _Rule:
    return _Rule(re.compile(pattern), layer, code, text, sure)


_CERTIFICATE = "the far end's certificate"
_PSK = "the pre-shared keys differ"
RULES = (
    # strongSwan
    _rule(r"tried \d+ shared keys? for .*, but MAC mismatched", Layer.IKE, "psk",
          f"{_PSK}: the far end's signature does not match ours", 3),
    _rule(r"no shared key found for '?(?P<who>[^'\n]+?)'? - ", Layer.IKE, "no-psk",
          "there is no pre-shared key for {who}", 3),
    _rule(r"(invalid (HASH|ID)_V1 payload length, decryption failed\?|could not decrypt payloads)",
          Layer.IKE, "psk", f"{_PSK}: what the far end sends cannot be decrypted", 3),
    _rule(r"IDir '(?P<is>[^']*)' does not match to '(?P<want>[^']*)'", Layer.IKE, "id",
          "the far end calls itself {is}, expected {want}: set peer_id", 3),
    _rule(r"constraint check failed: identity '(?P<want>[^']*)' required", Layer.IKE, "id",
          "the far end does not prove to be {want}: set peer_id", 3),
    _rule(r"no (?:matching )?peer config found", Layer.IKE, "id",
          "the far end calls itself, or calls us, by a name that no tunnel has", 3),
    _rule(r"received AUTHENTICATION_FAILED", Layer.IKE, "auth",
          "the far end refuses us (AUTHENTICATION_FAILED): the pre-shared key or an identity is"
          " wrong", 2),
    _rule(r"received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built", Layer.ESP, "esp-proposal",
          "the far end takes none of our ESP proposals (NO_PROPOSAL_CHOSEN)", 3),
    _rule(r"(no acceptable proposal found|no matching proposal found, sending)", Layer.ESP,
          "esp-proposal", "none of the far end's ESP proposals is one of ours", 3),
    _rule(r"received NO_PROPOSAL_CHOSEN (notify error|error notify)", Layer.IKE, "proposal",
          "the far end takes none of our proposals (NO_PROPOSAL_CHOSEN)", 2),
    _rule(r"(received proposals unacceptable|\] no proposal found|^no proposal found)", Layer.IKE,
          "proposal", "none of the far end's IKE proposals is one of ours", 3),
    _rule(r"(traffic selectors .* inacceptable|received TS_UNACCEPTABLE notify)", Layer.ESP,
          "selectors", "the traffic selectors of the two ends do not fit", 3),
    _rule(r"received (INVALID_KE_PAYLOAD|INVALID_SYNTAX) notify error", Layer.IKE, "refused",
          "the far end refuses our request ({0})", 1),
    _rule(r"(giving up after \d+ retransmits|peer not responding, trying again)", Layer.IKE,
          "no-answer", "the far end does not answer IKE: is it there, and does UDP 500 and 4500"
          " reach it?", 1),
    _rule(r"(unable to allocate SPI|unable to add SAD entry|unable to install .*IPsec)", Layer.ESP,
          "kernel", "the kernel refuses the keys: `bongsu doctor` says what it can do", 3),
    _rule(r"no private key found for '(?P<who>[^']*)'", Layer.IKE, "no-key",
          "there is no private key for {who}", 3),
    _rule(r"(no trusted .*public key found|issuer .* not found|certificate .*(expired|not valid)"
          r"|constraint check failed: peer not authenticated by CA)",
          Layer.IKE, "certificate", f"{_CERTIFICATE} is not signed by our CA or not valid", 3),
    # Libreswan
    _rule(r"peer certificate subjectAltName extension does not match \S+ '(?P<want>[^']*)'",
          Layer.IKE, "id", f"{_CERTIFICATE} is not for {{want}}: set peer_id", 3),
    _rule(r"no certificate matched (?P<kind>\S+)", Layer.IKE, "certificate",
          f"{_CERTIFICATE} is not signed by our CA, or its key is not {{kind}}", 3),
    _rule(r"NSS: ERROR: IPsec certificate .* invalid: \w+: (?P<what>[^\n]+?)\.?$", Layer.IKE,
          "certificate", f"{_CERTIFICATE} is not signed by our CA or not valid: {{what}}", 3),
    _rule(r"peer authentication requires policy (?P<kind>RSASIG|ECDSA)", Layer.IKE, "certificate",
          f"{_CERTIFICATE} has a key of another kind than ours, which Libreswan does not take"
          " ({kind})", 3),
    _rule(r"rejected by peer: AUTHENTICATION_FAILED", Layer.IKE, "auth",
          "the far end refuses us (AUTHENTICATION_FAILED): the pre-shared key or an identity is"
          " wrong", 2),
    _rule(r"(length of ISAKMP (Hash|Identification) Payload is larger than can fit"
          r"|probable authentication failure \(mismatch of preshared secrets\?\))", Layer.IKE,
          "psk", f"{_PSK}: what the far end sends cannot be decrypted", 2),
    _rule(r"AUTH mismatch|authentication failed: .*PSK|auth(by|entication).* mismatch",
          Layer.IKE, "psk", f"{_PSK}: the far end's signature does not match ours", 3),
    _rule(r"Can't find the private key|no (suitable|matching) PreShared|No preshared secret",
          Layer.IKE, "no-psk", "there is no key for this tunnel", 3),
    _rule(r"Peer ID '(?P<is>[^']*)' mismatched", Layer.IKE, "id",
          "the far end calls itself {is}, which is not what was expected: set peer_id", 3),
    _rule(r"NO_PROPOSAL_CHOSEN.*(QUICK|CHILD|msgid=(?!00000000))", Layer.ESP, "esp-proposal",
          "the far end takes none of our ESP proposals (NO_PROPOSAL_CHOSEN)", 2),
    _rule(r"NO_PROPOSAL_CHOSEN", Layer.IKE, "proposal",
          "the far end takes none of our proposals (NO_PROPOSAL_CHOSEN)", 2),
    _rule(r"(INVALID_ID_INFORMATION|TS_UNACCEPTABLE)", Layer.ESP, "selectors",
          "the identities or traffic selectors of the two ends do not fit ({0})", 1),
    _rule(r"asynchronous network error report on .* complainant (?P<who>" + ADDRESS +
          r"): (?P<what>[^\[]+?) \[", Layer.UNDERLAY, "icmp", "{who} says: {what}", 1),
    _rule(r"netlink response for .*: (?P<what>[^(]+?) \(errno", Layer.ESP, "kernel",
          "the kernel refuses the keys: {what}; `bongsu doctor` says what it can do", 3),
    _rule(r"max number of retransmissions \(\d+\) reached|(\d+) second timeout exceeded after",
          Layer.IKE, "no-answer", "the far end does not answer IKE: is it there, and does UDP 500"
          " and 4500 reach it?", 1),
)  # fmt: skip

STALE_NS = 60_000_000_000
"""A reason that has not been repeated for so long gives way to a less sure one."""

_ASKED = re.compile(
    r"looking for (?:pre-shared key )?peer configs? matching (?P<us>\S+)\.\.\.(?P<them>\S+)"
)
_RETRANSMIT = re.compile(r"(?:sending )?retransmit (\d+) of request")
_PLUTO_RETRANSMIT = re.compile(r"retransmission; will wait")
_ANSWERED = re.compile(
    r"parsed \S+ response |parsed .*N\(DPD_ACK\)|IKE_SA .* established|IKE SA established"
)
_ASKED_US = re.compile(r"parsed INFORMATIONAL\S* request ")


@dataclass(frozen=True)
class Said:
    """What one line meant."""

    cause: Cause | None = None
    sure: int = 0
    unanswered: int | None = None
    """A request was sent again for the so manieth time; 0: an answer came."""
    heard: bool = False
    """Something came from the far end."""


def read(line: str) -> Said | None:
    """What a line of a log says of a tunnel; None if nothing."""
    for rule in RULES:
        if found := rule.pattern.search(line):
            values = {key: value for key, value in found.groupdict().items() if value}
            first = next((group for group in found.groups() if group), "")
            return Said(Cause(rule.layer, rule.code, rule.text.format(first, **values)), rule.sure)
    if again := _RETRANSMIT.search(line):
        return Said(unanswered=int(again[1]))
    if _PLUTO_RETRANSMIT.search(line):
        return Said(unanswered=1)
    if _ANSWERED.search(line):
        return Said(unanswered=0, heard=True)
    if _ASKED_US.search(line):
        return Said(heard=True)
    return None


class Diagnosis:
    """The surest reason since a tunnel last stood. Belongs to one tunnel; times are monotonic, ns."""

    def __init__(self) -> None:
        self.reason: Cause | None = None
        self.unanswered = 0
        """Requests sent again since the last answer."""
        self._sure = 0
        self._at = 0
        self._asked = ""

    def hear(self, line: str, now: int) -> bool:
        """Take in one line that is about this tunnel.

        True if it says that something came from the far end.
        """
        if asked := _ASKED.search(line):
            self._asked = f"no tunnel is for {asked['them']}, who asks for {asked['us']}"
        said = read(line)
        if said is None:
            return False
        if said.unanswered is not None:
            # pluto does not count: one more each time.
            self.unanswered = max(said.unanswered, self.unanswered + 1) if said.unanswered else 0
        elif said.cause is not None and (said.sure >= self._sure or now - self._at > STALE_NS):
            self.reason, self._sure, self._at = said.cause, said.sure, now
            if said.cause.code == "id" and self._asked and "no tunnel has" in said.cause.text:
                self.reason = Cause(said.cause.layer, said.cause.code, self._asked)
        return said.heard

    def stands(self) -> None:
        """The tunnel carries: what was wrong is not any more."""
        self.reason, self._sure = None, 0
