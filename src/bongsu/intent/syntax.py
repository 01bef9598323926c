"""A YAML parser's complaint in words that help.

libyaml and PyYAML's own parser word the same errors differently and in the language of grammars; the
table below has the ones that a person meets. What the offending line says is never repeated: it may
hold a secret.
"""

_STRAY = "a line that belongs to nothing above it"
_INDENT = "indent the lines of one mapping, or list, equally far"

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
    ("did not find expected key", _STRAY, _INDENT),
    ("did not find expected '-'", _STRAY, _INDENT),
    ("expected <block end>", _STRAY, _INDENT),
    ("expected ',' or '}'", "this `{` is not closed", "put `,` between pairs and `}` at the end"),
    ("expected ',' or ']'", "this `[` is not closed", "put `,` between items and `]` at the end"),
    ("found unexpected end of stream", "this quote is not closed", None),
    ("found unexpected document separator", "this quote is not closed", None),
    ("cannot start any token", "no value can start with this character", "put it into quotes"),
    ("unknown escape character", "this quoted text has an unknown escape", "use single quotes"),
    ("escape sequence", "this quoted text has an unknown escape", "use single quotes"),
    ("node content", "a value is missing", "is a bracket above still open?"),
    ("control characters are not allowed", "a control character", "remove it"),
    ("special characters are not allowed", "a control character", "remove it"),
    ("surrogates not allowed", "a control character", "remove it"),
    ("sequence entries are not allowed", "a list cannot start here", "start it on a new line"),
)
"""A part of the complaint, what to say, and a hint. The first that fits is taken."""

_OPENINGS = ("this ",)
"""What is said of the place where something was opened rather than of where it was missed."""

_COLON_HINT = "inside [ ] and { }, put an IPv6 address that starts or ends with `:` into quotes"


def syntax_words(error: Exception, text: str) -> tuple[int, int, str, str | None]:
    """Line, column (from 1), message and hint of a parser's exception."""
    complaint = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    problem, context = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    known = next((row for row in _WORDS if row[0] in complaint), None)
    if known is not None and known[1].startswith(_OPENINGS) and context is not None:
        problem = context
    mark = problem or context
    line, column = (mark.line, mark.column) if mark is not None else _odd_character(text)
    character = _character(text, line, column)
    words: str
    hint: str | None
    if character == "\t":
        words, hint = "a tab cannot indent or start a value", "use spaces"
    elif character == ":" and (known is None or known[0] == "node content"):
        words, hint = "a `:` that cannot stand here", _COLON_HINT
    elif known is not None:
        _part, words, hint = known
    else:
        words, hint = "what stands here cannot be read", None
    return line + 1, column + 1, f"not YAML: {words}", hint


def _odd_character(text: str) -> tuple[int, int]:
    """Errors of encoding have no mark, and libyaml counts in bytes: look for the character."""
    for number, line in enumerate(text.split("\n")):
        for column, character in enumerate(line):
            if not character.isprintable() and character not in "\t\r\u0085\u2028\u2029\ufeff":
                return number, column
    return 0, 0


def _character(text: str, line: int, column: int) -> str:
    lines = text.split("\n", line + 1)
    return lines[line][column : column + 1] if line < len(lines) else ""
