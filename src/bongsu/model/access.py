"""A line of an access list, as far as tunnels need one."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from bongsu.model.base import Model, PrefixField


class AccessRule(Model):
    """`permit gre host A host B` is `{permit: gre, from: A/32, to: B/32}`."""

    model_config = ConfigDict(serialize_by_alias=True)

    permit: Literal["ip", "gre", "icmp", "tcp", "udp"]
    """The protocol of the packet; `ip` is all of them, IPv6 included."""
    from_: Annotated[PrefixField | None, Field(alias="from")] = None
    """Source; without it, any."""
    to: PrefixField | None = None
    """Destination; without it, any."""
