"""GRE tunnels between two routers, with ESP around each as either end would have it.

    A (wan) ---- (wan) B     GRE between loopbacks, 192.168.1.1 and 192.168.1.2 for the first tunnel,
                             ESP between addresses of the wire, or in transport mode those of GRE

Every tunnel has addresses, numbers and keys of its own, so that many stand side by side. Only texts
are made in this module, for `ip -batch`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

ENDS = ("a", "b")
OTHER = {"a": "b", "b": "a"}
Mode = Literal["tunnel", "transport"]
KEY = "0x" + "5a" * 32 + "01020304"


class Form(StrEnum):
    """How Linux encrypts a GRE tunnel. All but the first are tunnel protection in Cisco's words."""

    MAP = "map"
    """A crypto map: a policy for GRE between the two addresses, whoever sends it."""
    XFRM = "xfrm"
    """The tunnel is bound to an XFRM interface, and nothing else is."""
    VTI = "vti"
    """The same with the older device."""
    MARK = "mark"
    """No device: the policy is for what the tunnel has marked."""
    ROUTE = "route"
    """An XFRM interface that the peer's address is routed into: the tunnel is not bound."""


DEVICES = (Form.XFRM, Form.VTI, Form.ROUTE)
"""They encrypt what is routed or bound to a device of their kind."""


def namespace(end: str) -> str:
    return f"bst-ipsec-{end}"


def wire(end: str) -> list[str]:
    """What `ip -batch` is told first; A before B, for it brings both ends of the wire."""
    lines = [f"link add wan type veth peer name wan netns {namespace('b')}"] if end == "a" else []
    return [*lines, "link set lo up", "link set wan up"]


@dataclass(frozen=True)
class Tunnel:
    """A tunnel, and how its two ends encrypt."""

    number: int
    """From 1. In its addresses and names, and `if_id`, key or mark where a form has one."""
    a: Form
    b: Form
    mode: Mode = "tunnel"
    guard: bool = True
    """An end with a device takes GRE from its peer through that alone, as IOS does. XFRM has
    nothing against clear text beside a device unless it is told so."""

    @property
    def name(self) -> str:
        return f"gre{self.number}"

    @property
    def device(self) -> str:
        return f"ipsec{self.number}"

    def form(self, end: str) -> Form:
        return self.a if end == "a" else self.b

    def outer(self, end: str) -> str:
        """Source and destination of GRE: a loopback's address."""
        return f"192.168.{self.number}.{1 + ENDS.index(end)}"

    def gateway(self, end: str) -> str:
        """An address of the wire."""
        return f"192.0.2.{2 * self.number - 1 + ENDS.index(end)}"

    def inside(self, end: str) -> str:
        return f"10.10.{9 + self.number}.{1 + ENDS.index(end)}"

    def links(self, end: str) -> list[str]:
        """Addresses, devices and routes, in the language of `ip -batch`."""
        form, far = self.form(end), OTHER[end]
        lines = [
            f"addr add {self.gateway(end)}/24 dev wan",
            f"addr add {self.outer(end)}/32 dev lo",
        ]
        if form is Form.VTI:
            ends = f"local {self.gateway(end)} remote {self.gateway(far)}"
            lines.append(f"link add {self.device} type vti {ends} key {self.number}")
        elif form in DEVICES:
            lines.append(f"link add {self.device} type xfrm dev wan if_id {self.number}")
        if form in DEVICES:
            lines.append(f"link set {self.device} up")
        way = f"dev {self.device}" if form is Form.ROUTE else f"via {self.gateway(far)}"
        bound = {
            Form.XFRM: f"dev {self.device}",
            Form.VTI: f"dev {self.device}",
            Form.MARK: f"fwmark {self.number}",
        }.get(form, "")
        return [
            *lines,
            f"route add {self.outer(far)} {way} src {self.outer(end)}",
            f"link add {self.name} type gre local {self.outer(end)} remote {self.outer(far)} "
            f"ttl 255 {bound}",
            f"addr add {self.inside(end)}/30 dev {self.name}",
            f"link set {self.name} up",
        ]

    def switches(self, end: str) -> dict[str, int]:
        """Files below /proc/sys/net/ipv4: what makes this end forward a keepalive, and no more."""
        found = {
            f"conf/{self.name}/rp_filter": 0,
            f"conf/{self.name}/accept_local": 1,
        }
        if self.form(end) is Form.VTI:
            # It checks the policy of what it decrypts itself, and forgets then that it was ESP.
            found[f"conf/{self.device}/disable_policy"] = 1
        return found

    def keys(self, end: str) -> list[str]:
        """Associations and policies by hand."""
        number = {Form.VTI: f"mark {self.number}", Form.XFRM: f"if_id {self.number}"}
        number[Form.ROUTE] = number[Form.XFRM]
        kind = f"proto esp reqid {self.number} mode {self.mode}"
        owner = self.outer if self.mode == "transport" else self.gateway
        lines = []
        for to, direction in ((OTHER[end], "out"), (end, "in")):
            between = f"src {owner(OTHER[to])} dst {owner(to)}"
            selector = f"src {self.outer(OTHER[to])} dst {self.outer(to)} proto gre"
            which = number.get(self.form(end), "")
            lines.append(
                f"xfrm state add {between} spi {0x100 + 2 * self.number + ENDS.index(to)} {kind} "
                f"aead rfc4106(gcm(aes)) {KEY} 128 {which}"
            )
            if self.form(end) is Form.MARK and direction == "out":
                which = f"mark {self.number}"
            lines.append(
                f"xfrm policy add {selector} dir {direction} priority 1 {which} "
                f"tmpl {between} {kind}"
            )
        return lines

    def guards(self, end: str) -> list[str]:
        """What an end with a device has against clear text: a policy that no device's number fits.

        The other forms need none: their policy for what comes in is for all that comes in.
        """
        if self.form(end) not in DEVICES or not self.guard:
            return []
        between = f"src {self.outer(OTHER[end])} dst {self.outer(end)}"
        return [f"xfrm policy add {between} proto gre dir in priority 2 action block"]
