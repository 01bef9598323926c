"""strongSwan's IKE daemon on this machine: start it in the foreground, load it, ask it.

`charon-systemd` runs without systemd; STRONGSWAN_CONF and a VICI socket of its own make an instance,
so one can run for each tunnel. Files are loaded by swanctl(8), which replaces only connections that
differ: the associations of the others stay. Nothing here reads or writes a configuration.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bongsu.system.daemons.vici import Message, Vici, ViciError
from bongsu.system.ipsec.state import EspSa, IkeSa, IkeState
from bongsu.system.run import Process, run, spawn

SOCKET = Path("/run/charon.vici")
PROGRAM = "/usr/sbin/charon-systemd"
HINT = "apt install charon-systemd strongswan-swanctl libcharon-extra-plugins"
LISTENED = ("log",)
"""What a listener hears: every line of charon's log, with the name of the association."""

_GROUPS = {"CURVE_25519": "curve25519"}
_HASHES = {"HMAC_SHA2_256": "sha256", "HMAC_SHA2_384": "sha384", "HMAC_SHA2_512": "sha512",
           "HMAC_SHA1": "sha1", "HMAC_MD5": "md5"}  # fmt: skip


@dataclass(frozen=True)
class Charon:
    """One charon: where its files are."""

    name: str = "charon"
    """As events and files call it."""
    settings: Path | None = None
    """Its strongswan.conf; None: the machine's."""
    connections: Path | None = None
    """Its swanctl.conf; None: the machine's, with all that it includes."""
    socket: Path = SOCKET
    unit: str = "strongswan"
    """What starts it where bongsu does not."""

    def start(self, log: Path) -> Process:
        """Start it, standard error appended to `log`. Raises RunError, OSError."""
        self.socket.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        # Left by one that was killed; a live one has been looked for by the caller.
        self.socket.unlink(missing_ok=True)
        with log.open("ab") as stderr:
            return spawn([PROGRAM], env=self._environment(), stderr=stderr, hint=HINT)

    def answers(self) -> bool:
        """Whether it is up. Never raises."""
        try:
            with self.connect(1.0) as vici:
                return "version" in vici.ask("version")
        except (OSError, ViciError):
            return False

    def prioritise(self, pid: int) -> str:  # noqa: ARG002  what every daemon is asked
        """Key exchange has seconds: it stays as it is."""
        return "normal"

    def connect(self, timeout_s: float = 5.0) -> Vici:
        """A connection to its socket. Raises OSError."""
        return Vici(self.socket, timeout_s)

    def load(self, *, clear: bool = False) -> None:
        """Have it read keys and connections; unchanged ones are left alone.

        clear: forget certificates and keys that it has read before. Else a renewed authority would
        stand beside its older self, and either could be found in its place. Raises RunError, and
        with `clear` OSError, ViciError.
        """
        argv = ["swanctl", "--load-all", "--noprompt", "--uri", f"unix://{self.socket}"]
        if self.connections is not None:
            argv += ["--file", str(self.connections)]
        run([*argv, *(["--clear"] if clear else [])], env=self._environment(), hint=HINT)
        if clear:
            with self.connect() as vici:
                # What it has verified, and those that far ends have sent.
                vici.ask("flush-certs")

    def associations(self) -> list[IkeSa]:
        """All that it holds. Raises OSError, ViciError."""
        with self.connect() as vici:
            return associations(vici.stream("list-sas", "list-sa"))

    def initiate(self, tunnel: str, child: str) -> None:
        """Try again, without waiting for the outcome. Raises OSError, ViciError."""
        with self.connect() as vici:
            vici.ask("initiate", {"child": child, "ike": tunnel, "timeout": "-1"})

    def remove_run_files(self) -> None:
        """Remove what a stopped one left."""
        with contextlib.suppress(OSError):
            self.socket.unlink(missing_ok=True)

    def _environment(self) -> dict[str, str]:
        return {} if self.settings is None else {"STRONGSWAN_CONF": str(self.settings)}


def associations(answers: list[Message]) -> list[IkeSa]:
    """VICI's `list-sa` events as associations. ViciError for what is none."""
    try:
        return [_association(name, ike) for answer in answers for name, ike in answer.items()]
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ViciError(f"charon's list of associations: {error!r}") from error


def _association(name: str, ike: Mapping[str, Any]) -> IkeSa:
    established = ike["state"] == "ESTABLISHED"
    children = ike.get("child-sas", {}).values()
    return IkeSa(
        tunnel=name,
        id=ike["uniqueid"],
        version=int(ike["version"]),
        state=IkeState.ESTABLISHED if established else IkeState.CONNECTING,
        proposal=_proposal(ike),
        local=f"{ike['local-host']}:{ike['local-port']}",
        remote=f"{ike['remote-host']}:{ike['remote-port']}",
        local_id=ike.get("local-id", ""),
        remote_id=ike.get("remote-id", ""),
        initiator=ike.get("initiator") == "yes",
        nat=ike.get("nat-any") == "yes",
        age_s=_number(ike, "established"),
        rekey_in_s=_number(ike, "rekey-time"),
        esp=tuple(
            _child(child) for child in children if child["state"] in ("INSTALLED", "REKEYING")
        ),
    )


def _child(child: Mapping[str, Any]) -> EspSa:
    return EspSa(
        id=child["uniqueid"],
        proposal=_proposal(child),
        encapsulated=child.get("encap") == "yes",
        spi_in=child.get("spi-in", ""),
        spi_out=child.get("spi-out", ""),
        bytes_in=int(child.get("bytes-in", "0")),
        bytes_out=int(child.get("bytes-out", "0")),
        age_s=_number(child, "install-time"),
        rekey_in_s=_number(child, "rekey-time"),
        child=child.get("name", ""),
        local=tuple(child.get("local-ts", ())),
        remote=tuple(child.get("remote-ts", ())),
    )


def _number(section: Mapping[str, Any], key: str) -> int | None:
    return int(section[key]) if key in section else None


def _proposal(section: Mapping[str, Any]) -> str:
    """`aes256gcm16-modp2048` of `AES_GCM_16`, `256`, `MODP_2048`."""
    cipher, bits = section.get("encr-alg", ""), section.get("encr-keysize", "")
    words = [_cipher(cipher, bits)] if cipher else []
    integrity = section.get("integ-alg", "")
    if integrity:
        words.append(_hash(integrity))
    elif "prf-alg" in section:
        words.append("prf" + _hash(section["prf-alg"].removeprefix("PRF_")))
    if group := section.get("dh-group"):
        words.append(_GROUPS.get(group, group.lower().replace("_", "")))
    return "-".join(words)


def _cipher(name: str, bits: str) -> str:
    if name.startswith("CHACHA20"):
        return "chacha20poly1305"
    family, _, mode = name.partition("_")
    if mode == "CBC":
        return f"{family.lower()}{bits}" if family != "3DES" else "3des"
    return f"{family.lower()}{bits}{mode.lower().replace('_', '')}"


def _hash(name: str) -> str:
    return next((word for start, word in _HASHES.items() if name.startswith(start)), name.lower())
