"""What the daemons wrote becomes a reason that leads somewhere."""

import pytest

from bongsu.protocol.link.attribution import Attribution
from bongsu.protocol.link.diagnosis import STALE_NS, Diagnosis
from tests.unit.ike_logs import CASES


def heard(text: str) -> Diagnosis:
    diagnosis = Diagnosis()
    for number, line in enumerate(text.splitlines()):
        diagnosis.hear(f"2026-11-25T17:25:00+0000 {line}", number)
    return diagnosis


@pytest.mark.parametrize("name", CASES)
def test_recorded(name: str) -> None:
    text, code, words = CASES[name]
    found = heard(text)
    if code is None:
        assert (found.reason, found.unanswered) == (None, int(words))
        return
    assert found.reason is not None
    assert found.reason.code == code
    assert words in found.reason.text


def test_a_tunnel_that_comes_up_says_nothing() -> None:
    found = heard(
        """\
10[IKE] <t1|1> remote host is behind NAT
10[ENC] <t1|1> parsed IKE_AUTH response 1 [ IDr AUTH N(MOBIKE_SUP) N(NO_ADD_ADDR) ]
10[IKE] <t1|1> authentication of '192.0.2.2' with pre-shared key successful
10[IKE] <t1|1> IKE_SA t1[1] established between 192.0.2.1[192.0.2.1]...192.0.2.2[192.0.2.2]
12[CFG] <t1|1> selected proposal: ESP:AES_GCM_16_256/NO_EXT_SEQ
12[IKE] <t1|1> CHILD_SA t1{1} established with SPIs de657cde_i 1cab4d85_o
"""
    )
    assert (found.reason, found.unanswered) == (None, 0)


def test_an_answer_ends_the_count_and_a_standing_tunnel_the_reason() -> None:
    found = heard(CASES["charon calls, nobody there"][0])
    assert found.hear("14[ENC] <t1|1> parsed INFORMATIONAL response 2 [ ]", 9)
    assert found.unanswered == 0
    found = heard(CASES["charon calls, IKEv1, keys differ"][0])
    found.stands()
    assert found.reason is None


def test_a_less_sure_reason_waits_until_the_surer_one_is_stale() -> None:
    found = heard(CASES["charon answers, IKEv2, keys differ"][0])
    vague = "11[IKE] <t1|2> giving up after 4 retransmits"
    found.hear(vague, 10)
    assert found.reason is not None
    assert found.reason.code == "psk"
    found.hear(vague, 10 + 2 * STALE_NS)
    assert found.reason.code == "no-answer"


def test_our_own_packets_are_not_the_far_end() -> None:
    found = Diagnosis()
    assert not found.hear(
        "09[ENC] <t1|1> generating INFORMATIONAL_V1 request 2 [ HASH N(DPD_ACK) ]", 1
    )
    assert found.hear("09[ENC] <t1|1> parsed INFORMATIONAL_V1 request 2 [ HASH N(DPD) ]", 2)
    assert not found.hear("09[NET] <t1|1> sending packet: from 192.0.2.1[500]", 3)


def test_whose_line_it_is() -> None:
    tunnels = Attribution({"vti1": "198.51.100.2", "vti2": "198.51.100.6"})
    assert tunnels.of("12[IKE] <vti1|3> received AUTHENTICATION_FAILED notify error") == "vti1"
    assert tunnels.of('"vti2_2" #3: sent Quick Mode request') == "vti2"
    assert tunnels.of('"other" #3: sent Quick Mode request') is None
    packet = "13[NET] <7> received packet: from 198.51.100.6[4500] to 192.0.2.1[4500] (40 bytes)"
    assert tunnels.of(packet) == "vti2"
    assert tunnels.of("13[CFG] <7> no matching peer config found") == "vti2"
    assert tunnels.of("13[CFG] <8> no matching peer config found") is None
    assert tunnels.of("packet from 198.51.100.2:500: initial Main Mode message received") == "vti1"
    assert tunnels.of("00[LIB] loaded plugins: charon-systemd random") is None


def test_two_tunnels_to_one_far_end_are_not_guessed() -> None:
    tunnels = Attribution({"a": "198.51.100.2", "b": "198.51.100.2"})
    assert (
        tunnels.of("13[NET] <7> received packet: from 198.51.100.2[500] to 192.0.2.1[500]") is None
    )
