"""What kind of address an address is.

Documentation ranges (RFC 5737, 3849, 9637) count as public: examples are written with them, and they
must be judged as the real ones that will replace them.
"""

from ipaddress import ip_network

from bongsu.model.base import Address, Prefix

_DOCUMENTATION: tuple[Prefix, ...] = tuple(
    ip_network(text)
    for text in (
        "192.0.2.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "2001:db8::/32",
        "3fff::/20",
    )
)


def is_public(address: Address) -> bool:
    """Whether the address is for the whole Internet to reach."""
    return address.is_global or any(address in prefix for prefix in _DOCUMENTATION)
