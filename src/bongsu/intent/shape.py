"""Walking the schema beside a value: what is allowed at a place, and in which words to say it."""

from collections.abc import Iterable
from typing import Any

from bongsu.intent.problem import Path
from bongsu.intent.schema import Schema, shared_schema

PATTERNS = {
    r"^[a-z][a-z0-9-]{0,30}$": (
        "a name of lower-case letters, digits and hyphens, 31 characters at most"
    ),
    r"^[a-z][a-z0-9-]{0,12}$": (
        "a tunnel's name of lower-case letters, digits and hyphens, 13 characters at most"
    ),
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$": (
        "an interface name of letters, digits, `_`, `.` and `-`, 15 characters at most"
    ),
    r"^[a-z][a-z0-9-]{0,30}/[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$": (
        "a node and one of its interfaces such as router-a/eth0"
    ),
    r"^(link-down|silent-loss|node-kill|daemon-kill|wrong-key):[a-z][a-z0-9-]*(/[\w.-]+)?$": (
        "a fault such as link-down:NODE/INTERFACE, silent-loss:NODE, silent-loss:TUNNEL, "
        "daemon-kill:NODE/DAEMON, node-kill:NODE or wrong-key:TUNNEL"
    ),
    r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/[^\0\n]+)$": (
        "a reference to a secret, env:NAME or file:/path"
    ),
    r"^(esp|(udp|tcp)/[1-9][0-9]{0,4})$": "esp, or a protocol and a port such as udp/500",
    r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]$": (
        "a host name such as vpn.example.net"
    ),
    r"^[0-9]{1,5}-[0-9]{1,5}$": "a range of ports such as 6000-6100",
    r"^/[\w./@+-]+$": "the absolute path of a file such as /etc/bongsu/vpn.pem",
    r"^[A-Za-z0-9][A-Za-z0-9.:@_=, /-]{0,254}$": (
        "an IKE identity: an address, a name or a distinguished name"
    ),
}
"""Each pattern of the model in words; a test sees that none is missing."""

FORMATS = {
    "ipv4": "an IP address such as 192.0.2.1 or 2001:db8::1",
    "ipv6": "an IP address such as 192.0.2.1 or 2001:db8::1",
    "ipv4interface": "an address with its prefix length such as 192.0.2.1/24 or 2001:db8::1/64",
    "ipv6interface": "an address with its prefix length such as 192.0.2.1/24 or 2001:db8::1/64",
    "ipv4network": "a prefix such as 192.0.2.0/24 or 2001:db8::/32",
    "ipv6network": "a prefix such as 192.0.2.0/24 or 2001:db8::/32",
}


def alternatives(schema: Schema) -> list[Schema]:
    """What a schema is, references followed and null left out; more than one for a union."""
    while "$ref" in schema:
        schema = shared_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
    parts = schema.get("anyOf") or schema.get("oneOf")
    if parts is None:
        return [] if schema.get("type") == "null" else [schema]
    return [found for part in parts for found in alternatives(part)]


def schemas_at(path: Path, value: Any) -> list[Schema]:
    """What is allowed at a path of a file's value. Empty where nothing is known of it."""
    found = alternatives(shared_schema())
    for item in path:
        found = [part for schema in _narrowed(found, value) for part in _step(schema, item)]
        if isinstance(value, dict) and isinstance(item, str):
            value = value.get(item)
        elif isinstance(value, list) and isinstance(item, int) and item < len(value):
            value = value[item]
        else:
            value = None
    return _narrowed(found, value)


def known_keys(schemas: Iterable[Schema]) -> list[str]:
    """Keys that may stand in a mapping."""
    return list(dict.fromkeys(key for item in schemas for key in item.get("properties", ())))


def is_secret(path: Path, value: Any) -> bool:
    """Whether a path is a secret's, or leads below one."""
    return any(
        schema.get("writeOnly", False)
        for length in range(1, len(path) + 1)
        for schema in schemas_at(path[:length], value)
    )


def expected(schemas: Iterable[Schema]) -> str:
    """What is meant at a place: `a whole number from 0 to 255, or inherit`."""
    schemas = list(schemas)
    mappings = [schema for schema in schemas if "properties" in schema]
    if len(mappings) > 1:
        # Told apart by one key, as assertions are: that key is what to begin with.
        schemas = [schema for schema in schemas if schema not in mappings]
        schemas.append({"type": "object", "properties": {tag(mappings): {}}})
    phrases = list(dict.fromkeys(_phrase(schema) for schema in schemas))
    if not phrases:
        return "something else"
    if len(phrases) == 1:
        return phrases[0]
    return ", ".join(phrases[:-1]) + f", or {phrases[-1]}"


def tag(schemas: Iterable[Schema]) -> str:
    """The key that tells a union's mappings apart, as `expect` does of assertions; "" without one."""
    return next((key for schema in schemas for key, _ in _constants(schema)), "")


def _constants(schema: Schema) -> list[tuple[str, Any]]:
    return [
        (key, item["const"])
        for key, item in schema.get("properties", {}).items()
        if "const" in item
    ]


def _narrowed(schemas: list[Schema], value: Any) -> list[Schema]:
    """Of a union told apart by one key, the alternative that the value names."""
    if len(schemas) > 1 and isinstance(value, dict):
        tagged = [
            schema
            for schema in schemas
            if any(value.get(key) == constant for key, constant in _constants(schema))
        ]
        return tagged or schemas
    return schemas


def _step(schema: Schema, item: str | int) -> list[Schema]:
    if isinstance(item, int):
        return alternatives(schema["items"]) if "items" in schema else []
    if item in schema.get("properties", {}):
        return alternatives(schema["properties"][item])
    for part in schema.get("patternProperties", {}).values():
        return alternatives(part)
    extra = schema.get("additionalProperties")
    return alternatives(extra) if isinstance(extra, dict) else []


def _phrase(schema: Schema) -> str:
    if "const" in schema:
        return _word(schema["const"])
    if "enum" in schema:
        words = [_word(item) for item in schema["enum"]]
        return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
    if "format" in schema:
        return FORMATS.get(schema["format"], "text")
    kind = schema.get("type")
    if kind == "string":
        return PATTERNS.get(schema.get("pattern", ""), "text")
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _bounds(schema)
    if kind == "boolean":
        return "true or false"
    if kind == "array":
        items = expected(alternatives(schema["items"]))
        return f"a list, each item {items}" if "anyOf" not in items else "a list"
    if "properties" in schema:
        keys = list(schema["properties"])
        return "a mapping with " + ", ".join(keys[:6]) + (", ..." if len(keys) > 6 else "")
    return "a mapping of names"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if schema["type"] == "integer" and above is not None:
        low, above = above + 1, None
    start = f"{low:g}" if isinstance(low, float) else str(low)
    if low is not None and high is not None:
        end = f"{high:g}" if isinstance(high, float) else str(high)
        return f" from {start} to {end}"
    parts = [
        None if low is None else f"of at least {start}",
        None if above is None else f"above {above:g}",
        None if high is None else f"of at most {high:g}",
        None if below is None else f"below {below:g}",
    ]
    text = " and ".join(part for part in parts if part)
    return f" {text}" if text else ""
