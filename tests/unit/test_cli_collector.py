"""No garbage is looked for while a network is made, and all is as before afterwards."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from bongsu.cli import source
from bongsu.intent import IntentError, Loaded, load_text

EXAMPLE = Path(__file__).parents[2] / "examples" / "anycast.yaml"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("before", [True, False])
def test_loading_is_not_collected(before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    during: list[bool] = []

    def note(text: str, file: str) -> Loaded:
        during.append(gc.isenabled())
        return load_text(text, file)

    monkeypatch.setattr(source, "load_text", note)
    if not before:
        gc.disable()
    gc.unfreeze()
    assert source.load(EXAMPLE).findings == []
    assert during == [False]
    assert gc.isenabled() is before
    assert gc.get_freeze_count() > 0


def test_a_bad_file_brings_the_collector_back(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 2\n")
    with pytest.raises(IntentError):
        source.load(bad)
    assert gc.isenabled()
