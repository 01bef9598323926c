"""A console's steps with every value filled in, at the cloud or at a site that is a service itself."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bongsu.model.base import Address
from bongsu.plan.cloud.console import Console, Field, Step
from bongsu.plan.cloud.console.shape import When
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render.helper.page import (
    Block,
    Bullets,
    Check,
    Code,
    Heading,
    Paragraph,
    Plain,
    Table,
    Text,
    plain_text,
    text,
)
from bongsu.render.helper.values import Values, customer_values, tunnel_facts, tunnel_values


@dataclass(frozen=True)
class Desk:
    """A console, and the connection that is typed into it."""

    console: Console
    place: str
    """`In Amazon Web Services`."""
    tunnels: list[VpnTunnelPlan]
    values: Values
    """Of the connection."""
    facts: frozenset[When]
    """Of the connection."""
    seen: Callable[[VpnTunnelPlan], Address]
    """The address by which this side knows a tunnel's other end: one customer gateway for each."""
    named: str = "customer"
    """The value that is such a customer gateway's name."""

    def customers(self) -> list[list[VpnTunnelPlan]]:
        """The tunnels by customer gateway, in the order of the first of each."""
        found: dict[Address, list[VpnTunnelPlan]] = {}
        for tunnel in self.tunnels:
            found.setdefault(self.seen(tunnel), []).append(tunnel)
        return list(found.values())


def console_steps(desk: Desk) -> Iterator[list[Block]]:
    """One list of blocks for each step, the first of them its heading."""
    for run in _runs(desk.console.steps):
        if run[0].each == "connection":
            for own in desk.customers():
                for step in run:
                    yield from _repeated(desk, step, own, own)
        else:
            for step in run:
                yield from _repeated(desk, step, desk.tunnels, desk.tunnels[:1])


def _runs(steps: tuple[Step, ...]) -> Iterator[list[Step]]:
    """Steps one by one; what begins with a connection has the tunnels after it."""
    found: list[Step] = []
    for step in steps:
        if found and found[0].each == "connection" and step.each == "tunnel":
            found.append(step)
            continue
        if found:
            yield found
        found = [step]
    if found:
        yield found


def _repeated(
    desk: Desk, step: Step, tunnels: list[VpnTunnelPlan], one: list[VpnTunnelPlan]
) -> Iterator[list[Block]]:
    """The step as often as it is done. `one` is of what a step that is done once speaks."""
    if step.when not in desk.facts:
        return
    if step.each == "tunnel":
        for number, tunnel in enumerate(tunnels, start=1):
            values = tunnel_values(desk.values, desk.tunnels, tunnel, desk.console, number)
            yield _step(desk, step, values, tunnel)
    elif step.each == "customer":
        for own in desk.customers():
            yield _step(desk, step, customer_values(desk.values, desk.tunnels, own[0]), own[0])
    else:
        yield _step(desk, step, customer_values(desk.values, desk.tunnels, one[0]), one[0])


def _step(desk: Desk, step: Step, values: Values, tunnel: VpnTunnelPlan) -> list[Block]:
    known = desk.facts | tunnel_facts(tunnel)
    title = plain_text(step.title, values) + _whose(desk, step, values)
    blocks: list[Block] = [
        Heading(2, (Plain(title),)),
        Paragraph((Plain(f"{desk.place}: {plain_text(step.where, values)}."),)),
    ]
    rows = tuple(
        ((Plain(plain_text(item.name, values)),), _value(item, values))
        for item in step.fields
        if item.when in known
    )
    if rows:
        blocks.append(Table(("field", "value"), rows))
    notes = tuple(text(note.text, values) for note in step.notes if note.when in known)
    if notes:
        blocks.append(Bullets(notes))
    if step.check:
        blocks.append(Check((), text(step.check, values)))
    return blocks


def _whose(desk: Desk, step: Step, values: Values) -> str:
    """What tells a step's title from its others'."""
    if len(desk.customers()) == 1:
        return ""
    match step.each:
        case "customer":
            return f" {values[desk.named]}"
        case "connection":
            return f" {values['connection']}"
        case "tunnel" if any(item.each == "connection" for item in desk.console.steps):
            return f" of {values['connection']}"
        case _:
            return ""


def _value(item: Field, values: Values) -> Text:
    # Of a secret there is a reference only, and that is not what is typed.
    if "{psk}" in item.value:
        return text(item.value, values)
    return (Code(plain_text(item.value, values)),)
