"""IPv4 and IPv6 are equal: the dual-stack example, with IPv6 inside and BGP in both families."""

from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from bongsu.lab.lab import Lab
from bongsu.lab.lifecycle import remove_lab
from bongsu.lab.probe.survey import survey
from bongsu.lab.verdict import try_assertion

from .conftest import raised, remains

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def dual() -> Iterator[Lab]:
    lab = raised("anycast-dual.yaml", "t-dual")
    yield lab
    remove_lab(lab.name)
    assert remains(lab.name) == []


@pytest.mark.parametrize("target", ["103.178.34.10", "2001:db8:34::10"])
def test_both_families_enter_at_the_nearer_pop(dual: Lab, target: str) -> None:
    result = survey(dual, ip_address(target), count=10, interval_s=0.02)
    assert {look.vantage: look.pop for look in result.looks} == {
        "busan": "seoul",
        "vladivostok": "seoul",
        "osaka": "tokyo",
        "singapore": "tokyo",
    }
    assert all(look.lost == 0 for look in result.looks)
    assert result.proved


def test_what_the_example_promises(dual: Lab) -> None:
    for assertion in dual.network.tests:
        verdict = try_assertion(dual, assertion)
        assert verdict.passed, "\n".join([verdict.title, *verdict.evidence])
