"""config.xml fragments: `<gres>` and `<virtualip>`, in the form that the GUI itself saves them.

Field names and their order are those of Interfaces > GREs and Firewall > Virtual IPs.
"""

import hashlib
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bongsu.model.base import Interface
from bongsu.plan.node import NodePlan
from bongsu.plan.tunnel import TunnelPlan
from bongsu.render.text import address, interface, name, number

UNIQID_DIGITS = 13
"""Length of PHP's uniqid(), by which pfSense names a virtual IP."""


@dataclass(frozen=True)
class VirtualIp:
    """A gateway address of a prefix, on a LAN that has an address of its own."""

    interface: str
    address: Interface

    @property
    def uniqid(self) -> str:
        """Derived, not drawn: the same address has the same name in every rendering."""
        text = f"bongsu {self.interface} {self.address}"
        return hashlib.sha256(text.encode()).hexdigest()[:UNIQID_DIGITS]


def virtual_ips(plan: NodePlan) -> list[VirtualIp]:
    """LAN addresses inside a prefix at home; the first address of a LAN is the interface's own."""
    prefixes = [item.prefix for item in plan.home]
    return [
        VirtualIp(lan.name, own)
        for lan in plan.interfaces
        if lan.role == "lan"
        for own in lan.addresses[1:]
        if any(own.version == prefix.version and own.ip in prefix for prefix in prefixes)
    ]


def gres_xml(plan: NodePlan, header: list[str]) -> str:
    """The `<gres>` element."""
    entries = [_gre(tunnel, index) for index, tunnel in enumerate(plan.tunnels)]
    return _document("gres", "gre", entries, header)


def virtualip_xml(plan: NodePlan, header: list[str]) -> str:
    """The `<virtualip>` element."""
    entries = [
        [
            ("mode", "ipalias"),
            ("interface", interface(vip.interface)),
            ("uniqid", vip.uniqid),
            ("descr", f"gateway of {_prefix_of(plan, vip)}"),
            ("type", "single"),
            ("subnet_bits", number(vip.address.network.prefixlen)),
            ("subnet", address(vip.address.ip)),
        ]
        for vip in virtual_ips(plan)
    ]
    return _document("virtualip", "vip", entries, header)


def inside(tunnel: TunnelPlan, family: int) -> tuple[str, str, str] | None:
    """(ours, theirs, prefix length) inside the tunnel, or None if it has none of the family."""
    ours = next((a for a in tunnel.addresses if a.version == family), None)
    theirs = next((a for a in tunnel.peer_addresses if a.version == family), None)
    if ours is None or theirs is None:
        return None
    return address(ours.ip), address(theirs), number(ours.network.prefixlen)


def description(tunnel: TunnelPlan) -> str:
    """What the GUI shows for the tunnel; also the interface's name once it is assigned."""
    return interface(tunnel.name).upper().replace("-", "_").replace(".", "_")


def _gre(tunnel: TunnelPlan, index: int) -> list[tuple[str, str]]:
    # The GUI saves its form's first choices, 32 and 128, where a family is not used.
    four = inside(tunnel, 4) or ("", "", "32")
    six = inside(tunnel, 6) or ("", "", "128")
    return [
        ("if", interface(tunnel.underlay)),
        ("tunnel-local-addr", four[0]),
        ("tunnel-remote-addr", four[1]),
        ("tunnel-local-addr6", six[0]),
        ("tunnel-remote-addr6", six[1]),
        ("tunnel-remote-net", four[2]),
        ("tunnel-remote-net6", six[2]),
        ("remote-addr", address(tunnel.remote)),
        ("descr", f"{description(tunnel)} to {name(tunnel.peer)}"),
        ("greif", f"gre{index}"),
    ]


def _prefix_of(plan: NodePlan, vip: VirtualIp) -> str:
    return next(
        address(item.prefix)
        for item in plan.home
        if item.prefix.version == vip.address.version and vip.address.ip in item.prefix
    )


def _document(
    root: str, entry: str, entries: list[list[tuple[str, str]]], header: list[str]
) -> str:
    lines = ['<?xml version="1.0"?>', "<!--", *(f"  {line}" for line in header), "-->", f"<{root}>"]
    for fields in entries:
        lines.append(f"\t<{entry}>")
        lines += [f"\t\t<{tag}>{escape(text)}</{tag}>" for tag, text in fields]
        lines.append(f"\t</{entry}>")
    return "\n".join([*lines, f"</{root}>"]) + "\n"
