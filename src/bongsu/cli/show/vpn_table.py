"""An agent's word on its IPsec tunnels as lines of text. Pure: no clock, no terminal."""

from typing import Any

from rich.text import Text

from bongsu.cli.show.columns import Row, Table, draw, size
from bongsu.cli.show.keepalive_table import ago

TABLE = Table(
    ("Tunnel", "Far end", "IKE", "SPIs", "In", "Out", "Rekeys", "State"),
    frozenset({"Tunnel", "Far end", "IKE", "State"}),
    (("Far end", 7), ("Tunnel", 4)),
    "State",
    {"up": "green", "degraded": "yellow", "down": "bold red"},
)
NONE = "-"
CARRIED = {
    "libipsec": "ESP in user space: strongSwan's kernel-libipsec, one charon a tunnel",
    "strongswan": "ESP in the kernel, keys by strongSwan",
    "libreswan": "ESP in the kernel, keys by Libreswan",
}


def view(answer: dict[str, Any], width: int) -> Text:
    """The table of one agent's answer to `vpn`."""
    rows = [row(tunnel) for tunnel in answer["tunnels"]]
    text = draw(TABLE, rows, width, "no IPsec tunnel")
    if answer["backend"] in CARRIED:
        text.append(f"\n{CARRIED[answer['backend']]}", style="dim")
    return text


def all_carry(answer: dict[str, Any]) -> bool:
    """Whether no tunnel is down."""
    return all(tunnel["state"] != "down" for tunnel in answer["tunnels"])


def row(tunnel: dict[str, Any]) -> Row:
    """A row of one entry of `tunnels`."""
    ike, esp = tunnel["ike"], tunnel["esp"]
    version = f"v{tunnel['ike_version']}"
    cells = (
        tunnel["name"],
        tunnel["remote"],
        f"{version} {ike['state']}" if ike else f"{version} none",
        # A pair has one each way.
        str(2 * len(esp)),
        size(sum(sa["bytes_in"] for sa in esp)) if esp else NONE,
        size(sum(sa["bytes_out"] for sa in esp)) if esp else NONE,
        str(tunnel["rekeys"]),
        tunnel["state"],
    )
    return Row(cells, tuple(note for note in _notes(tunnel) if note))


def _notes(tunnel: dict[str, Any]) -> list[str]:
    return [_why(tunnel), _keys(tunnel), _liveness(tunnel)]


def _why(tunnel: dict[str, Any]) -> str:
    said = f"{tunnel['state']} for {ago(tunnel['since_s'])}"
    if tunnel["cause"] is not None and tunnel["state"] != "up":
        return f"{said}, {tunnel['layer']}: {tunnel['cause']}"
    if tunnel["falls"]:
        said += f", after {tunnel['falls']} fall{'s' if tunnel['falls'] != 1 else ''}"
    return said


def _keys(tunnel: dict[str, Any]) -> str:
    ike, esp = tunnel["ike"], tunnel["esp"]
    parts = []
    if ike is not None and ike["proposal"]:
        parts.append(f"IKE {ike['proposal']}")
    if esp:
        way = " in UDP" if esp[0]["encapsulated"] else ""
        parts.append(f"ESP {esp[0]['proposal']}{way}")
        if esp[0]["rekey_in_s"] is not None:
            parts.append(f"rekeyed in {ago(esp[0]['rekey_in_s'])}")
    return ", ".join(parts)


def _liveness(tunnel: dict[str, Any]) -> str:
    parts = []
    dpd = tunnel["dpd"]
    if dpd is None:
        parts.append("no DPD")
    else:
        missed = f", {tunnel['unanswered']} unanswered" if tunnel["unanswered"] else ""
        parts.append(f"DPD {dpd['delay_s']}/{dpd['timeout_s']} s{missed}")
    if tunnel["bgp"] is not None:
        parts.append(f"BGP {tunnel['bgp']}")
    if (probe := tunnel["probe"]) is not None:
        rtt = "" if probe["rtt_ms"] is None else f", RTT {probe['rtt_ms']:.1f} ms"
        parts.append(
            f"probes every {probe['interval_ms']} ms: {probe['sent']} sent,"
            f" {probe['answered']} answered{rtt}"
        )
    return "; ".join(parts)
