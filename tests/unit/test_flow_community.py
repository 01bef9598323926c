"""Community IDs, by the plain way that the specification describes, and by its own example."""

import base64
import hashlib
import random
from ipaddress import ip_address
from typing import Any

import numpy as np
import pytest

from bongsu.protocol.flow.community import community_ids
from bongsu.protocol.flow.records import FLOW
from bongsu.protocol.flow.sha1 import MOST, digests

ICMP = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10}
ICMPV6 = {128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130}
ICMPV6 |= {139: 140, 140: 139, 144: 145, 145: 144}


def flow(source: str, sport: int, destination: str, dport: int, proto: int) -> Any:
    made = np.zeros(1, FLOW)
    row = made[0]
    one, other = ip_address(source), ip_address(destination)
    row["family"], row["proto"] = one.version, proto
    row["saddr"] = np.void(one.packed.ljust(16, b"\0"))
    row["daddr"] = np.void(other.packed.ljust(16, b"\0"))
    row["sport"], row["dport"] = sport, dport
    return made


def plain(source: str, sport: int, destination: str, dport: int, proto: int, seed: int = 0) -> str:
    one, other = ip_address(source).packed, ip_address(destination).packed
    one_way = False
    if proto in (1, 58):
        kind, code = divmod(dport, 256)
        table = ICMP if proto == 1 else ICMPV6
        one_way = kind not in table
        sport, dport = kind, table.get(kind, code)
    if not one_way and (other, dport) < (one, sport):
        one, other, sport, dport = other, one, dport, sport
    data = seed.to_bytes(2, "big") + one + other + bytes([proto, 0])
    if proto in (1, 6, 17, 58, 132):
        data += sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
    return "1:" + base64.b64encode(hashlib.sha1(data).digest()).decode()


def test_the_example_of_the_specification() -> None:
    made = community_ids(flow("128.232.110.120", 34855, "66.35.250.204", 80, 6))
    assert made.tolist() == [b"1:LQU9qZlK+B5F3KDmev6m5PMibrg="]
    back = community_ids(flow("66.35.250.204", 80, "128.232.110.120", 34855, 6))
    assert back.tolist() == made.tolist()


@pytest.mark.parametrize("seed", [0, 1, 65535])
def test_many_at_once(seed: int) -> None:
    chance = random.Random(seed)
    given = []
    for _ in range(500):
        six = chance.random() < 0.5
        net = "2001:db8::" if six else "192.0.2."
        proto = chance.choice([6, 17, 132, 47, 50, 58 if six else 1])
        ports = [chance.choice([0, 7, 80, 256, 65535]) for _ in range(2)]
        if proto in (1, 58):
            ports = [0, chance.randrange(256) * 256 + chance.randrange(3)]
        given.append(
            (
                f"{net}{chance.randrange(9)}",
                ports[0],
                f"{net}{chance.randrange(9)}",
                ports[1],
                proto,
            )
        )
    made = community_ids(np.concatenate([flow(*each) for each in given]), seed)
    assert [each.decode() for each in made] == [plain(*each, seed) for each in given]


def test_none() -> None:
    assert len(community_ids(np.zeros(0, FLOW))) == 0


@pytest.mark.parametrize("length", [0, 1, 16, 40, MOST])
def test_sha1(length: int) -> None:
    data = np.frombuffer(random.Random(length).randbytes(7 * length), np.uint8).reshape(7, length)
    assert [each.tobytes() for each in digests(data)] == [
        hashlib.sha1(each.tobytes()).digest() for each in data
    ]


def test_sha1_of_more_than_a_block() -> None:
    with pytest.raises(ValueError, match="at most 55"):
        digests(np.zeros((1, 56), np.uint8))
