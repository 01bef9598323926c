"""The parts that checks are made of: the table of rules, prefix look-up, address kinds, the graph."""

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bongsu.checks import RULES, codes, run_checks
from bongsu.checks.address import is_public, kind
from bongsu.checks.nesting import Graph, cycles
from bongsu.checks.table import PrefixTable
from bongsu.intent import load_text
from bongsu.plan.compile import compile_network
from tests.unit.check_helpers import EXAMPLE

EXAMPLES = sorted(EXAMPLE.parent.glob("*.yaml"))


def test_codes_are_distinct_and_in_order() -> None:
    assert codes() == sorted(set(codes()))
    assert len({rule.check for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_clean(path: Path) -> None:
    network = load_text(path.read_text(), path.name).network
    assert run_checks(network, compile_network(network)) == []


prefixes4 = st.builds(
    lambda number, length: ip_network((number >> (32 - length) << (32 - length), length)),
    st.integers(0, 2**32 - 1),
    st.integers(1, 32),
)


@given(st.lists(prefixes4, max_size=30), st.integers(0, 2**32 - 1))
def test_a_table_finds_what_a_search_finds(prefixes: list, number: int) -> None:
    table: PrefixTable[str] = PrefixTable()
    for prefix in prefixes:
        table.add(prefix, str(prefix))
    address = ip_address(number)
    expected = sorted({p for p in prefixes if address in p}, key=lambda p: -p.prefixlen)
    assert [prefix for prefix, _value in table.holding(address)] == expected


def test_a_table_keeps_the_families_apart() -> None:
    table: PrefixTable[int] = PrefixTable()
    table.add(ip_network("0.0.0.0/0"), 4)
    assert not table.holds(ip_address("::1"))
    assert table.holds(ip_network("10.0.0.0/8"))
    table.add(ip_network("10.0.0.0/9"), 9)
    assert [value for _p, value in table.holding(ip_network("10.0.0.0/8"))] == [4]


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("8.8.8.8", True),
        ("192.0.2.1", True),  # documentation counts as public
        ("2001:db8::1", True),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("100.128.0.1", True),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("fd00::1", False),
        ("fe80::1", False),
        ("2606:4700::1", True),
    ],
)
def test_what_is_public(text: str, public: bool) -> None:
    assert is_public(ip_address(text)) is public


def test_a_prefix_that_holds_special_space_is_special() -> None:
    assert kind(ip_network("192.0.0.0/8")) is not None
    assert kind(ip_network("0.0.0.0/0")) is not None
    assert kind(ip_network("193.0.0.0/8")) is None


def test_cycles_are_rings_and_not_chains() -> None:
    prefix = ip_network("10.0.0.0/8")
    graph: Graph = {
        "a": ["b"],
        "b": ["c"],
        "c": ["b"],
        "d": [prefix],
        prefix: ["d", "x"],
        "e": ["e"],
    }
    assert sorted(cycles(graph)) == [["b", "c"], ["d"], ["e"]]


def test_a_chain_as_long_as_a_network_is_walked() -> None:
    graph: Graph = {f"t{n}": [f"t{n + 1}"] for n in range(20000)}
    assert list(cycles(graph)) == []
    graph["t20000"] = ["t0"]
    (ring,) = cycles(graph)
    assert len(ring) == 20001
