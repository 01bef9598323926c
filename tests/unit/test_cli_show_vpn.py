"""`bongsu show vpn` and `show bgp`: tables that fit, and words that say what is so."""

from typing import Any

import pytest

from bongsu.cli.show import bgp, vpn_table
from bongsu.cli.show.columns import clock, size
from bongsu.system.daemons.birdctl import Line, parse_neighbors

UP: dict[str, Any] = {
    "name": "vti1", "remote": "198.51.100.2", "ike_version": 1, "state": "up", "since_s": 90.0,
    "layer": None, "cause": None, "falls": 0, "rekeys": 2, "bgp": "Established", "unanswered": 0,
    "dpd": {"delay_s": 10, "timeout_s": 30, "action": "restart"},
    "ike": {"state": "established", "proposal": "aes256-sha384-modp1536"},
    "esp": [{"bytes_in": 5997, "bytes_out": 1_060_560, "proposal": "aes256gcm16-modp1536",
             "encapsulated": True, "rekey_in_s": 3160}],
    "probe": {"interval_ms": 200, "sent": 102, "answered": 101, "rtt_ms": 0.538},
}  # fmt: skip
DOWN = UP | {
    "name": "vti2", "state": "down", "layer": "IKE", "ike": None, "esp": [], "bgp": "Active",
    "cause": "the far end refuses us (AUTHENTICATION_FAILED): the pre-shared key or an identity is"
    " wrong",
    "unanswered": 2, "probe": None,
}  # fmt: skip


def test_a_tunnel_that_carries() -> None:
    text = vpn_table.view({"backend": "libipsec", "tunnels": [UP]}, 80).plain
    head, row, *notes = text.splitlines()
    assert head.split() == ["Tunnel", "Far", "end", "IKE", "SPIs", "In", "Out", "Rekeys", "State"]
    assert row.split() == [
        "vti1", "198.51.100.2", "v1", "established", "2", "6", "kB", "1.06", "MB", "2", "up",
    ]  # fmt: skip
    assert notes[0] == "  up for 1 min"
    assert notes[1] == (
        "  IKE aes256-sha384-modp1536, ESP aes256gcm16-modp1536 in UDP, rekeyed in 52 min"
    )
    assert notes[2].startswith("  DPD 10/30 s; BGP Established; probes every 200 ms: 102 sent, 101")
    assert notes[3] == "      0.5 ms"  # folded, not cut
    assert "kernel-libipsec" in notes[4]
    assert "BGP Established" in vpn_table.row(UP).notes[2]
    assert all(len(line) <= 80 for line in text.splitlines())


def test_why_one_is_down() -> None:
    answer = {"backend": "strongswan", "tunnels": [UP, DOWN]}
    text = vpn_table.view(answer, 120).plain
    assert "down for 1 min, IKE: the far end refuses us (AUTHENTICATION_FAILED)" in text
    assert "v1 none" in text
    assert "DPD 10/30 s, 2 unanswered" in text
    narrow = vpn_table.view(answer, 80).plain
    assert all(len(line) <= 80 for line in narrow.splitlines())
    assert "the pre-shared key or an identity is wrong" in " ".join(narrow.split())
    assert not vpn_table.all_carry(answer)
    assert vpn_table.all_carry({"tunnels": [UP, UP | {"state": "degraded"}]})


FAR = "2001:db8:1234:5678:9abc:def0:1234:5678"


def test_the_worst_of_tables_fits_80_columns_and_loses_nothing() -> None:
    sa = {**UP["esp"][0], "bytes_in": 999_400_000, "bytes_out": 999_400_000}
    tunnel = UP | {"name": "tunnel-of-13c", "remote": FAR, "state": "degraded", "rekeys": 123456,
                   "esp": [sa] * 50, "cause": "many words " * 20, "layer": "BGP"}  # fmt: skip
    text = vpn_table.view({"backend": "libipsec", "tunnels": [tunnel, DOWN]}, 80).plain
    assert max(map(len, text.splitlines())) <= 80
    assert {"tunnel-of-13c", FAR, "degraded", "123456"} <= set(text.split())
    assert text.split().count("words") == 20
    session = NEIGHBOR | {
        "address": FAR, "asn": 4_294_967_295, "messages_received": 10**13, "description": "vti1-of-13c",
        "messages_sent": 10**13, "received": 10**9, "sent": 10**9, "last_error": "many words " * 20,
        "established": False, "state": "OpenConfirm",
    }  # fmt: skip
    answer = {"daemon": "bird", "router_id": "10.10.10.1", "asn": 4_294_967_295,
              "neighbors": [session, NEIGHBOR]}  # fmt: skip
    text = bgp.view(answer, 80).plain
    assert max(map(len, text.splitlines())) <= 80
    assert {FAR, "vti1-of-13c", "4294967295", "OpenConfirm"} <= set(text.split())
    assert text.split().count("words") == 20


def test_no_tunnel() -> None:
    assert vpn_table.view({"backend": None, "tunnels": []}, 80).plain == "  no IPsec tunnel"


NEIGHBOR = {
    "address": "10.10.10.2", "asn": 31898, "state": "Established", "since_s": 93_784.0,
    "received": 2, "sent": 1, "messages_received": 12, "messages_sent": 11, "last_error": "",
    "established": True, "description": "vti1",
}  # fmt: skip


def test_sessions_in_vtyshs_words() -> None:
    idle = NEIGHBOR | {
        "address": "10.10.10.6", "state": "Idle", "established": False, "since_s": None,
        "last_error": "Hold timer expired", "messages_received": None, "description": "vti2",
    }  # fmt: skip
    answer = {
        "daemon": "frr",
        "router_id": "10.10.10.1",
        "asn": 65000,
        "neighbors": [NEIGHBOR, idle],
    }
    text = bgp.view(answer, 80).plain.splitlines()
    assert text[0] == "BGP router identifier 10.10.10.1, local AS number 65000 (FRR)"
    assert text[1].split() == [
        "Neighbor", "V", "AS", "MsgRcvd", "MsgSent", "Up/Down", "State/PfxRcd", "PfxSnt", "Desc",
    ]  # fmt: skip
    assert text[2].split() == [
        "10.10.10.2", "4", "31898", "12", "11", "1d02h03m", "2", "1", "vti1",
    ]  # fmt: skip
    assert text[3].split() == ["10.10.10.6", "4", "31898", "-", "11", "never", "Idle", "0", "vti2"]
    assert text[4] == "  Hold timer expired"
    assert not bgp.all_established(answer)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "never"), (16.2, "00:00:16"), (3661, "01:01:01"), (90_000, "1d01h00m"),
     (8 * 86_400 + 3600, "1w1d01h")],
)  # fmt: skip
def test_clock(seconds: float | None, said: str) -> None:
    assert clock(seconds) == said


@pytest.mark.parametrize(
    ("octets", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (5_997, "6 kB"), (10**13, "10 TB")],
)
def test_size(octets: int, said: str) -> None:
    assert size(octets) == said


BIRD = """\
1002-kernel4    Kernel     master4    up     2026-11-25 17:47:00.094
1006-  Channel ipv4
     Routes:         0 imported, 1 exported, 0 preferred
1002-cloud4_vti1 BGP        ---        up     2026-11-25 17:47:04.626  Established
1006-  BGP state:          Established
     Neighbor address: 10.10.10.2
     Neighbor AS:      31898
   Channel ipv4
     Routes:         1 imported, 2 exported, 1 preferred
1002-cloud4_vti2 BGP        ---        start  2026-11-25 17:47:00.094  Active        Socket: No route
1006-  BGP state:          Active
     Neighbor address: 10.10.10.6
     Neighbor AS:      31898
     Last error:       Socket: No route to host"""
"""BIRD 2.0.12's `show protocols all`, what is read of it."""


def test_birds_sessions() -> None:
    lines, code = [], 0
    for raw in BIRD.splitlines():
        if raw[:4].isdigit():
            code, raw = int(raw[:4]), raw[5:]
        else:
            raw = raw[1:]
        lines.append(Line(code, raw))
    status = [Line(1011, "Router ID is 10.10.10.1"),
              Line(1011, "Current server time is 2026-11-25 17:47:34.626")]  # fmt: skip
    first, second = parse_neighbors(lines, status)
    assert (first.name, first.address, first.asn, first.state) == (
        "cloud4_vti1", "10.10.10.2", 31898, "Established",
    )  # fmt: skip
    assert (first.received, first.sent, first.since_s) == (1, 2, 30.0)
    assert (second.state, second.received, second.last_error) == (
        "Active", None, "Socket: No route to host",
    )  # fmt: skip
    assert parse_neighbors(lines)[0].since_s is None
