"""The interfaces of IPsec tunnels: VTI and XFRM interfaces, and libipsec's TUN under the tunnel's name.

What bongsu made is known by its alias (IFLA_IFALIAS), so that another agent finds it again; nothing
else is ever renamed or removed. What stands already as it should is left alone.

Routing is kept out of a tunnel that is down in one of two ways. FRR looks at the operational state:
`dormant` (RFC 2863) is down to it, while the kernel still sends, so that probes find out when it
carries again. BIRD looks at the carrier, which is taken away where the driver lets it be, and else
the interface is set down: nothing is sent then, and others have to find out.
"""

import contextlib
import errno
import struct
from enum import Enum
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from bongsu.model.vpn import Binding
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.system.rtnl import Request, Rtnl, RtnlError, attribute

ALIAS = "bongsu vpn"
DECOY = "bongsu decoy of "
"""An idle TUN under the name that charon knows its own by: it puts a route on that name, wherever."""
TABLE = 220
"""charon's own routing table, and the priority of the rule that leads there."""

TUN_MTU = 1400
"""libipsec reads that much of a packet and loses the rest, whatever its device's MTU is now."""

_SETLINK, _OPERSTATE, _LINKMODE, _CARRIER = 19, 16, 17, 33
_UP, _DORMANT = 6, 5
_ADDRESS_FAMILY = {4: 2, 6: 10}


class InterfaceError(Exception):
    """An interface could not be made as the plan has it."""


def tun_of(pid: int) -> str | None:
    """The TUN device that a process holds, by its name of now; None if it has none (yet)."""
    # /proc/PID/fdinfo of /dev/net/tun has a line `iff: NAME` (drivers/net/tun.c).
    try:
        entries = list(Path(f"/proc/{pid}/fdinfo").iterdir())
    except OSError:
        return None
    for entry in entries:
        with contextlib.suppress(OSError):
            for line in entry.read_text().splitlines():
                if line.startswith("iff:"):
                    return line.split()[1]
    return None


def seat_tun(pid: int, name: str) -> bool:
    """Give a charon's TUN the tunnel's name; False if it has it. Raises InterfaceError.

    To be called before connections are loaded: from then on charon installs its route.
    """
    found = tun_of(pid)
    if found is None:
        raise InterfaceError(f"charon of {name} has made no TUN device: is /dev/net/tun there?")
    with IPRoute() as ip:
        _no_rule(ip)
        if found == name:
            return False
        if (other := _find(ip, name)) is not None:
            if not _ours(other):
                raise InterfaceError(f"there is an interface {name} that is not bongsu's")
            ip.link("del", index=other["index"])
        _remove_decoys(ip, name)
        index = ip.link_lookup(ifname=found)[0]
        ip.link("set", index=index, state="down")
        ip.link("set", index=index, ifname=name, IFLA_IFALIAS=ALIAS)
        ip.link("add", ifname=found, kind="tuntap", mode="tun")
        decoy = ip.link_lookup(ifname=found)[0]
        # Up: a route on a device that is down is refused, and with it the whole association.
        ip.link("set", index=decoy, state="up", IFLA_IFALIAS=DECOY + name)
    return True


def mtu_of(tunnel: VpnTunnelPlan, *, tun: bool) -> int:
    """The longest packet that goes into the tunnel, in bytes. `tun`: it is libipsec's."""
    return min(tunnel.mtu, TUN_MTU) if tun else tunnel.mtu


def build(tunnel: VpnTunnelPlan, *, tun: bool) -> bool:
    """Have the tunnel's interface as the plan says, with its address, MTU, and up.

    True if something was changed. `tun`: it is libipsec's, and made by its daemon. A new one begins
    down, as far as routing is concerned. Raises InterfaceError, NetlinkError.
    """
    changed = False
    with IPRoute() as ip:
        link = _find(ip, tunnel.name)
        if link is not None and not tun and not _matches(link, tunnel, ip):
            if not _ours(link):
                raise InterfaceError(f"there is an interface {tunnel.name} that is not bongsu's")
            ip.link("del", index=link["index"])
            link = None
        if link is None:
            if tun:
                raise InterfaceError(f"{tunnel.name}: its daemon has made no interface")
            _make(ip, tunnel)
            link, changed = _find(ip, tunnel.name), True
        assert link is not None
        index = link["index"]
        if not _ours(link):
            ip.link("set", index=index, IFLA_IFALIAS=ALIAS)
            changed = True
        mtu = mtu_of(tunnel, tun=tun)
        if link.get_attr("IFLA_MTU") != mtu:
            ip.link("set", index=index, mtu=mtu)
            changed = True
        changed |= _addresses(ip, index, tunnel)
        if not link["flags"] & 1 and (tun or changed):
            # Dormant until somebody has seen that it carries.
            _set_state(index, up=False)
            ip.link("set", index=index, state="up")
            _set_state(index, up=False)
            changed = True
    return changed


def set_line(name: str, up: bool, *, dormant: bool) -> bool:
    """Whether routing may use the interface; False if it was so already or is not there.

    `dormant`: the routing daemon goes by the operational state, else by the carrier.
    """
    with IPRoute() as ip:
        link = _find(ip, name)
        wanted = _Line.OPEN if up else _Line.DORMANT if dormant else _Line.CLOSED
        if link is None or _line(link) is wanted:
            return False
        index = link["index"]
        _set_state(index, up=wanted is not _Line.DORMANT)
        if wanted is _Line.CLOSED:
            _close(ip, index)
        else:
            with contextlib.suppress(RtnlError):
                _set(index, attribute(_CARRIER, b"\1"))
            ip.link("set", index=index, state="up")
    return True


def line(name: str) -> bool | None:
    """Whether routing may use the interface; None if there is none."""
    with IPRoute() as ip:
        link = _find(ip, name)
        return None if link is None else _line(link) is _Line.OPEN


def names() -> list[str]:
    """The interfaces that bongsu made for IPsec, decoys left out."""
    with IPRoute() as ip:
        return sorted(link.get_attr("IFLA_IFNAME") for link in ip.get_links() if _ours(link))


def readdress(tunnel: VpnTunnelPlan) -> bool:
    """Take the inside address away and give it again, so that listeners hear of it; False without
    such an interface or address. Raises NetlinkError."""
    if tunnel.inside is None:
        return False
    with IPRoute() as ip:
        link = _find(ip, tunnel.name)
        if link is None:
            return False
        index, host = int(link["index"]), str(tunnel.inside.ip)
        length = tunnel.inside.network.prefixlen
        own = [each.get_attr("IFA_LOCAL") or each.get_attr("IFA_ADDRESS")
               for each in ip.get_addr(index=index)]  # fmt: skip
        if host not in own:
            return False
        ip.addr("del", index=index, address=host, prefixlen=length)
        _addresses(ip, index, tunnel)
    return True


def delete(name: str) -> None:
    """Remove a tunnel's interface and its decoy, if they are ours. Raises NetlinkError."""
    with IPRoute() as ip:
        link = _find(ip, name)
        if link is not None and _ours(link):
            with contextlib.suppress(NetlinkError):
                ip.link("del", index=link["index"])
        _remove_decoys(ip, name)


def remove_all() -> list[str]:
    """Remove all interfaces and decoys of ours; the names of the interfaces."""
    found = names()
    for name in found:
        delete(name)
    with IPRoute() as ip:
        _remove_decoys(ip, None)
        if found:
            _no_rule(ip)
    return found


def _make(ip: IPRoute, tunnel: VpnTunnelPlan) -> None:
    underlay = ip.link_lookup(ifname=tunnel.underlay)
    if tunnel.binding is Binding.VTI:
        kind = "vti" if tunnel.local.version == 4 else "vti6"
        ip.link(
            "add", ifname=tunnel.name, kind=kind, vti_local=str(tunnel.local),
            vti_remote=str(tunnel.remote), vti_ikey=tunnel.mark, vti_okey=tunnel.mark,
        )  # fmt: skip
        # Decrypted packets have been through their policy; a second look finds none.
        Path(f"/proc/sys/net/ipv4/conf/{tunnel.name}/disable_policy").write_text("1")
    else:
        if not underlay:
            raise InterfaceError(f"{tunnel.name} goes over {tunnel.underlay}, which is not there")
        ip.link(
            "add", ifname=tunnel.name, kind="xfrm", xfrm_link=underlay[0], xfrm_if_id=tunnel.mark
        )


def _matches(link: Any, tunnel: VpnTunnelPlan, ip: IPRoute) -> bool:
    info = link.get_attr("IFLA_LINKINFO")
    if info is None:
        return False
    kind, data = info.get_attr("IFLA_INFO_KIND"), info.get_attr("IFLA_INFO_DATA")
    if tunnel.binding is Binding.VTI:
        if kind not in ("vti", "vti6") or data is None:
            return False
        found = (data.get_attr("IFLA_VTI_LOCAL"), data.get_attr("IFLA_VTI_REMOTE"))
        keys = (data.get_attr("IFLA_VTI_IKEY"), data.get_attr("IFLA_VTI_OKEY"))
        wanted = (str(tunnel.local), str(tunnel.remote))
        return bool(found == wanted and set(keys) == {tunnel.mark})
    if kind != "xfrm" or data is None:
        return False
    underlay = ip.link_lookup(ifname=tunnel.underlay)
    seen = (data.get_attr("IFLA_XFRM_IF_ID"), [data.get_attr("IFLA_XFRM_LINK")])
    return bool(seen == (tunnel.mark, underlay))


def _addresses(ip: IPRoute, index: int, tunnel: VpnTunnelPlan) -> bool:
    found = {
        f"{message.get_attr('IFA_LOCAL') or message.get_attr('IFA_ADDRESS')}/{message['prefixlen']}"
        for message in ip.get_addr(index=index)
        if message["scope"] == 0
    }
    wanted = set() if tunnel.inside is None else {str(tunnel.inside)}
    for address in sorted(found - wanted):
        host, _, length = address.partition("/")
        ip.addr("del", index=index, address=host, prefixlen=int(length))
    for address in sorted(wanted - found):
        host, _, length = address.partition("/")
        more = {"flags": 0x02} if ":" in host else {}  # IFA_F_NODAD: nobody else is there
        ip.addr("add", index=index, address=host, prefixlen=int(length), **more)
    return found != wanted


def _set_state(index: int, *, up: bool) -> None:
    # The mode says what the kernel makes of `up` from now on; the state is set for now.
    mode, state = (0, _UP) if up else (1, _DORMANT)
    _set(index, attribute(_LINKMODE, bytes([mode])) + attribute(_OPERSTATE, bytes([state])))


def _set(index: int, attributes: bytes) -> None:
    body = struct.pack("=BxHiII", 0, 0, index, 0, 0) + attributes
    with Rtnl() as kernel:
        kernel.ask(Request(_SETLINK, body))


class _Line(Enum):
    OPEN = "open"
    DORMANT = "dormant"
    CLOSED = "closed"


def _line(link: Any) -> _Line:
    if not link["flags"] & 1 or link.get_attr("IFLA_CARRIER") == 0:
        return _Line.CLOSED
    return _Line.DORMANT if link.get_attr("IFLA_LINKMODE") else _Line.OPEN


def _close(ip: IPRoute, index: int) -> None:
    try:
        _set(index, attribute(_CARRIER, b"\0"))
    except RtnlError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        ip.link("set", index=index, state="down")


def _find(ip: IPRoute, name: str) -> Any | None:
    try:
        return next(iter(ip.link("get", ifname=name)), None)
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise


def _ours(link: Any) -> bool:
    return bool(link.get_attr("IFLA_IFALIAS") == ALIAS)


def _remove_decoys(ip: IPRoute, name: str | None) -> None:
    """Decoys of one tunnel, or of all."""
    for link in ip.get_links():
        alias = link.get_attr("IFLA_IFALIAS") or ""
        if alias.startswith(DECOY) and name in (None, alias.removeprefix(DECOY)):
            with contextlib.suppress(NetlinkError):
                ip.link("del", index=link["index"])


def _no_rule(ip: IPRoute) -> None:
    """charon's rule goes: what its table holds would lead round in a circle."""
    for family in _ADDRESS_FAMILY.values():
        # A charon makes it once more at its start, so there may be several.
        for _ in range(64):
            try:
                ip.rule("del", priority=TABLE, table=TABLE, family=family)
            except (NetlinkError, OSError):
                break
