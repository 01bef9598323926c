"""A YAML parser's complaint in words that help.

libyaml and ruamel's own parser word the same errors differently and in the language of grammars; the
table below has the ones that a person meets. What the offending line says is never repeated: it may
hold a secret.
"""

_WORDS: tuple[tuple[str, str, str | None], ...] = (
    (
        "mapping values are not allowed",
        "a `:` where no key can stand",
        "look for a missing quote, or a line that is indented too far",
    ),
    (
        "could not find expected ':'",
        "a key without its `:`",
        "look at the line above, too: a quote or bracket may be open",
    ),
    (
        "did not find expected key",
        "a key is expected here",
        "indent the lines of one mapping equally far",
    ),
    (
        "<block end>",
        "a key is expected here",
        "indent the lines of one mapping equally far",
    ),
    (
        "did not find expected '-' indicator",
        "a list goes on here with something that is not `- `",
        "indent the items of one list equally far",
    ),
    ("expected ',' or '}'", "a `{` is not closed", "put `,` between pairs and `}` at the end"),
    ("expected ',' or ']'", "a `[` is not closed", "put `,` between items and `]` at the end"),
    ("found unexpected end of stream", "a quote is not closed", None),
    (
        "cannot start any token",
        "no value can start with this character",
        "put the value into quotes",
    ),
    ("found undefined alias", "an alias has no anchor above it", None),
    ("unknown escape character", "an unknown escape in a quoted text", "use single quotes"),
    ("control characters are not allowed", "a control character", "remove it"),
    ("special characters are not allowed", "a control character", "remove it"),
    (
        "block sequence entries are not allowed",
        "a list cannot start here",
        "start it on a new line",
    ),
)


def syntax_words(error: Exception, text: str) -> tuple[int, int, str, str | None]:
    """Line, column (from 1), message and hint of a parser's exception."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line, mark.column) if mark is not None else _reader_place(text)
    if _character(text, line, column) == "\t":
        return line + 1, column + 1, "a tab cannot indent or start a value", "use spaces"
    complaint = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    for part, message, hint in _WORDS:
        if part in complaint:
            return line + 1, column + 1, f"not YAML: {message}", hint
    return line + 1, column + 1, "not YAML: what stands here cannot be read", None


def _reader_place(text: str) -> tuple[int, int]:
    """The reader gives an offset only, and libyaml counts it in bytes: look for the character."""
    for number, line in enumerate(text.split("\n")):
        for column, character in enumerate(line):
            if not character.isprintable() and character not in "\t\r\u0085\u2028\u2029\ufeff":
                return number, column
    return 0, 0


def _character(text: str, line: int, column: int) -> str:
    lines = text.split("\n", line + 1)
    return lines[line][column : column + 1] if line < len(lines) else ""
