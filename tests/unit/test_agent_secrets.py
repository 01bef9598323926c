"""References become values, or one error that names every reference and no value."""

from pathlib import Path

import pytest

from bongsu.agent.secrets import SecretError, Secrets


def test_values_for_bird(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEOUL", "s3cret value")
    (tmp_path / "tokyo").write_text("from a file\n")
    secrets = Secrets({"password_b": f"file:{tmp_path}/tokyo", "password_a": "env:SEOUL"})
    assert (secrets.bird_text() or "").splitlines()[1:] == [
        'define password_a = "s3cret value";',
        'define password_b = "from a file";',
    ]


def test_nothing_secret_is_no_file() -> None:
    assert Secrets({}).bird_text() is None


def test_redaction_takes_the_longest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "abc")
    monkeypatch.setenv("B", "abcdef")
    secrets = Secrets({"a": "env:A", "b": "env:B"})
    assert secrets.redact("near abcdef and abc") == "near <hidden> and <hidden>"


def test_every_problem_at_once_and_no_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bad = {"QUOTE": 'a"; show all; "b', "LINE": "a\nb", "EMPTY": "", "LONG": "x" * 81}
    for name, value in bad.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    references = {f"p_{name.lower()}": f"env:{name}" for name in bad}
    references |= {"p_none": "env:NOT_THERE", "p_file": f"file:{tmp_path}/none"}
    references |= {"p_binary": f"file:{tmp_path}/binary"}
    with pytest.raises(SecretError) as caught:
        Secrets(references)
    text = str(caught.value)
    assert len(text.splitlines()) == 1 + len(references)
    assert "env:NOT_THERE: not in the agent's environment" in text
    assert "env:LONG: longer than 80 bytes" in text
    assert "No such file" in text
    assert "show all" not in text
    assert "xxx" not in text
