"""From text to a network: strictness, places of the model's parts, and the published schema."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bongsu.intent import IntentError, Loaded, load_text, model_schema
from bongsu.intent.document import read_document
from bongsu.intent.shape import FORMATS, PATTERNS

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
MINIMAL = """
version: 1
name: small
owner: {asn: 64500, prefixes: [103.178.34.0/23]}
nodes:
  seoul: {role: pop, interfaces: {ens3: {role: uplink, addresses: [203.0.113.10/24]}}}
"""


def load(text: str) -> Loaded:
    return load_text(text, "net.yaml")


def test_the_smallest_network() -> None:
    network = load(MINIMAL).network
    assert network.nodes["seoul"].interfaces["ens3"].mtu == 1500
    assert network.lab is None


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_part_of_an_example_has_its_place(path: Path) -> None:
    loaded = load_text(path.read_text(), path.name)
    lines = path.read_text().splitlines()
    network = loaded.network
    parts = [("tunnels", name, "ends") for name in network.tunnels]
    parts += [("vpns", name, "tunnels") for name in network.vpns]
    assert parts
    for part in parts:
        place = loaded.locate(part)
        assert lines[place.line - 1][place.column - 1 :].startswith(f"{part[-1]}:")
    place = loaded.locate(("name",))
    found = (place.file, lines[place.line - 1][place.column - 1 :])
    assert found == (path.name, loaded.network.name)


def test_a_default_is_located_at_what_it_is_a_default_of() -> None:
    loaded = load(MINIMAL)
    place = loaded.locate(("nodes", "seoul", "interfaces", "ens3", "mtu"))
    assert place == loaded.locate(("nodes", "seoul", "interfaces", "ens3"))


@pytest.mark.parametrize(
    "change",
    [
        ("asn: 64500", 'asn: "64500"'),
        ("asn: 64500", "asn: 64500.0"),
        ("asn: 64500", "asn: true"),
        ("name: small", "name: 5"),
        ("203.0.113.10/24", "3405803786"),
    ],
)
def test_nothing_is_turned_into_something_else(change: tuple[str, str]) -> None:
    with pytest.raises(IntentError) as caught:
        load(MINIMAL.replace(*change))
    assert len(caught.value.problems) == 1


def test_an_error_keeps_no_trace_of_the_model() -> None:
    with pytest.raises(IntentError) as caught:
        load(MINIMAL.replace("64500", "x"))
    assert caught.value.__suppress_context__


def test_the_published_schema_is_the_models() -> None:
    published = json.loads((ROOT / "docs" / "schema.json").read_text())
    assert published == model_schema(), "bongsu schema > docs/schema.json"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(model_schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid_by_the_schema(path: Path) -> None:
    values = read_document(path.read_text(), path.name).root
    jsonschema.Draft202012Validator(model_schema()).validate(values)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("nodes", "seoul", "rol"), "pop"),
        (("nodes", "Seoul"), {}),
        (("owner", "asn"), "64500"),
        (("owner", "asn"), 0),
        (("tunnels", "gre-seoul", "tos"), 256),
        (("nodes", "seoul", "bgp", "neighbors", "vultr", "password"), "hunter2"),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(path: tuple[str, ...], value: Any) -> None:
    values = read_document((ROOT / "examples" / "anycast.yaml").read_text(), "x").root
    inner = values
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert not jsonschema.Draft202012Validator(model_schema()).is_valid(values)
    with pytest.raises(IntentError):
        load(json.dumps(values))


def test_every_pattern_and_format_has_its_words() -> None:
    text = json.dumps(model_schema())
    found: set[tuple[str, str]] = set()

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            for key, item in part.items():
                if key in ("pattern", "format") and isinstance(item, str):
                    found.add((key, item))
                if key == "patternProperties":
                    found.update(("pattern", pattern) for pattern in item)
                walk(item)
        elif isinstance(part, list):
            for item in part:
                walk(item)

    walk(json.loads(text))
    assert {item for kind, item in found if kind == "pattern"} == set(PATTERNS)
    assert {item for kind, item in found if kind == "format"} == set(FORMATS)


def test_a_reference_with_a_line_end_is_no_reference() -> None:
    text = MINIMAL.replace(
        "{ens3:",
        "{ens3: {role: uplink, addresses: [203.0.113.10/24]}}, bgp: {neighbors: {n: {asn: 1, "
        'address: 203.0.113.1, password: "env:X\\n"}}}}\n  other: {role: pop, interfaces: {ens3:',
    )
    with pytest.raises(IntentError) as caught:
        load(text)
    (problem,) = caught.value.problems
    assert problem.path[-1] == "password"
    assert problem.value == "<hidden>"
