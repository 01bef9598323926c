"""A helper page as Markdown (GitHub's: with tables). Every value stands in code, whatever is in it."""

import re

from bongsu.render.helper.page import (
    Block,
    Bullets,
    Check,
    Code,
    Heading,
    Page,
    Paragraph,
    Plain,
    Table,
    Text,
)

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|])")


def markdown(page: Page, header: list[str]) -> str:
    """The page's text."""
    comment = ["<!--", *header, "-->"]
    parts = ["\n".join(comment), f"# {_inline(page.title)}"]
    parts += [_block(block) for block in page.blocks]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Heading(level, words):
            return f"{'#' * level} {_inline(words)}"
        case Paragraph(words):
            return _inline(words)
        case Bullets(items):
            return "\n".join(f"- {_inline(item)}" for item in items)
        case Table(head, rows):
            lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
            lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
            return "\n".join(lines)
        case Check(commands, expected, label):
            shown = "\n".join(commands)
            fence = _fence(shown, 3)
            before = f"{label}:\n\n{fence}sh\n{shown}\n{fence}\n\n" if commands else f"{label}: "
            return before + _inline(expected)


def _inline(words: Text) -> str:
    parts = []
    for span in words:
        if isinstance(span, Plain):
            parts.append(_escaped(span.text))
        elif isinstance(span, Code):
            parts.append(_code(span.text))
        else:
            parts.append(f"*{_escaped(span.text)}*")
    return "".join(parts)


def _escaped(words: str) -> str:
    return _SPECIAL.sub(r"\\\1", words)


def _cell(words: Text) -> str:
    # In a table a bar ends the cell, even within code.
    return "".join(
        _code(span.text).replace("|", "\\|") if isinstance(span, Code) else _inline((span,))
        for span in words
    )


def _code(value: str) -> str:
    fence = _fence(value, 1)
    pad = " " if value.startswith("`") or value.endswith("`") else ""
    return f"{fence}{pad}{value}{pad}{fence}"


def _fence(value: str, least: int) -> str:
    runs = [len(run) for run in re.findall(r"`+", value)]
    return "`" * max(least, max(runs, default=0) + 1)
