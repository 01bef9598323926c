"""`bongsu show bgp`: every BGP session in vtysh's words, whichever daemon has it."""

from typing import Any

from rich.text import Text

from bongsu.cli.agent import STATE
from bongsu.cli.agents import LabOption, NodeOption, StateOption, find_agents
from bongsu.cli.output import JsonOption
from bongsu.cli.show.columns import Row, Table, clock, count, draw
from bongsu.cli.show.look import WatchOption, look

TABLE = Table(
    (
        "Neighbor", "V", "AS", "MsgRcvd", "MsgSent", "Up/Down", "State/PfxRcd", "PfxSnt", "Desc",
    ),
    frozenset({"Neighbor", "Desc"}),
    (("Desc", 4), ("Neighbor", 15)),
)  # fmt: skip
NAMES = {"frr": "FRR", "bird": "BIRD"}


def bgp(
    lab: LabOption = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
    watch: WatchOption = False,
    state: StateOption = STATE,
) -> None:
    """Show each BGP session: neighbor, AS, messages, up or down since, prefixes both ways.

    Exit 1 if one is not Established, or a node does not answer.
    """
    agents = find_agents(lab, node, state)
    look(agents, "bgp", view, fine=all_established, watch=watch, as_json=as_json)


def view(answer: dict[str, Any], width: int) -> Text:
    """The table of one agent's answer to `bgp`."""
    if answer["daemon"] is None:
        return Text("  no bundle is applied")
    text = Text(
        f"BGP router identifier {answer['router_id']}, local AS number {answer['asn']}"
        f" ({NAMES[answer['daemon']]})\n"
    )
    rows = [row(neighbor) for neighbor in answer["neighbors"]]
    return text.append_text(draw(TABLE, rows, width, "no BGP session"))


def all_established(answer: dict[str, Any]) -> bool:
    """Whether every session is Established."""
    return all(neighbor["established"] for neighbor in answer["neighbors"])


def row(neighbor: dict[str, Any]) -> Row:
    """A row of one entry of `neighbors`; what a daemon does not count is a dash."""
    up = neighbor["established"]
    cells = (
        neighbor["address"],
        "4",
        str(neighbor["asn"]),
        count(neighbor["messages_received"]),
        count(neighbor["messages_sent"]),
        clock(neighbor["since_s"]),
        count(neighbor["received"]) if up else neighbor["state"],
        count(neighbor["sent"]) if up else "0",
        neighbor["description"],
    )
    return Row(cells, (neighbor["last_error"],) if neighbor["last_error"] and not up else ())
