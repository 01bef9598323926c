"""The site's side: what the provider's filter lets in, secrets, and how the configuration gets there."""

from collections.abc import Iterator

from bongsu.model.base import Address, Prefix
from bongsu.model.node import Platform, RoutingDaemon
from bongsu.model.vpn import IpsecDaemon
from bongsu.plan.cloud import PROFILES
from bongsu.plan.cloud.console import CONSOLES, SITE_CONSOLES
from bongsu.plan.connect import site_networks
from bongsu.render.helper.console import console_steps
from bongsu.render.helper.page import (
    Block,
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
from bongsu.render.helper.service import service_desk
from bongsu.render.helper.values import joined

FILTER = ("from", "protocol", "port", "for")
EACH = (
    "What the table says of its own network card is to be said of {lans} as well: the neighbours are"
    " there."
)
FILES = {Platform.IOS: ("ios", "cfg"), Platform.VYOS: ("vyos", "commands")}
"""Where a router's configuration is among the rendered files, and how its name ends."""


def site_steps(scene: Scene, file: str) -> Iterator[list[Block]]:
    """One list of blocks for each step, the first of them its heading."""
    if scene.plan.platform in SITE_CONSOLES:
        yield from console_steps(service_desk(scene.plan, scene.tunnels))
        yield _secrets(scene)
        return
    yield _way_in(scene)
    if _hosted(scene):
        yield _machine(scene)
    yield _secrets(scene)
    yield _apply(scene, file)


def _way_in(scene: Scene) -> list[Block]:
    """What has to reach the gateway from outside, and by what."""
    rows: list[tuple[Text, ...]] = []
    for tunnel in scene.tunnels:
        source = f"{tunnel.remote}/{tunnel.remote.max_prefixlen}"
        rows.append(((Code(source),), (Plain("UDP"),), (Code("500"),), (Plain("IKE"),)))
        words = (
            "IKE and ESP behind a NAT" if tunnel.translated else "IKE and ESP where a NAT is found"
        )
        rows.append(((Code(source),), (Plain("UDP"),), (Code("4500"),), (Plain(words),)))
        if not tunnel.encapsulation:
            rows.append(
                ((Code(source),), (Plain("ESP (protocol 50)"),), (Plain("all"),), (Plain("ESP"),))
            )
    lans = scene.lans()
    elsewhere = [network for _, networks in lans.values() for network in networks]
    own = [each for each in site_networks(scene.network, scene.vpn) if each not in elsewhere]
    rows += map(_inner, own)
    first = scene.tunnels[0]
    blocks: list[Block] = [
        Heading(2, (Plain("Let it in at the site"),)),
        _filter(first.local, " (a security list, a security group, a firewall) has to let in:"),
        Table(FILTER, tuple(rows)),
    ]
    for name, (address, networks) in lans.items():
        blocks.append(_filter(address, f", on {name}, has to let in:"))
        blocks.append(Table(FILTER, tuple(map(_inner, networks))))
    if first.nat:
        words = (
            "The NAT in front maps {public} to {local} one to one, or forwards UDP 500 and 4500."
        )
        values = {"public": str(first.public), "local": str(first.local)}
        blocks.append(Paragraph(text(words, values)))
    ports = "udp port 500 or udp port 4500"
    blocks.append(
        Check(
            (f"tcpdump -ni {first.underlay} host {first.remote} and \\({ports}\\)",)
            if scene.plan.platform is Platform.LINUX
            else (),
            text(
                "As soon as one of the ends calls, packets are seen both ways. Only one way: a filter"
                " or a NAT is missing."
            ),
        )
    )
    return blocks


def _filter(address: Address, words: str) -> Paragraph:
    return Paragraph((Plain("Every filter in front of "), Code(str(address)), Plain(words)))


def _inner(network: Prefix) -> tuple[Text, ...]:
    said = (Plain("all"),), (Plain("all"),), (Plain("inner traffic, to the cloud"),)
    return ((Code(str(network)),), *said)


def _hosted(scene: Scene) -> bool:
    """Whether the gateway may be a machine of some cloud itself: the file says what only such have."""
    uplink = scene.uplink
    told = (uplink.public, uplink.source_dest_check, uplink.allows)
    return scene.plan.platform is Platform.LINUX and any(item is not None for item in told)


def _machine(scene: Scene) -> list[Block]:
    lans = {name: str(address) for name, (address, _) in scene.lans().items()}
    local = str(scene.tunnels[0].local)
    values = scene.values() | {"local": joined(lans.values()) or local}
    rows = []
    for kind, console in CONSOLES.items():
        if (hosting := console.hosting) is not None:
            cells = (hosting.forwarding, hosting.route, hosting.filter, hosting.boot or "nothing")
            rows.append(((Plain(PROFILES[kind].title),), *(text(cell) for cell in cells)))
    return [
        Heading(2, (Plain("If the gateway is a machine of a cloud"),)),
        Paragraph(
            text(
                "It forwards for its neighbours: the cloud it stands in must not drop what is neither"
                " from nor to it, and has to send the neighbours' packets for {cloud_networks} to"
                " {local}.",
                values,
            )
        ),
        *([Paragraph(text(EACH, {"lans": joined(lans)}))] if lans else []),
        Table(("cloud", "forwarding", "route rule", "filter", "at boot"), tuple(rows)),
        Check(
            tuple(f"tcpdump -ni {name} net {_first_network(scene)}" for name in lans),
            text(
                "A neighbour's packet for {cloud_networks} arrives at the gateway (`tcpdump` shows"
                " it).",
                values,
            ),
        ),
    ]


def _first_network(scene: Scene) -> Prefix:
    return scene.network.clouds[scene.vpn.cloud].networks[0]


def _secrets(scene: Scene) -> list[Block]:
    found: dict[str, str] = {}
    for tunnel in scene.tunnels:
        if tunnel.psk is not None:
            found.setdefault(tunnel.psk, f"pre-shared key of {tunnel.name}")
        if tunnel.certificate is not None:
            found.setdefault(tunnel.certificate.key, "private key of the certificate")
    for peer in scene.peers:
        if peer.password is not None:
            found.setdefault(peer.password, "password of the BGP sessions, on both sides")
    rows = tuple(((Code(key),), (Plain(what),)) for key, what in found.items())
    blocks: list[Block] = [Heading(2, (Plain("Secrets"),))]
    if not rows:
        return [*blocks, Paragraph(text("There are none."))]
    blocks.append(Table(("reference", "what it is"), rows))
    if scene.plan.platform is Platform.LINUX:
        blocks.append(
            Paragraph(
                text(
                    "The agent looks each up on the gateway: `env:NAME` is a variable in its"
                    " environment, `file:/path` a file that nobody but root can read. The value is"
                    " the one typed in the cloud."
                )
            )
        )
        return [*blocks, Check((), text("No secret is in the network file, and none in a bundle."))]
    if scene.plan.platform in SITE_CONSOLES:
        blocks.append(
            Paragraph(
                text(
                    "Each is typed in both consoles, by whoever has its value. Nothing else needs it."
                )
            )
        )
        return [
            *blocks,
            Check((), text("No secret is in the network file, and none on this page.")),
        ]
    blocks.append(
        Paragraph(
            text(
                "In the rendered file each stands in a comment, as `<reference>`. Put the value in"
                " its place in a copy that nobody else can read, and take the comment's sign away."
            )
        )
    )
    return [*blocks, Check((), text("The copy has no `<` left."))]


def _apply(scene: Scene, file: str) -> list[Block]:
    node, platform = scene.vpn.site, scene.plan.platform
    blocks: list[Block] = [Heading(2, (Plain("Configure the gateway"),))]
    if platform in FILES:
        folder, ending = FILES[platform]
        path = f"bundles/{node}/root/{folder}/{node}.{ending}"
        return [
            *blocks,
            Check(
                (f"bongsu check {file}", f"bongsu render {file} --node {node} -o bundles"),
                text(
                    "No errors. {path} is what to load, and README.md beside it says how.",
                    {"path": path},
                ),
            ),
        ]
    packages = " ".join(
        (scene.plan.ipsec.value, "frr" if scene.plan.routing is RoutingDaemon.FRR else "bird2")
    )
    if scene.plan.ipsec is IpsecDaemon.STRONGSWAN:
        packages = (
            f"charon-systemd strongswan-swanctl libcharon-extra-plugins {packages.split()[1]}"
        )
    return [
        *blocks,
        Check(
            (f"bongsu check {file}", f"bongsu render {file} --node {node} -o bundles"),
            text("No errors, and a bundle for {node}.", {"node": node}),
            "Run",
        ),
        Paragraph(
            text(
                "The gateway needs bongsu and, of its distribution, {packages} (Debian's names). Copy"
                " {path} there as `/etc/bongsu/bundle`. It has the tunnels, BGP, forwarding and"
                " redirects (sysctl), and the filter.",
                {"packages": packages, "path": f"bundles/{node}"},
            )
        ),
        Check(
            ("systemctl reload-or-restart bongsu-agent", "bongsu agent status"),
            text(
                "The agent has applied the bundle, and its daemons run. Sessions that a change does"
                " not concern stay up."
            ),
            "Run",
        ),
        Paragraph(
            text(
                "Without the service: `bongsu agent run --bundle /etc/bongsu/bundle`. With firewalld:"
            )
        ),
        Check(
            (
                "firewall-cmd --permanent --add-service=bongsu-ipsec",
                "firewall-cmd --reload",
                "firewall-cmd --list-services",
            ),
            text("*bongsu-ipsec* is among them."),
            "Run",
        ),
    ]
