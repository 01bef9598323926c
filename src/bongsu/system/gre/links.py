"""The interface side of a tunnel, by rtnetlink: what is there, and the difference to what should be.

Works in the network namespace that the IPRoute was opened in.
"""

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from bongsu.model.base import Interface

IFF_UP = 0x1
IFF_NOARP = 0x80
IFF_MULTICAST = 0x1000
ADDRGEN_NONE = 1
"""IN6_ADDR_GEN_MODE_NONE: no link-local address, hence no solicitations of routers either."""
IPV6_MIN_MTU = 1280
"""Linux has no IPv6 on an interface whose MTU is lower (RFC 8200, section 5)."""
SCOPE_LINK = 253
IFA_F_NODAD = 0x02
"""Nobody on a tunnel to ask for duplicates; without it, daemons cannot bind for a moment."""
ETHERNET = 1
"""ARPHRD_ETHER."""


@dataclass(frozen=True)
class Link:
    """An interface as the kernel shows it."""

    index: int
    name: str
    kind: str
    type: int
    mac: bytes
    mtu: int
    up: bool
    carrier: bool
    peer: int | None
    """ifindex of a veth's other half."""


def find(ipr: IPRoute, name: str) -> Link | None:
    """The interface of that name, None without one."""
    found = ipr.link_lookup(ifname=name)
    return read(ipr, found[0]) if found else None


def read(ipr: IPRoute, index: int) -> Link:
    """The interface of that number. Errors: pyroute2's NetlinkError ENODEV."""
    return _link(ipr.link("get", index=index)[0])


def every(ipr: IPRoute) -> list[Link]:
    """All interfaces, in the kernel's order."""
    return [_link(message) for message in ipr.get_links()]


def _link(message: Any) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    mac = message.get_attr("IFLA_ADDRESS") or ""
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        kind=(info.get_attr("IFLA_INFO_KIND") if info else None) or "",
        type=message["ifi_type"],
        mac=bytes.fromhex(mac.replace(":", "")),
        mtu=message.get_attr("IFLA_MTU"),
        up=bool(message["flags"] & IFF_UP),
        carrier=bool(message.get_attr("IFLA_CARRIER")),
        peer=message.get_attr("IFLA_LINK"),
    )


def add_quiet_pair(ipr: IPRoute, name: str, far: str) -> None:
    """A veth pair that says nothing on its own account, as the kernel's own tunnels do not: no ARP,
    no neighbour discovery, no group joined that would have to be reported.

    An interface joins the routers' group when IPv6 comes to it, if it has multicast then. So it is
    born with an MTU too small for IPv6, and gets its own when its flags are right.
    """
    small = IPV6_MIN_MTU - 1
    ipr.link("add", ifname=name, mtu=small, kind="veth", peer={"ifname": far, "mtu": small})
    for each in (find(ipr, name), find(ipr, far)):
        assert each is not None
        ipr.link("set", index=each.index, flags=IFF_NOARP, change=IFF_NOARP | IFF_MULTICAST)
        ipr.link("set", index=each.index, mtu=IPV6_MIN_MTU)
        no_slaac(ipr, each)


def no_slaac(ipr: IPRoute, link: Link) -> None:
    """IPv6 addresses are those of the plan: none made up, none learned from the other side."""
    inet6 = {"attrs": [["IFLA_INET6_ADDR_GEN_MODE", ADDRGEN_NONE]]}
    ipr.link("set", index=link.index, IFLA_AF_SPEC={"attrs": [["AF_INET6", inet6]]})
    # Absent without IPv6 in the kernel. The path is of the calling thread's namespace.
    setting = Path(f"/proc/sys/net/ipv6/conf/{link.name}/accept_ra")
    if setting.exists():
        setting.write_text("0")


def set_mtu(ipr: IPRoute, link: Link, mtu: int) -> bool:
    """True when it was another."""
    if link.mtu == mtu:
        return False
    ipr.link("set", index=link.index, mtu=mtu)
    return True


def set_up(ipr: IPRoute, link: Link, up: bool) -> bool:
    """True when it was otherwise."""
    if link.up == up:
        return False
    ipr.link("set", index=link.index, state="up" if up else "down")
    return True


def set_addresses(ipr: IPRoute, link: Link, wanted: Iterable[Interface]) -> bool:
    """Adds what is missing, removes what is too much; link-local addresses are left alone."""
    there = set()
    for message in ipr.get_addr(index=link.index):
        if message["family"] == socket.AF_INET6 and message["scope"] == SCOPE_LINK:
            continue
        text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        there.add(ip_interface(f"{text}/{message['prefixlen']}"))
    asked = list(dict.fromkeys(wanted))
    for address in there.difference(asked):
        ipr.addr(
            "del", index=link.index, address=str(address.ip), prefixlen=address.network.prefixlen
        )
    missing = [address for address in asked if address not in there]
    for address in missing:
        six = {"flags": IFA_F_NODAD} if address.version == 6 else {}
        ipr.addr(
            "add",
            index=link.index,
            address=str(address.ip),
            prefixlen=address.network.prefixlen,
            **six,
        )
    return bool(missing) or bool(there.difference(asked))


def filters(ipr: IPRoute, index: int) -> int:
    """How many tc filters a clsact qdisc of the interface has, both ways; 0 without one."""
    ingress, egress = 0xFFFFFFF2, 0xFFFFFFF3
    has = any(q.get_attr("TCA_KIND") == "clsact" for q in ipr.get_qdiscs(index=index))
    if not has:
        return 0
    return sum(len(list(ipr.get_filters(index=index, parent=p))) for p in (ingress, egress))
