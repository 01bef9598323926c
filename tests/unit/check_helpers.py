"""Networks for the tests of checks: examples, changed in a few places."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from bongsu.checks import Finding, run_checks
from bongsu.intent import load_text
from bongsu.intent.document import read_document
from bongsu.plan.compile import compile_network

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE = EXAMPLES / "anycast.yaml"


@cache
def _example(name: str) -> str:
    return json.dumps(read_document((EXAMPLES / f"{name}.yaml").read_text(), name).root)


def example(name: str = "anycast") -> dict[str, Any]:
    """An example's values without its lab, which would have to know every change."""
    values: dict[str, Any] = json.loads(_example(name))
    del values["lab"], values["tests"]
    return values


def merged(base: Any, change: Any) -> Any:
    """Mappings are merged key by key, null takes a key away, anything else takes the old's place."""
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    result = dict(base)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key, {}), value)
    return result


def check_values(values: dict[str, Any]) -> list[Finding]:
    """Findings of a network given as values. JSON is YAML, so it takes the front door."""
    loaded = load_text(json.dumps(values), "test.yaml")
    for finding in (found := run_checks(loaded.network, compile_network(loaded.network))):
        assert loaded.locate(finding.path).line >= 1
        assert finding.message
    return found


def values_of(yaml_text: str) -> dict[str, Any]:
    """The values that a YAML text stands for."""
    root: dict[str, Any] = read_document(yaml_text, "values.yaml").root
    return root


def check_change(yaml_text: str, name: str = "anycast") -> list[Finding]:
    """Findings of an example with a change."""
    return check_values(merged(example(name), values_of(yaml_text)))


def found_codes(yaml_text: str, name: str = "anycast") -> set[str]:
    """Codes of what is found in an example with a change."""
    return {finding.code for finding in check_change(yaml_text, name)}
