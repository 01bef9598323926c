"""Who measures and who is measured, by the names of a lab's members or by addresses."""

from ipaddress import ip_address

from bongsu.lab.lab import Lab
from bongsu.lab.probe.measure import Ends
from bongsu.lab.state import LabError
from bongsu.model.base import Address
from bongsu.system import netns
from bongsu.system.path_socket import source_towards


def lab_ends(lab: Lab, source: str, target: str) -> Ends:
    """From a member of the lab to a member or an address. LabError says what cannot be."""
    if source not in (known := members(lab)):
        raise LabError(f"lab {lab.name} has no {source}", hint="known: " + ", ".join(known))
    namespace = lab.paths.netns(source)
    if not netns.exists(namespace):
        raise LabError(f"{source} is down", hint="bongsu lab status")
    problems = [f"{target} is neither a member of the lab nor an address"]
    for there in addresses(lab, target):
        here = _here(lab, source, namespace, there)
        if here is not None:
            return Ends(source, target, here, there, namespace, lab.name)
        problems.append(f"{source} has no way to {there}")
    raise LabError(problems[-1], hint="members: " + ", ".join(known) if len(problems) == 1 else "")


def members(lab: Lab) -> list[str]:
    """Who can measure: vantage points, hosts, nodes and AS routers."""
    return list(dict.fromkeys([*lab.source_names(), *lab.plans, *lab.topology.routers]))


def addresses(lab: Lab, name: str) -> list[Address]:
    """The addresses by which a member is reached, IPv4 first; that address if it is one."""
    if name in lab.source_names():
        found = [lab.source_address(name, family) for family in (4, 6)]
        return [address for address in found if address is not None]
    if name in lab.plans:
        interfaces = sorted(lab.plans[name].interfaces, key=lambda each: each.role != "uplink")
        all_ = [
            address.ip if each.public is None else each.public
            for each in interfaces
            for address in each.addresses
        ]
        firsts = [next((a for a in all_ if a.version == family), None) for family in (4, 6)]
        return [address for address in firsts if address is not None]
    if name in lab.topology.routers:
        return [loopback.ip for loopback in lab.topology.routers[name].loopbacks]
    try:
        return [ip_address(name)]
    except ValueError:
        return []


def _here(lab: Lab, source: str, namespace: str, target: Address) -> Address | None:
    if source in lab.source_names():
        return lab.source_address(source, target.version)
    return source_towards(namespace, target)
