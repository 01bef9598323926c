"""The networks that golden trees and parser tests are made of: every example, and one of our own."""

from functools import cache
from pathlib import Path

import yaml

from bongsu.model.network import Network
from bongsu.plan.compile import compile_network
from bongsu.plan.node import NodePlan

HERE = Path(__file__).parent
NETWORKS = {
    path.stem: path
    for folder in (HERE.parents[1] / "examples", HERE / "networks")
    for path in sorted(folder.glob("*.yaml"))
}


@cache
def plans(network: str) -> dict[str, NodePlan]:
    """Plans of all nodes of the network with that file name."""
    data = yaml.safe_load(NETWORKS[network].read_text())
    return compile_network(Network.model_validate(data))
