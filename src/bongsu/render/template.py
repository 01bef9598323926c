"""Jinja templates beside their renderers: strict, and every value through a typed filter.

A template prints nothing but what a filter of bongsu.render.text has admitted: `finalize` refuses
plain strings that were not marked by one, so a forgotten filter is an error and not a hole.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from bongsu.render import text
from bongsu.render.text import RenderError


class Admitted(str):
    """Text that may be printed as it is."""

    __slots__ = ()


def load(directory: Path, file: str) -> Template:
    """The template of that name in a renderer's own directory."""
    return _environment(directory).get_template(file)


@cache
def _environment(directory: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(directory),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_finalize,
        # The output is no HTML; escaping is the filters' work.
        autoescape=False,  # noqa: S701
    )
    for filter_ in (text.name, text.symbol, text.interface, text.address, text.number):
        environment.filters[filter_.__name__] = _admitting(filter_)
    environment.filters["words"] = _words
    return environment


def _admitting(filter_: Callable[[Any], str]) -> Callable[[Any], Admitted]:
    return lambda value: Admitted(filter_(value))


def _words(values: list[Any], separator: str = ", ") -> Admitted:
    """Addresses, prefixes or admitted text, joined."""
    return Admitted(
        separator.join(v if isinstance(v, Admitted) else text.address(v) for v in values)
    )


def _finalize(value: Any) -> Any:
    if isinstance(value, Admitted):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise RenderError(f"a template prints {value!r} without a filter")
