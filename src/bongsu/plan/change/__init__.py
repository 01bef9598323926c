"""What lies between two states of a network file: per node, and for people at other gateways."""

from bongsu.plan.change.fate import SESSIONS, Fate
from bongsu.plan.change.node import NodeChange, node_changes
from bongsu.plan.change.retype import Retype, retypes

__all__ = ["SESSIONS", "Fate", "NodeChange", "Retype", "node_changes", "retypes"]
