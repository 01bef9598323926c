"""Sizes of packets, as an operator needs them."""

TCP_IPV4 = 40
TCP_IPV6 = 60
"""IP and TCP headers without options (RFC 9293 section 3.7.1)."""


def mss_text(mtu: int) -> str:
    """TCP's largest segment through an MTU, both families."""
    return f"TCP MSS {mtu - TCP_IPV4} over IPv4, {mtu - TCP_IPV6} over IPv6"
