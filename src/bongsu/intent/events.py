"""The YAML parser: text to events with marks, and nothing of what they mean.

libyaml through PyYAML's C extension: 0.9 s for the 240,000 events of 3,000 sites, where ruamel's
parser in Python takes 16 s. The latter stands in where the extension is not installed; it reads the
same language but for `::1` bare inside brackets, which libyaml wants quoted.
"""

import importlib
from collections.abc import Callable
from typing import Any

from ruamel.yaml import YAML

try:
    _LIBYAML: Any = importlib.import_module("yaml.cyaml")
except ImportError:
    _LIBYAML = None

FAST = _LIBYAML is not None
"""Whether libyaml is at work."""

_CLASSES = importlib.import_module("yaml.events" if FAST else "ruamel.yaml.events")

Alias: Any = _CLASSES.AliasEvent
DocumentStart: Any = _CLASSES.DocumentStartEvent
MappingEnd: Any = _CLASSES.MappingEndEvent
MappingStart: Any = _CLASSES.MappingStartEvent
Scalar: Any = _CLASSES.ScalarEvent
SequenceEnd: Any = _CLASSES.SequenceEndEvent
StreamEnd: Any = _CLASSES.StreamEndEvent

YamlError: Any = importlib.import_module("yaml.error" if FAST else "ruamel.yaml.error").YAMLError


def event_reader(text: str) -> Callable[[], Any]:
    """A function that gives the next event of the text. It raises YamlError where there is none."""
    if _LIBYAML is not None:
        get_event: Callable[[], Any] = _LIBYAML.CParser(text).get_event
        return get_event
    events = YAML(typ="safe", pure=True).parse(text)
    return lambda: next(events)
