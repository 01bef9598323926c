"""Authorities and what they sign, for tests that authenticate by certificates. Calls openssl."""

from ipaddress import ip_address
from pathlib import Path

from bongsu.system.run import run

EC, RSA = "ec -pkeyopt ec_paramgen_curve:prime256v1", "rsa:2048"


class Authority:
    """One authority in a folder of its own."""

    def __init__(self, folder: Path, name: str = "authority", key: str = EC) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._name = name
        self._do(f"req -x509 -newkey {key} -nodes -keyout ca.key", days=9)

    @property
    def pem(self) -> str:
        return self._read("ca.pem")

    def again(self) -> None:
        """Renew the authority itself: another certificate of the same key and name."""
        self._do("req -x509 -key ca.key", days=99)

    def sign(self, name: str, *identities: str, key: str = EC, days: int = 9) -> tuple[str, str]:
        """A certificate for a subject with these identities, and its key: PEM."""
        argv = ["openssl", "req", "-newkey", *key.split(), "-nodes", "-subj", f"/CN={name}"]
        run([*argv, "-keyout", "own.key", "-out", "own.csr"], cwd=self._folder)
        (self._folder / "names").write_text(
            "subjectAltName=" + ",".join(map(_alternative, identities)) + "\n" if identities else ""
        )
        return self.renew(days)

    def renew(self, days: int) -> tuple[str, str]:
        """Another certificate of the key that was signed last."""
        line = f"x509 -req -in own.csr -CA ca.pem -CAkey ca.key -days {days} -extfile names"
        run(["openssl", *line.split(), "-out", "own.pem"], cwd=self._folder)
        return self._read("own.pem"), self._read("own.key")

    def serial(self) -> str:
        """Of the certificate that was signed last, hexadecimal."""
        said = run(["openssl", "x509", "-in", "own.pem", "-noout", "-serial"], cwd=self._folder)
        return said.stdout.strip().partition("=")[2].lower().lstrip("0")

    def _do(self, line: str, days: int) -> None:
        argv = ["openssl", *line.split(), "-subj", f"/CN={self._name}", "-days", str(days)]
        run([*argv, "-out", "ca.pem"], cwd=self._folder)

    def _read(self, name: str) -> str:
        return (self._folder / name).read_text()


def _alternative(identity: str) -> str:
    try:
        return f"IP:{ip_address(identity)}"
    except ValueError:
        return f"email:{identity}" if "@" in identity else f"DNS:{identity}"
