"""What the checks look at: the network, its plans, and the indexes that several of them need.

An index is made when first asked for, in one pass; no check may compare all pairs of anything.
"""

from collections.abc import Mapping

from bongsu.model.network import Network
from bongsu.plan.node import NodePlan


class Scene:
    """The network as written and as compiled."""

    def __init__(self, network: Network, plans: Mapping[str, NodePlan]) -> None:
        self.network = network
        self.plans = plans
