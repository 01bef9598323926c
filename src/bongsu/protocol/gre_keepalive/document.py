"""What docs/gre-keepalive.md shows of this room, made from the tables themselves."""

from bongsu.protocol.gre_keepalive.dialects import FORMS, Evidence
from bongsu.protocol.gre_keepalive.machine import TABLE, Line, Transition

_DONE = (
    ("announces", "announce"),
    ("clears", "counter = 0"),
    ("counts", "streak + 1"),
    ("forgets", "streak = 0"),
    ("sends", "send, counter + 1"),
)


def state_diagram() -> str:
    """TABLE as a Mermaid state diagram: an edge is an event and, after the slash, what is done."""
    lines = ["stateDiagram-v2", f"    [*] --> {Line.UP.value}"]
    for (line, event), transition in TABLE.items():
        label = f"{event.value} / {_done(transition)}"
        lines.append(f"    {line.value} --> {transition.line.value}: {label}")
    return "\n".join(lines) + "\n"


def dialect_table() -> str:
    """FORMS as a table in Markdown, with what every statement rests on."""
    lines = ["| dialect | differs from Cisco's by | known from |", "|---|---|---|"]
    for dialect, form in FORMS.items():
        known = "<br>".join(f"{_shown(kind)}: {text}" for kind, text in form.sources)
        lines.append(f"| `{dialect.value}` | {form.differs} | {known} |")
    return "\n".join(lines) + "\n"


def _done(transition: Transition) -> str:
    words = [word for field, word in _DONE if getattr(transition, field)]
    return ", ".join(words) or "nothing"


def _shown(kind: Evidence) -> str:
    return f"**{kind.value}**" if kind is Evidence.INFERRED else kind.value
