"""References become values, or one error that names every reference and no value."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from bongsu.agent.secrets import SecretError, Secrets, usable_marked, weak_keys
from bongsu.model.vpn import Profile
from bongsu.plan.node import NodePlan
from bongsu.render.secret import marker


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


def vpn_plan(**references: str) -> NodePlan:
    """A plan's part that has markers; nothing else of it is looked at."""
    tunnel = SimpleNamespace(
        name="vti1", psk=references.get("psk"), certificate=None, profile=Profile.OCI
    )
    if "key" in references:
        tunnel.certificate = SimpleNamespace(key=references["key"])
    peer = SimpleNamespace(password=references.get("password"))
    return SimpleNamespace(vpns=[tunnel], cloud_peers=[peer], relay=None)  # type: ignore[return-value]


def test_markers_become_values_and_leave_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSK", "a {good} #key$")
    monkeypatch.setenv("BGP", "s3cret")
    plan = vpn_plan(psk="env:PSK", password="env:BGP")
    secrets = Secrets({}, usable_marked(plan))
    text = f'secret = "{marker("env:PSK")}"\n neighbor 192.0.2.1 password {marker("env:BGP")}\n'
    filled = secrets.fill(text)
    assert filled == 'secret = "a {good} #key$"\n neighbor 192.0.2.1 password s3cret\n'
    assert secrets.redact(filled) == 'secret = "<hidden>"\n neighbor 192.0.2.1 password <hidden>\n'
    with pytest.raises(ValueError, match="does not name"):
        secrets.fill(marker("env:OTHER"))


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        ("psk", "", "empty"),
        ("psk", "x" * 256, "longer than 255 bytes"),
        ("psk", "0x4711", "begins with 0x"),
        ("psk", "0sAbCd", "begins with 0x or 0s"),
        ("psk", 'a"b', "quote"),
        ("psk", "a\\b", "backslash"),
        ("psk", "schlüssel", "printable ASCII"),
        ("psk", "a\nb", "printable ASCII"),
        ("psk", " ax9", "begins or ends with a blank"),
        ("password", "two words", "blank"),
        ("password", "!x", "begins with !"),
        ("password", "x" * 81, "longer than 80 bytes"),
        ("password", "é", "ASCII"),
        ("key", "no key", "no private key in PEM"),
    ],
)
def test_values_that_some_daemon_would_misread(
    monkeypatch: pytest.MonkeyPatch, kind: str, value: str, why: str
) -> None:
    monkeypatch.setenv("VALUE", value)
    with pytest.raises(SecretError, match=f"env:VALUE: .*{why}") as caught:
        Secrets({}, usable_marked(vpn_plan(**{kind: "env:VALUE"})))
    assert not value or value not in str(caught.value).removeprefix("secrets")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("ChangeMe2024", "strength of about"),
        ("Jh3mgdB3LH2LUtgt.EvOTpy6AF", "Oracle Cloud Infrastructure does not take it"),
        ("Jh3mgdB3LH2LUtgt2EvOTpy6AF", None),
    ],
)
def test_keys_of_real_nodes_are_judged_as_those_of_labs(
    monkeypatch: pytest.MonkeyPatch, value: str, why: str | None
) -> None:
    monkeypatch.setenv("PSK", value)
    plan = vpn_plan(psk="env:PSK")
    found = list(weak_keys(plan, Secrets({}, usable_marked(plan))))
    assert [(name, reference) for name, reference, _ in found] == [("vti1", "env:PSK")] * bool(why)
    assert all(why is not None and why in said and value not in said for _, _, said in found)
