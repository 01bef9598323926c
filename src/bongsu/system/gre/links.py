"""The interface side of a tunnel, by rtnetlink: what is there, and the difference to what should be.

Works in the network namespace that the Rtnl was opened in; what is done by /proc or by an ioctl, in
the calling thread's.
"""

import errno
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from pathlib import Path

from bongsu.model.base import Interface
from bongsu.system import rtnl
from bongsu.system.rtnl import ACK, CREATE, EXCL, Request, Rtnl

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

_NEWLINK, _DELLINK, _GETLINK, _SETLINK = 16, 17, 18, 19
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_GETQDISC, _GETFILTER = 38, 46
_ADDRESS, _IFNAME, _MTU, _LINK, _LINKINFO, _AF_SPEC = 1, 3, 4, 5, 18, 26
_EXT_MASK, _CARRIER, _SKIP_STATS = 29, 33, 8
_XDP, _XDP_PROGRAM = 43, 4
_LINKINFO_KIND, _LINKINFO_DATA, _VETH_PEER, _ADDR_GEN_MODE = 1, 2, 1, 8
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_IFINFO = struct.Struct("=BxHiII")
_IFADDR = struct.Struct("=BBBBI")
_TC = struct.Struct("=BxxxiIII")
_FAMILY: dict[int, int] = {4: socket.AF_INET, 6: socket.AF_INET6}
_GONE = (errno.ENODEV,)


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
    xdp: int | None = None
    """Number of the XDP program in its driver's receive path."""


def find(kernel: Rtnl, name: str) -> Link | None:
    """The interface of that name, None without one."""
    return several(kernel, [name])[0]


def several(kernel: Rtnl, names: Iterable[str]) -> list[Link | None]:
    """The interfaces of these names, None where there is none."""
    answers = kernel.ask(*(_get(name=name) for name in names))
    return [_link(answer[0]) if answer else None for answer in answers]


def read(kernel: Rtnl, index: int) -> Link:
    """The interface of that number. Errors: RtnlError ENODEV."""
    request = Request(_GETLINK, _info(index) + rtnl.number(_EXT_MASK, _SKIP_STATS))
    return _link(kernel.ask(request)[0][0])


def every(kernel: Rtnl) -> list[Link]:
    """All interfaces, in the kernel's order."""
    body = _info() + rtnl.number(_EXT_MASK, _SKIP_STATS)
    return [_link(message) for message in kernel.dump(_GETLINK, body)]


def remove(kernel: Rtnl, index: int) -> None:
    """Removes the interface, of a pair both."""
    kernel.ask(Request(_DELLINK, _info(index)))


def add_quiet_pair(kernel: Rtnl, name: str, far: str) -> tuple[Link, Link]:
    """A veth pair that says nothing on its own account, as the kernel's own tunnels do not: no ARP,
    no neighbour discovery, no group joined that would have to be reported.

    An interface joins the routers' group when IPv6 comes to it, if it has multicast then. So it is
    born with an MTU too small for IPv6, and gets its own when its flags are right.
    """
    quiet = {"flags": IFF_NOARP, "change": IFF_NOARP | IFF_MULTICAST}
    small = rtnl.number(_MTU, IPV6_MIN_MTU - 1)
    other = rtnl.attribute(
        _VETH_PEER | rtnl.NESTED, _info(**quiet) + rtnl.text(_IFNAME, far) + small
    )
    veth = rtnl.nest(_LINKINFO, rtnl.text(_LINKINFO_KIND, "veth"), rtnl.nest(_LINKINFO_DATA, other))
    made = Request(
        _NEWLINK, _info(**quiet) + rtnl.text(_IFNAME, name) + small + veth, ACK | CREATE | EXCL
    )
    ends = (name, far)
    room = [
        Request(_SETLINK, _info() + rtnl.text(_IFNAME, end) + rtnl.number(_MTU, IPV6_MIN_MTU))
        for end in ends
    ]
    plain = [_no_addresses(rtnl.text(_IFNAME, end)) for end in ends]
    answers = kernel.ask(made, *room, *plain, *(_get(name=end) for end in ends))
    for end in ends:
        _accept_ra_off(end)
    return _link(answers[-2][0]), _link(answers[-1][0])


def no_slaac(kernel: Rtnl, link: Link) -> None:
    """IPv6 addresses are those of the plan: none made up, none learned from the other side."""
    kernel.ask(_no_addresses(b"", link.index))
    _accept_ra_off(link.name)


def set_mtu(kernel: Rtnl, link: Link, mtu: int) -> bool:
    """True when it was another."""
    if link.mtu == mtu:
        return False
    kernel.ask(Request(_SETLINK, _info(link.index) + rtnl.number(_MTU, mtu)))
    return True


def set_up(kernel: Rtnl, link: Link, up: bool) -> bool:
    """True when it was otherwise."""
    if link.up == up:
        return False
    kernel.ask(Request(_SETLINK, _info(link.index, IFF_UP if up else 0, IFF_UP)))
    return True


def set_addresses(
    kernel: Rtnl, link: Link, wanted: Iterable[Interface], *, new: bool = False
) -> bool:
    """Adds what is missing, removes what is too much; link-local addresses are left alone.

    `new`: the interface was made just now and has none.
    """
    there = set() if new else _addresses(kernel, link)
    asked = list(dict.fromkeys(wanted))
    requests = [_address(_DELADDR, link, address) for address in there.difference(asked)]
    requests += [_address(_NEWADDR, link, address) for address in asked if address not in there]
    kernel.ask(*requests)
    return bool(requests)


def forwards(name: str, family: int) -> bool:
    """Whether packets of that IP version are forwarded from the interface."""
    path = Path(f"/proc/sys/net/ipv{family}/conf/{name}/forwarding")
    return path.exists() and path.read_text().strip() != "0"


def filters(kernel: Rtnl, index: int) -> int:
    """How many tc filters a clsact qdisc of the interface has, both ways; 0 without one."""
    ingress, egress = 0xFFFFFFF2, 0xFFFFFFF3
    qdiscs = kernel.dump(_GETQDISC, _TC.pack(0, index, 0, 0, 0))
    has = any(
        _TC.unpack_from(each)[1] == index
        and rtnl.attributes(each[_TC.size :]).get(1) == b"clsact\0"
        for each in qdiscs
    )
    if not has:
        return 0
    return sum(
        len(kernel.dump(_GETFILTER, _TC.pack(0, index, 0, parent, 0)))
        for parent in (ingress, egress)
    )


def _info(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return _IFINFO.pack(0, 0, index, flags, change)


def _get(name: str) -> Request:
    body = _info() + rtnl.text(_IFNAME, name) + rtnl.number(_EXT_MASK, _SKIP_STATS)
    return Request(_GETLINK, body, allow=_GONE)


def _link(message: bytes) -> Link:
    _, kind, index, flags, _ = _IFINFO.unpack_from(message)
    found = rtnl.attributes(message[_IFINFO.size :])
    info = rtnl.attributes(found.get(_LINKINFO, b""))
    peer = found.get(_LINK)
    xdp = rtnl.attributes(found.get(_XDP, b"")).get(_XDP_PROGRAM)
    return Link(
        index=index,
        name=_string(found[_IFNAME]),
        kind=_string(info.get(_LINKINFO_KIND, b"")),
        type=kind,
        mac=found.get(_ADDRESS, b""),
        mtu=_integer(found[_MTU]),
        up=bool(flags & IFF_UP),
        carrier=bool(found.get(_CARRIER, b"\0")[0]),
        peer=_integer(peer) if peer else None,
        xdp=_integer(xdp) if xdp else None,
    )


def _no_addresses(name: bytes, index: int = 0) -> Request:
    mode = rtnl.attribute(_ADDR_GEN_MODE, bytes([ADDRGEN_NONE]))
    spec = rtnl.nest(_AF_SPEC, rtnl.nest(socket.AF_INET6, mode))
    # Where the kernel has no IPv6, nothing is to be set.
    return Request(_SETLINK, _info(index) + name + spec, allow=(errno.EAFNOSUPPORT,))


def _accept_ra_off(name: str) -> None:
    # Absent without IPv6 in the kernel. The path is of the calling thread's namespace.
    setting = Path(f"/proc/sys/net/ipv6/conf/{name}/accept_ra")
    if setting.exists():
        setting.write_text("0")


def _addresses(kernel: Rtnl, link: Link) -> set[Interface]:
    there = set()
    for family in _FAMILY.values():
        for message in kernel.dump(_GETADDR, _IFADDR.pack(family, 0, 0, 0, link.index)):
            _, length, _, scope, index = _IFADDR.unpack_from(message)
            if index != link.index or (family == socket.AF_INET6 and scope == SCOPE_LINK):
                continue
            found = rtnl.attributes(message[_IFADDR.size :])
            address = ip_address(found.get(_IFA_LOCAL) or found[_IFA_ADDRESS])
            there.add(ip_interface(f"{address}/{length}"))
    return there


def _address(kind: int, link: Link, address: Interface) -> Request:
    head = _IFADDR.pack(_FAMILY[address.version], address.network.prefixlen, 0, 0, link.index)
    packed = address.ip.packed
    body = head + rtnl.attribute(_IFA_LOCAL, packed) + rtnl.attribute(_IFA_ADDRESS, packed)
    if kind == _DELADDR:
        return Request(kind, body)
    if address.version == 6:
        body += rtnl.number(_IFA_FLAGS, IFA_F_NODAD)
    return Request(kind, body, ACK | CREATE | EXCL)


def _string(value: bytes) -> str:
    return value.rstrip(b"\0").decode()


def _integer(value: bytes) -> int:
    return struct.unpack("=I", value)[0]  # type: ignore[no-any-return]
