"""Which backend carries accelerators: the BPF plane, or where it cannot be loaded, the kernel's NAT."""

from dataclasses import dataclass

from bongsu.system import netns
from bongsu.system.gre import links
from bongsu.system.netns import NetnsError
from bongsu.system.relay import kernel, seats
from bongsu.system.relay.base import RelayBackend, RelayError
from bongsu.system.relay.kernel import KernelRelay
from bongsu.system.relay.plane import RelayPlane
from bongsu.system.rtnl import Rtnl
from bongsu.system.scratch import scratch

NAMES = ("bpf", "xdp", "kernel")
"""`xdp` is `bpf` with plain packets carried in the interfaces' drivers; it is never chosen by itself, as
with GRE (bongsu.system.gre)."""
TRIED_RECORDS = 16
"""Room of a plane that is only tried."""


@dataclass(frozen=True)
class RelayAbility:
    """What each backend lacks here; empty when nothing."""

    bpf: str
    kernel: str

    @property
    def best(self) -> str | None:
        """What would be chosen, None if neither works."""
        return "bpf" if not self.bpf else "kernel" if not self.kernel else None


def choose_relay(name: str | None = None) -> RelayBackend:
    """The backend of that name, or what an earlier process left running, or the best that works here,
    for the calling thread's namespace. What the other one left is taken away.

    Errors: RelayError, with what the machine lacks.
    """
    if name is not None and name not in NAMES:
        raise RelayError(f"there is no relay backend {name}", "bpf, xdp or kernel")
    if name == "kernel":
        if _attached():
            RelayPlane.open().close()
        return KernelRelay.open("it was asked for")
    if name is None and kernel.stands() and not _attached():
        return KernelRelay.open("an earlier agent began with it, and sessions go on")
    try:
        plane = RelayPlane.open(xdp=name == "xdp")
    except (OSError, ImportError) as error:
        reason = _said(error)
    else:
        reason = _unattachable(plane)
        if not reason:
            if kernel.stands():
                KernelRelay.open().close()
            return plane
        plane.close()
    if name is not None:
        raise RelayError(f"the {name} relay backend does not work here: {reason}")
    return KernelRelay.open(reason)


def probe() -> RelayAbility:
    """Tries both in a namespace thrown away after; a second or more. Errors: NetnsError."""
    with scratch() as space, netns.in_netns(space.name):
        try:
            plane = RelayPlane.open(records=TRIED_RECORDS)
        except (OSError, ImportError) as error:
            bpf = _said(error)
        else:
            bpf = _tried(plane)
            plane.close()
        return RelayAbility(bpf, kernel.refusal())


def _attached() -> bool:
    """Whether a BPF plane runs in this namespace."""
    try:
        with Rtnl() as asked:
            program = seats.running(asked)
    except (OSError, ImportError):
        return False
    if program is None:
        return False
    program.close()
    return True


def _unattachable(plane: RelayPlane) -> str:
    """Why tc takes no program, found out on an interface thrown away after; empty if it does."""
    try:
        with scratch() as space, netns.in_netns(space.name):
            return _tried(plane)
    except NetnsError as error:
        return str(error)


def _tried(plane: RelayPlane) -> str:
    try:
        with Rtnl() as asked:
            link, _far = links.add_quiet_pair(asked, "probe", "probe-x")
        plane.attach(link.index)
    except OSError as error:
        return _said(error)
    return ""


def _said(error: OSError | ImportError) -> str:
    return str(error).splitlines()[0]
