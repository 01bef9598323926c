"""What VPN connections compile to: sizes on the wire, marks, ranks, and a stand-in that is a mirror."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers import ipsec
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from bongsu.intent import load_text
from bongsu.model.network import Network
from bongsu.model.proposal import AEAD, ENCRYPTION, INTEGRITY, suite
from bongsu.model.vpn import Binding
from bongsu.plan.compile import compile_network
from bongsu.plan.connect import FIRST_MARK, inside_mtu, stand_in_plan
from bongsu.plan.node import NodePlan

CIPHERS = {
    # IV and block, bytes: RFC 3602, 3686, 2451, 2410, 4106, 7634
    **dict.fromkeys(("aes128", "aes192", "aes256"), (16, 16)),
    **dict.fromkeys(("aes128ctr", "aes256ctr"), (8, 1)),
    **dict.fromkeys(("3des", "des"), (8, 8)),
    "null": (0, 1),
    **dict.fromkeys(AEAD, (8, 1)),
}
HASHES = {"md5": hashlib.md5, "sha1": hashlib.sha1, "sha256": hashlib.sha256,
          "sha384": hashlib.sha384, "sha512": hashlib.sha512}  # fmt: skip
PROPOSALS = [f"{cipher}-{digest}" for cipher in ENCRYPTION for digest in INTEGRITY] + list(AEAD)


class Mac(ipsec.AuthAlgo):
    """A check value by the standard library, for scapy to put where it belongs."""

    def new_mac(self, key: bytes) -> Any:
        made = hmac.new(key, digestmod=self.digestmod)

        class Running:
            update = staticmethod(made.update)
            finalize = staticmethod(made.digest)

        return Running


@pytest.fixture(scope="module")
def algorithms() -> Iterator[None]:
    """scapy's ESP with the real sizes and no cipher: what is counted is bytes on the wire."""
    ciphers, macs = dict(ipsec.CRYPT_ALGOS), dict(ipsec.AUTH_ALGOS)
    for name, (initial, block) in CIPHERS.items():
        ipsec.CRYPT_ALGOS[name] = ipsec.CryptAlgo(
            name, cipher=None, mode=None, block_size=block, iv_size=initial
        )
    for text in PROPOSALS:
        chosen = suite(text)
        digest = HASHES[chosen.integrity or "sha256"]
        ipsec.AUTH_ALGOS[text] = Mac(text, True, digest, chosen.check_bytes)
    yield
    for table, before in ((ipsec.CRYPT_ALGOS, ciphers), (ipsec.AUTH_ALGOS, macs)):
        table.clear()
        table.update(before)


def on_the_wire(text: str, inner: int, family: int, *, udp: bool) -> int:
    """Bytes of the outer packet that scapy builds around an inner one."""
    outer = (
        IP(src="192.0.2.1", dst="192.0.2.2") if family == 4 else IPv6(src="fd00::1", dst="fd00::2")
    )
    association = ipsec.SecurityAssociation(
        ipsec.ESP,
        spi=1,
        crypt_algo=suite(text).encryption,
        crypt_key=b"k" * 32,
        auth_algo=text,
        auth_key=b"k" * 32,
        tunnel_header=outer,
        nat_t_header=UDP(sport=4500, dport=4500) if udp else None,
    )
    packet = IP(src="10.0.0.1", dst="10.0.0.2", proto=253) / Raw(b"x" * (inner - 20))
    return len(bytes(association.encrypt(packet)))


OUTER = {4: ip_address("192.0.2.1"), 6: ip_address("2001:db8::1")}


@pytest.mark.usefixtures("algorithms")
@pytest.mark.parametrize("udp", [False, True], ids=["esp", "udp"])
@pytest.mark.parametrize("family", [4, 6])
def test_the_mtu_is_the_largest_that_fits(family: int, udp: bool) -> None:
    """Against an independent builder: one byte more, and the outer packet is too large."""
    for number, text in enumerate(PROPOSALS):
        for link in (1280 + number, 1500):
            mtu = inside_mtu(link, OUTER[family], [text], udp=udp)
            assert on_the_wire(text, mtu, family, udp=udp) <= link, text
            assert on_the_wire(text, mtu + 1, family, udp=udp) > link, text


@pytest.mark.parametrize(
    ("text", "udp", "mtu"),
    [
        # 1500 less IPv4 20, UDP 8, SPI and sequence 8, IV 8, check value 16: 1440; trailer 2.
        ("aes256gcm16", True, 1438),
        ("aes256gcm16", False, 1446),
        # 1500 - 20 - 8 - 16 - 12 = 1444, down to the block 1440, less 2
        ("aes256-sha1", False, 1438),
        ("aes256-sha256", True, 1422),
        ("aes256-sha512", True, 1406),
    ],
)
def test_sums_that_can_be_done_by_hand(text: str, udp: bool, mtu: int) -> None:
    """RFC 4303 section 2: header 8, IV, payload padded with its trailer of 2 to a block, check value."""
    assert inside_mtu(1500, OUTER[4], [text], udp=udp) == mtu


def test_of_several_proposals_the_least_counts() -> None:
    each = [inside_mtu(1500, OUTER[4], [text], udp=True) for text in PROPOSALS]
    assert inside_mtu(1500, OUTER[4], PROPOSALS, udp=True) == min(each)


# --- Networks with any VPN, for properties ---------------------------------------------------------

sides = st.sampled_from(["site", "branch"])


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Two sites, one cloud, up to four connections between them."""
    nodes: dict[str, Any] = {}
    for number, name in enumerate(("site", "branch")):
        nat = draw(st.booleans())
        uplink = {
            "role": "uplink",
            "addresses": [f"10.{number}.0.2/24" if nat else f"203.0.113.{number + 1}/24",
                          f"2001:db8:{number + 1}::2/64"],
            "mtu": draw(st.sampled_from([1400, 1500, 9000])),
        }  # fmt: skip
        if nat:
            uplink["public"] = f"198.51.100.{number + 1}"
        nodes[name] = {
            "role": "router",
            "interfaces": {
                "ens3": uplink,
                "lan": {"role": "lan", "addresses": [f"10.{10 + number}.0.1/24"]},
            },
            "bgp": {"asn": 65001 + number},
        }
    vpns = {}
    for index in range(draw(st.integers(1, 4))):
        binding = draw(st.sampled_from(["vti", "xfrm", "policy"]))
        routed = (
            {}
            if binding == "policy"
            else draw(st.sampled_from([{}, {"static": True}, {"bgp": {}}]))
        )
        six = draw(st.booleans())
        vpns[f"v{index}"] = {
            "site": draw(sides),
            "cloud": "seoul",
            "binding": binding,
            **routed,
            "balance": draw(st.sampled_from(["active-standby", "ecmp"])),
            "ike": {"version": draw(st.sampled_from([1, 2]))},
            "dpd": draw(st.sampled_from([False, {}, {"delay_s": 5, "timeout_s": 15}])),
            "tunnels": {
                f"t{index}x{n}": {
                    "headend": f"2001:db8:f::{index}{n}" if six else f"192.0.2.{10 * index + 2 * n + 1}",
                    "inside": f"10.99.{index}.{4 * n + 1}/30",
                    "psk": f"env:KEY_{index}_{n}",
                    **({"mark": FIRST_MARK + 3 * index + n} if draw(st.booleans()) else {}),
                    **({"id": f"site{n}.example"} if draw(st.booleans()) else {}),
                }
                for n in range(draw(st.integers(1, 3)))
            },
        }  # fmt: skip
    root = {
        "version": 1,
        "name": "any",
        "nodes": nodes,
        "clouds": {
            "seoul": {
                "profile": draw(st.sampled_from(["oci", "aws", "generic"])),
                "asn": 64999,
                "networks": draw(
                    st.sampled_from([["172.16.0.0/16"], ["172.16.0.0/24", "fd00:9::/64"]])
                ),
            }
        },
        "vpns": vpns,
    }
    return load_text(json.dumps(root), "any").network


@settings(max_examples=60, deadline=None)
@given(networks())
def test_the_stand_in_is_a_mirror_of_the_sites(network: Network) -> None:
    plans = compile_network(network)
    cloud = stand_in_plan(network, "seoul")
    own = [(plan, tunnel) for plan in plans.values() for tunnel in plan.vpns]
    assert len(cloud.vpns) == len(own)
    for plan, tunnel in own:
        (far,) = [t for t in cloud.vpns if (t.vpn, t.local) == (tunnel.vpn, tunnel.remote)]
        assert far.remote == tunnel.public  # what the Internet shows of us
        assert not far.nat
        assert (far.local_id, far.remote_id) == (tunnel.remote_id, tunnel.local_id)
        assert far.local_selectors == tunnel.remote_selectors
        assert far.remote_selectors == tunnel.local_selectors
        assert (far.local_networks, far.remote_networks) == (
            tunnel.remote_networks, tunnel.local_networks,
        )  # fmt: skip
        assert (far.psk, far.mtu, far.rank) == (tunnel.psk, tunnel.mtu, tunnel.rank)
        assert (far.ike_version, far.ike_proposals) == (tunnel.ike_version, tunnel.ike_proposals)
        assert (far.esp_proposals, far.encapsulation) == (
            tunnel.esp_proposals,
            tunnel.encapsulation,
        )
        assert (far.inside.ip, far.peer_inside) == (tunnel.peer_inside, tunnel.inside.ip)  # type: ignore[union-attr]
        assert far.start == "respond"
        assert (far.binding is Binding.POLICY) == (tunnel.binding is Binding.POLICY)
        sessions = [peer for peer in plan.cloud_peers if peer.tunnel == tunnel.name]
        answers = [peer for peer in cloud.cloud_peers if peer.tunnel == far.name]
        assert len(sessions) == len(answers) <= 1
        for ours, theirs in zip(sessions, answers, strict=True):
            assert (ours.address, ours.local) == (theirs.local, theirs.address)
            assert (ours.asn, theirs.asn) == (cloud.asn, plan.asn)
            assert theirs.accept == ours.announce
            assert ours.accept == theirs.announce
            assert ours.password == theirs.password
            assert (ours.keepalive_s, ours.hold_s) == (theirs.keepalive_s, theirs.hold_s)
        ways = {r.prefix for r in plan.vpn_routes if r.hop.tunnel == tunnel.name}
        back = {r.prefix for r in cloud.vpn_routes if r.hop.tunnel == far.name}
        if ways:
            assert (ways, back) == (set(tunnel.remote_networks), set(far.remote_networks))


@settings(max_examples=60, deadline=None)
@given(networks())
def test_marks_are_unique_and_those_of_the_file_are_kept(network: Network) -> None:
    for plan in (*compile_network(network).values(), stand_in_plan(network, "seoul")):
        marks = [tunnel.mark for tunnel in plan.vpns]
        assert len(set(marks)) == len(marks)
    for name, plan in compile_network(network).items():
        for tunnel in plan.vpns:
            stated = network.vpns[tunnel.vpn].tunnels[tunnel.name].mark
            assert network.vpns[tunnel.vpn].site == name
            assert tunnel.mark == (stated or tunnel.mark)
            assert stated is not None or tunnel.mark >= FIRST_MARK


@settings(max_examples=60, deadline=None)
@given(networks())
def test_ranks_preferences_and_distances_say_the_same(network: Network) -> None:
    """Active is the first of the file, and so for what goes out, for what comes in, and for routes."""
    for plan in compile_network(network).values():
        ranks = {tunnel.name: tunnel.rank for tunnel in plan.vpns}
        for name, vpn in network.vpns.items():
            own = [tunnel.rank for tunnel in plan.vpns if tunnel.vpn == name]
            assert own == ([0] * len(own) if vpn.balance == "ecmp" else list(range(len(own))))
        for peer in plan.cloud_peers:
            assert peer.prepend == ranks[peer.tunnel]
            assert peer.preference == 200 - 10 * ranks[peer.tunnel]
        for route in plan.vpn_routes:
            assert route.hop.tunnel is not None
            assert route.distance == 1 + ranks[route.hop.tunnel]


@settings(max_examples=30, deadline=None)
@given(networks())
def test_a_plan_is_its_canonical_json(network: Network) -> None:
    for plan in (*compile_network(network).values(), stand_in_plan(network, "seoul")):
        assert NodePlan.model_validate_json(plan.canonical_json()) == plan
        names = [tunnel.name for tunnel in plan.vpns] + [item.name for item in plan.interfaces]
        assert len(set(names)) == len(names)
        assert all(len(name) <= 15 for name in names)


@settings(max_examples=60, deadline=None)
@given(networks())
def test_no_tunnel_promises_more_than_its_way_carries(network: Network) -> None:
    for plan in compile_network(network).values():
        for tunnel in plan.vpns:
            link = min(plan.interface(tunnel.underlay).mtu, 1500)
            assert tunnel.mtu == inside_mtu(link, tunnel.local, tunnel.esp_proposals, udp=True)
            assert tunnel.local.version == tunnel.remote.version
            assert tunnel.nat == (tunnel.local != tunnel.public)
            assert tunnel.encapsulation == tunnel.nat
