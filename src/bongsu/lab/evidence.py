"""What a failed lab leaves for people: logs, agents' answers, routing tables, in one folder.

Everything else of a lab is removed; this stays until EVIDENCE_KEPT newer ones have come. Lab
routers' configurations are left out, since they hold the lab's passwords.
"""

import json
import shutil
import time
from pathlib import Path

from bongsu.lab.state import LabPaths
from bongsu.system.agent_client import AgentClient, AgentError
from bongsu.system.daemons.birdctl import BirdControl, BirdError

EVIDENCE_DIR = Path("/var/tmp/bongsu-evidence")  # noqa: S108  root's own, mode 0700
EVIDENCE_KEPT = 10
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
    for control in sorted(paths.root.rglob("*.ctl")):
        (folder / f"{control.stem}-bird.txt").write_text(_routes(control))
    return folder


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
