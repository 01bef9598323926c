"""VPN connections -> the tunnels, BGP sessions and routes of their site, and of a cloud's stand-in.

Like bongsu.plan.compile it does not judge: names must hold (intent sees to that), the rest is for
checks. Cost is linear in the tunnels.
"""

from collections.abc import Iterable, Iterator
from ipaddress import ip_interface
from itertools import chain, count

from bongsu.model.base import EVERYTHING, Address, Interface, Prefix
from bongsu.model.network import Network
from bongsu.model.node import Node, NodeInterface, Platform, Role, RoutingDaemon
from bongsu.model.proposal import ENCRYPTION, Suite, suite
from bongsu.model.vpn import Binding, Cloud, IpsecDaemon, Vpn, VpnBgp, VpnTunnel
from bongsu.plan.accelerate import INTERNET_MTU, accelerated, accelerated_address
from bongsu.plan.cloud import PROFILES, CloudProfile
from bongsu.plan.node import Hop, InterfacePlan, NodePlan, RoutePlan
from bongsu.plan.relay import relay_nodes
from bongsu.plan.specifics import more_specifics
from bongsu.plan.vpn import AcceleratedPlan, CloudPeer, VpnTunnelPlan, Weak

FIRST_MARK = 100
"""Marks that the file does not give; GRE's policies use none."""
PREFERENCE, STEP = 200, 10
"""Local preference of the first tunnel, and how much less each further one has."""
WEAK_PART = 10
"""Of its local preference a degraded tunnel keeps one part in so many: 16 tunnels have 200 to 50,
degraded 20 to 5, in the same order."""
UDP_HEADER, ESP_HEADER = 8, 8
STAND_IN_UPLINK = "wan"


def vpn_tunnels(
    network: Network, node_name: str, vpns: dict[str, Vpn], relays: list[str]
) -> list[VpnTunnelPlan]:
    """The IPsec tunnels of a node. `relays` is `bongsu.plan.relay.relay_nodes(network)`."""
    node = network.nodes[node_name]
    taken = {t.mark for vpn in vpns.values() for t in vpn.tunnels.values() if t.mark is not None}
    free = (mark for mark in range(FIRST_MARK, 0xFFFFFFFF) if mark not in taken)
    return [
        _tunnel(network, node, name, vpn, key, tunnel, rank, free, relays)
        for name, vpn in vpns.items()
        for rank, (key, tunnel) in enumerate(vpn.tunnels.items())
    ]


def cloud_peers(network: Network, vpns: dict[str, Vpn]) -> list[CloudPeer]:
    """The BGP sessions inside a node's IPsec tunnels; a tunnel without inside addresses has none."""
    return [
        CloudPeer(
            name=key,
            tunnel=key,
            vpn=name,
            asn=cloud_asn(network.clouds[vpn.cloud]) or 0xFFFFFFFE,
            address=peer,
            local=tunnel.inside.ip,
            keepalive_s=bgp.keepalive_s,
            hold_s=bgp.hold_s,
            multihop=bgp.multihop,
            password=bgp.password,
            bfd=bgp.bfd,
            announce=(announced := _announced(network, vpn, bgp)),
            more_specifics=[
                part
                for prefix in (announced if len(vpn.tunnels) > 1 else [])
                for part in more_specifics(prefix, bgp.deaggregate_on_failure)
            ],
            accept=_accepted(network.clouds[vpn.cloud], bgp),
            max_prefixes=bgp.max_prefixes,
            next_hop_self=bgp.next_hop_self,
            soft_reconfiguration=bgp.soft_reconfiguration,
            preference=PREFERENCE - STEP * _rank(vpn, place),
            prepend=_rank(vpn, place),
            weak=_weak(vpn, place),
        )
        for name, vpn in vpns.items()
        if (bgp := vpn.bgp) is not None
        for place, (key, tunnel) in enumerate(vpn.tunnels.items())
        if tunnel.inside is not None and (peer := peer_inside(tunnel)) is not None
    ]


def vpn_routes(network: Network, vpns: dict[str, Vpn]) -> list[RoutePlan]:
    """Static routes into IPsec tunnels, the active one at distance 1, each standby one further off."""
    return [
        RoutePlan(prefix=prefix, hop=Hop(gateway=None, tunnel=key), distance=1 + _rank(vpn, place))
        for vpn in vpns.values()
        if vpn.static and vpn.binding is not Binding.POLICY
        for prefix in network.clouds[vpn.cloud].networks
        for place, key in enumerate(vpn.tunnels)
    ]


def cloud_asn(cloud: Cloud) -> int | None:
    """The cloud's AS number; None if neither the file nor its profile says."""
    return cloud.asn or PROFILES[cloud.profile].asn


def site_networks(network: Network, vpn: Vpn) -> list[Prefix]:
    """The site's side: what the file says, else the networks of its node's LANs."""
    if vpn.networks is not None:
        return list(vpn.networks)
    node = network.nodes[vpn.site]
    return [a.network for i in node.interfaces.values() if i.role == "lan" for a in i.addresses]


def peer_inside(tunnel: VpnTunnel) -> Address | None:
    """The cloud's inside address: as stated, else the other host of a network that has two."""
    if tunnel.peer is not None or tunnel.inside is None:
        return tunnel.peer
    others = [host for host in _hosts(tunnel.inside) if host != tunnel.inside.ip]
    return others[0] if len(others) == 1 else None


def uplink_of(node: Node, vpn: Vpn) -> str:
    """The interface a connection speaks from."""
    if vpn.interface is not None:
        return vpn.interface
    return next(name for name, item in node.interfaces.items() if item.role == "uplink")


def outside(interface: NodeInterface, family: int) -> Address | None:
    """An interface's first address of a family."""
    return next((a.ip for a in interface.addresses if a.version == family), None)


def inside_mtu(link: int, outer: Address, proposals: Iterable[str], *, udp: bool) -> int:
    """The largest inner packet that stays one outer packet on a link (RFC 4303, RFC 3948)."""
    room = link - (20 if outer.version == 4 else 40) - ESP_HEADER - (UDP_HEADER if udp else 0)
    return min(_payload(room, suite(text)) for text in proposals)


def way_mtu(interface: NodeInterface, between: AcceleratedPlan | None) -> int:
    """The largest outer packet that goes whole from an uplink to a headend."""
    return min(interface.mtu, INTERNET_MTU if between is None else between.mtu)


def stand_in_plan(network: Network, cloud_name: str) -> NodePlan:
    """The plan of a Linux node that plays a cloud in the lab: the far end of all its tunnels.

    It answers and does not call, as clouds do, and routes by FRR.
    """
    cloud = network.clouds[cloud_name]
    vpns = {name: vpn for name, vpn in network.vpns.items() if vpn.cloud == cloud_name}
    relays = relay_nodes(network)
    mirrored: list[VpnTunnelPlan] = []
    peers: list[CloudPeer] = []
    routes: list[RoutePlan] = []
    for site in dict.fromkeys(vpn.site for vpn in vpns.values()):
        own = {name: vpn for name, vpn in vpns.items() if vpn.site == site}
        tunnels = vpn_tunnels(network, site, own, relays)
        # Two sites may have tunnels of one name; here all of them end in one machine.
        taken = {tunnel.name for tunnel in mirrored}
        names = _distinct([tunnel.name for tunnel in tunnels], taken)
        asn = network.nodes[site].bgp.asn or network.owner.asn
        for tunnel in tunnels:
            mark = FIRST_MARK + len(mirrored)
            mirrored.append(_mirror(tunnel, own[tunnel.vpn], names[tunnel.name], mark))
        peers += [
            _mirror_peer(peer, asn, cloud, names[peer.tunnel]) for peer in cloud_peers(network, own)
        ]
        routes += [
            RoutePlan(
                prefix=prefix,
                hop=Hop(gateway=None, tunnel=names[tunnel.name]),
                distance=1 + tunnel.rank,
            )
            for tunnel in tunnels
            if own[tunnel.vpn].bgp is None and tunnel.binding is not Binding.POLICY
            for prefix in tunnel.local_networks
        ]
    headends = list(dict.fromkeys(tunnel.local for tunnel in mirrored))
    return NodePlan(
        network=network.name,
        node=cloud_name,
        role=Role.ROUTER,
        platform=Platform.LINUX,
        asn=cloud_asn(cloud) or 0xFFFFFFFE,
        router_id=next((ip for ip in headends if ip.version == 4), headends[0]),
        owned=[],
        interfaces=[
            InterfacePlan(
                name=STAND_IN_UPLINK,
                role="uplink",
                addresses=[_in_pair(ip) for ip in headends],
                gateways=_gateways(headends),
                mtu=INTERNET_MTU,
            ),
            *(
                InterfacePlan(
                    name=f"net{number}",
                    role="lan",
                    addresses=[_first_host(prefix)],
                    gateways=[],
                    mtu=INTERNET_MTU,
                )
                for number, prefix in enumerate(cloud.networks)
            ),
        ],
        tunnels=[],
        external=[],
        internal=[],
        announcements=[],
        home=[],
        reply_table=0,
        routing=RoutingDaemon.FRR,
        ipsec=IpsecDaemon.STRONGSWAN,
        vpns=mirrored,
        cloud_peers=peers,
        vpn_routes=routes,
    )


def _tunnel(
    network: Network,
    node: Node,
    name: str,
    vpn: Vpn,
    key: str,
    tunnel: VpnTunnel,
    rank: int,
    free: Iterator[int],
    relays: list[str],
) -> VpnTunnelPlan:
    cloud = network.clouds[vpn.cloud]
    profile = PROFILES[cloud.profile]
    underlay = uplink_of(node, vpn)
    interface = node.interfaces[underlay]
    between = accelerated(network, tunnel, relays)
    remote = tunnel.headend if between is None else accelerated_address(network, tunnel)
    local = outside(interface, remote.version) or interface.addresses[0].ip
    public = interface.public if interface.public is not None and local.version == 4 else local
    ours, theirs = site_networks(network, vpn), list(cloud.networks)
    any_ = vpn.selectors == "any" or (vpn.selectors is None and vpn.binding is not Binding.POLICY)
    versions = sorted({p.version for p in ours + theirs}) or [4]
    everything = [EVERYTHING[version] for version in versions]
    esp = _esp_proposals(vpn, profile)
    nat = public != local or between is not None
    encapsulation = nat if vpn.encapsulation is None else vpn.encapsulation
    customer = public if between is None else between.off_address
    return VpnTunnelPlan(
        name=key,
        vpn=name,
        cloud=vpn.cloud,
        profile=cloud.profile,
        underlay=underlay,
        local=local,
        public=public,
        remote=remote,
        accelerated=between,
        local_id=tunnel.id or str(customer),
        remote_id=tunnel.peer_id or str(tunnel.headend),
        ike_version=vpn.ike.version,
        ike_proposals=vpn.ike.proposals or list(profile.ike_proposals),
        ike_lifetime_s=vpn.ike.lifetime_s or profile.ike_lifetime_s,
        esp_proposals=esp,
        esp_lifetime_s=vpn.esp.lifetime_s or profile.esp_lifetime_s,
        dpd=vpn.dpd or None,
        probe=vpn.probe,
        psk=None if vpn.certificate is not None else tunnel.psk,
        certificate=vpn.certificate,
        encapsulation=encapsulation,
        start=vpn.start,
        binding=vpn.binding,
        mark=tunnel.mark if tunnel.mark is not None else next(free),
        vti_routing=vpn.vti_routing,
        rpf=vpn.rpf or "loose",
        inside=tunnel.inside,
        peer_inside=peer_inside(tunnel),
        local_selectors=everything if any_ else ours,
        remote_selectors=everything if any_ else theirs,
        local_networks=ours,
        remote_networks=theirs,
        # A NAT that nobody has told us of is found on the way, and takes its UDP header then.
        mtu=vpn.mtu or inside_mtu(way_mtu(interface, between), local, esp, udp=True),
        rank=_rank(vpn, rank),
    )


def _esp_proposals(vpn: Vpn, profile: CloudProfile) -> list[str]:
    return vpn.esp.proposals or list(profile.esp_proposals)


def _rank(vpn: Vpn, place: int) -> int:
    return 0 if vpn.balance == "ecmp" else place


def _weak(vpn: Vpn, place: int) -> Weak:
    """In the order of the healthy ones, and behind all of them."""
    rank = _rank(vpn, place)
    return Weak(preference=(PREFERENCE - STEP * rank) // WEAK_PART, prepend=rank + len(vpn.tunnels))


def _announced(network: Network, vpn: Vpn, bgp: VpnBgp) -> list[Prefix]:
    return site_networks(network, vpn) if bgp.announce is None else list(bgp.announce)


def _accepted(cloud: Cloud, bgp: VpnBgp) -> list[Prefix] | None:
    if bgp.accept == "any":
        return None
    return list(cloud.networks) if bgp.accept is None else list(bgp.accept)


def _payload(room: int, chosen: Suite) -> int:
    """Bytes of inner packet in `room` bytes of IV, ciphertext and check value."""
    if chosen.aead or chosen.encryption.endswith("ctr"):
        initial, block = 8, 4
    elif chosen.encryption in ("3des", "des"):
        initial, block = 8, 8
    else:
        initial, block = (16, 16) if ENCRYPTION[chosen.encryption] else (0, 4)
    # Padding, its length and the next header end on a block (RFC 4303 section 2.4).
    return (room - initial - chosen.check_bytes) // block * block - 2


def _distinct(names: list[str], taken: set[str]) -> dict[str, str]:
    """Each name as it is, or with a number where it is taken; an interface's has 15 characters."""
    found: dict[str, str] = {}
    for name in names:
        numbered = (f"{name[:10]}-{number}" for number in count(2))
        found[name] = next(new for new in chain([name], numbered) if new not in taken)
        taken.add(found[name])
    return found


def _mirror(tunnel: VpnTunnelPlan, vpn: Vpn, name: str, mark: int) -> VpnTunnelPlan:
    """The far end of a site's tunnel, as the interface `name`."""
    inside = None
    if tunnel.inside is not None and tunnel.peer_inside is not None:
        inside = ip_interface(f"{tunnel.peer_inside}/{tunnel.inside.network.prefixlen}")
    return tunnel.model_copy(
        update={
            "name": name,
            "mark": mark,
            "cloud": vpn.site,
            "underlay": STAND_IN_UPLINK,
            "local": tunnel.headend,
            "public": tunnel.headend,
            "remote": tunnel.customer,
            # It is the site that has an accelerator; the cloud has a customer behind a NAT.
            "accelerated": None,
            "local_id": tunnel.remote_id,
            "remote_id": tunnel.local_id,
            "dpd": None
            if tunnel.dpd is None
            else tunnel.dpd.model_copy(update={"action": "clear"}),
            "probe": None,
            "rpf": "loose",
            "start": "respond",
            "binding": Binding.POLICY if tunnel.binding is Binding.POLICY else Binding.XFRM,
            "inside": inside,
            "peer_inside": None if tunnel.inside is None else tunnel.inside.ip,
            "local_selectors": tunnel.remote_selectors,
            "remote_selectors": tunnel.local_selectors,
            "local_networks": tunnel.remote_networks,
            "remote_networks": tunnel.local_networks,
        }
    )


def _mirror_peer(peer: CloudPeer, asn: int, cloud: Cloud, name: str) -> CloudPeer:
    return peer.model_copy(
        update={
            "name": name,
            "tunnel": name,
            "asn": asn,
            "address": peer.local,
            "local": peer.address,
            "announce": list(cloud.networks),
            "accept": peer.announce,
            "more_specifics": [],
            "soft_reconfiguration": False,
            "preference": 100,
            "prepend": 0,
            # Clouds do not know of our verdicts.
            "weak": None,
        }
    )


def _hosts(inside: Interface) -> list[Address]:
    network = inside.network
    if network.prefixlen == network.max_prefixlen:
        return []
    if network.num_addresses > 4:
        return []
    return list(network.hosts())


def _in_pair(address: Address) -> Interface:
    """A headend in a network of its own, so small that its neighbours' addresses are free."""
    return ip_interface(f"{address}/{31 if address.version == 4 else 127}")


def _gateways(headends: list[Address]) -> list[Address]:
    found: dict[int, Address] = {}
    for headend in headends:
        pair = _in_pair(headend)
        other = next(host for host in pair.network if host != headend)
        found.setdefault(headend.version, other)
    return list(found.values())


def _first_host(prefix: Prefix) -> Interface:
    first = prefix[1] if prefix.num_addresses > 1 else prefix[0]
    return ip_interface(f"{first}/{prefix.prefixlen}")
