"""A tunnel without an interface: the traffic selectors lead packets into it, whatever carries ESP.

`up` is no proof of that: IKE and ESP stand as well where nothing leads in.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bongsu.lab.lab import Lab
from bongsu.lab.verdict import try_assertion
from tests.lab.conftest import standing

pytestmark = pytest.mark.lab

NETWORK = Path(__file__).parent / "networks" / "vpn-policy.yaml"


@pytest.fixture
def lab() -> Iterator[Lab]:
    yield from standing(NETWORK, "t-policy")


def test_packets_pass_both_ways(lab: Lab) -> None:
    verdicts = [try_assertion(lab, each) for each in lab.network.tests]
    assert len(verdicts) == 2
    assert all(verdict.passed for verdict in verdicts), verdicts
