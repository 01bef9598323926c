"""What kind of address an address is.

Documentation ranges (RFC 5737, 3849, 9637) count as public: examples are written with them, and they
must be judged as the real ones that will replace them.
"""

from ipaddress import IPv4Network, IPv6Network, ip_network

from bongsu.model.base import Address, Prefix

_SPECIAL: dict[str, str] = {
    "0.0.0.0/8": "this network (RFC 791)",
    "10.0.0.0/8": "private (RFC 1918)",
    "100.64.0.0/10": "carrier-grade NAT (RFC 6598)",
    "127.0.0.0/8": "loopback (RFC 1122)",
    "169.254.0.0/16": "link-local (RFC 3927)",
    "172.16.0.0/12": "private (RFC 1918)",
    "192.0.0.0/24": "protocol assignments (RFC 6890)",
    "192.168.0.0/16": "private (RFC 1918)",
    "198.18.0.0/15": "benchmarking (RFC 2544)",
    "224.0.0.0/4": "multicast (RFC 5771)",
    "240.0.0.0/4": "reserved (RFC 1112)",
    "::/8": "reserved (RFC 4291)",
    "100::/64": "discard-only (RFC 6666)",
    "2001::/23": "protocol assignments (RFC 2928)",
    "fc00::/7": "unique local (RFC 4193)",
    "fe80::/10": "link-local (RFC 4291)",
    "fec0::/10": "site-local, deprecated (RFC 3879)",
    "ff00::/8": "multicast (RFC 4291)",
}
_NETWORKS = [(ip_network(text), name) for text, name in _SPECIAL.items()]
_RANGES: dict[int, list[tuple[int, int, str]]] = {
    version: [
        (int(net.network_address), int(net.broadcast_address), name)
        for net, name in _NETWORKS
        if net.version == version
    ]
    for version in (4, 6)
}


def kind(item: Address | Prefix) -> str | None:
    """What special range an address is in, or a prefix touches; None for public space.

    Sources: the IANA special-purpose registries for IPv4 and IPv6.
    """
    if isinstance(item, IPv4Network | IPv6Network):
        first, last = int(item.network_address), int(item.broadcast_address)
    else:
        first = last = int(item)
    for low, high, name in _RANGES[item.version]:
        if first <= high and last >= low:
            return name
    return None


def is_public(address: Address) -> bool:
    """Whether the address is for the whole Internet to reach."""
    return kind(address) is None


def is_no_host(address: Address, network: Prefix) -> bool:
    """Whether it is the first or last IPv4 address of its network, which no host can have.

    In /31 and /32 every address is a host's (RFC 3021).
    """
    if network.version == 6 or network.prefixlen >= 31:
        return False
    return address in (network.network_address, network.broadcast_address)
