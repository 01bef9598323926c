"""The VTIs and XFRM interfaces of a node whose kernel has ESP."""

from bongsu.agent.services.service import Request
from bongsu.model.vpn import Binding
from bongsu.system.ipsec import interfaces


def build(request: Request) -> None:
    """Have them as the plan says, and none besides. Blocks. Raises InterfaceError, NetlinkError."""
    wanted = [tunnel for tunnel in request.plan.vpns if tunnel.binding is not Binding.POLICY]
    names = {tunnel.name for tunnel in wanted}
    for name in interfaces.names():
        if name not in names:
            interfaces.delete(name)
            request.changed(f"removed tunnel {name}")
    for tunnel in wanted:
        if interfaces.build(tunnel, tun=False):
            request.settle(tunnel.name)
            request.changed(f"built tunnel {tunnel.name}")
