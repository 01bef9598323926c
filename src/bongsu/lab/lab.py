"""A lab that is up, seen from outside: who is in it, what its routers and agents say."""

import json
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address

from bongsu.lab.blueprint import Topology
from bongsu.lab.state import LabError, LabPaths, lab_names, read_record
from bongsu.lab.topology import build_topology
from bongsu.model.base import Address
from bongsu.model.network import Network
from bongsu.model.node import Role
from bongsu.plan.compile import compile_network
from bongsu.plan.connect import stand_in_plan
from bongsu.plan.node import NodePlan
from bongsu.system import netns
from bongsu.system.agent_client import AgentClient
from bongsu.system.daemons.birdctl import BirdControl, BirdError
from bongsu.system.run import run


def lab_plans(network: Network) -> dict[str, NodePlan]:
    """Plans of all nodes, and of the Linux nodes that play the clouds they have connections to."""
    plans = compile_network(network)
    plugged = network.lab.clouds if network.lab is not None else {}
    used = dict.fromkeys(vpn.cloud for vpn in network.vpns.values())
    return plans | {cloud: stand_in_plan(network, cloud) for cloud in used if cloud in plugged}


@dataclass(frozen=True)
class Lab:
    """A raised lab and its blueprint."""

    name: str
    network: Network
    plans: dict[str, NodePlan]
    topology: Topology

    @classmethod
    def of(cls, name: str, network: Network) -> "Lab":
        """The lab of that name, built from this network."""
        plans = lab_plans(network)
        return cls(name, network, plans, build_topology(network, plans))

    @property
    def paths(self) -> LabPaths:
        """Its files."""
        return LabPaths(self.name)

    @cached_property
    def secrets(self) -> dict[str, str]:
        """Throw-away secrets by the name of the environment variable."""
        return dict(self.network.lab.secrets) if self.network.lab else {}

    def agent(self, node: str) -> AgentClient:
        """A client of the node's agent."""
        return AgentClient(self.paths.agent_socket(node))

    def router(self, name: str) -> BirdControl:
        """A connection to an AS router's BIRD, to be used in `with`. Raises OSError, BirdError."""
        return BirdControl(self.paths.router(name, "ctl"))

    def source_names(self) -> list[str]:
        """Who can look at the network: vantage points, and hosts on its LANs."""
        return [*self.topology.vantages, *self.topology.hosts]

    def source_address(self, name: str, family: int) -> Address | None:
        """The address that a vantage point or a host looks from; None if it has none of the family.

        KeyError if there is no such source.
        """
        if name in self.topology.vantages:
            return self.topology.vantages[name].get(family)
        address = self.topology.hosts[name]
        return address if address.version == family else None

    def pops(self) -> list[str]:
        """Names of the PoPs, in the file's order."""
        return [name for name, plan in self.plans.items() if plan.role is Role.POP]

    def pop_of(self, address: Address) -> str | None:
        """The PoP that owns this address on an interface or in a tunnel."""
        return self._pop_addresses.get(address)

    def target(self, text: str | Address | None) -> Address:
        """The address meant by a host's name, an address, or nothing (the lab's first host).

        LabError if there is no such host.
        """
        hosts = self.network.lab.hosts if self.network.lab else {}
        if text is None:
            if not hosts:
                raise LabError("the lab has no host", hint="name an address instead")
            return next(iter(hosts.values())).address
        if not isinstance(text, str):
            return text
        if text in hosts:
            return hosts[text].address
        try:
            return ip_address(text)
        except ValueError:
            known = ", ".join(hosts) or "none"
            raise LabError(
                f"{text} is neither a host of the lab nor an address", hint=f"hosts: {known}"
            ) from None

    def as_path(self, vantage: str, target: Address) -> tuple[int, ...]:
        """The AS path of the route this vantage point uses, nearest first; empty without a route."""
        try:
            with self.router(vantage) as bird:
                lines = bird.ask(f"show route for {target} primary all")
        except (OSError, BirdError):
            return ()
        for line in lines:
            key, _, value = line.text.strip().partition(":")
            if key == "BGP.as_path":
                return tuple(int(word) for word in value.split() if word.isdigit())
        return ()

    def entered(self) -> dict[str, int]:
        """Packets that came in from the Internet and went into a tunnel, as each PoP counts them.

        A PoP that does not answer is left out.
        """
        found: dict[str, int] = {}
        for pop in self.pops():
            if not netns.exists(self.paths.netns(pop)):
                continue
            answer = run(
                ["nft", "-j", "list", "counter", "inet", "bongsu", "entered"],
                netns=self.paths.netns(pop),
                check=False,
            )
            if answer.returncode == 0:
                entries = json.loads(answer.stdout)["nftables"]
                found[pop] = sum(e["counter"]["packets"] for e in entries if "counter" in e)
        return found

    @cached_property
    def _pop_addresses(self) -> dict[Address, str]:
        found: dict[Address, str] = {}
        for name in self.pops():
            plan = self.plans[name]
            for interface in plan.interfaces:
                found.update({address.ip: name for address in interface.addresses})
            for tunnel in plan.tunnels:
                found.update({address.ip: name for address in tunnel.addresses})
        return found


def the_lab(name: str | None) -> str:
    """The lab meant: the named one, or the only one that is up. LabError otherwise."""
    names = [n for n in lab_names() if (record := read_record(n)) and record.phase == "up"]
    if name is not None:
        if name not in names:
            there = f"up: {', '.join(names)}" if names else "bongsu lab up FILE"
            raise LabError(f"lab {name} is not up", hint=there)
        return name
    if len(names) != 1:
        if not names:
            raise LabError("no lab is up", hint="bongsu lab up FILE")
        raise LabError("more than one lab is up: " + ", ".join(names), hint="say which: --lab NAME")
    return names[0]
