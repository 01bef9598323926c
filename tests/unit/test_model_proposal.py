"""Proposals: one spelling for each, every mistake named, and what is weak is known."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bongsu.model.proposal import (
    AEAD,
    ENCRYPTION,
    GROUPS,
    INTEGRITY,
    PRF,
    SHORT,
    WEAK,
    Suite,
    esp_proposal,
    ike_proposal,
    suite,
    weakness,
)

groups = st.sampled_from(sorted(GROUPS))
hashes = st.sampled_from(sorted(INTEGRITY))
suites = st.one_of(
    st.builds(Suite, st.sampled_from(sorted(ENCRYPTION)), hashes, st.none() | hashes, groups),
    st.builds(Suite, st.sampled_from(sorted(AEAD)), st.none(), hashes, groups),
)


@given(suites)
def test_what_is_written_is_read(chosen: Suite) -> None:
    text = str(chosen)
    assert suite(text) == chosen
    assert ike_proposal(text) == text
    assert str(suite(text.upper())) == text


@given(suites, st.randoms())
def test_the_order_of_the_words_does_not_matter(chosen: Suite, random: object) -> None:
    words = str(chosen).split("-")
    random.shuffle(words)  # type: ignore[attr-defined]
    assert suite("-".join(words)) == chosen


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("aes-sha-modp1536", "aes128-sha1-modp1536"),
        ("AES256-SHA2_384-MODP1536", "aes256-sha384-modp1536"),
        ("modp2048-sha256-aes128", "aes128-sha256-modp2048"),
        ("aes256gcm-prfsha384-ecp384", "aes256gcm16-prfsha384-ecp384"),
    ],
)
def test_one_spelling(text: str, spelling: str) -> None:
    assert ike_proposal(text) == spelling


def test_document_e() -> None:
    """`ike=aes_cbc256-sha2_384;modp1536`, `phase2alg=aes_gcm256;modp1536`."""
    ike, esp = suite("aes256-sha384-modp1536"), suite("aes256gcm16-modp1536")
    assert (ike.encryption, ike.hash, ike.group, ike.aead) == (
        "aes256",
        "sha384",
        "modp1536",
        False,
    )
    assert (esp.encryption, esp.integrity, esp.group, esp.aead) == (
        "aes256gcm16", None, "modp1536", True,
    )  # fmt: skip
    assert (ike.key_bits, esp.key_bits) == (256, 256)
    assert (GROUPS["modp1536"], GROUPS["ecp384"], GROUPS["curve25519"]) == (5, 20, 31)


WRONG = [
    # text, of IKE's, of ESP's: a part of the message, or None where it is right
    ("aes256-sha256", "needs a Diffie-Hellman group", None),
    ("aes256gcm16", "needs a Diffie-Hellman group", None),
    ("aes256gcm16-ecp256", "needs a PRF", None),
    ("aes256gcm16-prfsha256-ecp256", None, "ESP has no PRF"),
    ("aes256gcm16-sha256-ecp256", "authenticates itself", "authenticates itself"),
    ("aes256-modp2048", "needs a hash beside it", "needs a hash beside it"),
    ("sha256-modp2048", "no cipher", "no cipher"),
    ("aes256-aes128-sha256-ecp256", "two ciphers", "two ciphers"),
    ("aes256-aes256-sha256-ecp256", "two ciphers", "two ciphers"),
    ("aes256-sha256-sha1-ecp256", "two hashes", "two hashes"),
    ("aes256-sha256-prfsha1-prfmd5-ecp256", "two PRFs", "two PRFs"),
    ("aes256-sha256-ecp256-ecp384", "two groups", "two groups"),
    ("aes257-sha256-ecp256", "`aes257`", "`aes257`"),
    ("aes256-sha384-DH20", "group is called ecp384", "group is called ecp384"),
    ("aes256-sha384-group14", "group is called modp2048", "group is called modp2048"),
    ("aes256;modp1536", "`aes256;modp1536`", "`aes256;modp1536`"),
    ("aes256--ecp256", "is missing", "is missing"),
    ("", "is missing", "is missing"),
]


@pytest.mark.parametrize(("text", "ike", "esp"), WRONG)
def test_every_mistake_is_named(text: str, ike: str | None, esp: str | None) -> None:
    for read, part in ((ike_proposal, ike), (esp_proposal, esp)):
        if part is None:
            assert read(text) == text
        else:
            with pytest.raises(ValueError) as caught:
                read(text)
            assert part in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert suite(str(suite(text))) == suite(text)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        # RFC 4106 section 6, RFC 7634 section 2, RFC 2403, 2404, 4868 section 2.3
        ("aes128gcm8", 8), ("aes256gcm12", 12), ("aes256gcm16", 16), ("aes192gcm16", 16),
        ("chacha20poly1305", 16), ("aes256-md5", 12), ("aes256-sha1", 12), ("aes256-sha256", 16),
        ("aes256-sha384", 24), ("aes256-sha512", 32), ("null-sha256", 16),
    ],
)  # fmt: skip
def test_check_values_have_their_lengths(text: str, length: int) -> None:
    assert suite(text).check_bytes == length


def test_what_is_weak_is_something_that_can_be_proposed() -> None:
    known = {*ENCRYPTION, *AEAD, *INTEGRITY, *GROUPS, "ikev1"}
    assert set(WEAK) <= known
    assert set(SHORT.values()) <= known
    assert set(PRF.values()) == set(INTEGRITY)
    assert weakness("SHA") == "sha1"
    assert weakness("IKEv1") == "ikev1"
    with pytest.raises(ValueError, match="not among what is weak"):
        weakness("aes256")


@given(suites)
def test_the_parts_are_all_that_is_said(chosen: Suite) -> None:
    assert len(chosen.parts) == str(chosen).count("-") + 1
    assert all(part in str(chosen) for part in chosen.parts)
