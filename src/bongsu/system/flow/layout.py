"""flow.h as numpy sees it. A test compares the two through the compiled object's BTF."""

from typing import Final

import numpy as np

EGRESS: Final = 0x01
INNER: Final = 0x02
SAMPLED: Final = 0x01
TICK: Final = 20
FULL: Final = 1 << 31

ON: Final = 0x01
UNDERLAY: Final = 0x02
HTTP_HERE: Final = 0x04
INTERFACES: Final = 4096
PROBES: Final = 4
"""An interface's place is its ifindex modulo INTERFACES, or one of the next; PROBES are looked at."""

RTT: Final = 0x01
PORTS: Final = 0x02
DSCP: Final = 0x04
HTTP: Final = 0x08
FILTERS: Final = 8

WAYS: Final = 2
REQUEST: Final = 1
RESPONSE: Final = 2

_KEY: Final = [
    ("saddr", "V16"),
    ("daddr", "V16"),
    ("sport", ">u2"),
    ("dport", ">u2"),
    ("ifindex", "u4"),
    ("tunnel", "u2"),
    ("vlan", "u2"),
    ("family", "u1"),
    ("proto", "u1"),
    ("direction", "u1"),
    ("dscp", "u1"),
]
_RECORD: Final = [
    ("packets", "u8"),
    ("bytes", "u8"),
    ("first", "u8"),
    ("last", "u8"),
    ("rtt_us", "u4"),
    ("tcp_flags", "u1"),
    ("flags", "u1"),
    ("zero", "u2"),
]
KEY: Final = np.dtype(_KEY)
RECORD: Final = np.dtype(_RECORD)
FLOW: Final = np.dtype(_KEY + _RECORD)
"""A key and its record."""

SLOT: Final = np.dtype(
    [
        ("print", "u8"),
        ("bytes", "u8"),
        ("packets", "u4"),
        ("last", "u4"),
        ("seq", "u4"),
        ("tcp_flags", "u1"),
        ("state", "u1"),
        ("flags", "u1"),
        ("zero", "u1"),
    ]
)
OWNER: Final = np.dtype([("key", KEY), ("first", "u8"), ("rtt_us", "u4"), ("zero", "u4")])
SET: Final = np.dtype([("way", SLOT, (WAYS,))])
OWNERS: Final = np.dtype([("way", OWNER, (WAYS,))])
SPILLED: Final = np.dtype([("key", KEY), ("cpu", "u4"), ("zero", "u4")])
INTERFACE: Final = np.dtype(
    [("ifindex", "u4"), ("tunnel", "u2"), ("offset", "u1"), ("flags", "u1")]
)

FILTER: Final = np.dtype(
    [
        ("prefix", "u8", (2,)),
        ("mask", "u8", (2,)),
        ("port", ">u2"),
        ("proto", "u1"),
        ("family", "u1"),
        ("zero", "u4"),
    ]
)
CHOICE: Final = np.dtype(
    [
        ("metrics", "u4"),
        ("every", "u4"),
        ("threshold", "u4"),
        ("filters", "u4"),
        ("filter", FILTER, (FILTERS,)),
    ]
)
SETTINGS: Final = np.dtype(
    [
        ("active", "u4"),
        ("sets", "u4"),
        ("shift", "u4"),
        ("zero", "u4"),
        ("salt", "u8", (2, 12)),
        ("choice", CHOICE, (2,)),
    ]
)
STATS: Final = np.dtype(
    [
        (name, "u8")
        for name in (
            "other",
            "malformed",
            "filtered",
            "unsampled",
            "spilled",
            "lost_records",
            "lost_packets",
            "lost_bytes",
            "http_requests",
            "http_responses",
            "http_dropped",
            "http_abandoned",
        )
    ]
)
TUNNEL: Final = np.dtype([("local", "V16"), ("remote", "V16"), ("key", ">u4"), ("keyed", "u4")])
HTTP_EVENT: Final = np.dtype(
    [
        ("key", KEY),
        ("time", "u8"),
        ("request", "u8"),
        ("latency_us", "u4"),
        ("kind", "u2"),
        ("code", "u2"),
        ("method_length", "u1"),
        ("path_length", "u1"),
        ("host_length", "u1"),
        ("zero", "V5"),
        ("method", "S16"),
        ("path", "S192"),
        ("host", "S96"),
    ]
)

STRUCTS: Final = {
    "flow_key": KEY,
    "flow_record": RECORD,
    "flow_slot": SLOT,
    "flow_set": SET,
    "flow_owner": OWNER,
    "flow_owners": OWNERS,
    "flow_spilled": SPILLED,
    "flow_interface": INTERFACE,
    "flow_filter": FILTER,
    "flow_choice": CHOICE,
    "flow_settings": SETTINGS,
    "flow_stats": STATS,
    "flow_tunnel": TUNNEL,
    "flow_http": HTTP_EVENT,
}
