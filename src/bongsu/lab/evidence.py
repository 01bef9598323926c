"""What a failed lab leaves for people: logs, agents' answers, routing tables, in one folder.

Everything else of a lab is removed; this stays until EVIDENCE_KEPT newer ones have come. Lab
routers' configurations are left out, since they hold the lab's passwords.
"""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from bongsu.lab.state import LabPaths
from bongsu.system.agent_client import AgentClient, AgentError
from bongsu.system.daemons.birdctl import BirdControl, BirdError
from bongsu.system.run import RunError, run, shell_command

EVIDENCE_DIR = Path("/var/tmp/bongsu-evidence")  # noqa: S108  root's own, mode 0700
EVIDENCE_KEPT = 10
COMMAND_S = 10.0
FRR_QUESTIONS = ("show bgp summary", "show bgp ipv4 unicast", "show ip route", "show bfd peers")
QUESTIONS = ("show protocols", "show route all", "show bfd sessions")


def keep_evidence(name: str) -> Path | None:
    """Copy what explains the lab's state; the folder, or None if there was nothing to keep."""
    paths = LabPaths(name)
    logs = sorted(paths.root.rglob("*.log"))
    if not logs:
        return None
    EVIDENCE_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    _forget_old()
    folder = EVIDENCE_DIR / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for log in logs:
        shutil.copyfile(log, folder / "-".join(log.relative_to(paths.root).parts))
    for node in sorted((paths.root / "nodes").glob("*")):
        client = AgentClient(paths.agent_socket(node.name), timeout_s=5)
        for question in ("status", "events"):
            try:
                answer = json.dumps(client.call(question), indent=1)
            except AgentError as error:
                answer = str(error)
            (folder / f"{node.name}-{question}.json").write_text(answer)
        for name, argv in _commands(node / "run"):
            (folder / f"{node.name}-{name}.txt").write_text(_said(argv))
    for control in sorted(paths.root.rglob("*.ctl")):
        (folder / f"{control.stem}-bird.txt").write_text(_routes(control))
    return folder


def _commands(run_directory: Path) -> Iterator[tuple[str, list[str]]]:
    """What IKE daemons and FRR of a node are asked: a name for the answer, and the command.

    Their sockets are files, and found from outside the node. Connections are not asked for where the
    answer might hold a key: `--list-sas` knows states, bytes and identities.
    """
    for socket in sorted(run_directory.rglob("*.vici")):
        yield f"{socket.stem}-sas", ["swanctl", "--list-sas", "--uri", f"unix://{socket}"]
    if (run_directory / "pluto/pluto.ctl").exists():
        control = str(run_directory / "pluto/pluto.ctl")
        yield "pluto", ["/usr/libexec/ipsec/whack", "--ctlsocket", control, "--status"]
    if (run_directory / "frr").is_dir():
        asked = [word for question in FRR_QUESTIONS for word in ("-c", question)]
        yield "frr", ["vtysh", "--vty_socket", str(run_directory / "frr"), *asked]


def _said(argv: list[str]) -> str:
    try:
        done = run(argv, check=False, timeout_s=COMMAND_S)
    except RunError as error:
        return str(error)
    return f"> {shell_command(argv)}\n{done.stdout}{done.stderr}"


def _routes(control: Path) -> str:
    try:
        with BirdControl(control) as bird:
            return "\n\n".join(
                "\n".join([f"> {question}", *(line.text for line in bird.ask(question))])
                for question in QUESTIONS
            )
    except (OSError, BirdError) as error:
        return str(error)


def _forget_old() -> None:
    folders = sorted(EVIDENCE_DIR.iterdir(), key=lambda folder: folder.stat().st_mtime)
    for folder in folders[: max(0, len(folders) - EVIDENCE_KEPT + 1)]:
        shutil.rmtree(folder, ignore_errors=True)
