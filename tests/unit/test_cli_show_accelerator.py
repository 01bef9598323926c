"""`bongsu show accelerator` and `show paths`: tables that fit 80 columns and lose nothing."""

from typing import Any

import pytest

from bongsu.cli.show import accelerator_table, paths_table

PATH: dict[str, Any] = {
    "from": "pop-seoul", "to": "pop-shanghai", "way": "through pop-tokyo", "way_state": "alive",
    "way_rtt_ms": 60.2, "way_loss": 0.0, "since_s": 130.0,
    "last_change": {"time": "x", "why": "direct lost 48 % of the last 30 s",
                    "cause": "through pop-tokyo, direct lost 48 % of the last 30 s"},
}  # fmt: skip
ENDPOINT: dict[str, Any] = {
    "name": "tunnel-1", "target": "198.51.100.11", "address": "198.51.100.11", "state": "up",
    "used": True, "since_s": 61.0, "reason": "", "weight": 100,
}  # fmt: skip
LISTENER: dict[str, Any] = {"name": "ipsec", "endpoints": [ENDPOINT], "desperate": False}
GA: dict[str, Any] = {
    "name": "ga-1", "roles": ["egress"], "bandwidth_bps": 50_000_000, "sessions": 2, "proved": 2,
    "regions": [{"name": "shanghai", "node": "pop-shanghai", "address": "203.0.113.21",
                 "public": "203.0.113.21"}],
    "egress": "pop-seoul", "off_public": "203.0.113.151", "paths": [PATH], "listeners": [LISTENER],
    "up": {"packets": 1234, "bytes": 5_600_000, "drops": {"bad_tag": 3, "rate": 20}},
    "down": {"packets": 1200, "bytes": 4_000, "drops": {}},
}  # fmt: skip
SESSION: dict[str, Any] = {
    "accelerator": "ga-1", "listener": "ipsec", "role": "egress", "kind": "IKE+ESP",
    "client": "192.0.2.10", "client_port": 61234, "off_port": 61234, "endpoint": "198.51.100.11",
    "port": 4500, "age_s": 12.0, "idle_s": 1.0, "proved": True, "amplified": 0,
    "up": {"packets": 61, "bytes": 6590}, "down": {"packets": 61, "bytes": 6590},
    "spis": [{"spi": "41f19abe", "direction": "up", "packets": 61, "bytes": 6590, "sequence": 61,
              "idle_s": 1.0}],
}  # fmt: skip
ANSWER = {"accelerators": [GA], "stray": {"drops": {"unknown_peer": 7}, "transit": 0}}
FAR = "2001:db8:1234:5678:9abc:def0:1234:5678"


def test_what_carries_without_bpf_is_told() -> None:
    straight = PATH | {"way": "direct", "since_s": None, "last_change": None}
    answer = ANSWER | {"backend": "kernel", "accelerators": [GA | {"paths": [straight]}]}
    text = accelerator_table.view(answer, 80).plain
    assert "backend: kernel (NAT, for want of BPF): straight ways, no repair" in words(text)
    assert "path to pop-shanghai: direct, RTT 60.2 ms" in words(text)
    assert max(map(len, text.splitlines())) <= 80
    assert "backend" not in accelerator_table.view(ANSWER | {"backend": "bpf"}, 80).plain


def words(text: str) -> str:
    return " ".join(text.split())


def test_an_accelerator_that_carries() -> None:
    text = accelerator_table.view(ANSWER, 80).plain
    head, row, *_ = text.splitlines()
    assert head.split() == [
        "Accelerator", "Here", "Via", "Endpoints", "Sessions", "Up", "Down", "Dropped", "State",
    ]  # fmt: skip
    assert row.split() == [
        "ga-1", "egress", "pop-tokyo", "1/1", "2", "5.6", "MB", "4", "kB", "23", "up",
    ]  # fmt: skip
    for part in (
        "203.0.113.21 at pop-shanghai -> 203.0.113.151 at pop-seoul, 50 Mb/s",
        "path to pop-shanghai: through pop-tokyo for 2 min, RTT 60.2 ms, loss 0.0 %,"
        " because direct lost 48 % of the last 30 s",
        "endpoint tunnel-1 of ipsec: 198.51.100.11 up for 1 min",
        "up: 1234 packets, 5.6 MB; dropped: 20 rate, 3 bad tag",
        "down: 1200 packets, 4 kB",
        "dropped, of no accelerator: 7 unknown peer",
    ):
        assert part in words(text)
    assert max(map(len, text.splitlines())) <= 80


def test_what_is_wrong_is_seen() -> None:
    dead = ENDPOINT | {"name": "b", "state": "down", "used": False, "reason": "no answer"}
    one = GA | {"listeners": [LISTENER | {"endpoints": [ENDPOINT, dead]}]}
    assert accelerator_table.state(GA) == "up"
    assert accelerator_table.state(one) == "degraded"
    all_dead = [dead | {"used": True}]
    lost = GA | {"listeners": [LISTENER | {"endpoints": all_dead, "desperate": True}]}
    assert accelerator_table.state(lost) == "down"
    cut = GA | {"paths": [PATH | {"way_state": "dead", "way_rtt_ms": None}]}
    assert accelerator_table.state(cut) == "down"
    assert not accelerator_table.all_carry(ANSWER | {"accelerators": [GA, cut]})
    assert accelerator_table.all_carry(ANSWER | {"accelerators": [one]})
    text = words(accelerator_table.view(ANSWER | {"accelerators": [lost, cut]}, 80).plain)
    assert "endpoint b of ipsec: 198.51.100.11 down for 1 min: no answer, used all the same" in text
    assert "no endpoint of ipsec answers: all are used all the same" in text
    assert "path to pop-shanghai: dead; the last way was through pop-tokyo endpoint" in text
    # an entry has no endpoints of its own
    assert accelerator_table.state(GA | {"listeners": [LISTENER | {"endpoints": []}]}) == "up"


def test_sessions() -> None:
    unproved = SESSION | {"proved": False, "amplified": 4, "kind": "UDP", "spis": []}
    entry = SESSION | {"role": "entry", "off_port": None, "endpoint": None, "spis": []}
    answer = ANSWER | {"sessions": [SESSION, unproved, entry]}
    lines = accelerator_table.view(answer, 80).plain.splitlines()
    start = lines.index("ga-1, sessions out of here: 2")
    assert lines[start + 1].split() == [
        "Kind", "Client", "Off", "port", "Endpoint", "Age", "Idle", "Up", "Down",
    ]  # fmt: skip
    assert lines[start + 2].split()[:3] == ["IKE+ESP", "192.0.2.10:61234", "61234"]
    text = words("\n".join(lines))
    assert "SPI 41f19abe up: 61 packets, 6.59 kB, sequence 61, idle 1 s" in text
    assert "the client cannot prove where it is; 4 packets not sent to it" in text
    assert "ga-1, clients in by here: 1" in lines
    assert accelerator_table.session_table([], 80).plain == "  no session"


@pytest.mark.parametrize(
    ("kind", "amplified", "said"),
    [
        ("IKE", 0, ("the client has not proved yet where it is",)),
        ("TCP", 1, ("the client has not proved yet where it is; 1 packet not sent to it",)),
        ("UDP", 0, ()),
        ("UDP", 2, ("the client cannot prove where it is; 2 packets not sent to it",)),
    ],
)
def test_what_is_said_of_a_client_that_has_proved_nothing(
    kind: str, amplified: int, said: tuple[str, ...]
) -> None:
    """Of most UDP nothing can: a remark at each session would be noise."""
    each = SESSION | {"proved": False, "amplified": amplified, "kind": kind, "spis": []}
    assert accelerator_table.session_row(each).notes == said


def test_one_packet_is_one() -> None:
    one = GA | {"up": {"packets": 1, "bytes": 140, "drops": {}}}
    assert "up: 1 packet, 140 B" in accelerator_table.row(one).notes


def test_the_worst_of_tables_fits_80_columns_and_loses_nothing() -> None:
    far = SESSION | {"client": FAR, "endpoint": FAR, "age_s": 10**7, "idle_s": 3600.0,
                     "up": {"bytes": 10**14}, "down": {"bytes": 10**14}}  # fmt: skip
    ga = GA | {
        "name": "an-accelerator-of-thirty-letters", "roles": ["entry", "egress"], "sessions": 65536,
        "paths": [PATH, PATH | {"way": "direct", "to": "a-pop-with-a-very-long-name"}],
        "up": {"packets": 10**13, "bytes": 10**14, "drops": {"unknown_listener": 10**9}},
        "down": {"packets": 10**13, "bytes": 10**14, "drops": {}},
        "listeners": [LISTENER | {"endpoints": [ENDPOINT | {"address": FAR}] * 64}],
    }  # fmt: skip
    text = accelerator_table.view(ANSWER | {"accelerators": [ga], "sessions": [far]}, 80).plain
    assert max(map(len, text.splitlines())) <= 80
    assert {"an-accelerator-of-thirty-letters", f"[{FAR}]:61234", f"[{FAR}]:4500"} <= set(
        text.split()
    )
    path = MATRIX | {"from": "pop-with-the-longest-name", "to": "another-pop-of-many-letters",
                     "way": "through a-pop-with-a-very-long-name", "p50_ms": 1999.9,
                     "p99_ms": 1999.9, "jitter_ms": 1999.9, "loss": 1.0, "since_s": 10**7}  # fmt: skip
    text = paths_table.view({"paths": [path], "told": [], "window_s": 30, "history": []}, 80).plain
    assert max(map(len, text.splitlines())) <= 80
    whole = {
        "pop-with-the-longest-name",
        "another-pop-of-many-letters",
        "a-pop-with-a-very-long-name",
    }
    assert whole <= set(text.split())


MATRIX: dict[str, Any] = PATH | {
    "state": "alive", "probes": 150, "loss": 0.48, "p50_ms": 77.12, "p99_ms": 120.5,
    "avg_ms": 80.0, "jitter_ms": 4.26,
}  # fmt: skip


def test_the_matrix() -> None:
    dead = MATRIX | {"to": "b", "state": "dead", "way": "direct", "way_state": "dead",
                     "p50_ms": None, "p99_ms": None, "jitter_ms": None, "last_change": None}  # fmt: skip
    told = {
        "from": "b",
        "to": "c",
        "state": "unknown",
        "loss": 0.0,
        "p50_ms": None,
        "jitter_ms": None,
    }
    answer = {"paths": [MATRIX, dead], "told": [told], "window_s": 30, "history": []}
    lines = paths_table.view(answer, 80).plain.splitlines()
    assert lines[0].split() == [
        "From",
        "To",
        "p50",
        "ms",
        "p99",
        "Jitter",
        "Loss",
        "%",
        "Way",
        "Since",
    ]
    assert lines[1].split() == [
        "pop-seoul", "pop-shanghai", "77.1", "120", "4.3", "48.0", "through", "pop-tokyo", "00:02:10",
    ]  # fmt: skip
    assert lines[2] == "  through pop-tokyo, because direct lost 48 % of the last 30 s"
    assert lines[3].split() == [
        "pop-seoul",
        "b",
        "-",
        "-",
        "-",
        "dead",
        "direct",
        "(dead)",
        "00:02:10",
    ]
    assert lines[4].split() == ["b", "c", "-", "-", "-", "-", "-", "-"]
    assert lines[5] == "of the last 30 s, there and back"
    assert not paths_table.all_live(answer)
    assert paths_table.all_live({"paths": [MATRIX]})


def test_history_newest_first() -> None:
    past = [
        {
            "ago_s": ago,
            "p50_ms": 1.0,
            "p99_ms": None,
            "jitter_ms": 0.1,
            "loss": 0.0,
            "way": "direct",
        }
        for ago in (90.0, 60.0, 30.0)
    ]
    answer = {"paths": [MATRIX], "told": [], "window_s": 30, "history": past}
    lines = paths_table.view(answer, 80).plain.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["00:00:30", "00:01:00", "00:01:30"]


def test_what_repair_did() -> None:
    stream = {
        "direction": "up", "to": "pop-seoul", "answers": True, "mode": "reed-solomon",
        "packets": 2000, "overhead": 0.2, "copies": 0, "judged": 2000, "lost": 100, "repaired": 98,
        "late": 3,
    }  # fmt: skip
    twice = stream | {"mode": "duplicate", "judged": 0, "late": 0}
    silent = stream | {"answers": False}
    ga = GA | {"repair": [stream, twice, silent]}
    text = words(accelerator_table.view(ANSWER | {"accelerators": [ga]}, 80).plain)
    assert (
        "repair up to pop-seoul: reed-solomon, 2000 packets, 20.0 % more;"
        " 5.00 % lost on the way, 0.10 % after repair, 3 late"
    ) in text
    assert "repair up to pop-seoul: duplicate, 2000 packets, twice" in text
    assert "reed-solomon, but its engine does not answer: sent the ordinary way" in text


def test_a_node_without_any() -> None:
    answer = {"accelerators": [], "stray": None, "sessions": None}
    assert accelerator_table.view(answer, 80).plain == "  no accelerator enters or leaves here"
    answer = {"paths": [], "told": [], "window_s": None, "history": []}
    assert paths_table.view(answer, 80).plain == "  no path is measured here"
