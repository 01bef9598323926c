"""References of accelerators: their PoPs, and the tunnels that go through them."""

from typing import Any

from bongsu.intent.problem import Path
from bongsu.intent.references.parts import Parts, mapping


def accelerator_problems(parts: Parts) -> None:
    """Judge every accelerator, and every VPN tunnel that names one."""
    parts.lab_secret(("relay", "key"), mapping(parts.root.get("relay")).get("key"))
    for name, accelerator in parts.accelerators.items():
        path = ("accelerators", name)
        accelerator = mapping(accelerator)
        for key, region in mapping(accelerator.get("regions")).items():
            _pop(parts, (*path, "regions", key, "node"), mapping(region).get("node"))
        _pop(parts, (*path, "egress", "node"), mapping(accelerator.get("egress")).get("node"))
    for name, vpn in parts.vpns.items():
        for key, tunnel in mapping(mapping(vpn).get("tunnels")).items():
            _tunnel(parts, ("vpns", name, "tunnels", key), mapping(tunnel))


def _pop(parts: Parts, path: Path, name: Any) -> None:
    parts.want(path, name, parts.nodes, "node")
    if isinstance(name, str) and name in parts.nodes and not parts.outward(name):
        words = f"{name} has no uplink to relay by"
        parts.say(path, words, "give one of its interfaces `role: uplink`")


def _tunnel(parts: Parts, path: Path, tunnel: dict[str, Any]) -> None:
    name, region = tunnel.get("accelerator"), tunnel.get("region")
    parts.want((*path, "accelerator"), name, parts.accelerators, "accelerator")
    if "region" not in tunnel:
        return
    if "accelerator" not in tunnel:
        hint = "add `accelerator`, or leave `region` out"
        parts.say((*path, "region"), "a region of no accelerator", hint, key=True)
    elif isinstance(name, str) and name in parts.accelerators:
        known = mapping(mapping(parts.accelerators[name]).get("regions"))
        parts.want((*path, "region"), region, known, f"region of {name} named")
