"""Programs on the interfaces of the calling thread's network namespace: tc (clsact) and XDP.

Both outlive the process that attached them, which is what keeps traffic flowing while the agent
restarts; `tc_find`, and the number of its XDP program, lead from an interface back to a program.
"""

import ctypes as c
import errno
from typing import Literal

from bongsu.system.bpf import libbpf
from bongsu.system.bpf.libbpf import TcHook, TcOpts
from bongsu.system.bpf.objects import Program

Side = Literal["ingress", "egress"]
_POINTS = {"ingress": 1, "egress": 2}
_REPLACE = 1
XDP_NATIVE = 1 << 2
"""XDP_FLAGS_DRV_MODE: by the driver or not at all."""
XDP_ONLY_NEW = 1 << 0
"""XDP_FLAGS_UPDATE_IF_NOEXIST."""


def _hook(ifindex: int, points: int) -> TcHook:
    return TcHook(c.sizeof(TcHook), ifindex, points, 0)


def tc_attach(ifindex: int, side: Side, program: Program, priority: int, handle: int = 1) -> None:
    """Attaches or atomically replaces a direct-action filter, on a clsact qdisc made if need be.

    Errors: BpfError.
    """
    hook = _hook(ifindex, _POINTS[side])
    what = f"clsact on interface {ifindex}"
    libbpf.call(what, "bpf_tc_hook_create", c.byref(hook), allow=(errno.EEXIST,))
    options = TcOpts(c.sizeof(TcOpts), program.fd, _REPLACE, 0, handle, priority)
    what = f"tc {side} on interface {ifindex}"
    libbpf.call(what, "bpf_tc_attach", c.byref(hook), c.byref(options))


def tc_find(ifindex: int, side: Side, priority: int, handle: int = 1) -> Program | None:
    """The program that is attached there, None without one."""
    hook = _hook(ifindex, _POINTS[side])
    options = TcOpts(c.sizeof(TcOpts), 0, 0, 0, handle, priority)
    what = f"tc {side} on interface {ifindex}"
    gone = (errno.ENOENT, errno.EINVAL, errno.ENODEV)
    if libbpf.call(what, "bpf_tc_query", c.byref(hook), c.byref(options), allow=gone) < 0:
        return None
    try:
        return Program.by_id(options.prog_id)
    except libbpf.BpfError as error:
        if error.errno == errno.ENOENT:
            return None
        raise


def tc_detach(ifindex: int, side: Side, priority: int, handle: int = 1) -> None:
    """Takes the filter away, if it and the interface are there; the qdisc stays."""
    hook = _hook(ifindex, _POINTS[side])
    options = TcOpts(c.sizeof(TcOpts), 0, 0, 0, handle, priority)
    what = f"tc {side} on interface {ifindex}"
    gone = (errno.ENOENT, errno.EINVAL, errno.ENODEV)
    libbpf.call(what, "bpf_tc_detach", c.byref(hook), c.byref(options), allow=gone)


def clsact_remove(ifindex: int) -> None:
    """Removes the clsact qdisc with whatever is attached to it."""
    hook = _hook(ifindex, _POINTS["ingress"] | _POINTS["egress"])
    gone = (errno.ENOENT, errno.EINVAL, errno.ENODEV)
    what = f"clsact on interface {ifindex}"
    libbpf.call(what, "bpf_tc_hook_destroy", c.byref(hook), allow=gone)


def xdp_attach(ifindex: int, program: Program, *, native: bool = True) -> None:
    """Attaches an XDP program where none is.

    Errors: BpfError EOPNOTSUPP when the driver has no XDP, EBUSY when another program is there.
    """
    flags = XDP_ONLY_NEW | (XDP_NATIVE if native else 0)
    what = f"XDP on interface {ifindex}"
    libbpf.call(what, "bpf_xdp_attach", ifindex, program.fd, flags, None)


def xdp_replace(ifindex: int, program: Program) -> None:
    """Puts the program where one is already, with no packet between them lost."""
    what = f"XDP on interface {ifindex}"
    libbpf.call(what, "bpf_xdp_attach", ifindex, program.fd, XDP_NATIVE, None)


def xdp_detach(ifindex: int) -> None:
    """Takes the XDP program away, whoever attached it."""
    what = f"XDP on interface {ifindex}"
    libbpf.call(what, "bpf_xdp_detach", ifindex, 0, None, allow=(errno.ENODEV,))
