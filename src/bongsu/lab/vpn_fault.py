"""What can befall an IPsec tunnel to a cloud, and it alone: silence, and the death of its headend.

The lab's AS in front of the cloud loses the packets: neither end is told, as when a path breaks
somewhere in the Internet. Nothing on the nodes is touched but the process that is killed.
"""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from bongsu.lab.lab import Lab
from bongsu.lab.member import Inhabitant, inhabitants
from bongsu.lab.state import LabError
from bongsu.model.base import Address
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.system.run import kill_exact, run

FAULT_TABLE = "bongsu_fault"
IKE_DAEMONS = ("charon-systemd", "charon", "pluto")
"""What `ike` stands for in `daemon-kill:NODE/ike`."""


@dataclass(frozen=True)
class _Loss:
    """A chain of an AS router that loses packets."""

    namespace: str
    chain: str
    rules: str


def is_tunnel(lab: Lab, name: str) -> bool:
    """Whether this is an IPsec tunnel of the network."""
    return any(name in vpn.tunnels for vpn in lab.network.vpns.values())


def is_headend(lab: Lab, where: str) -> bool:
    """Whether this is CLOUD/TUNNEL: the cloud's end of a tunnel."""
    cloud, _, tunnel = where.partition("/")
    return any(t.name == tunnel and t.cloud == cloud for t in _tunnels(lab))


def silence(lab: Lab, name: str) -> int:
    """Lose the outer packets of a tunnel, both ways; CLOCK_MONOTONIC ns when it had taken effect."""
    return _lose(_silences(lab, name))


def unsilence(lab: Lab, name: str) -> None:
    """Let them pass again."""
    _let_pass(_silences(lab, name))


def kill_headend(lab: Lab, where: str) -> int:
    """As a gateway's power cut: its address says nothing any more, and its IKE state is gone.

    Where one daemon has all tunnels of a stand-in (the kernel has ESP) its state stays: the far end
    cannot tell the difference before the headend is back.
    """
    at_ns = _lose(_deaths(lab, where))
    cloud, _, tunnel = where.partition("/")
    for process in inhabitants([lab.paths.netns(cloud)]):
        if process.name in IKE_DAEMONS and _serves(process, tunnel):
            kill_exact(process.pid, process.started, grace_s=0.0)
    return at_ns


def revive_headend(lab: Lab, where: str) -> None:
    """Have it answer again; its daemon has been started meanwhile, and knows nothing."""
    _let_pass(_deaths(lab, where))


def _tunnels(lab: Lab) -> list[VpnTunnelPlan]:
    """Every IPsec tunnel, from its site's end."""
    return [tunnel for name in lab.network.nodes for tunnel in lab.plans[name].vpns]


def _silences(lab: Lab, name: str) -> list[_Loss]:
    found = []
    for tunnel in _tunnels(lab):
        if tunnel.name == name:
            far, near = tunnel.headend, tunnel.customer
            rules = _pair(near, far) + _pair(far, near)
            found.append(_Loss(_as_of(lab, tunnel.cloud), f"t_{_word(name)}", rules))
    return found


def _deaths(lab: Lab, where: str) -> list[_Loss]:
    cloud, _, name = where.partition("/")
    headends = {t.headend for t in _tunnels(lab) if t.name == name and t.cloud == cloud}
    rules = "".join(
        f"{_family(one)} {side} {one} counter drop\n"
        for one in sorted(headends, key=str)
        for side in ("saddr", "daddr")
    )
    return [_Loss(_as_of(lab, cloud), f"h_{_word(where)}", rules)]


def _as_of(lab: Lab, cloud: str) -> str:
    """The namespace of the AS that a cloud is plugged into."""
    plugged = lab.network.lab.clouds if lab.network.lab is not None else {}
    if cloud not in plugged:
        raise LabError(f"{cloud} is plugged in nowhere in the lab", hint=f"add lab.clouds.{cloud}")
    return lab.paths.netns(plugged[cloud].to)


def _lose(losses: list[_Loss]) -> int:
    for loss in losses:
        hook = "type filter hook forward priority -400\n"
        text = f"table inet {FAULT_TABLE} {{\nchain {loss.chain} {{\n{hook}{loss.rules}}}\n}}\n"
        run(["nft", "-f", "-"], input=text, netns=loss.namespace)
    return time.monotonic_ns()


def _let_pass(losses: list[_Loss]) -> None:
    for loss in losses:
        chain = f"inet {FAULT_TABLE} {loss.chain}"
        run(
            ["nft", f"flush chain {chain}; delete chain {chain}"], netns=loss.namespace, check=False
        )


def _serves(process: Inhabitant, tunnel: str) -> bool:
    """Whether this daemon has that tunnel and no other: its configuration is named after it."""
    try:
        words = (Path("/proc") / str(process.pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False  # it has ended meanwhile
    return any(
        word.startswith(b"STRONGSWAN_CONF=")
        and word.endswith(f"/{tunnel}.strongswan.conf".encode())
        for word in words
    )


def _pair(source: Address, destination: Address) -> str:
    family = _family(source)
    return f"{family} saddr {source} {family} daddr {destination} counter drop\n"


def _family(address: Address) -> str:
    return "ip" if address.version == 4 else "ip6"


def _word(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", name)
