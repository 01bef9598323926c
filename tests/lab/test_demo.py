"""The demo, as a new user sees it: six served by the nearer PoP, one killed, six served by the other."""

import re

import pytest

from .conftest import Cli, remains

pytestmark = pytest.mark.lab

ROW = re.compile(r"^ (\w+) +(seoul|tokyo|none) +([\d.]+) +20 ", re.MULTILINE)
VANTAGES = {"busan", "daegu", "vladivostok", "osaka", "honolulu", "singapore"}


def test_demo(cli: Cli) -> None:
    shown = cli("demo").stdout
    before, dies, after = (
        shown.split(heading)[1].split("\n\n\n")[0]
        for heading in ("4. probe ", "5. seoul dies", "6. probe again")
    )
    near = {row[0]: row[1] for row in ROW.findall(before.split("5. seoul dies")[0])}
    assert near.keys() == VANTAGES
    assert sorted(near.values()) == ["seoul"] * 3 + ["tokyo"] * 3
    outages = re.findall(r"^(\w+) +was served by (\w+) +without service for +(\d+) ms", dies, re.M)
    assert {name for name, _pop, _ms in outages} == VANTAGES
    assert "the worst outage lasted" in dies
    other = ROW.findall(after.split("7. seoul comes back")[0])
    assert {row[0]: row[1] for row in other} == dict.fromkeys(VANTAGES, "tokyo")
    assert "nothing is left behind" in shown
    assert remains("demo-anycast") == []
