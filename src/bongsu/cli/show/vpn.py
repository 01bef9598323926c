"""`bongsu show vpn`: every IPsec tunnel, from its keys to the verdict, and why."""

from bongsu.cli.agent import STATE
from bongsu.cli.agents import LabOption, NodeOption, StateOption, find_agents
from bongsu.cli.output import JsonOption
from bongsu.cli.show.look import WatchOption, look
from bongsu.cli.show.vpn_table import all_carry, view


def vpn(
    lab: LabOption = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
    watch: WatchOption = False,
    state: StateOption = STATE,
) -> None:
    """Show each IPsec tunnel: IKE, ESP, proposals, rekeyings, bytes, DPD, and why it is down.

    Exit 1 if one is down, or a node does not answer.
    """
    agents = find_agents(lab, node, state)
    look(agents, "vpn", view, fine=all_carry, watch=watch, as_json=as_json)
