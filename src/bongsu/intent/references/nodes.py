"""References of a node: the tunnels it announces by, the uplink its sessions need."""

from bongsu.intent.references.parts import Parts, mapping, sequence


def node_problems(parts: Parts) -> None:
    """Judge every node."""
    for name, node in parts.nodes.items():
        node = mapping(node)
        neighbors = mapping(mapping(node.get("bgp")).get("neighbors"))
        if neighbors and not parts.likely(name, "uplink"):
            words = "BGP neighbors need an uplink, and this node has none"
            parts.say(("nodes", name), words, "give an interface `role: uplink`", key=True)
        for key, neighbor in neighbors.items():
            at = ("nodes", name, "bgp", "neighbors", key, "password")
            parts.lab_secret(at, mapping(neighbor).get("password"))
        for index, item in enumerate(sequence(node.get("announce"))):
            for place, tunnel in enumerate(sequence(mapping(item).get("to"))):
                path = ("nodes", name, "announce", index, "to", place)
                parts.want(path, tunnel, parts.tunnels, "tunnel")
                if not isinstance(tunnel, str) or tunnel not in parts.tunnels:
                    continue
                ends = mapping(mapping(parts.tunnels[tunnel]).get("ends"))
                if name not in ends:
                    hint = "it joins " + " and ".join(ends) if ends else None
                    parts.say(path, f"the tunnel {tunnel} does not end at {name}", hint)
