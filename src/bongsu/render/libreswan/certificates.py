"""What Libreswan is told of certificates: by which key ours is found and signs, and who must have signed
theirs.

    /etc/ipsec.d/bongsu-certificates.conf    a section for each connection, which its tunnels include

Only the node has the certificates, so the agent writes this file there, and no bundle holds it. Names
do not do: in an NSS database all certificates of one subject share a nickname, and Libreswan believes
every authority in it unless `rightca` names one.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bongsu.plan.certificate import X509, Name, words
from bongsu.render import text

CERTIFICATES = "/etc/ipsec.d/bongsu-certificates.conf"
_COMMENT = "".join(chr(number) for number in (*range(32), 127))


@dataclass(frozen=True)
class Proof:
    """How one connection is authenticated at this node."""

    vpn: str
    certificate: X509
    authority: X509
    ike_version: int = 2

    @property
    def options(self) -> dict[str, str]:
        """Of each `conn`. An authority is named exactly: type and value of each attribute, as encoded.

        Asked for both kinds, Libreswan signs as with an RSA key, whatever key it has; asked for ECDSA,
        it takes nothing else from the far end. So both can be asked for only where ours is RSA.
        """
        both = self.certificate.is_rsa and self.ike_version == 2
        return {
            "leftckaid": self.certificate.key_id,
            "authby": "rsasig,ecdsa" if both else "rsasig" if self.certificate.is_rsa else "ecdsa",
            "rightca": f'"{_distinguished(self.authority.subject)}"',
        }

    @property
    def fingerprint(self) -> str:
        """Changes with either certificate."""
        return f"{self.certificate.sha256}-{self.authority.sha256}"


def section_name(vpn: str) -> str:
    """Of a connection's section: longer than a tunnel's name ever is."""
    return f"bongsu-certificate-{text.name(vpn)}"


def document(proofs: Iterable[Proof], header: list[str]) -> str:
    """The file. Pure; raises nothing for proofs without `refusals`."""
    lines = [f"# {line}" for line in header]
    for proof in proofs:
        lines += ["", f"conn {section_name(proof.vpn)}"]
        lines.append(f"    # {_comment(proof.certificate.subject)}")
        lines.append(
            f"    # signed by {_comment(proof.authority.subject)}, as the far end's must be"
        )
        lines += [f"    {key}={value}" for key, value in proof.options.items()]
    return "\n".join(lines) + "\n"


def expanded(connections: str, proofs: Iterable[Proof]) -> str:
    """The connections with their sections in place, and which certificates they stand for.

    Not for Libreswan: to see what has become another.
    """
    sections = {section_name(proof.vpn): proof for proof in proofs}
    lines: list[str] = []
    for line in connections.splitlines():
        proof = sections.get(line.strip().removeprefix("also="))
        if proof is None or not line.strip().startswith("also="):
            lines.append(line)
            continue
        lines += [f"    {key}={value}" for key, value in proof.options.items()]
        lines.append(f"    certificates={proof.fingerprint}")
    return "\n".join(lines) + "\n"


def refusals(proofs: Iterable[Proof]) -> list[str]:
    """What Libreswan cannot keep apart, or cannot be told."""
    found = []
    keys: dict[str, Proof] = {}
    authorities: dict[Name, Proof] = {}
    for proof in proofs:
        own, authority = proof.certificate, proof.authority
        other = keys.setdefault(own.key_id, proof)
        if other.certificate != own:
            found.append(
                f"the certificates of {other.vpn} and {proof.vpn} have one key, by which Libreswan"
                " finds a certificate: give each its own key, or both the same certificate"
            )
        if proof.ike_version == 1 and not own.is_rsa:
            found.append(
                f"the certificate of {proof.vpn} has no RSA key: Libreswan's IKEv1 knows no other"
            )
        if any(len(part) != 1 for part in authority.subject):
            found.append(
                f"the authority of {proof.vpn}, {words(authority.subject)}, has a part of its name"
                " with two attributes, which Libreswan cannot be told"
            )
        if not authority.is_root:
            found.append(
                f"the authority of {proof.vpn}, {words(authority.subject)}, is signed by another one:"
                f" Libreswan believes only what signs itself; let `ca` be {words(authority.issuer)}"
            )
        rival = authorities.setdefault(authority.subject, proof)
        if rival.authority.key_id != authority.key_id:
            found.append(
                f"the authorities of {rival.vpn} and {proof.vpn} are both called"
                f" {words(authority.subject)} and have two keys: Libreswan tells authorities apart by"
                " their names"
            )
    return found


def named_apart(proofs: Iterable[Proof], held: Iterable[X509]) -> bool:
    """Whether a running Libreswan can take renewed certificates by their nicknames.

    `held`: those that it has had. Of two with one subject it may take either, and the later one sooner.
    """
    own = {proof.certificate.sha256: proof.certificate for proof in proofs}
    known = {certificate.sha256: certificate for certificate in held} | own
    return not any(
        other.subject == certificate.subject
        and other != certificate
        and (other.sha256 in own or other.not_before >= certificate.not_before)
        for certificate in own.values()
        for other in known.values()
    )


def _distinguished(name: Name) -> str:
    return ", ".join(f"{kind}=#{value.hex()}" for part in name for kind, value in part)


def _comment(name: Name) -> str:
    return "".join(sign if sign not in _COMMENT else "?" for sign in words(name))
