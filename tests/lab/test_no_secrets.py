"""No secret is where it is not needed: not in bundles, plans, pages, logs, answers, evidence.

The throw-away secrets of every example are searched for, as they are and as base64 and hex have them, in
all that commands write about its file, and in a lab of one that is up. Where a daemon needs its secret it
is found, or the search would prove nothing, and nobody else can read that file.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bongsu.intent import load_text
from bongsu.lab.evidence import keep_evidence
from bongsu.lab.lab import Lab
from bongsu.lab.lifecycle import remove_lab
from bongsu.lab.state import LabPaths
from tests.lab.conftest import EXAMPLES, Cli, raised, remains

pytestmark = pytest.mark.lab

WITH_SECRETS = sorted(path for path in EXAMPLES.glob("*.yaml") if "secrets:" in path.read_text())
RAISED = {"hybrid-vpn.yaml": "t-keys-vpn", "anycast.yaml": "t-keys-anycast"}
QUESTIONS = ("status", "events", "counters", "vpn", "bgp")
NEEDED = ("network.yaml", "nodes/*/etc/**/*", "routers/*.conf")
"""Under a lab's directory: the file it was raised from, and what its daemons read."""


def secrets_of(path: Path) -> list[str]:
    lab = load_text(path.read_text(), path.name).network.lab
    assert lab is not None
    assert lab.secrets
    return list(lab.secrets.values())


def held(data: bytes, secrets: list[str]) -> list[str]:
    """The secrets that are in it, however they are written."""
    found = []
    for secret in secrets:
        raw = secret.encode()
        # Without the last characters, which depend on what follows.
        spellings = (raw, raw.hex().encode(), raw.hex().upper().encode(),
                     base64.b64encode(raw).rstrip(b"=")[:-1])  # fmt: skip
        if any(spelling in data for spelling in spellings):
            found.append(secret)
    return found


def files(root: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path, path.read_bytes()


def test_the_search_finds_what_is_there() -> None:
    secret = "s3cret-of-nobody"
    for data in (b"x" + secret.encode(), secret.encode().hex().encode()):
        assert held(data, [secret]) == [secret]
    assert held(base64.b64encode(secret.encode()), [secret]) == [secret]
    assert held(b"another", [secret]) == []


@pytest.mark.parametrize("path", WITH_SECRETS, ids=lambda path: path.name)
def test_nothing_that_is_made_of_a_file_has_its_secrets(
    path: Path, cli: Cli, tmp_path: Path
) -> None:
    secrets = secrets_of(path)
    cli("render", str(path), "-o", str(tmp_path / "bundles"))
    if load_text(path.read_text(), path.name).network.vpns:
        cli("render", str(path), "--helper", "-o", str(tmp_path / "pages"))
    written = list(files(tmp_path))
    assert len(written) > 4
    assert [file for file, data in written if held(data, secrets)] == []
    for words in (("plan", str(path)), ("render", str(path), "--json"), ("check", str(path))):
        done = cli(*words)
        assert held((done.stdout + done.stderr).encode(), secrets) == []


@pytest.fixture(scope="module", params=RAISED)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    found = raised(request.param, RAISED[request.param])
    yield found
    remove_lab(found.name)
    assert remains(found.name) == []


@pytest.fixture
def secrets(lab: Lab) -> list[str]:
    return list(lab.secrets.values())


def test_files_of_a_lab_that_is_up(lab: Lab, secrets: list[str]) -> None:
    """Each secret is where its daemon reads it, closed to others, and nowhere else."""
    root = LabPaths(lab.name).root
    needed = {path for pattern in NEEDED for path in root.glob(pattern)}
    where = {file: own for file, data in files(root) if (own := held(data, secrets))}
    assert [str(file) for file in where if file not in needed] == []
    # A daemon's own user may be in its group; nobody else reads it.
    read = [file for file in where if file.name != "network.yaml"]
    assert {secret for file in read for secret in where[file]} == set(secrets)
    assert [str(file) for file in read if file.stat().st_mode & 0o007] == []


def test_answers(lab: Lab, secrets: list[str], cli: Cli) -> None:
    told = [json.dumps(lab.agent(node).call(q)) for node in lab.plans for q in QUESTIONS]
    for words in (("vpn",), ("vpn", "--json"), ("bgp",), ("bgp", "--json")):
        # One without tunnels has nothing to show, and says so.
        code = 0 if any(plan.vpns for plan in lab.plans.values()) else None
        told.append(_said("show", *words, "--lab", lab.name, code=code))
    told.append(cli("lab", "status", "--json").stdout)
    assert [text for text in told if held(text.encode(), secrets)] == []


def test_command_lines(lab: Lab, secrets: list[str]) -> None:
    """Everybody on a machine reads those."""
    told = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                told.append((entry / "cmdline").read_bytes())
            except OSError:
                continue
    assert [line for line in told if held(line, secrets)] == []


def test_evidence(lab: Lab, secrets: list[str]) -> None:
    folder = keep_evidence(lab.name)
    assert folder is not None
    kept = list(files(folder))
    # Logs and answers of every node, and of its IKE daemons and FRR.
    assert len(kept) > 3 * len(lab.plans)
    if any(plan.vpns for plan in lab.plans.values()):
        texts = {file.name: data for file, data in kept}
        assert b"ESTABLISHED" in texts["cpe-vti1-sas.txt"]
        assert b"31898" in texts["cpe-frr.txt"]
        assert any(name.endswith("charon-vti1.log") for name in texts)
    assert [str(file) for file, data in kept if held(data, secrets)] == []


def _said(*words: str, code: int | None) -> str:
    program = str(Path(sys.executable).with_name("bongsu"))
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=60)
    assert code is None or done.returncode == code, done.stderr
    return done.stdout + done.stderr
