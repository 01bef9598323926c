"""Values on their way into a configuration file: what is admitted, and what never is."""

from ipaddress import IPv4Network, IPv6Address
from pathlib import Path

import pytest

from bongsu.render import template, text
from bongsu.render.template import Admitted
from bongsu.render.text import RenderError

HOSTILE = [
    "",
    "a b",
    'a"',
    "a'",
    "a;",
    "a\n",
    "a{",
    "a}",
    "a*",
    "a/b",
    "a\\",
    "../a",
    "-a",
    "a\0",
    "а",  # Cyrillic
    "a" * 32,
    "$(a)",
    "{{a}}",
    "<a>",
    "#",
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("admit", [text.name, text.symbol, text.interface])
def test_hostile_names_are_refused(admit, value: str) -> None:
    with pytest.raises(RenderError):
        admit(value)


@pytest.mark.parametrize("value", [None, 1, b"a", ["a"]])
def test_names_are_text(value: object) -> None:
    with pytest.raises(RenderError):
        text.name(value)  # type: ignore[arg-type]


def test_symbols_do_not_collide() -> None:
    assert text.symbol("gre-seoul-1") == "gre_seoul_1"
    with pytest.raises(RenderError):
        text.symbol("gre_seoul")


def test_an_address_has_no_zone() -> None:
    assert text.address(IPv4Network("203.0.113.0/24")) == "203.0.113.0/24"
    with pytest.raises(RenderError):
        text.address(IPv6Address('fe80::1%"; drop'))
    with pytest.raises(RenderError):
        text.address("203.0.113.1")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-1, True, "1", 1.0, None])
def test_numbers_are_whole_and_not_negative(value: object) -> None:
    with pytest.raises(RenderError):
        text.number(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "source", ["{{ value }}", "{{ value | upper }}", "{{ 'x' ~ value }}", "{{ value | join }}"]
)
def test_a_template_cannot_print_what_no_filter_admitted(tmp_path: Path, source: str) -> None:
    (tmp_path / "a.j2").write_text(source)
    with pytest.raises(RenderError):
        template.load(tmp_path, "a.j2").render(value="plain")


def test_a_template_prints_admitted_values_and_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.j2").write_text("{{ a }} {{ b | name }} {{ c }}")
    assert template.load(tmp_path, "a.j2").render(a=Admitted("x y"), b="n", c=3) == "x y n 3"
