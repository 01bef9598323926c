"""gre.h as numpy sees it. A test compares the two through the compiled object's BTF."""

from typing import Final

import numpy as np

DROPS: Final = (
    "tx_line_down",
    "tx_protocol",
    "tx_malformed",
    "tx_too_big",
    "tx_error",
    "tx_no_route",
    "tx_recursive",
    "rx_line_down",
    "rx_header",
    "rx_checksum",
    "rx_sequence",
    "rx_protocol",
    "rx_malformed",
    "rx_ecn",
    "rx_ttl",
    "rx_error",
    "rx_kept",
    "rx_rate",
)
"""enum gre_drop, in order, in lower case."""

PMTU_AGE_NS: Final = 600 * 10**9
KEYED: Final = 0x01
INHERIT_TOS: Final = 0x02
KEEPALIVE_ONLY: Final = 0x04
ROUTED: Final = 0x08
KEEPS: Final = 0x10

DIALECTS: Final = {"huawei": 1, "mikrotik": 2, "velocloud": 3}
"""enum gre_dialect, of those that differ from Cisco's."""
GAP_NS: Final = 10_000
REFLECT_BURST: Final = 8

COUNTERS: Final = np.dtype(
    [
        ("rx_packets", "u8"),
        ("rx_bytes", "u8"),
        ("tx_packets", "u8"),
        ("tx_bytes", "u8"),
        ("keepalives_reflected", "u8"),
        ("keepalives_received", "u8"),
        ("too_big_sent", "u8"),
        ("too_big_received", "u8"),
        ("unknown", "u8"),
        ("fragments", "u8"),
        ("drops", "u8", (len(DROPS),)),
    ]
)

STATE: Final = np.dtype(
    [
        ("line_down", "u2"),
        ("keepalive_down", "u2"),
        ("held", "u2"),
        ("pmtu", "u2"),
        ("pmtu_until", "u8"),
        ("icmp_after", "u8"),
        ("reflect_after", "u8"),
        ("generation", "u8"),
    ]
)

TUNNEL: Final = np.dtype(
    [
        ("local", "V16"),
        ("remote", "V16"),
        ("key", ">u4"),
        ("slot", "u4"),
        ("counters", "u4"),
        ("device", "u4"),
        ("peer", "u4"),
        ("underlay", "u4"),
        ("mtu", "u2"),
        ("overhead", "u2"),
        ("family", "u1"),
        ("flags", "u1"),
        ("ttl", "u1"),
        ("tos", "u1"),
        ("device_mac", "V6"),
        ("peer_mac", "V6"),
        ("name", "S16"),
        ("inside_local", "V4"),
        ("inside_remote", "V4"),
        ("dialect", "u1"),
        ("peer_dialect", "u1"),
        ("reflect_gap", "u2"),
    ]
)

PAIR4: Final = np.dtype([("local", "V4"), ("remote", "V4"), ("key", ">u4"), ("keyed", "u4")])
PAIR6: Final = np.dtype([("local", "V16"), ("remote", "V16"), ("key", ">u4"), ("keyed", "u4")])
ARRIVAL: Final = np.dtype([("slot", "u4"), ("ifindex", "u4")])

KEEPALIVE_RING: Final = 32
"""Requests of a session that may still be answered."""
KEEPALIVE_IDENTIFICATION: Final = 0xFFFFF
KEEPALIVE_OUTSTANDING: Final = 0x40000000
KEEPALIVE_ANSWERED: Final = 0x80000000
"""A tag is an identification, with one of the two once it was sent."""
REFUSALS: Final = ("length", "header", "not_ours", "no_nonce", "replayed")
"""enum ka_refusal, in order, in lower case."""

KEEPALIVE: Final = np.dtype(
    [
        ("sent", "u8"),
        ("changed_at", "u8"),
        ("send_errors", "u8"),
        ("last_error", "u4"),
        ("mode", "u4"),
        ("flags", "u4"),
        ("line", "u4"),
        ("streak", "u4"),
        ("generation", "u4"),
        ("received", "u8"),
        ("answered", "u8"),
        ("replied_at", "u8"),
        ("rtt_last", "u8"),
        ("rtt_min", "u8"),
        ("rtt_max", "u8"),
        ("rtt_sum", "u8"),
        ("refused", "u8", (len(REFUSALS),)),
        ("sent_at", "u8", (KEEPALIVE_RING,)),
        ("nonce", "u8", (KEEPALIVE_RING,)),
        ("tag", "u4", (KEEPALIVE_RING,)),
    ]
)

STRUCTS: Final = {
    "ka_session": KEEPALIVE,
    "gre_counters": COUNTERS,
    "gre_state": STATE,
    "gre_tunnel": TUNNEL,
    "gre_pair4": PAIR4,
    "gre_pair6": PAIR6,
    "gre_arrival": ARRIVAL,
}
