"""relay.h as numpy sees it. A test compares the two through the compiled object's BTF.

Addresses have 16 bytes; an IPv4 address is mapped (::ffff:a.b.c.d).
"""

from ipaddress import IPv6Address
from typing import Any, Final

import numpy as np

from bongsu.model.base import Address

DROPS: Final = (
    "unknown_peer",
    "header",
    "bad_tag",
    "hops_spent",
    "unknown_node",
    "unknown_region",
    "unknown_listener",
    "unknown_client",
    "malformed",
    "no_endpoint",
    "no_room",
    "unproved",
    "no_port",
    "amplified",
    "rate",
    "ttl",
    "fragment",
    "too_big",
    "no_route",
    "recursive",
    "error",
)
"""enum relay_drop, in order, in lower case."""

WHEEL: Final = 1021
ENDPOINTS: Final = 64
PAGE: Final = 64
NOBODY: Final = 0xFF
UNPROVED_NS: Final = 10 * 10**9
KEYED: Final = 1
LOCAL, REGION, OFF, ALIEN = 1, 2, 4, 8
AFFINITY_CLIENT, REPAIR = 1, 2
ENTRY, EGRESS = 1, 2
FREE, LIVE, PARKED, GONE = 0, 1, 2, 3
NEW, TWOWAY, PROVED = 0, 1, 2
SAW_IKE, SAW_ESP, SAW_KEEPALIVE, SAW_OTHER = 1, 2, 4, 8
CLOSING_UP, CLOSING_DOWN, CLOSED = 16, 32, 64
VALIDATE: Final = {"none": 0, "ike": 1, "tcp": 2}
OWN_UP, OWN_DOWN, ANY_ESP, ANY_IKE = 0, 1, 2, 3
UP, DOWN = 0, 1

COUNTERS: Final = np.dtype(
    [
        ("packets", "u8", (2,)),
        ("bytes", "u8", (2,)),
        ("transit", "u8"),
        ("fragments", "u8"),
        ("fragmented", "u8"),
        ("too_big_sent", "u8"),
        ("unrepaired", "u8"),
        ("moved", "u8"),
        ("stray", "u8"),
        ("learned", "u8"),
        ("drops", "u8", (2, len(DROPS))),
    ]
)

CONFIG: Final = np.dtype(
    [
        ("key", "u8", (2,)),
        ("generation", "u8"),
        ("made", "u8"),
        ("proved", "u8"),
        ("ended", "u8"),
        ("unproved", "u8"),
        ("icmp_after", "u8"),
        ("node", "u4"),
        ("repair", "u4"),
        ("port", ">u2"),
        ("flags", "u1"),
        ("zero", "V5"),
    ]
)

ENDS: Final = np.dtype([("local", "V16"), ("remote", "V16")])

PEER: Final = np.dtype(
    [
        ("local", "V16"),
        ("remote", "V16"),
        ("number", "u4"),
        ("next", "u4"),
        ("family", "u4"),
        ("pmtu", "u4"),
        ("pmtu_until", "u8"),
    ]
)

REGION_KEY: Final = np.dtype([("accelerator", "u4"), ("node", "u4"), ("address", "V16")])

ACCELERATOR: Final = np.dtype(
    [("due", "u8", (2,)), ("cost", "u8"), ("number", "u4"), ("egress", "u4"), ("off", "V16")]
)

LISTENER: Final = np.dtype(
    [
        ("idle", "u8"),
        ("accelerator", "u4"),
        ("name", "u4"),
        ("amplification", "u4"),
        ("protocol", "u1"),
        ("validation", "u1"),
        ("flags", "u1"),
        ("zero", "u1"),
    ]
)

WHEEL_PLACES: Final = np.dtype([("endpoint", "u1", (WHEEL,)), ("zero", "u1", (3,))])
ENDPOINT: Final = np.dtype([("address", "V16")])
PAGE_KEY: Final = np.dtype(
    [
        ("accelerator", "u4"),
        ("page", "u2"),
        ("protocol", "u1"),
        ("zero", "u1"),
        ("address", "V16"),
    ]
)
PORTS: Final = np.dtype([("listener", "u2", (PAGE,))])

FLOW: Final = np.dtype(
    [
        ("client", "V16"),
        ("address", "V16"),
        ("accelerator", "u4"),
        ("client_port", ">u2"),
        ("port", ">u2"),
        ("protocol", "u1"),
        ("role", "u1"),
        ("zero", "u2"),
    ]
)

BACK: Final = np.dtype(
    [
        ("off", "V16"),
        ("endpoint", "V16"),
        ("off_port", ">u2"),
        ("port", ">u2"),
        ("protocol", "u1"),
        ("zero", "u1", (3,)),
    ]
)

RECORD: Final = np.dtype(
    [
        ("client", "V16"),
        ("address", "V16"),
        ("endpoint", "V16"),
        ("off", "V16"),
        ("accelerator", "u4"),
        ("slot", "u4"),
        ("listener", "u4"),
        ("peer", "u4"),
        ("client_port", ">u2"),
        ("port", ">u2"),
        ("off_port", ">u2"),
        ("protocol", "u1"),
        ("role", "u1"),
        ("state", "u1"),
        ("proof", "u1"),
        ("seen", "u1"),
        ("validation", "u1"),
        ("amplification", "u4"),
        ("tag_in", "u8"),
        ("tag_out", "u8"),
        ("generation", "u8"),
        ("first", "u8"),
        ("last_up", "u8"),
        ("up_packets", "u8"),
        ("up_bytes", "u8"),
        ("initiator", "V8"),
        ("responder", "V8"),
        ("spi_up", "u4"),
        ("spi_up_index", "u4"),
        ("acknowledges", "u4"),
        ("serial", "u4"),
        ("addresses_up", "u2"),
        ("ports_up", "u2"),
        ("addresses_down", "u2"),
        ("ports_down", "u2"),
        ("last_down", "u8"),
        ("down_packets", "u8"),
        ("down_bytes", "u8"),
        ("amplified", "u8"),
        ("spi_down", "u4"),
        ("spi_down_index", "u4"),
        ("spis", "u4"),
        ("zero_spis", "u4"),
        ("zero_down", "u8", (2,)),
    ]
)

SPI: Final = np.dtype(
    [
        ("spi", "u4"),
        ("record", "u4"),
        ("direction", "u4"),
        ("state", "u4"),
        ("sequence", "u4"),
        ("serial", "u4"),
        ("accelerator", "u4"),
        ("zero", "u4"),
        ("first", "u8"),
        ("last", "u8"),
        ("packets", "u8"),
        ("bytes", "u8"),
    ]
)

KNOWN: Final = np.dtype(
    [("spi", "u8"), ("owner", "u4"), ("what", "u1"), ("role", "u1"), ("zero", "u2")]
)

STRUCTS: Final = {
    "relay_counters": COUNTERS,
    "relay_config": CONFIG,
    "relay_ends": ENDS,
    "relay_peer": PEER,
    "relay_region": REGION_KEY,
    "relay_accelerator": ACCELERATOR,
    "relay_listener": LISTENER,
    "relay_wheel": WHEEL_PLACES,
    "relay_endpoint": ENDPOINT,
    "relay_page": PAGE_KEY,
    "relay_ports": PORTS,
    "relay_flow": FLOW,
    "relay_back": BACK,
    "relay_record": RECORD,
    "relay_spi": SPI,
    "relay_known": KNOWN,
}


def packed(address: Address) -> Any:
    """An address as the data plane has it."""
    if address.version == 6:
        return np.void(address.packed)
    return np.void(bytes(10) + b"\xff\xff" + address.packed)


def address(value: Any) -> Address:
    """The other way round."""
    six = IPv6Address(bytes(value))
    return six.ipv4_mapped or six
