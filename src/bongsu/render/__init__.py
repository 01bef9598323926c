"""NodePlan -> {absolute path: text}: the native configuration of daemons people already trust.

Pure: a renderer reads a plan and returns text; it touches no file, clock or secret. Equal plans give
equal text, byte for byte.
"""

from bongsu.plan.node import NodePlan
from bongsu.render.text import RenderError

__all__ = ["RenderError", "render_node"]


def render_node(plan: NodePlan) -> dict[str, str]:
    """All files of a node, by absolute path. Raises RenderError for a value no daemon may be given."""
    # Late: an agent verifies bundles without ever rendering one, and templates cost start-up time.
    from bongsu.render.platform import render_platform

    return render_platform(plan)
