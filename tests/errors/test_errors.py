"""What a bad file is answered with, word for word: a folder per file, input.yaml and expected.txt.

After a change that is meant: BONGSU_UPDATE_GOLDEN=1 pytest tests/errors, then read the diff.
"""

import os
import re
from pathlib import Path

import pytest

from bongsu.intent import IntentError, load_text

UPDATE = "BONGSU_UPDATE_GOLDEN"
HERE = Path(__file__).parent
FOLDERS = sorted(path.parent for path in HERE.glob("*/input.yaml"))

JARGON = re.compile(
    r"pydantic|https?:|validat|extra_forbidden|input should|literal\[|function-|lax-or-strict"
    r"|NoneType|dict\b|boolean|Traceback|regex|pattern",
    re.I,
)
"""Words of our tools that an operator has no use for."""


def test_there_are_folders() -> None:
    assert len(FOLDERS) >= 25


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_golden(folder: Path) -> None:
    with pytest.raises(IntentError) as caught:
        load_text((folder / "input.yaml").read_text(), "input.yaml")
    answer = f"{caught.value}\n"
    expected = folder / "expected.txt"
    if os.environ.get(UPDATE):
        expected.write_text(answer)
    assert answer == expected.read_text()
    assert not JARGON.search(answer)
    problems = caught.value.problems
    assert [item.line for item in problems] == sorted(item.line for item in problems)


def test_no_secret_is_in_any_answer() -> None:
    answers = "".join((folder / "expected.txt").read_text() for folder in FOLDERS)
    for secret in ("correct-horse", "battery-staple", "lab-only", "12345678"):
        assert secret in (HERE / "secrets-stay-hidden" / "input.yaml").read_text()
        assert secret not in answers
    assert "<hidden>" in answers
