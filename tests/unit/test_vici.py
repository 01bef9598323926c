"""charon's control protocol: what goes out is what comes in, and rubbish is an error."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bongsu.system.daemons.charon import associations
from bongsu.system.daemons.vici import ViciError, decode, encode
from bongsu.system.ipsec.state import IkeState, best

NAMES = st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=20)
VALUES = st.text(max_size=40)
MESSAGES = st.recursive(
    st.dictionaries(NAMES, VALUES | st.lists(VALUES, max_size=4), max_size=4),
    lambda inner: st.dictionaries(NAMES, VALUES | st.lists(VALUES, max_size=3) | inner, max_size=4),
    max_leaves=12,
)

LIST_SA = {
    "t1": {
        "uniqueid": "1", "version": "2", "state": "ESTABLISHED", "local-host": "192.0.2.1",
        "local-port": "4501", "local-id": "192.0.2.1", "remote-host": "192.0.2.2",
        "remote-port": "4500", "remote-id": "192.0.2.2", "initiator": "yes",
        "initiator-spi": "cfb2d6030b84f517", "responder-spi": "2233a2bfb7a400df",
        "nat-remote": "yes", "nat-any": "yes", "encr-alg": "AES_CBC", "encr-keysize": "256",
        "integ-alg": "HMAC_SHA2_384_192", "prf-alg": "PRF_HMAC_SHA2_384", "dh-group": "MODP_2048",
        "established": "1", "rekey-time": "14221",
        "child-sas": {
            "t1-1": {
                "name": "t1", "uniqueid": "1", "reqid": "1", "state": "INSTALLED", "mode": "TUNNEL",
                "protocol": "ESP", "encap": "yes", "spi-in": "de657cde", "spi-out": "1cab4d85",
                "encr-alg": "AES_GCM_16", "encr-keysize": "256", "bytes-in": "168",
                "packets-in": "2", "use-in": "0", "bytes-out": "168", "packets-out": "2",
                "use-out": "0", "rekey-time": "3531", "life-time": "3959", "install-time": "1",
                "local-ts": ["0.0.0.0/0"], "remote-ts": ["0.0.0.0/0"],
            },
            "t1-2": {"name": "t1", "uniqueid": "2", "state": "DELETING"},
        },
    }
}  # fmt: skip
"""A `list-sa` event of strongSwan 5.9.8, and one association that is about to go."""


@given(MESSAGES)
def test_there_and_back(message: dict[str, object]) -> None:
    assert decode(encode(message)) == message


@given(st.binary(max_size=60))
def test_rubbish_is_an_error_of_its_own_or_a_message(data: bytes) -> None:
    with contextlib.suppress(ViciError):
        decode(data)


def test_the_documents_own_example() -> None:
    """README.md of the vici plugin, section "Encoding example"."""
    message = {
        "key1": "value1",
        "section1": {"sub-section": {"key2": "value2"}, "list1": ["item1", "item2"]},
    }
    assert encode(message) == (
        b"\x03\x04key1\x00\x06value1"
        b"\x01\x08section1"
        b"\x01\x0bsub-section\x03\x04key2\x00\x06value2\x02"
        b"\x04\x05list1\x05\x00\x05item1\x05\x00\x05item2\x06"
        b"\x02"
    )


def test_what_is_cut_off_is_refused() -> None:
    whole = encode(LIST_SA)
    for length in range(1, len(whole)):
        with pytest.raises(ViciError):
            decode(whole[:length])


def test_associations() -> None:
    (found,) = associations([LIST_SA])
    assert (found.tunnel, found.id, found.version, found.state) == (
        "t1", "1", 2, IkeState.ESTABLISHED,
    )  # fmt: skip
    assert found.proposal == "aes256-sha384-modp2048"
    assert (found.local, found.remote) == ("192.0.2.1:4501", "192.0.2.2:4500")
    assert (found.nat, found.age_s, found.rekey_in_s) == (True, 1, 14221)
    (esp,) = found.esp
    assert esp.proposal == "aes256gcm16"
    assert (esp.bytes_in, esp.bytes_out, esp.spi_in, esp.encapsulated) == (
        168,
        168,
        "de657cde",
        True,
    )
    assert best([found]) is found


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"encr-alg": "AES_GCM_16", "encr-keysize": "256", "prf-alg": "PRF_HMAC_SHA2_384",
          "dh-group": "ECP_384"}, "aes256gcm16-prfsha384-ecp384"),
        ({"encr-alg": "3DES_CBC", "integ-alg": "HMAC_SHA1_96", "dh-group": "MODP_1024"},
         "3des-sha1-modp1024"),
        ({"encr-alg": "AES_CBC", "encr-keysize": "128", "integ-alg": "HMAC_SHA2_256_128",
          "dh-group": "CURVE_25519"}, "aes128-sha256-curve25519"),
        ({"encr-alg": "CHACHA20_POLY1305", "encr-keysize": "256"}, "chacha20poly1305"),
    ],
)  # fmt: skip
def test_proposals_in_the_words_of_the_file(given_: dict[str, str], said: str) -> None:
    ike = {k: v for k, v in LIST_SA["t1"].items() if k not in (
        "encr-alg", "encr-keysize", "integ-alg", "prf-alg", "dh-group")}  # fmt: skip
    (found,) = associations([{"t1": {**ike, **given_}}])
    assert found.proposal == said


def test_half_made_is_connecting_and_nonsense_is_an_error() -> None:
    half = {"t1": {**LIST_SA["t1"], "state": "CONNECTING", "child-sas": {}}}
    (found,) = associations([half])
    assert (found.state, found.esp) == (IkeState.CONNECTING, ())
    with pytest.raises(ViciError):
        associations([{"t1": {"state": "ESTABLISHED"}}])
