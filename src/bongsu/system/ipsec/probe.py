"""What this kernel can do of IPsec, tried in a namespace thrown away after.

A kernel without ESP is a normal case: strongSwan's kernel-libipsec carries it in user space then.
"""

from dataclasses import dataclass
from functools import cache

from bongsu.model.vpn import Binding
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.system.scratch import scratch

# A key is no secret in a namespace that carries nothing.
ESP = (
    "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 1 mode tunnel"
    " aead rfc4106(gcm(aes)) 0x00112233445566778899aabbccddeeff00112233 128"
)
VTI = "ip link add vti9 type vti local 192.0.2.1 remote 192.0.2.2 key 1"
XFRM = "ip link add xfrm9 type xfrm dev lo if_id 1"


@dataclass(frozen=True)
class IpsecAbility:
    """Why each part does not work; empty where it does."""

    esp: str
    vti: str
    xfrm: str

    def refusal(self, tunnels: list[VpnTunnelPlan]) -> str:
        """Why the kernel cannot carry these tunnels; empty if it can."""
        if self.esp:
            return f"no ESP: {self.esp}"
        for tunnel in tunnels:
            if tunnel.binding is Binding.VTI and self.vti:
                return f"{tunnel.name} wants a VTI: {self.vti}"
            if tunnel.binding is Binding.XFRM and self.xfrm:
                return f"{tunnel.name} wants an XFRM interface: {self.xfrm}"
        return ""


@cache
def probe() -> IpsecAbility:
    """Try it, once. Raises NetnsError."""
    with scratch() as space:
        return IpsecAbility(space.refused(ESP), space.refused(VTI), space.refused(XFRM))
