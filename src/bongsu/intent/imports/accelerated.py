"""Imported tunnels that go through accelerators of a network file that exists.

The cloud gives its tunnels addresses only after it was told the off address, so the listeners lead to
a stand-in until now: their endpoint is edited here, and neither made nor deleted.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from bongsu.intent.imports.imported import Imported, Tunnel

IPSEC = (500, 4500)
Ask = Callable[..., None]
"""Notes a problem: its words, and a hint."""


@dataclass(frozen=True)
class Way:
    """An accelerator as it was asked for: `ga-1`, or `ga-1/shanghai`."""

    name: str
    region: str | None = None

    @classmethod
    def of(cls, text: str) -> "Way":
        """ValueError for a text with an empty part."""
        name, slash, region = text.partition("/")
        if not name or (slash and not region):
            raise ValueError(text)
        return cls(name, region or None)


@dataclass
class Accelerated:
    """What becomes of the tunnels and of the accelerators."""

    tunnels: list[Tunnel]
    """Those that an accelerator leads to, in order; without any asked for, all."""
    accelerators: dict[str, Any] = field(default_factory=dict)
    """The file's, with endpoints edited; empty if nothing was."""
    notes: list[str] = field(default_factory=list)


def accelerate(
    imported: Imported, ways: tuple[Way, ...], existing: Mapping[str, Any], ask: Ask
) -> Accelerated:
    """One accelerator for each tunnel, in their order; tunnels without one are left out."""
    if not ways:
        return Accelerated(imported.tunnels)
    known = existing.get("accelerators")
    if not isinstance(known, dict) or not known:
        ask("there is no accelerator", "--accelerator goes with --into, a file that has it")
        return Accelerated(imported.tunnels)
    names = [way.name for way in ways]
    for way in ways:
        if way.name not in known:
            ask(f"there is no accelerator {way.name}", f"known: {', '.join(known)}")
        elif way.region is not None and way.region not in known[way.name]["regions"]:
            regions = ", ".join(known[way.name]["regions"])
            ask(f"{way.name} has no region {way.region}", f"regions: {regions}")
    if len(set(names)) < len(names):
        ask(
            "one accelerator leads to one of the cloud's gateways, and is named twice",
            "another one for the second tunnel, with the same off address",
        )
    if len(ways) > len(imported.tunnels):
        ask(f"{len(ways)} accelerators for {len(imported.tunnels)} tunnels")
    if not set(names) <= set(known):
        return Accelerated(imported.tunnels)
    found = Accelerated(imported.tunnels[: len(ways)], deepcopy(known))
    for number in range(len(ways) + 1, len(imported.tunnels) + 1):
        found.notes.append(
            f"tunnel {number} is left out: the cloud waits for the off address there, and no "
            "accelerator leads to it; name a second --accelerator, of the same off address"
        )
    for way, tunnel in zip(ways, found.tunnels, strict=False):
        _lead(found, way.name, tunnel)
        _seen(found, way.name, tunnel)
    return found


def _lead(found: Accelerated, name: str, tunnel: Tunnel) -> None:
    """Have the listeners of IPsec lead to the tunnel's gateway, if it is plain which endpoint is meant."""
    if tunnel.headend is None:
        return
    headend = str(tunnel.headend)
    for key, listener in found.accelerators[name]["listeners"].items():
        if listener.get("protocol", "udp") != "udp" or not _takes_ipsec(listener["ports"]):
            continue
        endpoints = listener["endpoints"]
        if headend in [str(endpoint["address"]) for endpoint in endpoints.values()]:
            continue
        if len(endpoints) > 1:
            found.notes.append(
                f"listener {key} of {name} has {len(endpoints)} endpoints, and none is {headend}: "
                "put it there by hand"
            )
            continue
        ((each, endpoint),) = endpoints.items()
        found.notes.append(
            f"endpoint {each} of {name} was {endpoint['address']} and is {headend} now"
        )
        endpoint["address"] = headend


def _takes_ipsec(ports: list[Any]) -> bool:
    bounds = [str(port).partition("-") for port in ports]
    return any(
        int(first) <= port <= int(last or first) for first, _, last in bounds for port in IPSEC
    )


def _seen(found: Accelerated, name: str, tunnel: Tunnel) -> None:
    """The download has the customer gateway that the cloud was told: it should be the off address."""
    egress = found.accelerators[name]["egress"]
    off = egress.get("public") or egress.get("off_address")
    told = tunnel.public or tunnel.local
    if off is not None and told is not None and str(told) != str(off):
        found.notes.append(
            f"the cloud takes us for {told}, and {name} is seen as {off}: make a customer gateway "
            f"with {off}, and change the connection to it"
        )
