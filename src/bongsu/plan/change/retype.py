"""Addresses that stand typed in at gateways which are not ours, and that a change makes wrong.

A far gateway knows its customer by one address. Where another will be seen there, somebody has to type
it before the change, or the tunnel stays down after it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bongsu.model.accelerator import Accelerator
from bongsu.model.base import Address
from bongsu.model.network import Network
from bongsu.model.node import Platform
from bongsu.plan.node import NodePlan
from bongsu.plan.relay import off_address
from bongsu.plan.vpn import VpnTunnelPlan

Plans = Mapping[str, NodePlan]


@dataclass(frozen=True)
class Retype:
    """One place where one address has to be typed in another's stead."""

    place: str
    """Where: `customer gateway of office (tunnel ga1) at seoul`."""
    path: tuple[str, ...]
    """What of the network file it follows from."""
    old: Address
    new: Address | None
    """None: nobody will be seen there any more."""
    cause: str

    def __str__(self) -> str:
        becomes = "is seen no more" if self.new is None else f"becomes {self.new}"
        return f"{self.place}: {self.old} {becomes}, for {self.cause}"


def retypes(old: Network, new: Network, before: Plans, after: Plans) -> list[Retype]:
    """All of them; `before` and `after` are the two networks' plans."""
    return [*_tunnels(old, new, before, after), *_endpoints(old, new), *_entries(old, new)]


def _tunnels(old: Network, new: Network, before: Plans, after: Plans) -> Iterator[Retype]:
    """Tunnels of this file: whom their headends see, and whom their sites' consoles name."""
    earlier = _by_tunnel(old, before)
    for (vpn, key), later in _by_tunnel(new, after).items():
        tunnel = earlier.get((vpn, key))
        if tunnel is None:
            continue
        path = ("vpns", vpn, "tunnels", key)
        if tunnel.customer != later.customer:
            yield Retype(
                f"customer gateway of {vpn} (tunnel {key}) at {later.cloud}",
                path,
                tunnel.customer,
                later.customer,
                _seen(old, new, tunnel, later),
            )
        site = new.vpns[vpn].site
        if new.nodes[site].platform is Platform.ALIBABA and tunnel.remote != later.remote:
            yield Retype(
                f"customer gateway of {vpn} (tunnel {key}) at {site}",
                path,
                tunnel.remote,
                later.remote,
                _spoken_to(tunnel, later),
            )


def _seen(old: Network, new: Network, before: VpnTunnelPlan, after: VpnTunnelPlan) -> str:
    """Why a headend will see another address."""
    was, will = before.accelerated, after.accelerated
    if was is not None and will is not None and was.name == will.name:
        return _moved(old, new, was.name)
    if was is not None and will is not None:
        return f"it goes through {will.name} and no more through {was.name}"
    if will is not None:
        return f"it goes through {will.name} now"
    if was is not None:
        return f"it goes through {was.name} no more"
    return "the site's own address was edited"


def _spoken_to(before: VpnTunnelPlan, after: VpnTunnelPlan) -> str:
    was, will = before.accelerated, after.accelerated
    if was is None and will is None:
        return "`headend` was edited"
    if was is not None and will is not None and (was.name, was.region) == (will.name, will.region):
        return f"the accelerated address of {will.name} was edited"
    return "it enters elsewhere now"


def _endpoints(old: Network, new: Network) -> Iterator[Retype]:
    """Endpoints that are no headend of this file: gateways and servers of whoever it may be."""
    headends = {t.headend for vpn in old.vpns.values() for t in vpn.tunnels.values()}
    seen: dict[str, set[Address]] = {}
    for item in new.accelerators.values():
        for listener in item.listeners.values():
            for endpoint in listener.endpoints.values():
                seen.setdefault(str(endpoint.address), set()).add(off_address(new, item))
    for name, item in old.accelerators.items():
        off = off_address(old, item)
        for key, listener in item.listeners.items():
            for each, endpoint in listener.endpoints.items():
                later = seen.get(str(endpoint.address), set())
                if endpoint.address in headends or off in later:
                    continue
                if not later and _edited(new, name, key, off):
                    # The listener stays, and leads elsewhere: the other endpoint sees the same.
                    continue
                yield Retype(
                    f"whoever runs {endpoint.address} (endpoint {each} of {name})",
                    ("accelerators", name, "listeners", key, "endpoints", each),
                    off,
                    min(later, key=str, default=None),
                    _moved(old, new, name, key),
                )


def _edited(new: Network, name: str, listener: str, off: Address) -> bool:
    item = new.accelerators.get(name)
    return item is not None and listener in item.listeners and off_address(new, item) == off


def _moved(old: Network, new: Network, name: str, listener: str | None = None) -> str:
    """Why an accelerator's off address is another, or nobody's."""
    item = new.accelerators.get(name)
    if item is None:
        return f"accelerator {name} is deleted"
    egress, was = item.egress, old.accelerators[name].egress
    if egress.node != was.node:
        return f"the egress of {name} moves from {was.node} to {egress.node}"
    if (egress.off_address, egress.public) != (was.off_address, was.public):
        return f"the off address of {name} was edited"
    if listener is not None and listener not in item.listeners:
        return f"listener {listener} of {name} is deleted"
    return f"{name} has no `off_address`, and the address of {egress.node} was edited"


def _entries(old: Network, new: Network) -> Iterator[Retype]:
    """Accelerated addresses, for clients that are no sites of this file."""
    for name, item in old.accelerators.items():
        if _used(old, name):
            continue
        later = new.accelerators.get(name)
        for key, region in item.regions.items():
            address = region.public or region.address
            place = None if later is None else later.regions.get(key)
            now = None if place is None else place.public or place.address
            if now != address:
                yield Retype(
                    f"peer address of whoever enters {name} by region {key}",
                    ("accelerators", name, "regions", key),
                    address,
                    now,
                    _entered(later, name, key),
                )


def _entered(later: Accelerator | None, name: str, region: str) -> str:
    if later is None:
        return f"accelerator {name} is deleted"
    if region not in later.regions:
        return f"region {region} is deleted"
    return "the accelerated address was edited"


def _used(network: Network, name: str) -> bool:
    return any(
        tunnel.accelerator == name
        for vpn in network.vpns.values()
        for tunnel in vpn.tunnels.values()
    )


def _by_tunnel(network: Network, plans: Plans) -> dict[tuple[str, str], VpnTunnelPlan]:
    return {
        (tunnel.vpn, tunnel.name): tunnel
        for site in dict.fromkeys(vpn.site for vpn in network.vpns.values())
        for tunnel in plans[site].vpns
    }
