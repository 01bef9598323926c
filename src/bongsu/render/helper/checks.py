"""What to run when both sides are configured, in the order in which things come up: IKE, ESP, the
inside addresses, BGP, routes, hosts. What is down has its reason in the first check that fails.
"""

from collections.abc import Iterator

from bongsu.model.node import Platform, RoutingDaemon
from bongsu.model.vpn import Binding, IpsecDaemon
from bongsu.plan.cloud.console import SITE_CONSOLES
from bongsu.plan.ios_names import tunnel_numbers
from bongsu.plan.vyos_names import vti_names
from bongsu.render.helper.accelerator import accelerator_troubles, session_checks
from bongsu.render.helper.page import Block, Check, Heading, Paragraph, Plain, Table, Text, text
from bongsu.render.helper.scene import Scene
from bongsu.render.helper.values import facts
from bongsu.render.text import symbol

IP_AND_ICMP = 28
"""Bytes of an IPv4 and an ICMP echo header before a ping's payload."""


def check_steps(scene: Scene) -> Iterator[list[Block]]:
    """One list of blocks for each thing to look at, the first of them its heading."""
    yield [Heading(2, (Plain("Check IKE and IPsec"),)), *_ipsec(scene)]
    service = scene.plan.platform in SITE_CONSOLES
    routed = scene.tunnels[0].binding is not Binding.POLICY
    if not service and routed and scene.tunnels[0].peer_inside is not None:
        yield [Heading(2, (Plain("Check the inside of the tunnels"),)), *_inside(scene)]
    if scene.peers and not service:
        yield [Heading(2, (Plain("Check BGP"),)), *_bgp(scene)]
    yield [Heading(2, (Plain("Check from host to host"),)), *_hosts(scene)]
    if len(scene.tunnels) > 1 and not service:
        yield [Heading(2, (Plain("Check that one tunnel is enough"),)), *_failover(scene)]
    yield [Heading(2, (Plain("If something stays down"),)), _trouble(scene)]


def _ipsec(scene: Scene) -> Iterator[Block]:
    version = scene.tunnels[0].ike_version
    match scene.plan.platform:
        case platform if platform in SITE_CONSOLES:
            yield Check((), text(f"At the site: {SITE_CONSOLES[platform].status}."))
        case Platform.IOS:
            command = "show crypto isakmp sa" if version == 1 else "show crypto ikev2 sa"
            state = "QM_IDLE" if version == 1 else "READY"
            yield Check((command,), text(f"Each headend is there, *{state}*."))
            yield Check(
                ("show crypto ipsec sa",),
                text("*#pkts encaps* and *#pkts decaps* grow for each tunnel."),
            )
        case Platform.VYOS:
            yield Check(("show vpn ike sa",), text("Each peer is *up*."))
            yield Check(("show vpn ipsec sa",), text("Each peer is *up*, with bytes both ways."))
        case _ if scene.plan.ipsec is IpsecDaemon.LIBRESWAN:
            yield Check(
                ("ipsec verify",),
                text(
                    "*[OK]* for *Pluto listening for IKE on udp 500* and *on udp 4500*, for the"
                    " syntax of ipsec.conf and of ipsec.secrets, and for *send_redirects* and"
                    " *accept_redirects*."
                ),
            )
            ike, esp = (
                ("STATE_MAIN_I4", "STATE_QUICK_I2")
                if version == 1
                else ("STATE_V2_ESTABLISHED_IKE_SA", "STATE_V2_ESTABLISHED_CHILD_SA")
            )
            yield Check(
                ("ipsec status",),
                text(
                    "For {tunnels} a line with *established* each for the IKE SA"
                    f" (`{ike}`, or with R in place of I where the cloud called) and for the IPsec"
                    f" SA (`{esp}`).",
                    _tunnels(scene),
                ),
            )
            yield Check(
                ("ipsec trafficstatus",),
                text("*inBytes* and *outBytes* grow for {tunnels}.", _tunnels(scene)),
            )
        case _:
            yield Check(
                ("swanctl --list-sas",),
                text(
                    "For {tunnels}: *ESTABLISHED* with the version of IKE, and below it *INSTALLED*"
                    " with packets in and out.",
                    _tunnels(scene),
                ),
            )
            yield Paragraph(
                text(
                    "Where the kernel has no ESP, each tunnel has a daemon of its own: `swanctl"
                    " --list-sas --uri unix:///run/bongsu/libipsec/TUNNEL.vici`."
                )
            )
    if scene.plan.platform is Platform.LINUX:
        said = (
            "*State* of {tunnels} is *up*, *SPIs* is 2 or more, *In* and *Out* grow. Where one is not"
            " up, the line below it says which layer is down, and why."
        )
        yield Check(("bongsu show vpn",), text(said, _tunnels(scene)))
    yield Check((), text(f"In the cloud: {scene.console.status}."))
    yield from session_checks(scene)


def _inside(scene: Scene) -> Iterator[Block]:
    for tunnel in scene.tunnels:
        peer = str(tunnel.peer_inside)
        command = {
            Platform.IOS: f"ping {peer} source {_own_name(scene, tunnel.name)}",
            Platform.VYOS: f"ping {peer} interface {_own_name(scene, tunnel.name)} count 3",
        }.get(scene.plan.platform, f"ping -c 3 -I {tunnel.name} {peer}")
        yield Check(
            (command,),
            text("Three answers, by {tunnel}.", {"tunnel": _own_name(scene, tunnel.name)}),
        )


def _bgp(scene: Scene) -> Iterator[Block]:
    announced = ", ".join(dict.fromkeys(str(p) for peer in scene.peers for p in peer.announce))
    neighbors = ", ".join(str(peer.address) for peer in scene.peers)
    values = {"announced": announced, "neighbors": neighbors, **scene.values()}
    said = "{neighbors} are *Established*, and each has brought prefixes of {cloud_networks}."
    match scene.plan.platform:
        case Platform.IOS:
            yield Check(("show ip bgp summary",), text(said, values))
            sent = [f"show ip bgp neighbors {p.address} advertised-routes" for p in scene.peers]
        case Platform.VYOS:
            yield Check(("show bgp summary",), text(said, values))
            sent = [f"show bgp ipv4 neighbors {p.address} advertised-routes" for p in scene.peers]
        case _:
            counts = ", ".join(dict.fromkeys(str(len(peer.announce)) for peer in scene.peers))
            shown = text(
                "For {neighbors} a number under *State/PfxRcd*, of prefixes of {cloud_networks},"
                " and {counts} under *PfxSnt*.",
                {**values, "counts": counts},
            )
            yield Check(("bongsu show bgp",), shown)
            if scene.plan.routing is RoutingDaemon.FRR:
                summary = "vtysh -c 'show bgp summary'"
                told = "vtysh -c 'show bgp neighbors {} advertised-routes'"
                sent = [told.format(peer.address) for peer in scene.peers]
                yield Check((summary,), text("A number under *State/PfxRcd* for each neighbor."))
            else:
                sent = [
                    f"birdc show route export cloud{p.address.version}_{symbol(p.tunnel)}"
                    for p in scene.peers
                ]
                yield Check(("birdc show protocols",), text("*Established* for each session."))
    yield Check(tuple(sent), text("{announced}, and nothing else.", values))


def _hosts(scene: Scene) -> Iterator[Block]:
    values = scene.values() | {"size": str(scene.tunnels[0].mtu - IP_AND_ICMP)}
    found = scene.hosts()
    if found is None:
        yield Paragraph(
            text(
                "Take a host in {site_networks} and one in {cloud_networks}, not the gateways"
                " themselves.",
                values,
            )
        )
        said = (
            "`ping` gets answers from one to the other and back; with `-M do -s` {size} too, which is"
            " the largest packet that fits."
        )
        yield Check((), text(said, values))
    else:
        ours, theirs = found
        yield Check((f"ping -c 3 {theirs}",), text("At {host}: three answers.", {"host": ours}))
        yield Check((f"ping -c 3 {ours}",), text("At {host}: three answers.", {"host": theirs}))
        yield Check(
            (f"ping -c 3 -M do -s {values['size']} {theirs}",),
            text(
                "At {host}: three answers. The largest packet that fits passes whole.",
                {"host": ours},
            ),
        )
    yield from _from_the_gateway(scene, found[1] if found is not None else None)


def _from_the_gateway(scene: Scene, there: str | None) -> Iterator[Block]:
    """What the gateway itself can try: as a neighbour on its LAN, for the cloud knows no other."""
    own = next((str(address) for address, _ in scene.lans().values()), None)
    ping = {
        Platform.LINUX: "ping -c 3 -I {own} {there}",
        Platform.IOS: "ping {there} source {own}",
        Platform.VYOS: "ping {there} source-address {own} count 3",
    }.get(scene.plan.platform)
    values = {"own": own or "", "host": there or "HOST", **scene.values()}
    if own is not None and ping is not None:
        said = "At the gateway, from its own address in the LAN: three answers."
        if there is None:
            said += " {host} is one in {cloud_networks}."
        yield Check((ping.format(own=own, there=there or "HOST"),), text(said, values))
    if scene.plan.platform is Platform.LINUX and scene.vpn.binding is not Binding.POLICY:
        prefix = scene.network.clouds[scene.vpn.cloud].networks[0]
        source = "" if own is None else f" from {own}"
        yield Check(
            (f"ip route get {prefix[1] if prefix.num_addresses > 1 else prefix[0]}{source}",),
            text("At the gateway: *dev* and a tunnel, one of {tunnels}.", _tunnels(scene)),
        )


def _failover(scene: Scene) -> Iterator[Block]:
    first, *others = scene.tunnels
    match scene.plan.platform:
        case Platform.IOS:
            name = _own_name(scene, first.name)
            down, up = f"interface {name} / shutdown", f"interface {name} / no shutdown"
        case Platform.VYOS:
            name = _own_name(scene, first.name)
            down = f"set interfaces vti {name} disable ; commit"
            up = f"delete interfaces vti {name} disable ; commit"
        case _ if scene.plan.ipsec is IpsecDaemon.LIBRESWAN:
            down, up = f"ipsec auto --down {first.name}", f"ipsec auto --up {first.name}"
        case _:
            down = f"swanctl --terminate --ike {first.name}"
            up = f"swanctl --initiate --child {first.name}"
    bound = scene.peers[0].hold_s if scene.peers else None
    after = "at once" if bound is None else f"after {bound} s at the latest"
    values = {"tunnel": first.name, "others": ", ".join(tunnel.name for tunnel in others)}
    yield Check(
        (down,),
        text(f"The pings from host to host stop and go on, {after}, by {{others}}.", values),
        "Run",
    )
    back = text("{tunnel} comes back, and the traffic to it as configured.", values)
    yield Check((up,), back, "Run")


def _trouble(scene: Scene) -> Table:
    bgp = "BGP stays *Active* or *Connect*"
    rows: list[tuple[str, str]] = [
        ("no IKE at all, requests are repeated",
         "UDP 500 or 4500 is filtered, the headend is another, or the CPE's address in the cloud is"
         " not {public}"),
        ("IKE fails: *NO_PROPOSAL_CHOSEN*", "phase 1 differs: algorithms, group or version of IKE"),
        ("IKE fails: *AUTHENTICATION_FAILED*, or *INVALID_ID*",
         "the pre-shared keys differ, or the cloud does not expect the identity {local_id}"),
        ("IKE is up, IPsec fails", "phase 2 differs: algorithms, perfect forward secrecy, selectors"),
        ("IPsec is up, bytes go out only", "ESP is filtered, or a filter drops what comes out"),
    ]  # fmt: skip
    if scene.peers:
        rows += [
            (bgp, "the inside addresses do not answer, or TCP 179 is filtered"),
            ("BGP is closed with *Bad Peer AS*",
             "the cloud expects another AS than {asn}, or is not {cloud_asn}"),
            ("BGP is up, no prefixes", "nothing is announced there, or the filters here take none"),
        ]  # fmt: skip
    rows += accelerator_troubles(scene)
    if "public" in facts(scene.tunnels, dynamic=scene.dynamic):
        rows.append(
            (
                "IPsec is up both ways, and no ping arrives",
                "{public_networks} is public address space, and a cloud sends it to the Internet: have it"
                " taken for private there",
            )
        )
    rows.append(
        (
            "gateways reach each other, hosts do not",
            "a route rule, a security list, the source/destination check, or forwarding is missing",
        )
    )
    values = scene.values()
    cells: list[tuple[Text, ...]] = [(text(see), text(why, values)) for see, why in rows]
    return Table(("what is seen", "what it is"), tuple(cells))


def _tunnels(scene: Scene) -> dict[str, str]:
    return {"tunnels": ", ".join(tunnel.name for tunnel in scene.tunnels)}


def _own_name(scene: Scene, tunnel: str) -> str:
    """The tunnel's name on the gateway."""
    names = [vpn.name for vpn in scene.plan.vpns]
    if scene.plan.platform is Platform.VYOS:
        return vti_names(names)[tunnel]
    if scene.plan.platform is Platform.IOS:
        all_names = [*(own.name for own in scene.plan.tunnels), *names]
        return f"Tunnel{tunnel_numbers(all_names)[tunnel]}"
    return tunnel
