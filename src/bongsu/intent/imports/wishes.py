"""What a person adds to a download, and what is still missing: with the option that says it.

Some of it no network can be without; the rest depends on the site (a NAT in front, a LAN behind), and
is asked for where somebody can answer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Any

from bongsu.intent.imports.accelerated import Way
from bongsu.intent.imports.imported import Imported, Tunnel
from bongsu.model.base import Address, Interface, Prefix
from bongsu.model.vpn import Profile

PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
"""RFC 1918: whoever has such an address is not seen by it."""
DEFAULT_NAMES = {Profile.AWS: "aws", Profile.OCI: "oci"}


@dataclass(frozen=True)
class Wishes:
    """What a person adds to the file."""

    site: str = "cpe"
    name: str | None = None
    """Of the connection; without it, the cloud's own name for it, or the cloud's."""
    cloud: str | None = None
    cloud_networks: tuple[Prefix, ...] = ()
    site_networks: tuple[Prefix, ...] = ()
    address: Interface | None = None
    """The gateway's own, with its length."""
    public: Address | None = None
    """What the Internet sees of it, behind a 1:1 NAT."""
    interface: str = "eth0"
    gateway: Address | None = None
    """The provider's router on it."""
    lan: Interface | None = None
    """The gateway's address in the LAN behind it, with its length."""
    lan_interface: str = "eth1"
    asn: int | None = None
    inside: tuple[Interface, ...] = ()
    """In the order of the tunnels, where the file has none."""
    secrets: str = "/etc/bongsu/secrets"
    """Directory of the files with keys, absolute."""
    accelerators: tuple[Way, ...] = ()
    """In the order of the tunnels, through which they go; tunnels beyond are left out."""
    strongest: bool = False
    """Propose what is strongest of what the cloud takes, in place of what its file says."""


@dataclass(frozen=True)
class Missing:
    """Something that neither the file nor the person has said."""

    wish: str
    """The field of Wishes."""
    option: str
    example: str
    said: str
    """As an error or a note has it."""
    question: str
    """As it is asked on a terminal."""
    needed: bool = True
    """Whether there is no network without it."""
    several: bool = False
    more: str = ""
    """What else is to be said of the option."""
    tunnel: Tunnel | None = None

    @property
    def hint(self) -> str:
        """What to type."""
        return f"add {self.option} {self.example}{self.more}"


def missing(
    imported: Imported, wishes: Wishes, existing: Mapping[str, Any] | None = None
) -> Iterator[Missing]:
    """All that is missing, in the order in which it is asked: an answer may make others needless.

    `existing` is the network that the connection is added to, if it is.
    """
    cloud = wishes.cloud or DEFAULT_NAMES[imported.profile]
    clouds = (existing or {}).get("clouds")
    there = isinstance(clouds, dict) and cloud in clouds
    if not there and not wishes.cloud_networks and not imported.networks:
        yield Missing(
            "cloud_networks",
            "--cloud-network",
            "172.16.0.0/16",
            "what is behind the cloud's gateway is not in the file",
            "Networks behind the cloud's gateway",
            several=True,
            more=", for each",
        )
    if not existing:
        yield from _of_the_site(imported, wishes)
    for place, tunnel in enumerate(imported.tunnels):
        if tunnel.inside is None and place >= len(wishes.inside):
            yield Missing(
                "inside",
                "--inside",
                "10.10.10.1/30",
                f"tunnel {place + 1} has no inside address",
                f"Our inside address of tunnel {place + 1}, with its length",
                more=", one for each tunnel in their order",
                tunnel=tunnel,
            )


def answered(imported: Imported, wishes: Wishes, item: Missing, value: Any) -> Wishes:
    """The wishes with an answer: what `item.wish` holds; of `inside`, and `lan`, one more."""
    if item.wish == "lan":
        name, address = value
        return replace(wishes, lan=address, lan_interface=name or wishes.lan_interface)
    if item.wish == "inside":
        before = [tunnel.inside for tunnel in imported.tunnels][len(wishes.inside) :]
        own = before[: next((i for i, each in enumerate(before) if each is None), 0)]
        return replace(wishes, inside=(*wishes.inside, *(each for each in own if each), value))
    return replace(wishes, **{item.wish: value})


def own_address(imported: Imported, wishes: Wishes) -> Address | None:
    """The gateway's own: as said, else as the cloud's file has it."""
    if wishes.address is not None:
        return wishes.address.ip
    return next((tunnel.local for tunnel in imported.tunnels if tunnel.local), None)


def seen_address(imported: Imported, wishes: Wishes) -> Address | None:
    """What the cloud sees of the gateway: as said, else as its file has it."""
    told = (tunnel.public or tunnel.local for tunnel in imported.tunnels)
    return wishes.public or next((address for address in told if address), None)


def _of_the_site(imported: Imported, wishes: Wishes) -> Iterator[Missing]:
    own, seen = own_address(imported, wishes), seen_address(imported, wishes)
    on = wishes.interface
    if own is None:
        yield Missing(
            "address",
            "--address",
            "192.0.2.10/24",
            "the gateway's own address is not in the file",
            f"The gateway's own address on {on}, with its length",
        )
    elif wishes.address is None:
        yield Missing(
            "address",
            "--address",
            "10.0.0.5/24",
            f"{own}, which the file has, is taken for the gateway's own address on {on}",
            f"The file has {own} for the gateway. Its own address on {on}, with its length",
            needed=False,
        )
    if seen is None or (wishes.public is None and seen == own and _private(own)):
        yield Missing(
            "public",
            "--public",
            "198.51.100.7",
            f"whether there is a 1:1 NAT in front of {on} is not in the file",
            f"What the Internet sees of {on}, if it is behind a 1:1 NAT",
            needed=False,
        )
    if wishes.gateway is None:
        yield Missing(
            "gateway",
            "--gateway",
            "192.0.2.1",
            f"the provider's router on {on} is not in the file",
            f"The provider's router on {on}",
            needed=False,
        )
    inside = wishes.address is not None and any(
        wishes.address.version == prefix.version and wishes.address.ip in prefix
        for prefix in wishes.site_networks
    )
    if wishes.lan is None and not inside:
        yield Missing(
            "lan",
            "--lan",
            f"{wishes.lan_interface}=10.0.0.1/24",
            "the LAN behind the gateway is not in the file",
            "The gateway's address in the LAN behind it, with its length and its interface before it,"
            " if there is one",
            needed=False,
        )
    if not wishes.site_networks and wishes.lan is None:
        yield Missing(
            "site_networks",
            "--site-network",
            "10.0.0.0/16",
            "what the site has is not in the file",
            "Networks of the site",
            several=True,
            more=f", for each, or --lan {wishes.lan_interface}=10.0.0.1/24",
        )
    asks = any(tunnel.cloud_asn or tunnel.hold_s for tunnel in imported.tunnels)
    if asks and wishes.asn is None and not any(tunnel.asn for tunnel in imported.tunnels):
        yield Missing("asn", "--asn", "65000", "our AS number is not in the file", "Our AS number")


def _private(address: Address) -> bool:
    return any(address in network for network in PRIVATE if network.version == address.version)
