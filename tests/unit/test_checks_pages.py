"""Every code has a page, every page a code, and a page's example is what it says."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from bongsu.checks import codes, explain
from tests.unit.check_helpers import check_values, example, merged, values_of

SECTIONS = [
    "## What",
    "## Why it breaks networks",
    "## How to see it",
    "## How to mend it",
    "## Example",
]


def blocks(page: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", page, re.S)


def test_pages_and_codes_are_the_same_set() -> None:
    pages = {item.name.removesuffix(".md") for item in (files("bongsu.checks") / "pages").iterdir()}
    assert pages == set(codes())
    assert len(pages) == len(codes()) >= 75


@pytest.mark.parametrize("code", codes())
def test_a_page_has_every_section(code: str) -> None:
    page = explain(code)
    assert page.startswith(f"# {code}: ")
    assert re.findall(r"^## .*$", page, re.M) == SECTIONS
    assert len(blocks(page)) == 2


def test_the_index_lists_every_page_as_it_is() -> None:
    index = (Path(__file__).parents[2] / "docs" / "checks" / "README.md").read_text()
    rows = re.findall(r"^\| \[(\w+)\]\((.*)\) \| (.*) \| (.*) \|$", index, re.M)
    assert [code for code, _link, _title, _severity in rows] == codes()
    for code, link, title, severity in rows:
        assert link == f"../../src/bongsu/checks/pages/{code}.md"
        assert explain(code).startswith(f"# {code}: {title}\n\nSeverity: {severity}.\n")


def networks(page: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The bad and the good network: parts of an example, or a whole network and a change of it."""
    bad, good = (values_of(block) for block in blocks(page))
    if "version" in bad:
        return bad, merged(bad, good)
    (name,) = re.findall(r"^Parts of `examples/(.*)\.yaml`", page, re.M)
    return merged(example(name), bad), merged(example(name), good)


@pytest.mark.parametrize("code", codes())
def test_the_bad_example_is_found_and_the_good_one_is_not(code: str) -> None:
    bad, good = networks(explain(code))
    assert code in {finding.code for finding in check_values(bad)}
    assert check_values(good) == []


def test_a_code_may_be_given_in_lower_case() -> None:
    assert explain("bgp001") == explain("BGP001")


@pytest.mark.parametrize("name", ["", "BGP999", "../registry", "BGP001.md", "pages", "."])
def test_what_is_no_code_has_no_page(name: str) -> None:
    with pytest.raises(KeyError):
        explain(name)
