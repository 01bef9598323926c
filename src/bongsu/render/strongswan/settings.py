"""What charon is told by strongswan.conf(5): not to route, and when to give a far end up."""

from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.render.strongswan.sections import Settings

RETRANSMISSIONS, GROWTH = 4, 1.5
"""How often a request is sent again, and how much longer each wait is than the one before."""


def charon_settings(tunnels: list[VpnTunnelPlan]) -> Settings:
    """Settings of `charon` for these tunnels; they are one daemon's, so the quickest decides."""
    return {
        # Routes are the routing daemon's, or the agent's: never by selectors, 0.0.0.0/0 among them.
        "install_routes": "no",
        "install_virtual_ip": "no",
        **_retransmission(tunnels),
    }


UNWANTED = ("farp", "forecast", "dhcp", "unity", "connmark", "ha")
"""Plugins that Debian loads as soon as they are installed. With selectors of 0.0.0.0/0 `farp` answers
ARP for every address of every LAN, and `forecast` carries its broadcasts away; the others act on
addresses and marks that are not theirs."""


def plugin_settings() -> Settings:
    """What the machine's charon must not load."""
    return {"plugins": {name: {"load": "no"} for name in UNWANTED}}


def log_settings() -> Settings:
    """To standard error, for whoever started the daemon; IKE in the words of its own log."""
    return {
        "filelog": {
            "bongsu": {
                "path": "stderr",
                "default": 1,
                "time_format": "%Y-%m-%dT%H:%M:%S%z",
                "ike_name": "yes",
                "flush_line": "yes",
            }
        },
        # Under systemd standard error goes there already.
        "journal": {"default": -1},
    }


def _retransmission(tunnels: list[VpnTunnelPlan]) -> Settings:
    """So that all waits of a request that nobody answers add up to the time of `dpd`."""
    timeouts = [tunnel.dpd.timeout_s for tunnel in tunnels if tunnel.dpd is not None]
    if not timeouts:
        return {}
    waits = sum(GROWTH**number for number in range(RETRANSMISSIONS + 1))
    return {
        "retransmit_tries": RETRANSMISSIONS,
        "retransmit_timeout": f"{min(timeouts) / waits:.2f}",
        "retransmit_base": str(GROWTH),
    }
