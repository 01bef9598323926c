"""What an endpoint is asked by IKE, what counts as its answer, and when it is taken out."""

import pytest
from scapy.contrib.ikev2 import IKEv2
from scapy.layers.isakmp import ISAKMP

from bongsu.protocol.health.ike import Version, is_answer, request
from bongsu.protocol.health.machine import Health

SPI, NONCE = b"\x01\x02\x03\x04\x05\x06\x07\x08", bytes(range(32))
BOTH: tuple[Version, Version] = (1, 2)


def test_a_second_reader_finds_ikev2_as_it_should_be() -> None:
    packet = IKEv2(request(2, SPI, NONCE, 500))
    assert (packet.init_SPI, packet.resp_SPI, packet.exch_type, packet.version) == (
        SPI, bytes(8), 34, 0x20,
    )  # fmt: skip
    assert packet.length == len(request(2, SPI, NONCE, 500))
    payloads = []
    layer = packet.payload
    while layer:
        payloads.append(layer.name)
        layer = layer.payload
    assert payloads == ["IKEv2 SA", "IKEv2 Key Exchange", "IKEv2 Nonce"]
    proposal = packet["IKEv2 SA"].prop
    assert (proposal.proto, proposal.trans_nb) == (1, 4)


def test_a_second_reader_finds_ikev1_as_it_should_be() -> None:
    packet = ISAKMP(request(1, SPI, NONCE, 500))
    assert (packet.init_cookie, packet.exch_type, packet.version) == (SPI, 2, 0x10)
    assert packet.length == len(request(1, SPI, NONCE, 500))
    assert packet.payload.name == "ISAKMP SA"


@pytest.mark.parametrize("version", BOTH)
def test_behind_4500_the_marker_goes_before(version: Version) -> None:
    plain = request(version, SPI, NONCE, 500)
    assert request(version, SPI, NONCE, 4500) == bytes(4) + plain


def answer(spi: bytes = SPI, version: int = 0x20, cut: int = 0) -> bytes:
    head = spi + bytes(8) + bytes([41, version, 34, 0x20]) + bytes(4) + (36 - cut).to_bytes(4)
    return (head + bytes(8))[: 36 - cut]


@pytest.mark.parametrize(
    ("data", "port", "fine"),
    [
        (answer(), 500, True),
        (answer(version=0x10), 500, True),
        (bytes(4) + answer(), 4500, True),
        (answer(), 4500, False),
        (bytes(4) + answer(), 500, False),
        (answer(spi=SPI[::-1]), 500, False),
        (answer(version=0x30), 500, False),
        (answer() + b"x", 500, False),
        (answer()[:27], 500, False),
        (answer()[:-1], 500, False),
        (b"", 500, False),
        (b"", 4500, False),
    ],
)
def test_what_counts_as_an_answer(data: bytes, port: int, fine: bool) -> None:
    assert is_answer(data, SPI, port) is fine


def test_misses_take_it_out_and_one_answer_brings_it_back() -> None:
    health = Health(3)
    assert [health.look(reason) for reason in ("late", "late", "", "late", "late")] == [False] * 5
    assert health.alive
    assert health.look("refused")
    assert (health.alive, health.missed, health.reason) == (False, 3, "refused")
    assert not health.look("late")
    assert health.look("")
    assert (health.alive, health.missed, health.reason) == (True, 0, "")
    assert (health.asked, health.answered) == (8, 2)
