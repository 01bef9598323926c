"""MTU002: a tunnel too small for what goes through it."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.checks.size import mss_text

IPV6_MINIMUM = 1280
"""RFC 8200 section 5."""
IPV4_MINIMUM = 576
"""RFC 791: what every host must be able to receive whole."""


def check(scene: Scene) -> Iterator[Finding]:
    """Inside MTUs against the least that IPv6, or IPv4, has to have."""
    for name, line in scene.lines.items():
        addresses = [ip for end in line.tunnel.ends.values() for ip in end.addresses]
        has_ipv6 = any(address.version == 6 for address in addresses)
        least = IPV6_MINIMUM if has_ipv6 else IPV4_MINIMUM
        if line.mtu < least:
            family = "IPv6" if has_ipv6 else "IPv4"
            underlay = least + line.overhead
            yield Finding(
                "MTU002",
                Severity.ERROR,
                ("tunnels", name, "mtu") if line.tunnel.mtu is not None else ("tunnels", name),
                f"{line.mtu} bytes inside are less than {family}'s {least} ({mss_text(line.mtu)})",
                f"an underlay MTU of {underlay} at both ends"
                if line.room < least
                else f"`mtu: {least}` or more, {line.room} at most",
            )
    for connection, pipe in scene.pipes:
        networks = pipe.plan.local_networks + pipe.plan.remote_networks
        inside = [] if pipe.plan.inside is None else [pipe.plan.inside]
        has_ipv6 = any(item.version == 6 for item in (*networks, *inside))
        least = IPV6_MINIMUM if has_ipv6 else IPV4_MINIMUM
        if pipe.plan.mtu < least:
            stated = connection.vpn.mtu is not None
            yield Finding(
                "MTU002",
                Severity.ERROR,
                (*connection.at, "mtu") if stated else pipe.at,
                f"{pipe.plan.mtu} bytes inside are less than {'IPv6' if has_ipv6 else 'IPv4'}'s "
                f"{least} ({mss_text(pipe.plan.mtu)})",
                f"`mtu: {least}` or more" if stated else "a greater MTU of the uplink",
            )
            if stated:
                break
