"""Where the relay's programs sit: the tc ingress of every Ethernet interface, and with XDP in the
driver of those that have it.

An accelerated address that is only announced has no interface, and packets from other PoPs come by
any uplink or tunnel, so all are looked at; what is not ours costs one look into a small table. The
hidden halves of our GRE tunnels are left out: what is sent into a tunnel has not arrived.
"""

import errno
import struct

from bongsu.system.bpf import attach
from bongsu.system.bpf.libbpf import BpfError
from bongsu.system.bpf.maps import Map
from bongsu.system.bpf.objects import Program
from bongsu.system.gre import links
from bongsu.system.gre import plane as gre
from bongsu.system.gre.links import Link
from bongsu.system.rtnl import Rtnl

PRIORITY = 2785
"""Of our tc filters: behind GRE's, which leave alone what is not theirs."""

INGRESS, REPAIRED, FAST = "relay_ingress", "relay_repaired", "relay_fast"


def running(kernel: Rtnl) -> Program | None:
    """The relay's tc program, from whichever interface has it."""
    for link in links.every(kernel):
        program = attach.tc_find(link.index, "ingress", PRIORITY)
        if program and program.name == INGRESS:
            return program
        if program:
            program.close()
    return None


def hold(kernel: Rtnl, programs: dict[str, Program], *, xdp: bool, devices: Map) -> None:
    """Every Ethernet interface that is up has the programs."""
    for link in links.every(kernel):
        if link.type != links.ETHERNET or not link.up or _encapsulates(link):
            continue
        if not _same(link, programs[INGRESS], devices):
            attach.tc_attach(link.index, "ingress", programs[INGRESS], PRIORITY)
        ours = has_xdp(link)
        if xdp and ours and not _same_xdp(link, programs[FAST], devices):
            attach.xdp_replace(link.index, programs[FAST])
        elif xdp and not ours and _attached(link, programs[FAST]):
            ours = True
        elif not xdp and ours:
            attach.xdp_detach(link.index)
            ours = False
        if ours:
            devices.update(struct.pack("=I", link.index), struct.pack("=I", 1))
        else:
            devices.delete(struct.pack("=I", link.index))


def renew(kernel: Rtnl, programs: dict[str, Program]) -> None:
    """Puts these programs where those of another version are; tables are the same, so nothing is
    lost.
    """
    for link in links.every(kernel):
        there = attach.tc_find(link.index, "ingress", PRIORITY)
        if there is None:
            continue
        if there.name in (INGRESS, REPAIRED):
            attach.tc_attach(link.index, "ingress", programs[there.name], PRIORITY)
        there.close()
        if has_xdp(link):
            attach.xdp_replace(link.index, programs[FAST])


def release(kernel: Rtnl) -> None:
    """Interfaces as they were: no program of ours, and no clsact qdisc that nobody uses."""
    for link in links.every(kernel):
        if has_xdp(link):
            attach.xdp_detach(link.index)
        there = attach.tc_find(link.index, "ingress", PRIORITY)
        if there is None:
            continue
        there.close()
        if there.name in (INGRESS, REPAIRED):
            attach.tc_detach(link.index, "ingress", PRIORITY)
            if not links.filters(kernel, link.index):
                attach.clsact_remove(link.index)


def has_xdp(link: Link) -> bool:
    """Whether its XDP program is the relay's."""
    if link.xdp is None:
        return False
    try:
        program = Program.by_id(link.xdp)
    except BpfError as error:
        if error.errno == errno.ENOENT:
            return False  # gone between the two questions
        raise
    program.close()
    return program.name == FAST


def _attached(link: Link, program: Program) -> bool:
    try:
        attach.xdp_attach(link.index, program)
    except BpfError as error:
        # a driver without XDP, or another program there: tc carries it
        if error.errno in (errno.EOPNOTSUPP, errno.EBUSY, errno.EEXIST):
            return False
        raise
    return True


def _same(link: Link, program: Program, table: Map) -> bool:
    there = attach.tc_find(link.index, "ingress", PRIORITY)
    if there is None:
        return False
    there.close()
    return there.tag == program.tag and table.id in there.map_ids


def _same_xdp(link: Link, program: Program, table: Map) -> bool:
    if link.xdp is None:
        return False
    there = Program.by_id(link.xdp)
    there.close()
    return there.tag == program.tag and table.id in there.map_ids


def _encapsulates(link: Link) -> bool:
    there = attach.tc_find(link.index, "ingress", gre.PRIORITY)
    if there is None:
        return False
    there.close()
    return there.name == "gre_encap"
