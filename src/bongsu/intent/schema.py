"""The network file's JSON Schema (draft 2020-12), for editors and other people's tools.

It is also what the words for a wrong value are made from, so the published schema and the messages
cannot disagree.
"""

from functools import cache
from typing import Any, TypeAlias

from bongsu.model.network import Network

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema: TypeAlias = dict[str, Any]


def model_schema() -> Schema:
    """The schema, generated from the model. It knows shapes, not references between parts."""
    schema = Network.model_json_schema(by_alias=True, mode="validation")
    _close(schema)
    return {"$schema": DIALECT, **schema, "title": "bongsu network file, version 1"}


@cache
def shared_schema() -> Schema:
    """The same, made once; not to be changed."""
    return model_schema()


def _close(schema: Any) -> None:
    # pydantic says which names are good, but forgets to say that no others are.
    if isinstance(schema, dict):
        if "patternProperties" in schema:
            schema["additionalProperties"] = False
        for part in schema.values():
            _close(part)
    elif isinstance(schema, list):
        for part in schema:
            _close(part)
