"""References of a tunnel: the nodes it ends at and their interfaces."""

from bongsu.intent.references.parts import Parts, mapping


def tunnel_problems(parts: Parts) -> None:
    """Judge every end of every tunnel."""
    for name, tunnel in parts.tunnels.items():
        for node, end in mapping(mapping(tunnel).get("ends")).items():
            path = ("tunnels", name, "ends", node)
            if node not in parts.nodes:
                parts.want(path, node, parts.nodes, "node", key=True)
                continue
            if name in parts.interfaces(node):
                words = f"{node} has an interface of this name already"
                parts.say(("tunnels", name), words, "name the tunnel otherwise", key=True)
            interface = mapping(end).get("interface")
            if interface is not None:
                known = parts.interfaces(node)
                parts.want((*path, "interface"), interface, known, f"interface of {node} named")
                if interface in parts.interfaces(node, "loopback") and not parts.outward(node):
                    words = f"{interface} leads nowhere, and {node} has no uplink or link that does"
                    hint = "give an interface `role: link` or `role: uplink`"
                    parts.say((*path, "interface"), words, hint)
                continue
            if not parts.outward(node):
                hint = "give an interface `role: uplink`, or say which carries it: `interface:`"
                parts.say(path, f"{node} has no uplink to carry the tunnel", hint, key=True)
