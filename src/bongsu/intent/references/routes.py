"""References of static and policy routes: next hops that can be reached, interfaces that exist."""

from ipaddress import ip_address, ip_network
from typing import Any

from bongsu.intent.problem import Path
from bongsu.intent.references.parts import KNOWN, Parts, hint, interfaces, mapping, sequence

HOPPING = ("uplink", "link", "lan")
"""Roles of interfaces that a next hop may be behind."""


def route_problems(parts: Parts) -> None:
    """Judge every route and every policy of every node."""
    for name, node in parts.nodes.items():
        node = mapping(node)
        routes, policies = sequence(node.get("routes")), sequence(node.get("policies"))
        if routes or policies:
            ways = _Ways(parts, name)
            _routes(parts, ways, routes)
            _policies(parts, ways, policies)


class _Networks:
    """Networks and whose they are. A look-up costs one step for each prefix length that occurs."""

    def __init__(self) -> None:
        self._names: dict[Any, str] = {}
        self._lengths: set[tuple[int, int]] = set()

    def add(self, network: Any, name: str) -> None:
        self._names.setdefault(network, name)
        self._lengths.add((network.version, network.prefixlen))

    def find(self, address: Any) -> str | None:
        for version, length in self._lengths:
            if version == address.version:
                name = self._names.get(ip_network((address, length), strict=False))
                if name is not None:
                    return name
        return None

    def __str__(self) -> str:
        return ", ".join(str(network) for network in list(self._names)[:KNOWN]) or "none"


class _Ways:
    """Where a node can send packets to: read once, asked for every next hop."""

    def __init__(self, parts: Parts, node: str) -> None:
        self.parts = parts
        self.node = node
        self.tunnels = parts.tunnels_of(node)
        self.interfaces = parts.likely(node, *HOPPING)
        self.connected, self.inside = _Networks(), _Networks()
        self.own = set()
        for name in self.interfaces:
            for item in interfaces(parts.interface(node, name).get("addresses")):
                self.connected.add(item.network, name)
                self.own.add(item.ip)
        for name, end in self.tunnels.items():
            for item in interfaces(end.get("addresses")):
                self.inside.add(item.network, name)

    def judge(self, path: Path, via: Any, version: int | None) -> None:
        """A next hop for packets of that IP version; None when any will do."""
        if not isinstance(via, str):
            return
        hop = _address(via)
        if hop is None:
            self._tunnel(path, via)
        elif hop in self.own:
            self.parts.say(path, f"{hop} is {self.node}'s own address", "name the next router")
        elif (tunnel := self.inside.find(hop)) is not None:
            words = f"{hop} is at the end of the tunnel {tunnel}"
            self.parts.say(path, words, f"name the tunnel: `via: {tunnel}`")
        elif version not in (None, hop.version):
            words = f"an IPv{hop.version} next hop for IPv{version} packets"
            self.parts.say(path, words, "both of one family, or a tunnel")
        elif self.connected.find(hop) is None:
            words = f"{hop} is in no network that {self.node} is connected to"
            self.parts.say(path, words, f"networks: {self.connected}")

    def _tunnel(self, path: Path, name: str) -> None:
        if name in self.parts.tunnels and name not in self.tunnels:
            ends = mapping(mapping(self.parts.tunnels[name]).get("ends"))
            words = f"the tunnel {name} does not end at {self.node}"
            self.parts.say(path, words, "it joins " + " and ".join(ends) if ends else None)
        elif name not in self.tunnels:
            words = f'"{name}" is neither a tunnel of {self.node} nor an address'
            self.parts.say(path, words, hint(name, self.tunnels))


def _routes(parts: Parts, ways: _Ways, routes: list[Any]) -> None:
    seen: set[tuple[str, str]] = set()
    for index, route in enumerate(routes):
        route = mapping(route)
        path = ("nodes", ways.node, "routes", index)
        target, via = _network(route.get("to")), route.get("via")
        ways.judge((*path, "via"), via, target.version if target else None)
        if target is None or not isinstance(via, str):
            continue
        # One next hop has one distance: the further one of two would never be used.
        if (pair := (str(target), via)) in seen:
            parts.say(path, f"a second route to {target} via {via}", "keep one of the two")
        seen.add(pair)


def _policies(parts: Parts, ways: _Ways, policies: list[Any]) -> None:
    for index, policy in enumerate(policies):
        policy = mapping(policy)
        path = ("nodes", ways.node, "policies", index)
        ends = [_network(policy.get(key)) for key in ("from", "to")]
        versions = {network.version for network in ends if network is not None}
        if len(versions) > 1:
            parts.say(path, "`from` and `to` are of different families, so nothing matches")
            continue
        hops = [_address(via) for via in sequence(policy.get("via"))]
        families = {hop.version for hop in hops if hop is not None}
        if not versions and len(families) > 1:
            words = "next hops of both families, and no `from` or `to` that says which is meant"
            parts.say((*path, "via"), words, "one policy for each family")
            continue
        version = next(iter(versions or families), None)
        for place, via in enumerate(sequence(policy.get("via"))):
            ways.judge((*path, "via", place), via, version)
        known = [*ways.interfaces, *ways.tunnels]
        parts.want((*path, "in"), policy.get("in"), known, f"interface of {ways.node} named")


def _address(value: Any) -> Any:
    try:
        return ip_address(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _network(value: Any) -> Any:
    try:
        return ip_network(value) if isinstance(value, str) and "/" in value else None
    except ValueError:
        return None
