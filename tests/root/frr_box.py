"""FRR's daemons in a namespace, started by hand: what the rendered files are tried on."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bongsu.system.run import Process, run, spawn

RUN = Path("/run/frr")
PROGRAMS = Path("/usr/lib/frr")


class FrrBox:
    """zebra, staticd, bfdd and bgpd of a namespace that exists."""

    def __init__(self, namespace: str, directory: Path) -> None:
        self.namespace = namespace
        self._log = directory / f"{namespace}.frr.log"
        self._processes: list[Process] = []

    def start(self, configuration: str | None = None) -> None:
        """Start all, and load one file for all of them."""
        run_directory = RUN / self.namespace
        run_directory.mkdir(parents=True, exist_ok=True)
        shutil.chown(run_directory, "frr", "frr")
        for daemon in ("zebra", "staticd", "bfdd", "bgpd"):
            argv = [str(PROGRAMS / daemon), "-N", self.namespace, "-f", "/dev/null"]
            argv += ["-i", str(run_directory / f"{daemon}.pid"), "-A", "127.0.0.1"]
            argv += ["--log", "stdout"]
            with self._log.open("ab") as log:
                self._processes.append(spawn(argv, netns=self.namespace, stdout=log, stderr=log))
            socket = "zserv.api" if daemon == "zebra" else f"{daemon}.vty"
            until((run_directory / socket).exists, f"{daemon} is up")
        if configuration is not None:
            self.load(configuration)

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        shutil.rmtree(RUN / self.namespace, ignore_errors=True)

    def load(self, text: str) -> None:
        """Raises RunError, AssertionError: whatever FRR has to say is a fault."""
        file = self._log.with_suffix(".conf")
        file.write_text(text)
        done = run(["vtysh", "-N", self.namespace, "-f", str(file)])
        assert _said(done.stdout + done.stderr) == [], text

    def to_reload(self, text: str) -> list[str]:
        """What FRR's own reload would take away or add for a file. Nothing of the machine's own:
        its name, and whether it forwards, are none of the file's."""
        file = self._log.with_suffix(".next")
        file.write_text(text)
        argv = [
            "python3",
            str(PROGRAMS / "frr-reload.py"),
            "--test",
            "-N",
            self.namespace,
            str(file),
        ]
        lines = run(argv).stdout.splitlines()
        headings = ("Lines To", "====")
        own = ("hostname ", "no hostname ", "ip forwarding", "ipv6 forwarding")
        return [line for line in lines if line.strip() and not line.startswith(headings + own)]

    def ask(self, command: str) -> Any:
        """`show ... json`."""
        return json.loads(run(["vtysh", "-N", self.namespace, "-c", f"{command} json"]).stdout)

    def configure(self, *commands: str) -> None:
        argv = ["vtysh", "-N", self.namespace, "-c", "configure terminal"]
        for command in commands:
            argv += ["-c", command]
        run(argv)

    def established(self) -> set[str]:
        """Neighbors whose session is up."""
        families = self.ask("show bgp summary")
        return {
            address
            for family in families.values()
            for address, peer in family.get("peers", {}).items()
            if peer["state"] == "Established"
        }


def until(holds: Callable[[], object], what: str, within_s: float = 30) -> None:
    """Ask again until it holds. AssertionError names what never did."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.1)


def _said(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and "Can't open configuration" not in line]
