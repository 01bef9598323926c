"""The language of strongswan.conf(5) and swanctl.conf(5): sections of settings, sections in sections.

Values come from bongsu.render.text and are quoted where a blank or a sign of the language is in them.
"""

import re
from collections.abc import Mapping
from typing import TypeAlias, Union

from bongsu.render.secret import marked

Settings: TypeAlias = Mapping[str, Union[str, int, "Settings", None]]
"""What is None is left out: a default that is written is a change that somebody has to think about."""

_PLAIN = re.compile(r"[A-Za-z0-9%-][A-Za-z0-9%._:@/,+-]*")


def lines(settings: Settings, depth: int = 0) -> list[str]:
    """The settings, each on a line, indented by two blanks a level."""
    found: list[str] = []
    for key, value in settings.items():
        start = "  " * depth + key
        if value is None:
            continue
        if isinstance(value, Mapping):
            found += [f"{start} {{", *lines(value, depth + 1), "  " * depth + "}"]
        else:
            found.append(f"{start} = {_value(str(value))}")
    return found


def document(header: list[str], settings: Settings) -> str:
    """A whole file."""
    return "\n".join([*(f"# {line}" for line in header), "", *lines(settings)]) + "\n"


def _value(text: str) -> str:
    # What takes a marker's place may hold signs of the language.
    if _PLAIN.fullmatch(text) and not marked(text):
        return text
    # No escapes are needed: bongsu.render.text admits neither quotes nor backslashes.
    if '"' in text or "\\" in text or "\n" in text:
        raise AssertionError("a value came past bongsu.render.text")
    return f'"{text}"'
