"""Pre-shared keys: what can be guessed is told, what cannot is left alone, and no key is ever shown."""

import random
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bongsu.model.vpn import Profile
from bongsu.plan.cloud import PROFILES
from bongsu.plan.psk import ENOUGH_BITS, psk_weakness, strength_bits

OCI, AWS = PROFILES[Profile.OCI], PROFILES[Profile.AWS]
PLAIN = string.ascii_letters + string.digits
DOCUMENT_E = (
    "7jBhG3jmgdB3LH2LUtgt2EvOTpy6AFJ4jfiJsd6OFOfXBizpHs3XpQSfMuM6jHvL",
    "t3cm2yGc3QIwHEF3bDRmzUrVxQUSwgGUWeNQyryow6Jl0rD8cdxWzBVjVAX5yUzi",
)
"""The document's own, published with it."""

GUESSABLE = [
    "",
    "a",
    "password",
    "Password123!",
    "ChangeMe2024Oracle",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "abcdefghijklmnopqrstuvwxyz0123456789",
    "zyxwvutsrqponmlkjihgfedcba9876543210",
    "qwertyuiopasdfghjklzxcvbnm1234567890",
    "deadbeefdeadbeefdeadbeefdeadbeef",
    "correct-horse-battery-staple",
    "summerinthecityofseoul",
    "oracle-vpn-tunnel-key-1",
    "20240131",
    "x7Kq2Lm9",
    "1111111111111111111122222222222222222222",
]


@pytest.mark.parametrize("value", GUESSABLE)
def test_what_can_be_guessed_is_told(value: str) -> None:
    assert psk_weakness(value) is not None
    assert strength_bits(value) < ENOUGH_BITS


@pytest.mark.parametrize("value", DOCUMENT_E)
@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_what_a_cloud_made_is_left_alone(value: str, profile: object) -> None:
    assert psk_weakness(value, profile) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("alphabet", [PLAIN, "0123456789abcdef", PLAIN + "._"])
def test_random_keys_of_32_are_left_alone(alphabet: str) -> None:
    chance = random.Random(1)
    keys = ["".join(chance.choices(alphabet, k=32)) for _ in range(2000)]
    assert [key for key in keys if psk_weakness(key) is not None] == []


def test_random_keys_of_8_are_told() -> None:
    chance = random.Random(2)
    assert all(psk_weakness("".join(chance.choices(PLAIN, k=8))) for _ in range(500))


def test_a_cloud_has_its_own_characters_and_lengths() -> None:
    good = DOCUMENT_E[0]
    assert "Oracle" in (psk_weakness(good[:-1] + "-", OCI) or "")
    assert "Amazon" in (psk_weakness(good + "x", AWS) or "")  # 64 at the most
    assert "Amazon" in (psk_weakness("0" + good[1:], AWS) or "")  # must not begin with a zero
    assert psk_weakness(good[:40] + "._", AWS) is None


@given(st.text(max_size=80))
def test_an_estimate_is_finite_and_grows_no_faster_than_the_key(value: str) -> None:
    bits = strength_bits(value)
    assert 0 <= bits <= len(value) * 6.6 + 1


@given(st.text(PLAIN, min_size=1, max_size=30), st.integers(2, 6))
def test_what_repeats_is_no_stronger_for_it(value: str, times: int) -> None:
    assert strength_bits(value * times) <= strength_bits(value) + 1e-9


@given(st.text(max_size=70), st.sampled_from([None, OCI, AWS]))
def test_a_key_is_never_told(value: str, profile: object) -> None:
    """What is said differs in numbers only, whatever the key."""
    said = {
        psk_weakness("a"),
        psk_weakness("-", OCI),
        psk_weakness("-", AWS),
        psk_weakness("aaaaaaaa", AWS),
    }
    usual = {re.sub("[0-9]+", "N", text or "") for text in said}
    told = psk_weakness(value, profile)  # type: ignore[arg-type]
    assert told is None or re.sub("[0-9]+", "N", told) in usual
