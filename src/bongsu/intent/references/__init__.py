"""Names that point nowhere: a tunnel's end, an interface, a next hop, a PoP, a vantage point, a fault.

Judged on the file's values rather than on the model, so that they are found in the same pass as
errors of shape; a part whose shape is wrong is passed over here. Cost is linear.
"""

from bongsu.intent.document import Document
from bongsu.intent.problem import Problem
from bongsu.intent.references.accelerators import accelerator_problems
from bongsu.intent.references.lab import lab_problems
from bongsu.intent.references.nodes import node_problems
from bongsu.intent.references.parts import Parts
from bongsu.intent.references.routes import route_problems
from bongsu.intent.references.tests import test_problems
from bongsu.intent.references.tunnels import tunnel_problems
from bongsu.intent.references.vpns import vpn_problems


def reference_problems(document: Document) -> list[Problem]:
    """Every reference that does not hold."""
    parts = Parts(document)
    for judge in (
        node_problems,
        route_problems,
        tunnel_problems,
        vpn_problems,
        accelerator_problems,
        lab_problems,
        test_problems,
    ):
        judge(parts)
    return parts.problems
