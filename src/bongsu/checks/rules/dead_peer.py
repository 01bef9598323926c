"""VPN008: dead peer detection that comes too late, or not at all."""

from collections.abc import Iterator

from bongsu.checks.connection import Connection
from bongsu.checks.finding import Finding, Path, Severity
from bongsu.checks.scene import Scene
from bongsu.model.vpn import Dpd, VpnBgp


def check(scene: Scene) -> Iterator[Finding]:
    """DPD by itself, and against BGP's hold timer."""
    for connection in scene.connections:
        vpn = connection.vpn
        at = (*connection.at, "dpd")
        if vpn.dpd is False:
            lifetime = connection.tunnels[0].plan.esp_lifetime_s
            yield Finding(
                "VPN008",
                Severity.WARNING,
                at,
                "nobody asks whether the gateway is still there: when it has forgotten the tunnel, "
                f"packets vanish until the keys are renewed, up to {lifetime} s later",
                "leave `dpd` out: it asks after 10 s of silence",
            )
            continue
        yield from _alone(vpn.dpd, connection, at)
        if vpn.bgp is not None:
            yield from _with_bgp(vpn.dpd, vpn.bgp, connection)


def _alone(dpd: Dpd, connection: Connection, at: Path) -> Iterator[Finding]:
    if dpd.timeout_s < 2 * dpd.delay_s:
        yield Finding(
            "VPN008",
            Severity.WARNING,
            (*at, "timeout_s"),
            f"asked every {dpd.delay_s} s and given up after {dpd.timeout_s}: one packet that is "
            "lost takes a tunnel down that works",
            f"`timeout_s: {3 * dpd.delay_s}`",
        )
    if dpd.action == "clear" and connection.vpn.start == "initiate":
        yield Finding(
            "VPN008",
            Severity.WARNING,
            (*at, "action"),
            "a tunnel that is given up is cleared away, and nobody raises it again: this side calls "
            "once, and clouds wait to be called",
            "`action: restart`",
        )


def _with_bgp(dpd: Dpd, bgp: VpnBgp, connection: Connection) -> Iterator[Finding]:
    one = len(connection.tunnels) == 1
    # With another tunnel BGP may well be the faster: traffic moves, and IKE mends at its leisure.
    # As long as each other, which they are by default, is nobody's mistake.
    if bgp.hold_s < dpd.timeout_s if one else bgp.hold_s <= dpd.delay_s:
        after = f"after {dpd.timeout_s} s" if one else f"for {dpd.delay_s} s"
        yield Finding(
            "VPN008",
            Severity.WARNING,
            (*connection.at, "bgp", "hold_s"),
            f"BGP gives up after {bgp.hold_s} s, and DPD "
            + (f"mends the tunnel {after} only" if one else f"does not even ask {after}")
            + ": the session is lost with every loss that IKE would have mended",
            f"`dpd: {{delay_s: {max(bgp.hold_s // 6, 1)}, timeout_s: {max(bgp.hold_s // 2, 2)}}}`, or "
            "a longer hold time",
        )
