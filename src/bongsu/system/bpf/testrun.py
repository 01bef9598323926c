"""Runs a program on a packet of ours: once, to see its answer, or with live frames, for its speed.

Live frames (BPF_F_TEST_XDP_LIVE_FRAMES, Linux 5.18) are recycled page-pool frames that go wherever
the XDP program's verdict sends them, as if the interface's driver had just received them.
"""

import ctypes as c
import struct
import time
from dataclasses import dataclass

from bongsu.system.bpf import libbpf
from bongsu.system.bpf.objects import Program

LIVE_FRAMES = 1 << 1
BATCH = 64
"""Frames between two looks at the scheduler: what a driver's poll takes."""


@dataclass(frozen=True)
class Answer:
    """A verdict (TC_ACT_* or XDP_*) and the packet as the program left it."""

    verdict: int
    packet: bytes


def once(program: Program, packet: bytes, ifindex: int = 0) -> Answer:
    """Runs an XDP program (with `ifindex` of this namespace) or a tc program (0) on one packet.

    Redirections are not carried out. Errors: BpfError.
    """
    data = c.create_string_buffer(packet, len(packet))
    out = c.create_string_buffer(len(packet) + 512)
    options = libbpf.TestRunOpts(sz=c.sizeof(libbpf.TestRunOpts), repeat=1)
    options.data_in, options.data_size_in = c.addressof(data), len(packet)
    options.data_out, options.data_size_out = c.addressof(out), len(out)
    context = _context(packet, ifindex)
    if ifindex:
        options.ctx_in, options.ctx_size_in = c.addressof(context), len(context)
    what = f"test run of {program.name}"
    libbpf.call(what, "bpf_prog_test_run_opts", program.fd, c.byref(options))
    return Answer(options.retval, out.raw[: options.data_size_out])


def cost(program: Program, packet: bytes, count: int) -> int:
    """Nanoseconds that one of `count` runs of a tc program on the packet takes, on average.

    The packet stays as the program leaves it from run to run. Errors: BpfError.
    """
    data = c.create_string_buffer(packet, len(packet))
    options = libbpf.TestRunOpts(sz=c.sizeof(libbpf.TestRunOpts), repeat=count)
    options.data_in, options.data_size_in = c.addressof(data), len(packet)
    what = f"test run of {program.name}"
    libbpf.call(what, "bpf_prog_test_run_opts", program.fd, c.byref(options))
    return int(options.duration)


def ingress(program: Program, frame: bytes, ifindex: int) -> Answer:
    """Runs a tc program on a frame as if `ifindex` of this namespace had received it.

    Redirections are not carried out. Errors: BpfError.
    """
    data = c.create_string_buffer(frame, len(frame))
    out = c.create_string_buffer(len(frame) + 512)
    options = libbpf.TestRunOpts(sz=c.sizeof(libbpf.TestRunOpts), repeat=1)
    options.data_in, options.data_size_in = c.addressof(data), len(frame)
    options.data_out, options.data_size_out = c.addressof(out), len(out)
    # struct __sk_buff as far as its eleventh field, which is the only one that may be set here
    context = c.create_string_buffer(struct.pack("=40xI", ifindex), 44)
    options.ctx_in, options.ctx_size_in = c.addressof(context), len(context)
    what = f"test run of {program.name}"
    libbpf.call(what, "bpf_prog_test_run_opts", program.fd, c.byref(options))
    return Answer(options.retval, out.raw[: options.data_size_out])


def live(program: Program, packet: bytes, ifindex: int, count: int) -> float:
    """Sends `count` copies of the packet through an XDP program as if `ifindex` had received them.

    Returns seconds. Everything that the kernel does with a frame in this thread's context is in
    them, the far end's work is not. Errors: BpfError.
    """
    data = c.create_string_buffer(packet, len(packet))
    options = libbpf.TestRunOpts(sz=c.sizeof(libbpf.TestRunOpts), repeat=count)
    options.data_in, options.data_size_in = c.addressof(data), len(packet)
    context = _context(packet, ifindex)
    options.ctx_in, options.ctx_size_in = c.addressof(context), len(context)
    options.flags, options.batch_size = LIVE_FRAMES, BATCH
    what = f"live frames through {program.name}"
    begin = time.perf_counter()
    libbpf.call(what, "bpf_prog_test_run_opts", program.fd, c.byref(options))
    return time.perf_counter() - begin


def _context(packet: bytes, ifindex: int) -> c.Array[c.c_char]:
    # struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
    return c.create_string_buffer(struct.pack("=6I", 0, len(packet), 0, ifindex, 0, 0), 24)
