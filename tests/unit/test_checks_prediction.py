"""The fate of keepalives inside IPsec and on multipoint GRE: document C's table, row by row."""

from ipaddress import ip_address, ip_interface
from typing import Any

import pytest

from bongsu.model.ipsec import Ipsec, Protection
from bongsu.model.node import Platform
from bongsu.model.tunnel import Keepalive
from bongsu.plan.prediction import Outcome, Secrecy, Speech, predict_keepalive
from bongsu.plan.reflection import Obstacle
from bongsu.plan.tunnel import TunnelPlan

MAP, TUNNEL = Protection.MAP, Protection.TUNNEL
PSK = Ipsec(psk="env:PSK")
A, B = ip_address("192.168.1.1"), ip_address("192.168.1.2")


def end(own: str, **changes: Any) -> TunnelPlan:
    """The tunnel's end at `a` or at `b`; b sends keepalives."""
    local, remote = (A, B) if own == "a" else (B, A)
    values: dict[str, Any] = {
        "name": "tunnel0",
        "peer": "b" if own == "a" else "a",
        "underlay": "eth0",
        "local": local,
        "remote": remote,
        "key": None,
        "ttl": 255,
        "tos": "inherit",
        "mtu": 1400,
        "overhead": 24,
        "addresses": [ip_interface("10.10.10.1/30" if own == "a" else "10.10.10.2/30")],
        "peer_addresses": [ip_address("10.10.10.2" if own == "a" else "10.10.10.1")],
        "inner_sources": [],
        "inner_destinations": [],
        "keepalive": None if own == "a" else Keepalive(seconds=5, retries=4),
        "peer_keepalive": Keepalive(seconds=5, retries=4) if own == "a" else None,
        "bfd": None,
        "bgp": False,
        "egress": False,
        "preference": 100,
        "insecure": False,
    }
    return TunnelPlan.model_validate(values | changes)


def both(far: Protection, own: Protection, ipsec: Ipsec = PSK) -> tuple[TunnelPlan, TunnelPlan]:
    """The sender's end and the far end, as A and B of the document are protected."""
    return (
        end("b", ipsec=ipsec, protection=own, peer_protection=far),
        end("a", ipsec=ipsec, protection=far, peer_protection=own),
    )


@pytest.mark.parametrize(
    ("far", "own", "outcome"),
    [
        (TUNNEL, MAP, Outcome.DOWN),  # scenario 1
        (MAP, TUNNEL, Outcome.WORKS),  # scenario 2
        (TUNNEL, TUNNEL, Outcome.DOWN),  # scenario 3
        (MAP, MAP, Outcome.WORKS),
    ],
)
def test_the_four_combinations(far: Protection, own: Protection, outcome: Outcome) -> None:
    prediction = predict_keepalive(*both(far, own), Platform.IOS)
    assert prediction.outcome is outcome
    assert prediction.works is (outcome is Outcome.WORKS)
    assert prediction.reasons == ((Secrecy.CLEAR,) if outcome is Outcome.DOWN else ())


@pytest.mark.parametrize("far", [MAP, TUNNEL])
@pytest.mark.parametrize("own", [MAP, TUNNEL])
def test_of_transport_mode_nothing_is_claimed(far: Protection, own: Protection) -> None:
    ipsec = Ipsec(psk="env:PSK", mode="transport")
    prediction = predict_keepalive(*both(far, own, ipsec))
    assert (prediction.outcome, prediction.works) == (Outcome.UNKNOWN, False)
    assert prediction.reasons == (Secrecy.UNTRIED,)


def test_without_ipsec_how_an_end_would_encrypt_is_nothing() -> None:
    assert predict_keepalive(end("b"), end("a", protection=TUNNEL)).works


def test_the_far_end_s_own_obstacles_come_first_and_are_all_told() -> None:
    sender, far = both(TUNNEL, TUNNEL)
    far = far.model_copy(update={"rpf": "loose", "vrf": "red"})
    prediction = predict_keepalive(sender, far, Platform.IOS)
    assert prediction.outcome is Outcome.DOWN
    assert prediction.reasons == (Obstacle.VRF, Obstacle.RPF, Secrecy.CLEAR)


def test_a_known_obstacle_outweighs_an_unknown_one() -> None:
    sender, far = both(MAP, MAP, Ipsec(psk="env:PSK", mode="transport"))
    prediction = predict_keepalive(sender, far.model_copy(update={"rpf": "strict"}))
    assert prediction.outcome is Outcome.DOWN


def test_only_the_far_end_s_settings_matter() -> None:
    assert predict_keepalive(end("b", rpf="strict", vrf="red", inbound=[]), end("a")).works


def test_on_multipoint_nothing_is_sent_and_nothing_goes_down() -> None:
    sender, far = end("b", multipoint=True), end("a", multipoint=True, rpf="strict")
    prediction = predict_keepalive(sender, far)
    assert prediction.outcome is Outcome.NO_EFFECT
    assert prediction.reasons == (Obstacle.MULTIPOINT,)


def over_ipv6(own: str, **changes: Any) -> TunnelPlan:
    local, remote = ip_address("fd00::1"), ip_address("fd00::2")
    local, remote = (local, remote) if own == "a" else (remote, local)
    return end(own, local=local, remote=remote, **changes)


@pytest.mark.parametrize(
    ("dialect", "version", "reasons"),
    [
        ("cisco", 4, ()),
        ("mikrotik", 4, ()),
        ("hpe", 4, ()),
        ("huawei", 4, (Speech.FOREIGN,)),
        ("velocloud", 4, (Speech.UNHEARD,)),
        # Huawei's other protocol type is IPv4's alone.
        ("huawei", 6, (Speech.UNHEARD,)),
        ("cisco", 6, (Speech.UNHEARD,)),
    ],
)
def test_what_an_ios_sends_back(dialect: str, version: int, reasons: tuple[Speech, ...]) -> None:
    make = end if version == 4 else over_ipv6
    sender, far = make("b", keepalive={"dialect": dialect}), make("a")
    prediction = predict_keepalive(sender, far, Platform.IOS)
    assert prediction.reasons == reasons
    outcome = {(): Outcome.WORKS, (Speech.FOREIGN,): Outcome.DOWN}.get(reasons, Outcome.UNKNOWN)
    assert prediction.outcome is outcome
    assert predict_keepalive(sender, far).works, "a node of ours answers all of them"
