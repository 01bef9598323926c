"""The YAML parser: text to events with marks, and nothing of what they mean.

libyaml through PyYAML takes 2.3 us an event, and a site has 140 of them. Where PyYAML was built
without libyaml its own parser in Python stands in, 20 times slower. It reads the same language but
for two things inside brackets: a plain word with `?` in it, which it refuses, and one that ends with
`:`, which it takes for a key without a value where libyaml refuses it.
"""

from collections.abc import Callable
from typing import Any

import yaml

FAST = yaml.__with_libyaml__
"""Whether libyaml is at work."""

Alias = yaml.AliasEvent
DocumentStart = yaml.DocumentStartEvent
MappingEnd = yaml.MappingEndEvent
MappingStart = yaml.MappingStartEvent
# The stubs have it that an event may lack its mark; parsed ones never do.
Scalar: type[Any] = yaml.ScalarEvent
SequenceEnd = yaml.SequenceEndEvent
StreamEnd = yaml.StreamEndEvent

YamlError = yaml.YAMLError


def event_reader(text: str) -> Callable[[], Any]:
    """A function that gives the next event of the text. It raises YamlError where there is none."""
    # Of the loader only the parser runs: nothing is resolved or constructed.
    return yaml.CSafeLoader(text).get_event if FAST else yaml.SafeLoader(text).get_event
