"""What Libreswan 4.10 said, in a VM with ESP and on a kernel without, as associations."""

import pytest

from bongsu.system.daemons.pluto import connections
from bongsu.system.daemons.whack import associations, proposal
from bongsu.system.ipsec.state import IkeState

STATUS = """\
000 using kernel interface: xfrm
000 interface ens3 UDP 10.0.236.153:4500
000 "vti1": 0.0.0.0/0===10.0.236.153[144.24.84.145]...193.122.99.212===0.0.0.0/0; erouted; eroute owner: #3
000 "vti1":     oriented; my_ip=unset; their_ip=unset; my_updown=ipsec _updown;
000 "vti1":   our idtype: ID_IPV4_ADDR; our id=144.24.84.145; their idtype: ID_IPV4_ADDR; their id=193.122.99.212
000 "vti1":   dpd: active; action:restart; delay:10s; timeout:30s
000 "vti1":   nat-traversal: encaps:yes; keepalive:20s; ikev1-method:rfc+drafts
000 "vti1":   newest ISAKMP SA: #1; newest IPsec SA: #3; conn serial: $1;
000 "vti1":   IKE algorithms: AES_CBC_256-HMAC_SHA2_384-MODP1536
000 "vti1":   IKEv1 algorithm newest: AES_CBC_256-HMAC_SHA2_384-MODP1536
000 "vti1":   ESP algorithms: AES_GCM_16_256-NONE-MODP1536
000 "vti1":   ESP algorithm newest: AES_GCM_16_256-NONE; pfsgroup=MODP1536
000 "t1": 0.0.0.0/0===192.0.2.1...192.0.2.2===0.0.0.0/0; unrouted; eroute owner: #0
000 "t1":   our idtype: ID_IPV4_ADDR; our id=192.0.2.1; their idtype: ID_IPV4_ADDR; their id=192.0.2.2
000 "t1":   nat-traversal: encaps:yes; keepalive:20s
000 "t1":   newest IKE SA: #0; newest IPsec SA: #0; conn serial: $1;
000 Total IPsec connections: loaded 2, active 1
000 #1: "vti1":4500 STATE_MAIN_I4 (IKE SA established); REPLACE in 27746s; newest; lastdpd=1s(seq in:6138 out:0); idle;
000 #3: "vti1":4500 STATE_QUICK_I2 (IPsec SA established); REPLACE in 2994s; newest; eroute owner; ISAKMP SA #1; idle;
000 #3: "vti1" esp.cb3e7833@193.122.99.212 esp.c13d0b70@10.0.236.153 tun.0@193.122.99.212 tun.0@10.0.236.153 Traffic: ESPin=1KB ESPout=1KB ESPmax=2^63B
000 #5: "t1":4500 STATE_V2_PARENT_I2 (sent IKE_AUTH request); RETRANSMIT in 1s; idle;
000 #5: pending CHILD SA for "t1"
000 #6: "t1":4500 STATE_V2_IKE_AUTH_CHILD_I0 (ephemeral: initiator creating child from IKE exchange); lastlive=2s; idle;
"""  # noqa: E501
TRAFFIC = """\
006 #3: "vti1", type=ESP, add_time=1795629203, inBytes=1585, outBytes=1714, maxBytes=2^63B, id='193.122.99.212'
"""  # noqa: E501


def test_one_that_stands_and_one_that_tries() -> None:
    up, trying = associations(STATUS, TRAFFIC)
    assert (up.tunnel, up.id, up.version, up.state) == ("vti1", "1", 1, IkeState.ESTABLISHED)
    assert up.proposal == "aes256-sha384-modp1536"
    assert (up.local, up.remote) == ("10.0.236.153:4500", "193.122.99.212:4500")
    assert (up.local_id, up.remote_id) == ("144.24.84.145", "193.122.99.212")
    assert (up.nat, up.initiator, up.rekey_in_s) == (True, True, 27746)
    (esp,) = up.esp
    assert (esp.id, esp.proposal, esp.encapsulated) == ("3", "aes256gcm16-modp1536", True)
    assert (esp.spi_in, esp.spi_out) == ("c13d0b70", "cb3e7833")
    assert (esp.bytes_in, esp.bytes_out, esp.rekey_in_s) == (1585, 1714, 2994)
    assert (trying.tunnel, trying.version, trying.state) == ("t1", 2, IkeState.CONNECTING)
    assert (trying.esp, trying.rekey_in_s) == ((), None)


def test_esp_outlives_the_association_that_made_it() -> None:
    lines = [line for line in STATUS.splitlines() if not line.startswith("000 #1:")]
    up = next(sa for sa in associations("\n".join(lines), TRAFFIC) if sa.tunnel == "vti1")
    assert (up.state, len(up.esp)) == (IkeState.NONE, 1)


def test_nothing_is_no_association() -> None:
    assert associations("000 Total IPsec connections: loaded 0, active 0\n", "") == []


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("AES_CBC_256-HMAC_SHA2_384-MODP1536", "aes256-sha384-modp1536"),
        ("AES_GCM_16_256-NONE", "aes256gcm16"),
        ("AES_CBC_128-HMAC_SHA1-MODP1024", "aes128-sha1-modp1024"),
        ("AES_GCM_16_128-HMAC_SHA2_256-DH19", "aes128gcm16-sha256-dh19"),
    ],
)
def test_proposals(said: str, word: str) -> None:
    assert proposal(said) == word


def test_connections_of_a_file() -> None:
    text = "# Plan 1\n\nconfig setup\n  x=y\n\nconn vti1\n    left=1\n    auto=start\n"
    text += "\nconn vti2\n  left=2\n"
    found = connections(text)
    assert found == {"vti1": "left=1\nauto=start", "vti2": "left=2"}
    assert connections(text.replace("# Plan 1", "# Plan 2").replace("    ", "  ")) == found
