"""Names that point nowhere: a tunnel's end, an interface, a PoP, a vantage point, a fault's target.

Judged on the file's values rather than on the model, so that they are found in the same pass as
errors of shape; a part whose shape is wrong is passed over here. Cost is linear.
"""

from bongsu.intent.document import Document
from bongsu.intent.problem import Problem


def reference_problems(document: Document) -> list[Problem]:
    """Every reference that does not hold."""
    root = document.root
    nodes = root.get("nodes") if isinstance(root, dict) else None
    tunnels = root.get("tunnels") if isinstance(root, dict) else None
    if not isinstance(nodes, dict) or not isinstance(tunnels, dict):
        return []
    problems = []
    for name, tunnel in tunnels.items():
        ends = tunnel.get("ends") if isinstance(tunnel, dict) else None
        for end in ends if isinstance(ends, dict) else ():
            if end not in nodes:
                path = ("tunnels", name, "ends", end)
                line, column = document.key_position(path)
                words = f"there is no node `{end}`"
                problems.append(Problem(document.file, line, column, path, None, words))
    return problems
