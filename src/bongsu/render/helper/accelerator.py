"""Accelerators in a connection's way: what is known before the far gateway is, and what only after.

The far gateway's address comes of its connection, which wants to know the off address first. So the
accelerator is made with a stand-in as endpoint, and its listener edited when the address is known: an
edited listener keeps its off address.
"""

from collections.abc import Iterator

from bongsu.model.accelerator import Accelerator
from bongsu.plan.accelerate import leading
from bongsu.plan.relay import off_address, relay_nodes
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render.helper.page import (
    Block,
    Bullets,
    Check,
    Code,
    Heading,
    Paragraph,
    Plain,
    Table,
    Text,
    text,
)
from bongsu.render.helper.scene import Scene

STAND_IN = "198.51.100.254"
"""Of documentation (RFC 5737): nobody answers there."""


def accelerator_steps(scene: Scene, file: str) -> Iterator[list[Block]]:
    """What is done first: the accelerators themselves, and the addresses that both sides will see."""
    ways = _ways(scene)
    if not ways:
        return
    rows: list[tuple[Text, ...]] = []
    for name, tunnel, item in ways:
        region = item.regions[_region(tunnel)]
        rows.append(
            (
                (Code(name),),
                (Code(str(tunnel.remote)), Plain(" at "), Code(region.node)),
                (Code(str(off_address(scene.network, item))), Plain(" at "), Code(item.egress.node)),
                (Code(_ports(item, tunnel)),),
                (Code(_bandwidth(item)),),
            )
        )  # fmt: skip
    yield [
        Heading(2, (Plain("Accelerators"),)),
        Table(
            ("accelerator", "accelerated address", "off address", "UDP", "bandwidth"), tuple(rows)
        ),
        Bullets(
            (
                text(
                    "To both gateways each is a NAT: {site} speaks to the accelerated address, {cloud} to"
                    " the off address, and NAT traversal is on at both.",
                    scene.values(),
                ),
                text(
                    "If {cloud} has no tunnels yet, the addresses of its ends are not known. Until then"
                    " have `"
                    + STAND_IN
                    + "` stand for each in `endpoints` and `headend`: the off address"
                    " does not depend on it, and the listeners are edited below.",
                    scene.values(),
                ),
            )
        ),
        *_apply(scene, file),
        Check(
            ("bongsu show accelerator",),
            text(
                "At {nodes}: {names}, each with the two addresses above.",
                {
                    "names": ", ".join(dict.fromkeys(name for name, _, _ in ways)),
                    "nodes": ", ".join(_ends(ways)),
                },
            ),
        ),
    ]


def endpoint_steps(scene: Scene, file: str) -> Iterator[list[Block]]:
    """What is done when the far gateway is made: the listeners get its addresses."""
    ways = _ways(scene)
    if not ways:
        return
    rows: list[tuple[Text, ...]] = []
    for name, tunnel, item in ways:
        for key, listener in leading(item, tunnel.headend):
            for each, endpoint in listener.endpoints.items():
                if endpoint.address == tunnel.headend:
                    place = f"accelerators.{name}.listeners.{key}.endpoints.{each}.address"
                    rows.append(((Code(place),), (Code(str(tunnel.headend)),)))
        place = f"vpns.{scene.name}.tunnels.{tunnel.name}.headend"
        rows.append(((Code(place),), (Code(str(tunnel.headend)),)))
    yield [
        Heading(2, (Plain("Edit the listeners"),)),
        Paragraph(
            text(
                "The endpoint groups get the addresses that {cloud} has given its tunnels. In {file}:",
                scene.values() | {"file": file},
            )
        ),
        Table(("place in the file", "address"), tuple(rows)),
        Bullets(
            (
                text(
                    "Edit the listener. One that is deleted and made anew may get another off address,"
                    " and each customer gateway has to be typed again."
                ),
            )
        ),
        Check(
            (f"cp {file} before.yaml", "# edit, then:", f"bongsu plan {file} --since before.yaml"),
            text("No warning of an off address."),
            "Run",
        ),
        *_apply(scene, file),
        Check(
            ("bongsu show accelerator",),
            text(
                "At {nodes}: every endpoint is *up*.",
                {"nodes": ", ".join(dict.fromkeys(item.egress.node for _, _, item in ways))},
            ),
        ),
    ]


def session_checks(scene: Scene) -> Iterator[Block]:
    """What the PoPs show of the tunnels while these are up."""
    ways = _ways(scene)
    if ways:
        egresses = ", ".join(dict.fromkeys(item.egress.node for _, _, item in ways))
        names = ", ".join(tunnel.name for _, tunnel, _ in ways)
        yield Check(
            ("bongsu show accelerator --sessions",),
            text(
                "At {nodes}: sessions of *IKE* and *ESP* from {own}, for {tunnels}.",
                {"nodes": egresses, "tunnels": names, "own": scene.values()["own"]},
            ),
        )


def accelerator_troubles(scene: Scene) -> Iterator[tuple[str, str]]:
    """Rows of what is seen and what it is."""
    if not _ways(scene):
        return
    yield (
        "the first IKE messages are answered, and then nothing",
        "NAT traversal is off at one of the gateways, or no listener has UDP 4500",
    )
    yield (
        "no IKE at all, and the PoPs have the session",
        "the customer gateway at the far end is not {public}, or the endpoint is another's address",
    )
    yield (
        "it was up, and the cloud does not answer any more",
        "the off address is another now: `bongsu show accelerator`, and type it as customer gateway",
    )


Way = tuple[str, VpnTunnelPlan, Accelerator]


def _ways(scene: Scene) -> list[Way]:
    return [
        (t.accelerated.name, t, scene.network.accelerators[t.accelerated.name])
        for t in scene.tunnels
        if t.accelerated is not None
    ]


def _region(tunnel: VpnTunnelPlan) -> str:
    return "" if tunnel.accelerated is None else tunnel.accelerated.region


def _ports(item: Accelerator, tunnel: VpnTunnelPlan) -> str:
    found = {bounds for _, listener in leading(item, tunnel.headend) for bounds in listener.ranges}
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in sorted(found)) or "none"


def _bandwidth(item: Accelerator) -> str:
    return "as it comes" if item.bandwidth_mbps is None else f"{item.bandwidth_mbps} Mbit/s"


def _ends(ways: list[Way]) -> list[str]:
    """Entry and egress PoPs, each once."""
    found = [
        name
        for _, tunnel, item in ways
        for name in (item.regions[_region(tunnel)].node, item.egress.node)
    ]
    return list(dict.fromkeys(found))


def _apply(scene: Scene, file: str) -> list[Block]:
    nodes = relay_nodes(scene.network)
    commands = [f"bongsu check {file}"]
    commands += [f"bongsu render {file} --node {node} -o bundles" for node in nodes]
    return [
        Check(tuple(commands), text("No errors, and a bundle for each PoP."), "Run"),
        Paragraph(
            text(
                "Each bundle goes to its PoP as `/etc/bongsu/bundle`; there `systemctl reload-or-restart"
                " bongsu-agent`. Sessions that a change does not concern stay."
            )
        ),
    ]
