"""The addresses of this machine's interfaces, for some accelerated ones are only announced."""

import struct
from ipaddress import ip_address

from bongsu.model.base import Address
from bongsu.system import rtnl
from bongsu.system.rtnl import Rtnl

_GETADDR = 22
_IFADDR = struct.Struct("=BBBBI")
_IFA_ADDRESS, _IFA_LOCAL = 1, 2


def addresses(kernel: Rtnl) -> frozenset[Address]:
    """All of them, of both families."""
    found = set()
    for message in kernel.dump(_GETADDR, _IFADDR.pack(0, 0, 0, 0, 0)):
        told = rtnl.attributes(message[_IFADDR.size :])
        found.add(ip_address(told.get(_IFA_LOCAL) or told[_IFA_ADDRESS]))
    return frozenset(found)
