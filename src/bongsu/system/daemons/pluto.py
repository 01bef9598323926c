"""Libreswan's IKE daemon on this machine: start it in the foreground, ask it, change one connection.

Only for kernels with ESP. It finds its connections in the configuration by itself (addconn); a change
replaces the connections that differ and no other. Its certificate store is prepared once; a renewed
certificate is taken from there while the connection stands.
"""

import contextlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from bongsu.system.daemons.whack import ANY, associations, authorities
from bongsu.system.ipsec import nss
from bongsu.system.ipsec.state import IkeSa
from bongsu.system.run import Process, RunError, run, spawn

PROGRAMS = Path("/usr/libexec/ipsec")
CONFIG = Path("/etc/ipsec.conf")
SECRETS = Path("/etc/ipsec.secrets")
DIRECTORY = Path("/etc/ipsec.d")
NSS = Path("/var/lib/ipsec/nss")
RUN_DIR = Path("/run/pluto")
HINT = "apt install libreswan (it takes the place of strongSwan)"
LOADED_WITHIN_S, LOADED_POLL_S = 15.0, 0.1
"""Until a pluto that has just started has read its connections."""
_CERTIFICATES = re.compile(r"^(leftckaid|certificates)=.*\n?", re.M)
_CONN = re.compile(r"^conn (\S+)\s*$", re.M)


@dataclass(frozen=True)
class Pluto:
    """One pluto: where its files are."""

    config: Path = CONFIG
    secrets: Path = SECRETS
    nss: Path = NSS
    run_dir: Path = RUN_DIR
    name: str = "pluto"
    unit: str = "ipsec"
    """What starts it where bongsu does not."""

    @property
    def control(self) -> Path:
        return self.run_dir / "pluto.ctl"

    def check(self, text: str, scratch: Path) -> None:
        """Let Libreswan's own parser read connections that are not in place yet. Raises RunError.

        It looks at the spelling and at little else (libreswan issue 2244).
        """
        path = scratch / "ipsec.conf"
        path.touch(mode=0o600)
        path.write_text(text)
        run([str(PROGRAMS / "addconn"), "--checkconfig", "--config", str(path)], hint=HINT)

    def start(self, log: Path) -> Process:
        """Start it in the foreground, its log appended to `log`. Raises RunError, OSError."""
        self.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("pluto.ctl", "pluto.pid"):
            (self.run_dir / name).unlink(missing_ok=True)
        nss.prepare(self.nss)
        argv = [str(PROGRAMS / "pluto"), "--nofork", "--stderrlog", "--config", str(self.config)]
        argv += ["--secretsfile", str(self.secrets), "--nssdir", str(self.nss)]
        argv += ["--rundir", str(self.run_dir), "--ipsecdir", str(DIRECTORY)]
        # strongSwan's `ipsec`, if there is one, must not be what its scripts call.
        path = f"{PROGRAMS}:/usr/sbin:/usr/bin:/sbin:/bin"
        with log.open("ab") as stream:
            return spawn(argv, env={"PATH": path}, stdout=stream, stderr=stream, hint=HINT)

    def answers(self) -> bool:
        """Whether it is up. Never raises."""
        try:
            self._whack("--briefstatus")
        except (RunError, OSError):
            return False
        return True

    def prioritise(self, pid: int) -> str:  # noqa: ARG002  what every daemon is asked
        """Key exchange has seconds: it stays as it is."""
        return "normal"

    def associations(self) -> list[IkeSa]:
        """All that it holds. Raises RunError."""
        return associations(self._whack("--status"), self._whack("--trafficstatus"))

    def reload(self, old: str, new: str, *, by_name: bool = False) -> list[str]:
        """Replace the connections that differ between two of our texts, and read the keys again.

        by_name: a connection that differs in its certificates alone stays, and has the new ones from
        its next authentication on; Libreswan looks for them by nickname. The texts may say more than
        the configuration, to make certificates differ that do not in there. What was done is
        returned, in words. Raises RunError.
        """
        before, after = connections(old), connections(new)
        self._whack("--rereadsecrets")
        removed = [name for name in before if name not in after]
        for name in removed:
            self._whack("--delete", "--name", name)
        changed = [name for name, text in after.items() if before.get(name) != text]
        renewed = [
            name
            for name in changed
            if by_name and but_certificates(before.get(name, "")) == but_certificates(after[name])
        ]
        if renewed:
            # It forgets the authorities that it has read, too, which else it keeps for minutes.
            self._whack("--rereadcerts")
        replaced = [name for name in changed if name not in renewed]
        for name in replaced:
            argv = [str(PROGRAMS / "addconn"), "--ctlsocket", str(self.control)]
            run([*argv, "--config", str(self.config), name], hint=HINT)
            if "auto=start" in after[name]:
                self.initiate(name)
        return [f"reloaded {name}" for name in removed + replaced] + [
            f"renewed the certificates of {name}" for name in renewed
        ]

    def loose(self, text: str) -> list[str]:
        """Connections that would take any authority, though `text` names theirs. Raises RunError.

        What Libreswan does not understand of an authority's name it leaves out, and goes on. TimeoutError
        where a connection that is to be there is not.
        """
        wanted = [name for name, body in connections(text).items() if "rightca=" in body]
        if not wanted:
            return []
        deadline = time.monotonic() + LOADED_WITHIN_S
        while True:
            found = authorities(self._whack("--status"))
            if all(name in found for name in wanted):
                return [name for name in wanted if found[name] == ANY]
            if time.monotonic() > deadline:
                missing = ", ".join(name for name in wanted if name not in found)
                raise TimeoutError(f"pluto has not loaded {missing}: its log says why")
            time.sleep(LOADED_POLL_S)

    def delete(self, name: str) -> None:
        """Have no such connection, and nothing of it. Raises RunError."""
        self._whack("--delete", "--name", name)

    def initiate(self, tunnel: str) -> None:
        """Try again, without waiting for the outcome. Raises RunError."""
        self._whack("--asynchronous", "--initiate", "--name", tunnel)

    def remove_run_files(self) -> None:
        """Remove what a stopped one left."""
        with contextlib.suppress(OSError):
            for path in self.run_dir.iterdir():
                path.unlink()
            self.run_dir.rmdir()

    def _whack(self, *arguments: str) -> str:
        if not self.control.exists():
            raise FileNotFoundError(os.strerror(2), str(self.control))
        argv = [str(PROGRAMS / "whack"), "--ctlsocket", str(self.control), *arguments]
        return run(argv, timeout_s=10, check=arguments[0] != "--asynchronous").stdout


def connections(text: str) -> dict[str, str]:
    """Each `conn` of a file by its name, without comments."""
    parts = _CONN.split(text)
    return {
        name: "\n".join(line for line in map(str.strip, body.splitlines()) if _says(line))
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def but_certificates(connection: str) -> str:
    """A connection's text without what a renewed certificate changes. The authority's name stays."""
    return _CERTIFICATES.sub("", connection)


def _says(line: str) -> bool:
    return bool(line) and not line.startswith("#")
