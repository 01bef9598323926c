"""IKE identities as Libreswan reads them.

What is no address and has no `@` it would look up in the DNS: `@name` is a name as it stands.
"""

from ipaddress import ip_address

from bongsu.render import text


def identity(value: str) -> str:
    """An address as it is, `user@host` too, a distinguished name in quotes, any other name with @."""
    admitted = text.identity(value)
    try:
        return str(ip_address(admitted))
    except ValueError:
        pass
    if "=" in admitted:
        return f'"{admitted}"'
    return admitted if "@" in admitted else f"@{admitted}"
