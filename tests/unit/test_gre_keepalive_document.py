"""docs/gre-keepalive.md shows what the tables say. On failure the message is what has to stand there."""

import re
from ipaddress import ip_address
from pathlib import Path

import pytest

from bongsu.model.tunnel import Dialect, Keepalive
from bongsu.protocol.gre_keepalive import Ends, inner, request
from bongsu.protocol.gre_keepalive.document import dialect_table, state_diagram
from bongsu.protocol.gre_keepalive.machine import TABLE

DOCUMENT = (Path(__file__).parents[2] / "docs" / "gre-keepalive.md").read_text()


@pytest.mark.parametrize(
    ("name", "made"),
    [("states", f"```mermaid\n{state_diagram()}```\n"), ("dialects", dialect_table())],
)
def test_the_document_is_up_to_date(name: str, made: str) -> None:
    pattern = f"<!-- {name}: [^\n]*-->\n(.*?)<!-- end of {name} -->"
    found = re.findall(pattern, DOCUMENT, re.DOTALL)
    assert found == [made], made


def test_the_diagram_has_an_edge_for_every_cell() -> None:
    edges = [line for line in state_diagram().splitlines() if "-->" in line and "[*]" not in line]
    assert len(edges) == len(TABLE) == len(set(edges))
    assert (
        "    up --> down: deadline, counter has reached retries / announce, send, counter + 1"
        in edges
    )


def test_the_dialects_have_a_row_each() -> None:
    rows = dialect_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == list(Dialect)
    assert all(row.count("|") == 4 for row in rows)


def rows(heading: str) -> list[list[str]]:
    """Cells of the first table under a heading, without its head."""
    section = DOCUMENT.split(heading, 1)[1]
    table = re.search(r"((?:^\|.*\|\n)+)", section, re.MULTILINE)
    assert table
    lines = table[1].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_ranges_and_defaults_are_the_models() -> None:
    schema = Keepalive.model_json_schema()["properties"]
    seen = set()
    for key, allowed, default, _ in rows("# GRE keepalives"):
        field = schema[key.strip("`")]
        seen.add(key.strip("`"))
        number = field["anyOf"][0] if "anyOf" in field else field
        if "minimum" in number:
            assert allowed == f"{number['minimum']}–{number['maximum']}"
        words = {True: "`true`", False: "`false`", None: "", "cisco": "`cisco`"}
        value = field["default"]
        assert default == (str(value) if type(value) is int else words[value])
    assert seen == set(schema)


def test_sizes_are_those_of_the_packets() -> None:
    six = ip_address("2001:db8::1"), ip_address("2001:db8::2")
    pairs = [(ip_address("192.0.2.1"), ip_address("192.0.2.2")), six]
    table = rows("## Packets")
    for column, (a, b) in enumerate(pairs, start=1):
        plain = Ends(a, b)
        base = len(request(plain)), len(inner(plain))
        assert [row[column] for row in table[:2]] == [f"{size} bytes" for size in base]
        for row, ends, nonce in (
            (table[2], Ends(a, b, 1), None),
            (table[3], Ends(a, b, checksum=True), None),
            (table[4], plain, bytes(8)),
        ):
            more = (
                len(request(ends, nonce=nonce)) - base[0],
                len(inner(ends, nonce=nonce)) - base[1],
            )
            assert row[column] == "+ {}, answer + {}".format(*more)
