"""Links as values: what is refused, what is derived, and netem's options byte for byte."""

import struct

import pytest

from bongsu.lab.link.netem import options
from bongsu.lab.link.spec import LinkError, LinkSpec, mac, parse_direction
from bongsu.model.lab import Impairment


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "no name for a link"),
        ({"name": "with blank"}, "no name for a link"),
        ({"name": "x" * 64}, "no name for a link"),
        ({"a_if": "sixteen-letters-"}, "no name for an interface"),
        ({"b_if": "no/slash"}, "no name for an interface"),
        ({"mtu": 67}, "MTU 67"),
        ({"mtu": 9001}, "MTU 9001"),
        ({"b_ns": "a", "b_if": "eth0"}, "both ends are eth0 in a"),
        ({"plain": True, "impairment": Impairment(loss=0.1)}, "plain and has an impairment"),
    ],
)
def test_refused(changes: dict[str, object], said: str) -> None:
    good: dict[str, object] = {
        "name": "wan",
        "a_ns": "a",
        "a_if": "eth0",
        "b_ns": "b",
        "b_if": "eth0",
    }
    LinkSpec(**good)  # type: ignore[arg-type]
    with pytest.raises(LinkError, match=said):
        LinkSpec(**{**good, **changes})  # type: ignore[arg-type]


def test_macs_are_stable_local_and_unicast() -> None:
    macs = {mac(link, end) for link in ("wan", "wan2", "wana") for end in "ab"}
    assert len(macs) == 6
    assert all(each.startswith("02:") and len(each) == 17 for each in macs)
    assert mac("wan", "a") == "02:cf:40:70:b5:2f"


def test_every_link_has_its_own_seed() -> None:
    seeds = {LinkSpec(f"l{n}", "a", "eth0", "b", "eth0").seed for n in range(100)}
    assert len(seeds) == 100
    assert all(0 <= seed < 10**19 for seed in seeds)


def test_what_the_emulator_counts_is_read() -> None:
    stats = parse_direction("silent=1 in_flight=2 rx=3 late_max_ns=4")
    assert (stats.silent, stats.in_flight, stats.rx, stats.late_max_ns) == (True, 2, 3, 4)
    with pytest.raises(LinkError, match="dropped"):
        parse_direction("dropped=1")


def test_netem_options() -> None:
    impairment = Impairment(delay_ms=12.5, jitter_ms=0.5, loss=0.25, rate_mbps=100)
    # 113 ms at 100 Mbit/s are 22,070 frames of 64 bytes
    assert options(impairment) == (
        struct.pack("=6I", 0, 22070, 0x40000000, 0, 0, 0)
        + struct.pack("=HHq", 12, 10, 12_500_000)
        + struct.pack("=HHq", 12, 11, 500_000)
        + struct.pack("=HHIiIi", 20, 6, 12_500_000, 0, 0, 0)
        + struct.pack("=HHQ", 12, 8, 12_500_000)
    )


def test_netem_without_a_rate_is_given_one_that_does_not_bind() -> None:
    found = options(Impairment())
    assert struct.pack("=HHIiIi", 20, 6, 0xFFFFFFFF, 0, 0, 0) in found
    assert found.endswith(struct.pack("=HHQ", 12, 8, 125_000_000_000))
    assert struct.unpack_from("=6I", found) == (0, 100000, 0, 0, 0, 0)
