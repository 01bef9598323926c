"""GRE tunnels of this node, by whichever backend its kernel allows."""

from bongsu.system.gre.base import GreBackend, GreError


def choose_backend(name: str | None = None) -> GreBackend:
    """The backend of that name, or the best that works here, for the calling thread's namespace.

    `xdp` is `ebpf` with decapsulation in the underlay's driver; it is never chosen by itself, for it
    costs TCP on virtual interfaces more than it saves (see EbpfBackend).
    Errors: GreError, with what the machine lacks.
    """
    # late: neither BPF nor netlink is wanted by who only asks for the types
    from bongsu.system.bpf.libbpf import BpfError
    from bongsu.system.gre.ebpf import EbpfBackend
    from bongsu.system.gre.kernel import KernelBackend
    from bongsu.system.gre.probe import probe

    if name is None:
        able = probe()
        name = able.best
        if name is None:
            raise GreError(f"no GRE backend works here: ebpf: {able.ebpf.reason}")
    if name not in ("ebpf", "xdp", "kernel"):
        raise GreError(f"there is no GRE backend {name}", "ebpf, xdp or kernel")
    try:
        return KernelBackend() if name == "kernel" else EbpfBackend(xdp=name == "xdp")
    except BpfError as error:
        raise GreError(f"the {name} GRE backend does not work here: {error}") from error
