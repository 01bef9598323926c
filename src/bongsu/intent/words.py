"""pydantic's verdict in an operator's words: one message for one value, whatever union it failed.

pydantic says only where; what is meant there is read from the schema, and why it was missed from the
value. The value of a secret, and of anything that might have been meant as one, is never shown.
"""

import difflib
import re
from collections.abc import Iterator
from ipaddress import ip_interface, ip_network
from typing import Any

from pydantic import ValidationError

from bongsu.intent.document import Document
from bongsu.intent.problem import HIDDEN, Path, Problem, value_text
from bongsu.intent.shape import expected, is_secret, known_keys, schemas_at, tag

_MEASURE = re.compile(r"([-+]?[0-9]+(?:\.[0-9]+)?)\s*([A-Za-z/%]+)\Z")
_UNITS = {"_ms": "milliseconds", "_s": "seconds", "_mbps": "megabits per second"}
_TRUE, _FALSE = ("yes", "on", "y", "1", "true"), ("no", "off", "n", "0", "false")


def shape_problems(error: ValidationError, document: Document) -> list[Problem]:
    """All that the model refused, each value once."""
    found: dict[Path, str] = {}
    said: dict[Path, str] = {}
    unions: set[Path] = set()
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        kind = item["type"]
        missing = kind == "missing"
        path, in_union = _path(item["loc"][:-1] if missing else item["loc"], document.root)
        if in_union is not None:
            unions.add(in_union)
        if missing:
            path = (*path, str(item["loc"][-1]))
        if kind == "value_error":
            said.setdefault(path, item["msg"].partition(", ")[2])
        if item["loc"] and item["loc"][-1] == "[key]":
            kind = "key"
        found.setdefault(path, kind)
    # A mapping that is wrong inside was still the mapping that was meant: say only what is inside.
    above = {path[:length] for path in found for length in range(len(path))}
    return [
        _problem(path, kind, document, said.get(path))
        for path, kind in found.items()
        if not (path in unions and path in above)
    ]


def _path(loc: tuple[str | int, ...], value: Any) -> tuple[Path, Path | None]:
    """The file's path of a location, without the names that pydantic gives to a union's members.

    And the path of the last union on the way, if there was one.
    """
    path: list[str | int] = []
    union: Path | None = None
    for item in loc:
        if item == "[key]":
            continue
        if not _leads_on(item, value):
            # The name of a union's member, and no part of the file.
            union = tuple(path)
            continue
        value = value[item]
        path.append(item)
    return tuple(path), union


def _leads_on(item: str | int, value: Any) -> bool:
    if isinstance(value, dict):
        # tests[0].reach.to: the kind of an assertion stands in a location as if it were a key.
        return item in value and item not in (value.get("expect"), value.get("mode"))
    return isinstance(value, list) and isinstance(item, int) and item < len(value)


def _problem(path: Path, kind: str, document: Document, said: str | None) -> Problem:
    root = document.root
    if kind == "missing":
        return _missing(path, document)
    if kind in ("extra_forbidden", "key"):
        line, column = document.key_position(path)
        message, hint = _unknown(path, root) if kind == "extra_forbidden" else _bad_name(path)
        return Problem(document.file, line, column, path, None, message, hint)
    value = _value_at(path, root)
    schemas = schemas_at(path, root)
    line, column = document.position(path)
    if is_secret(path, root):
        words = f"expected {expected(schemas)}"
        hint = "the secret itself never stands in the file"
        if path[0] == "lab":
            hint = "put it into quotes"
        return Problem(document.file, line, column, path, HIDDEN, words, hint)
    if kind.startswith("union_tag"):
        return _untold(path, value, document)
    if kind in ("too_short", "too_long"):
        words = _size(schemas, value)
        return Problem(document.file, line, column, path, None, words, None)
    if said is not None and isinstance(value, dict):
        return Problem(document.file, line, column, path, None, said, None)
    if said is not None and isinstance(value, str) and expected(schemas) == "text":
        # The model's own verdict, where the schema knows no more than that it is a text.
        return Problem(document.file, line, column, path, value_text(value), said, None)
    words = f"expected {expected(schemas)}"
    return Problem(
        document.file, line, column, path, value_text(value), words, _why(path, value, schemas)
    )


def _missing(path: Path, document: Document) -> Problem:
    line, column = document.position(path[:-1])
    meant = expected(schemas_at(path, document.root))
    message = f"`{path[-1]}` is missing"
    return Problem(document.file, line, column, path[:-1], None, message, f"it is {meant}")


def _unknown(path: Path, root: Any) -> tuple[str, str]:
    keys = known_keys(schemas_at(path[:-1], root))
    known = "known here: " + ", ".join(keys)
    close = next(_alike(str(path[-1]), keys), None)
    return f"unknown key `{path[-1]}`", known if close is None else f"did you mean {close}? {known}"


def _alike(word: str, known: list[str]) -> Iterator[str]:
    # `delay` for `delay_ms`: the unit was forgotten.
    yield from (key for key in known if key.rpartition("_")[0] == word)
    yield from difflib.get_close_matches(word.lower().replace("-", "_"), known, 1, 0.6)


def _bad_name(path: Path) -> tuple[str, str]:
    schemas = schemas_at(path[:-1], None)
    patterns = [key for schema in schemas for key in schema.get("patternProperties", ())]
    meant = expected([{"type": "string", "pattern": patterns[0]}] if patterns else [])
    return f"{value_text(path[-1])} is not a valid name", f"expected {meant}"


def _untold(path: Path, value: Any, document: Document) -> Problem:
    schemas = schemas_at(path, None)
    key = tag(schemas)
    kinds = [
        str(schema["properties"][key]["const"])
        for schema in schemas
        if key in schema.get("properties", {})
    ]
    known = ", ".join(kinds[:-1]) + f" or {kinds[-1]}"
    if isinstance(value, dict) and key in value:
        at = (*path, key)
        line, column = document.position(at)
        close = difflib.get_close_matches(str(value[key]), kinds, 1)
        hint = f"did you mean {close[0]}?" if close else None
        words = f"expected {known}"
        return Problem(document.file, line, column, at, value_text(value[key]), words, hint)
    line, column = document.position(path)
    return Problem(document.file, line, column, path, None, f"`{key}` is missing", f"it is {known}")


def _size(schemas: list[dict[str, Any]], value: Any) -> str:
    count = len(value)
    low = next((s[k] for s in schemas for k in ("minItems", "minProperties") if k in s), None)
    high = next((s[k] for s in schemas for k in ("maxItems", "maxProperties") if k in s), None)
    if low is not None and low == high:
        return f"expected exactly {low}, found {count}"
    if count == 0:
        return "it is empty"
    if low is not None and count < low:
        return f"expected at least {low}, found {count}"
    return f"expected at most {high}, found {count}"


def _why(path: Path, value: Any, schemas: list[dict[str, Any]]) -> str | None:
    """A hint from the way in which the value missed."""
    kinds = {schema.get("type") for schema in schemas}
    formats = {schema.get("format") for schema in schemas}
    if value is None:
        return "nothing stands after the `:`"
    if isinstance(value, str):
        words = [str(w) for s in schemas for w in (*s.get("enum", ()), s.get("const")) if w]
        if close := difflib.get_close_matches(value, words, 1, 0.7):
            return f"did you mean {close[0]}?"
        if "ipv4network" in formats:
            return _prefix_hint(value)
        if "ipv4interface" in formats and "/" not in value:
            return f"add the prefix length, such as {value}/24" if _is_address(value) else None
        if "ipv4" in formats and "/" in value and _is_interface(value):
            return "without the prefix length"
        if kinds & {"integer", "number"}:
            return _number_hint(str(path[-1]), value)
        if "boolean" in kinds and value.lower() in _TRUE + _FALSE:
            meant = "true" if value.lower() in _TRUE else "false"
            if value == meant:
                return "remove the quotes"
            return f"write {meant}; in YAML 1.2 yes, no, on and off are words"
        return None
    plain = any(
        s.get("type") == "string"
        and not {"const", "enum", "format"} & s.keys()
        # where a text has to have a form, quotes alone do not give it
        and re.match(s.get("pattern", ""), f"{value}")
        for s in schemas
    )
    if isinstance(value, int | float) and plain:
        return f'in quotes it is text: "{value}"'
    if isinstance(value, float) and "integer" in kinds and value.is_integer():
        return f"write {int(value)}"
    if not isinstance(value, list) and "array" in kinds:
        return "a list of one is written [x]"
    return None


def _number_hint(key: str, value: str) -> str | None:
    if re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?", value):
        return "remove the quotes"
    if match := re.fullmatch(r"AS([0-9]+)", value, re.I):
        return f"write {match[1]}"
    if _MEASURE.match(value):
        unit = next((word for end, word in _UNITS.items() if key.endswith(end)), None)
        if unit is not None:
            return f"without a unit: it is in {unit}"
        return "without a unit"
    return None


def _prefix_hint(value: str) -> str | None:
    if "/" not in value:
        return f"add the length, such as {value}/24" if _is_address(value) else None
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        return None
    return f"bits are set behind the length; the prefix is {network}"


def _is_address(value: str) -> bool:
    return "/" not in value and _is_interface(value)


def _is_interface(value: str) -> bool:
    try:
        ip_interface(value)
    except ValueError:
        return False
    return True


def _value_at(path: Path, value: Any) -> Any:
    for item in path:
        value = value[item]
    return value
