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


def test_demo_of_a_vpn(cli: Cli) -> None:
    shown = cli("demo", "vpn").stdout
    tunnels, sessions, hosts, silent, back = (
        shown.split(heading)[1]
        for heading in (
            "4. the tunnels",
            "5. the sessions",
            "6. from one",
            "7. vti1 goes",
            "8. vti1",
        )
    )
    site = tunnels.split("5. the sessions")[0].split("\nseoul\n")[0]
    assert re.findall(r"^(vti\d) .* established +2 .* up$", site, re.M) == [
        "vti1",
        "vti2",
    ]
    row = re.compile(r"^(10\.10\.10\.\d) +4 +31898 .* (\d+) +(\d+) +(vti\d)$", re.M)
    assert row.findall(sessions.split("6. from one")[0]) == [
        ("10.10.10.2", "2", "1", "vti1"),
        ("10.10.10.6", "2", "1", "vti2"),
    ]
    assert hosts.split("7. vti1 goes")[0].count("20 of 20 answered") == 2
    outage = re.search(r"vm-onprem was without vm-cloud for ([\d,]+) ms", silent)
    assert outage is not None
    assert 1000 < int(outage[1].replace(",", "")) < 30000
    assert re.search(r"^vti1 .* established +2 .* (degraded|down)$", silent, re.M)
    assert re.search(r"BGP (Connect|Active|Idle)", silent)
    assert len(row.findall(back)) == 2
    assert "nothing is left behind" in shown
    assert remains("demo-hybrid-vpn") == []


def test_demo_of_an_accelerator(cli: Cli) -> None:
    shown = cli("demo", "accelerator").stdout
    paths, sessions, ways, dies = (
        shown.split(heading)[1]
        for heading in ("4. the paths", "5. who goes", "6. the Internet's", "7. pop-tokyo dies")
    )
    first = paths.split("5. who goes")[0]
    assert re.search(r"^pop-shanghai pop-seoul +\S+ +\S+ +\S+ +\S+ through pop-tokyo", first, re.M)
    assert re.search(r"^IKE\+ESP 192\.0\.2\.10:\d+ ", sessions.split("6. the Internet's")[0], re.M)
    loss = re.findall(r"^ (gw|vm)-shanghai to \S+ +([\d.]+) +300 ", ways, re.M)
    direct, accelerated = (float(lost) for _who, lost in loss)
    assert 30 < direct < 70
    assert accelerated < 2
    assert "vm-shanghai to vm-seoul is better than gw-shanghai to 198.51.100.11" in ways
    outage = re.search(r"vm-shanghai was without vm-seoul for ([\d,]+) ms", dies)
    assert outage is not None
    assert 100 < int(outage[1].replace(",", "")) < 10000
    assert "the gateways' IKE SAs: the same as before" in dies
    assert re.search(r"^pop-shanghai pop-seoul .* direct ", dies, re.M)
    assert "nothing is left behind" in shown
    assert remains("demo-accelerated-vpn") == []
