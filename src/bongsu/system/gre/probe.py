"""Which GRE backends this machine can do, found out by doing it in a namespace thrown away after.

What a kernel says of itself (configuration, modules, versions) proves little; a tunnel that was
made proves everything. Needs root.
"""

import ctypes
import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from bongsu.system.bpf.libbpf import BpfError
from bongsu.system.gre import links
from bongsu.system.gre.plane import Plane
from bongsu.system.rtnl import Rtnl

_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Capability:
    """`reason` says what is missing, and is empty when nothing is."""

    works: bool
    reason: str = ""


@dataclass(frozen=True)
class GreCapabilities:
    """Both backends; the kernel's driver by outer family, for they are two modules."""

    kernel4: Capability
    kernel6: Capability
    ebpf: Capability

    @property
    def best(self) -> str | None:
        """`kernel` where it does both families, else `ebpf`, else None."""
        if not self.ebpf.works:
            return None  # the kernel backend has its keepalives from there
        return "kernel" if self.kernel4.works and self.kernel6.works else "ebpf"


def probe() -> GreCapabilities:
    """Tries everything once; some tenths of a second."""
    return GreCapabilities(
        kernel4=_try(lambda ipr: _driver(ipr, "gre", "192.0.2.1", "192.0.2.2")),
        kernel6=_try(lambda ipr: _driver(ipr, "ip6gre", "2001:db8::1", "2001:db8::2")),
        ebpf=_try(_ebpf),
    )


def _driver(ipr: IPRoute, kind: str, local: str, remote: str) -> None:
    prefix = "gre" if kind == "gre" else "ip6gre"
    ends = {f"{prefix}_local": local, f"{prefix}_remote": remote}
    ipr.link("add", ifname="probe", kind=kind, **ends)


def _ebpf(_: IPRoute) -> None:
    with Rtnl() as kernel:
        link, _far = links.add_quiet_pair(kernel, "probe", "probe-x")
        plane = Plane.open(kernel)
        try:
            plane.hold_underlay(link, xdp=False)
            plane.hold_peer(link.index)
        finally:
            plane.close()


def _try(attempt: Callable[[IPRoute], None]) -> Capability:
    found: list[Capability] = []

    def run() -> None:
        try:
            # of this thread alone, and gone with it
            if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            with IPRoute() as ipr:
                attempt(ipr)
            found.append(Capability(True))
        except (NetlinkError, OSError) as error:
            found.append(Capability(False, _reason(error)))

    thread = threading.Thread(target=run, name="bongsu-probe")
    thread.start()
    thread.join()
    return found[0] if found else Capability(False, "the probe failed")


def _reason(error: NetlinkError | OSError) -> str:
    if isinstance(error, BpfError):
        return str(error).splitlines()[0]
    if isinstance(error, NetlinkError):
        if error.code == errno.EOPNOTSUPP:
            return "the kernel has no such driver"
        return f"{os.strerror(error.code)} ({error})"
    return str(error)
