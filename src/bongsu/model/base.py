"""The base of every model class, and the scalar types that the network file is made of.

Models are values: frozen, compared by content, and closed to unknown keys. Nothing here reads a
file, a clock or the environment.
"""

import re
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict


class Model(BaseModel):
    """A closed, immutable value. Unknown keys are errors, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


Address: TypeAlias = IPv4Address | IPv6Address
Interface: TypeAlias = IPv4Interface | IPv6Interface
Prefix: TypeAlias = IPv4Network | IPv6Network
Family: TypeAlias = Literal[4, 6]

EVERYTHING: dict[int, Prefix] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
"""All addresses of a family."""


def _address_text(value: Any) -> Any:
    # An unquoted 10 or 1.5 would be taken by ipaddress as a packed address.
    if isinstance(value, bool | int | float | bytes):
        raise ValueError("an IP address is meant here, such as 192.0.2.1 or 2001:db8::1")
    return value


def _interface_text(value: Any) -> Any:
    value = _address_text(value)
    if isinstance(value, str) and "/" not in value:
        raise ValueError("an address with its prefix length is meant here, such as 192.0.2.1/24")
    return value


def _prefix_text(value: Any) -> Any:
    value = _address_text(value)
    if isinstance(value, str) and "/" not in value:
        raise ValueError("a prefix with its length is meant here, such as 192.0.2.0/24")
    return value


AddressField = Annotated[IPv4Address | IPv6Address, BeforeValidator(_address_text)]
InterfaceField = Annotated[IPv4Interface | IPv6Interface, BeforeValidator(_interface_text)]
PrefixField = Annotated[IPv4Network | IPv6Network, BeforeValidator(_prefix_text)]

Whole = Annotated[int, Strict()]
"""A whole number: not a boolean, which is an int to Python, and not a number in quotes."""

Asn = Annotated[Whole, Field(ge=1, le=4294967294)]
"""An autonomous system number, 32 bit (RFC 6793); 0 and 4294967295 are reserved (RFC 7607, 7300)."""

Port = Annotated[Whole, Field(ge=1, le=65535)]
Count = Annotated[Whole, Field(ge=0)]
Positive = Annotated[Whole, Field(gt=0)]

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
"""A name of a node, AS or vantage point: lower case, digits and hyphens, 31 characters at most."""

InterfaceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$")]
"""A Linux interface name: at most IFNAMSIZ - 1 = 15 characters."""

TunnelName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,12}$")]
"""A tunnel is an interface on both nodes; two characters are left for its hidden peer."""

_SECRET = re.compile(r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/[^\0\n]+)$")


def _secret(value: str) -> str:
    if not _SECRET.fullmatch(value):
        # The value itself is not repeated: it may be the secret.
        raise ValueError("a secret is given by reference, env:NAME or file:/path, never by value")
    return value


SecretRef = Annotated[
    str,
    AfterValidator(_secret),
    Field(json_schema_extra={"pattern": _SECRET.pattern, "writeOnly": True}),
]
"""Where a secret is found on the node that needs it: `env:NAME` or `file:/absolute/path`."""
