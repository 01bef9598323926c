"""What an assertion is given before it is judged."""

from types import SimpleNamespace
from typing import Any

import pytest

from bongsu.lab import verdict
from bongsu.lab.outage import ServiceNotWholeError
from bongsu.model.assertion import Outage


@pytest.mark.parametrize(("max_ms", "limit_s"), [(1, 30), (25_000, 30), (40_000, 45)])
def test_an_outage_is_watched_for_longer_than_it_may_last(
    max_ms: int, limit_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float] = []

    def measure(*_: Any, limit_s: float) -> None:
        limits.append(limit_s)
        raise ServiceNotWholeError("enough seen")

    monkeypatch.setattr(verdict, "measure", measure)
    monkeypatch.setattr(verdict, "sources", lambda *_: [])
    monkeypatch.setattr(verdict, "settle", lambda *_: [])
    lab: Any = SimpleNamespace(target=lambda _: None)
    promise = {"expect": "outage", "from": ["pc"], "to": "vm", "fault": "link-down:a"}
    verdict.try_assertion(lab, Outage.model_validate(promise | {"max_ms": max_ms}))
    assert limits == [limit_s]
