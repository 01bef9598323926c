"""What clouds let one download: read, put together, loaded, judged; what is wrong has its line."""

from dataclasses import replace
from functools import cache
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from bongsu.checks import Severity, run_checks
from bongsu.intent import IntentError, load_text
from bongsu.intent.imports import Imported, guess, read
from bongsu.intent.imports.accelerated import Way
from bongsu.intent.imports.algorithms import cipher, digest, group
from bongsu.intent.imports.network import Parts, Wishes, network_parts
from bongsu.model.vpn import Profile
from bongsu.plan.compile import compile_network
from bongsu.render import render_node
from tests.golden.networks import plans

DOWNLOADS = Path(__file__).parents[2] / "examples" / "downloads"
MORE = Path(__file__).parent / "imports"
SAMPLES = {
    path.stem: path.read_text()
    for folder in (DOWNLOADS, MORE)
    for path in sorted(folder.glob("*.txt"))
}
KINDS = {
    "aws-generic": "aws-generic",
    "aws-generic-old": "aws-generic",
    "aws-ios": "aws-ios",
    "aws-ios-accelerated": "aws-ios",
    "aws-ios-ikev2": "aws-ios",
    "oci-helper": "oci-helper",
    "oci-template": "oci-helper",
}
WISHES = Wishes(
    cloud_networks=(ip_network("10.80.0.0/16"),),
    site_networks=(ip_network("10.40.0.0/16"),),
    address=ip_interface("10.20.0.5/24"),
    public=ip_address("198.51.100.7"),
    gateway=ip_address("10.20.0.1"),
    inside=(ip_interface("10.30.0.1/30"),),
)


@cache
def sample(name: str) -> Imported:
    return read({f"{name}.txt": SAMPLES[name]})


def parts(name: str, wishes: Wishes = WISHES, **existing: Any) -> Parts:
    return network_parts(sample(name), wishes, existing or None)


def keys_of(name: str) -> set[str]:
    return {tunnel.psk.value for tunnel in sample(name).tunnels if tunnel.psk is not None}


def errors(*arguments: Any) -> list[str]:
    with pytest.raises(IntentError) as caught:
        read(*arguments)
    return [problem.text() for problem in caught.value.problems]


# What is read


@pytest.mark.parametrize("name", SAMPLES)
def test_the_format_is_seen(name: str) -> None:
    assert guess({"x": SAMPLES[name]}) == KINDS[name]


def test_every_sample_is_tried() -> None:
    assert set(SAMPLES) == set(KINDS)


def test_aws_generic() -> None:
    found = sample("aws-generic")
    assert (found.profile, found.name) == (Profile.AWS, "vpn-0a1b2c3d4e5f60718")
    first, second = found.tunnels
    assert str(first.headend) == "203.0.113.11"
    assert str(first.local) == str(second.local) == "198.51.100.20"
    assert (str(first.inside), str(first.peer)) == ("169.254.21.2/30", "169.254.21.1")
    assert (first.ike_version, first.ike) == (2, ["aes256-sha256-modp2048"])
    assert first.esp == ["aes256-sha256-modp2048"]
    assert (first.ike_lifetime_s, first.esp_lifetime_s) == (28800, 3600)
    assert (first.dpd_delay_s, first.dpd_timeout_s) == (10, 30)
    assert (first.asn, first.cloud_asn, first.hold_s) == (65010, 64512, 30)
    assert first.mss == 1379
    assert first.psk is not None
    assert first.psk.value == "Invented.Key_one_4711abcdefghijk"
    assert second.psk is not None
    assert second.psk.value == "Invented.Key_two_4712abcdefghijk"


def test_an_old_aws_file_has_another_word_for_the_group_and_no_address() -> None:
    (only,) = sample("aws-generic-old").tunnels
    assert only.ike == only.esp == ["aes128-sha1-modp1024"]
    assert only.local is None
    assert (only.dpd_delay_s, only.dpd_timeout_s) == (20, 100)
    assert (only.asn, only.cloud_asn) == (None, None)


def test_aws_ios() -> None:
    found = sample("aws-ios")
    first, second = found.tunnels
    assert found.name == "vpn-2b3c4d5e"
    assert [str(t.headend) for t in found.tunnels] == ["203.0.113.31", "203.0.113.32"]
    assert (str(first.inside), str(first.peer)) == ("169.254.41.2/30", "169.254.41.1")
    assert (first.ike_version, first.ike) == (1, ["aes128-sha256-modp2048"])
    assert first.esp == ["aes128-sha256-modp2048"]
    assert (first.asn, first.cloud_asn) == (65020, 64512)
    assert (first.keepalive_s, first.hold_s) == (10, 30)
    assert (first.dpd_delay_s, first.dpd_timeout_s) == (10, 60)
    assert (first.mss, second.mss) == (1379, 1379)
    assert first.psk is not None
    assert second.psk is not None
    assert (first.psk.value, second.psk.value) == ("InventedIosKey1abcdef", "InventedIosKey2abcdef")


def test_aws_ios_by_ikev2() -> None:
    (only,) = sample("aws-ios-ikev2").tunnels
    assert (only.ike_version, only.ike) == (2, ["aes256gcm16-prfsha384-ecp384"])
    assert only.esp == ["aes256gcm16-ecp384"]
    assert (only.dpd_delay_s, only.dpd_timeout_s) == (10, 60)
    assert sample("aws-ios-ikev2").networks == [ip_network("10.80.0.0/16")]
    assert keys_of("aws-ios-ikev2") == {"InventedIos2Key1abcdef"}


def test_oci_helper() -> None:
    found = sample("oci-helper")
    first, second = found.tunnels
    assert (found.profile, found.libreswan, found.notes) == (Profile.OCI, True, [])
    assert (first.name, second.name) == ("vti1", "vti2")
    assert (str(first.local), str(first.public)) == ("10.20.0.5", "198.51.100.7")
    assert (str(first.headend), str(second.headend)) == ("203.0.113.61", "203.0.113.62")
    assert (first.ike_version, first.ike) == (1, ["aes256-sha384-modp1536"])
    assert first.esp == ["aes256gcm16-modp1536"]
    assert (first.mark, second.mark, first.encapsulation) == (5, 6, True)
    assert (first.ike_lifetime_s, first.esp_lifetime_s) == (28800, 3600)
    assert len(keys_of("oci-helper")) == 2


def test_oci_template_has_defaults_and_no_values() -> None:
    found = sample("oci-template")
    (only,) = found.tunnels
    assert (only.ike_version, only.psk, only.public) == (2, None, None)
    assert only.ike == ["aes256-sha384-ecp384", "aes256-sha256-modp2048"]
    assert (only.ike_lifetime_s, only.esp_lifetime_s) == (28800, 3600)
    assert (only.dpd_delay_s, only.dpd_timeout_s) == (5, 60)
    assert found.notes == ["oci-template.txt:18: nflog-all is not taken over"]


def test_configuration_and_secrets_may_be_two_files() -> None:
    conf, secrets = SAMPLES["oci-helper"].split("# /etc/ipsec.d/oci-ipsec.secrets\n")
    both = read({"oci.conf": conf, "oci.secrets": secrets})
    assert [t.psk for t in both.tunnels] == [t.psk for t in sample("oci-helper").tunnels]
    (said,) = errors({"oci.secrets": secrets + "\nconn x\n right=192.0.2.1\n"})[:1]
    assert said.startswith("oci.secrets:1:1: a key for no tunnel")


@pytest.mark.parametrize(
    ("words", "keyword"),
    [
        ("aes-256-cbc", "aes256"),
        ("aes_cbc256", "aes256"),
        ("aes 192", "aes192"),
        ("esp-aes 128", "aes128"),
        ("aes", "aes128"),
        ("AES256-GCM-16", "aes256gcm16"),
        ("aes_gcm256", "aes256gcm16"),
        ("aes128gcm128", "aes128gcm16"),
        ("esp-gcm 256", "aes256gcm16"),
        ("aes-gcm-128", "aes128gcm16"),
        ("esp-3des", "3des"),
        ("blowfish", None),
        ("aes-512", None),
    ],
)
def test_ciphers(words: str, keyword: str | None) -> None:
    assert cipher(words) == keyword


@pytest.mark.parametrize(
    ("words", "keyword"),
    [
        ("sha1", "sha1"),
        ("sha", "sha1"),
        ("hmac-sha1-96", "sha1"),
        ("esp-sha-hmac", "sha1"),
        ("sha2_384", "sha384"),
        ("SHA2-256", "sha256"),
        ("hmac-sha2-256-128", "sha256"),
        ("esp-sha512-hmac", "sha512"),
        ("hmac-md5-96", "md5"),
        ("whirlpool", None),
    ],
)
def test_hashes(words: str, keyword: str | None) -> None:
    assert digest(words) == keyword


@pytest.mark.parametrize(
    ("words", "keyword"),
    [
        ("Group 2", "modp1024"),
        ("Diffie-Hellman Group 14", "modp2048"),
        ("group20", "ecp384"),
        ("modp1536", "modp1536"),
        ("dh19", "ecp256"),
        ("Group 99", None),
        ("none", None),
    ],
)
def test_groups(words: str, keyword: str | None) -> None:
    assert group(words) == keyword


# What becomes of it


@pytest.mark.parametrize("name", SAMPLES)
def test_it_loads_and_has_no_error(name: str) -> None:
    """There and back: text, structure, YAML, network, checks."""
    shown = yaml.safe_dump(parts(name).document, sort_keys=False)
    network = load_text(shown, "imported").network
    found = run_checks(network, compile_network(network))
    assert [item for item in found if item.severity is Severity.ERROR] == []
    (vpn,) = network.vpns.values()
    assert [t.headend for t in vpn.tunnels.values()] == [t.headend for t in sample(name).tunnels]
    for tunnel, read_ in zip(vpn.tunnels.values(), sample(name).tunnels, strict=True):
        assert tunnel.inside == (read_.inside or WISHES.inside[0])
    assert vpn.ike.proposals == (sample(name).tunnels[0].ike or None)
    assert vpn.esp.proposals == (sample(name).tunnels[0].esp or None)
    assert vpn.ike.version == (sample(name).tunnels[0].ike_version or 2)


@pytest.mark.parametrize("name", SAMPLES)
def test_no_key_is_in_the_document_or_in_what_can_be_shown(name: str) -> None:
    made = parts(name)
    for key in keys_of(name):
        assert key not in yaml.safe_dump(made.document)
        assert key not in repr(made)
        assert key not in repr(sample(name))
        assert all(key not in note for note in made.notes)
    assert {secret.value for secret in made.secrets.values()} == keys_of(name)


def test_each_key_goes_where_its_tunnel_says() -> None:
    made = parts("oci-helper", Wishes(**{**WISHES.__dict__, "secrets": "/srv/keys", "name": "hub"}))
    tunnels = made.document["vpns"]["hub"]["tunnels"]
    assert tunnels["vti1"]["psk"] == "file:/srv/keys/hub-vti1.psk"
    assert made.secrets["/srv/keys/hub-vti1.psk"].value.startswith("InventedOciKey1")
    assert made.secrets["/srv/keys/hub-vti2.psk"].value.startswith("InventedOciKey2")


def test_document_e_as_it_would_have_been_imported() -> None:
    """With our AS number there is BGP; the rest is what the file says."""
    wishes = Wishes(**{**WISHES.__dict__, "asn": 65000, "name": "hub", "cloud": "seoul"})
    document = parts("oci-helper", wishes).document
    node = document["nodes"]["cpe"]
    assert node["ipsec"] == "libreswan"
    assert node["bgp"] == {"asn": 65000}
    assert node["interfaces"]["eth0"]["public"] == "198.51.100.7"
    hub = document["vpns"]["hub"]
    assert hub["bgp"] == {}
    assert (hub["binding"], hub["encapsulation"], hub["cloud"]) == ("vti", True, "seoul")
    assert hub["tunnels"]["vti2"]["mark"] == 6


def test_what_is_the_default_is_left_out() -> None:
    vpn = parts("aws-generic").document["vpns"]["vpn-0a1b2c3d4e5f60718"]
    assert "dpd" not in vpn
    assert "lifetime_s" not in vpn["ike"]
    assert "version" not in vpn["ike"]
    assert vpn["bgp"] == {}
    assert "asn" not in parts("aws-generic").document["clouds"]["aws"]


def test_the_strongest_takes_the_place_of_the_files_minimum() -> None:
    wishes = Wishes(**{**WISHES.__dict__, "strongest": True})
    (vpn,) = parts("aws-generic-old", wishes).document["vpns"].values()
    assert "proposals" not in vpn.get("ike", {})
    assert "esp" not in vpn
    network = load_text(yaml.safe_dump(parts("aws-generic-old", wishes).document), "x").network
    assert compile_network(network)["cpe"].vpns[0].ike_proposals == ["aes256-sha384-ecp384"]


def test_what_is_missing_is_asked_for_all_at_once() -> None:
    with pytest.raises(IntentError) as caught:
        network_parts(sample("oci-template"), Wishes())
    said = [problem.text() for problem in caught.value.problems]
    assert len(said) == 3
    for option in ("--cloud-network", "--site-network", "--inside"):
        assert sum(option in text for text in said) == 1
    assert all(text.startswith("oci-template.txt:6:1: ") for text in said)
    assert any("put it into" in note for note in parts("oci-template").notes)


EXISTING: dict[str, Any] = yaml.safe_load("""
version: 1
name: company
nodes:
  gw:
    role: router
    interfaces:
      eth0: {role: uplink, addresses: [198.51.100.20/24], gateway: 198.51.100.1}
      aws-2: {role: lan, addresses: [10.40.0.1/16]}
    bgp: {asn: 65010}
clouds:
  old: {networks: [10.70.0.0/16]}
vpns:
  older:
    site: gw
    cloud: old
    static: true
    tunnels:
      aws-1: {headend: 192.0.2.1, inside: 10.99.0.1/30, psk: env:OLD, mark: 5}
""")


# MSS, and accelerators


def test_an_mss_that_is_less_than_fits_is_the_mtu_and_one_that_is_not_is_left_out() -> None:
    assert parts("aws-ios").document["vpns"]["vpn-2b3c4d5e"]["mtu"] == 1379 + 40
    roomy = SAMPLES["aws-ios"].replace("adjust-mss 1379", "adjust-mss 1400")
    found = network_parts(read({"x": roomy}), WISHES)
    assert "mtu" not in found.document["vpns"]["vpn-2b3c4d5e"]


STAND_IN = "198.51.100.254"


def accelerated_file(**listeners: Any) -> dict[str, Any]:
    """A network whose two accelerators lead to a stand-in so far, seen as one off address."""
    file: dict[str, Any] = yaml.safe_load((DOWNLOADS.parent / "accelerated-vpn.yaml").read_text())
    for key in ("vpns", "lab", "tests"):
        del file[key]
    for item in file["accelerators"].values():
        item["egress"]["off_address"] = "203.0.113.151"
        ((_, listener),) = item["listeners"].items()
        ((_, endpoint),) = listener["endpoints"].items()
        endpoint["address"] = STAND_IN
    file["accelerators"]["ga-1"]["listeners"] |= listeners
    return file


def accelerated(*names: str, download: str = "aws-ios", **listeners: Any) -> Parts:
    wishes = Wishes(
        site="gw-shanghai",
        cloud="seoul",
        name="office",
        accelerators=tuple(map(Way.of, names)),
        secrets="/k",
    )
    return network_parts(sample(download), wishes, accelerated_file(**listeners))


def test_tunnels_go_through_accelerators_in_their_order_and_the_listeners_are_edited() -> None:
    found = accelerated("ga-1", "ga-2/shanghai")
    one, two = found.document["vpns"]["office"]["tunnels"].values()
    assert (one["headend"], one["accelerator"]) == ("203.0.113.31", "ga-1")
    assert (two["headend"], two["accelerator"], two["region"]) == (
        "203.0.113.32",
        "ga-2",
        "shanghai",
    )
    assert "region" not in one
    ends = {
        name: item["listeners"]["ipsec"]["endpoints"]
        for name, item in found.document["accelerators"].items()
    }
    assert ends == {
        "ga-1": {"tunnel-1": {"address": "203.0.113.31"}},
        "ga-2": {"tunnel-2": {"address": "203.0.113.32"}},
    }
    assert any(STAND_IN in note and "203.0.113.31" in note for note in found.notes)


def test_the_file_itself_is_not_touched() -> None:
    file = accelerated_file()
    wishes = Wishes(site="gw-shanghai", name="office", cloud="seoul", accelerators=(Way("ga-1"),))
    network_parts(sample("aws-ios"), wishes, file)
    assert file == accelerated_file()


def test_what_was_imported_is_a_network_with_its_peers_where_they_belong() -> None:
    whole = accelerated_file() | accelerated("ga-1", "ga-2").document
    network = load_text(yaml.safe_dump(whole), "whole.yaml").network
    site = compile_network(network)["gw-shanghai"]
    assert [str(t.remote) for t in site.vpns] == ["203.0.113.21", "203.0.113.22"]
    assert {str(t.customer) for t in site.vpns} == {"203.0.113.151"}
    found = run_checks(network, {**compile_network(network)})
    assert not [f for f in found if f.severity is Severity.ERROR and f.code.startswith("ACC")]


def test_the_download_of_document_b_goes_into_the_file_that_waits_for_it() -> None:
    waiting = yaml.safe_load((DOWNLOADS / "accelerators.yaml").read_text())
    wishes = Wishes(
        site="gw-shanghai", name="office", accelerators=(Way("ga-1"), Way("ga-2")), secrets="/k"
    )
    found = network_parts(sample("aws-ios-accelerated"), wishes, waiting)
    whole = waiting | found.document
    network = load_text(yaml.safe_dump(whole), "whole.yaml").network
    judged = run_checks(network, compile_network(network))
    assert {f.code for f in judged if f.severity is not Severity.INFO} == {"VPN006"}
    assert network.vpns["office"].static
    assert [str(n) for n in network.clouds["aws"].networks] == ["172.31.0.0/16"]
    site = compile_network(network)["gw-shanghai"]
    assert {(str(t.customer), t.local_id) for t in site.vpns} == {("203.0.113.151",) * 2}
    assert not [note for note in found.notes if "is seen as" in note or "left out" in note]


def test_a_tunnel_without_an_accelerator_is_left_out_with_advice() -> None:
    found = accelerated("ga-1")
    assert len(found.document["vpns"]["office"]["tunnels"]) == 1
    assert list(found.secrets) == ["/k/office-aws-1.psk"]
    assert any("tunnel 2 is left out" in note for note in found.notes)


def test_the_customer_gateway_is_held_against_the_off_address() -> None:
    (note,) = [n for n in accelerated("ga-1", "ga-2").notes if "ga-1 is seen as" in n]
    assert "198.51.100.20" in note
    assert "203.0.113.151" in note
    told = SAMPLES["aws-ios"].replace("198.51.100.20", "203.0.113.151")
    wishes = Wishes(site="gw-shanghai", name="office", cloud="seoul", accelerators=(Way("ga-1"),))
    again = network_parts(read({"x": told}), wishes, accelerated_file())
    assert not [note for note in again.notes if "is seen as" in note or "no such address" in note]


def test_the_relay_leaves_less_than_the_files_mss() -> None:
    assert "mtu" not in accelerated("ga-1", "ga-2").document["vpns"]["office"]


def test_ikev1_is_advised_against_and_ikev2_is_not_spoken_of() -> None:
    assert any("IKEv2 as well" in note for note in accelerated("ga-1").notes)
    other = accelerated("ga-1", download="aws-generic")
    assert not any("IKEv2" in note for note in other.notes)


def test_an_endpoint_is_not_guessed_among_several() -> None:
    two = {"ports": [500, 4500], "endpoints": {"a": {"address": "192.0.2.3"},
                                               "b": {"address": "192.0.2.4"}}}  # fmt: skip
    web = {"protocol": "tcp", "ports": [443], "endpoints": {"w": {"address": "192.0.2.5"}}}
    found = accelerated("ga-1", ipsec=two, web=web)
    listeners = found.document["accelerators"]["ga-1"]["listeners"]
    assert listeners == {"ipsec": two, "web": web}
    assert any("by hand" in note for note in found.notes)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("ga-9",), "no accelerator ga-9"),
        (("ga-1/mars",), "no region mars"),
        (("ga-1", "ga-1"), "named twice"),
        (("ga-1", "ga-2", "ga-1"), "3 accelerators for 2 tunnels"),
    ],
)
def test_accelerators_that_cannot_be_meant(names: tuple[str, ...], says: str) -> None:
    with pytest.raises(IntentError, match=says):
        accelerated(*names)


def test_accelerators_need_a_file_that_has_them() -> None:
    with pytest.raises(IntentError, match="goes with --into"):
        parts("aws-ios", replace(WISHES, accelerators=(Way("ga-1"),)))


def test_into_a_network_that_has_the_node() -> None:
    wishes = Wishes(site="gw", cloud_networks=WISHES.cloud_networks)
    made = network_parts(sample("aws-generic"), wishes, EXISTING)
    assert list(made.document) == ["clouds", "vpns"]
    assert list(made.document["clouds"]) == ["old", "aws"]
    new = made.document["vpns"]["vpn-0a1b2c3d4e5f60718"]
    assert list(new["tunnels"]) == ["aws-3", "aws-4"], "aws-1 and aws-2 are taken on the node"
    network = load_text(yaml.safe_dump({**EXISTING, **made.document}), "merged").network
    assert [t.name for t in compile_network(network)["gw"].vpns] == ["aws-1", "aws-3", "aws-4"]
    peers = compile_network(network)["gw"].cloud_peers
    assert all(str(prefix) == "10.40.0.0/16" for peer in peers for prefix in peer.announce)


def test_a_mark_that_is_taken_is_not_taken_over() -> None:
    made = network_parts(
        sample("oci-helper"), Wishes(site="gw", cloud_networks=WISHES.cloud_networks), EXISTING
    )
    tunnels = made.document["vpns"]["oci"]["tunnels"]
    assert "mark" not in tunnels["vti1"]
    assert tunnels["vti2"]["mark"] == 6


def test_a_cloud_that_is_there_is_used_as_it_is() -> None:
    made = network_parts(sample("aws-ios"), Wishes(site="gw", cloud="old"), EXISTING)
    assert made.document["clouds"] == EXISTING["clouds"]
    assert made.document["vpns"]["vpn-2b3c4d5e"]["cloud"] == "old"


def test_a_vpn_of_that_name_is_left_alone() -> None:
    with pytest.raises(IntentError, match="has a VPN older already"):
        network_parts(sample("aws-ios"), Wishes(site="gw", cloud="old", name="older"), EXISTING)


# What is wrong


GENERIC, HELPER, IOS = SAMPLES["aws-generic"], SAMPLES["oci-helper"], SAMPLES["aws-ios"]


@pytest.mark.parametrize(
    ("text", "old", "new", "says"),
    [
        (GENERIC, "203.0.113.11", "203.0.113.1111", "the virtual private gateway is no addr"),
        (GENERIC, "169.254.21.2/30", "169.254.21.2/99", "our inside address is no address wi"),
        (GENERIC, ": aes-256-cbc", ": rot13", "no algorithm of this name is known (encrypt"),
        (GENERIC, "28800 seconds", "soon", "IKE's lifetime is no time"),
        (GENERIC, "28800 seconds", "9 seconds", "IKE's lifetime is not between a minute"),
        (GENERIC, ": 65010", ": many", "the customer gateway's ASN is no whole number from 1"),
        (GENERIC, "Hold Time            : 30", "Hold Time : 1", "the hold time is no whole"),
        (GENERIC, "IKE version              : IKEv2", "IKE version : 3", "neither IKEv1 nor IKEv2"),
        (GENERIC, "Protocol                 : esp", "Protocol : ah", "the protocol is not ESP"),
        (GENERIC, "IP Address           : 169.254.21.1", "IP Address : 169.254.9.9", "is not the cloud"),
        (GENERIC, "Method    : Pre-Shared Key", "Method : Certificate", "only pre-shared keys"),
        (HELPER, "right=203.0.113.61", "right=here", "right is no address"),
        (HELPER, "mark=5/", "mark=five/", "mark is no number from 1"),
        (HELPER, "aes_cbc256-sha2_384;modp1536", "rot13", "a proposal for IKE: no algorithms"),
        (HELPER, "aes_cbc256-sha2_384;modp1536", "aes256-sha2", "a proposal for IKE: no algo"),
        (HELPER, "aes_gcm256;modp1536", "aes256;modp1536", "a proposal for ESP: aes256 needs"),
        (HELPER, "vti-routing=no", "vti-routing=maybe", "vti-routing is neither yes nor no"),
        (HELPER, "ikev2=no", "ikev2=perhaps", "no version of IKE is called so"),
        (HELPER, "auto=start", "also=other", "`also=` leads to another section"),
        (HELPER, "authby=secret", "authby=rsasig", "only pre-shared keys"),
        (HELPER, "leftid=198.51.100.7", "leftid=fe80::1%eth0", "leftid has a zone"),
        (IOS, "encryption aes 128", "encryption rot 13", "no algorithm of this name is known"),
        (IOS, "esp-aes 128", "esp-rot 13", "a transform set has an algorithm that is not known"),
        (IOS, "set pfs group14", "set pfs group99", "no group of this name is known"),
        (IOS, "router bgp 65020", "router bgp us", "our ASN is no whole number"),
        (IOS, "profile ipsec-vpn-2b3c4d5e-0\n   ! for", "profile other\n   ! for", "no IPsec profile of"),
        (IOS, "destination 203.0.113.31", "destination there", "the destination is no address"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(text: str, old: str, new: str, says: str) -> None:
    assert old in text
    line = text[: text.index(old)].count("\n") + 1
    said = errors({"x": text.replace(old, new, 1)})
    assert any(one.startswith(f"x:{line}:1: ") and says in one for one in said), said


def test_tunnels_that_differ_cannot_be_one_connection() -> None:
    changed = read({"x": GENERIC.replace(": IKEv2", ": IKEv1", 1)})
    with pytest.raises(IntentError, match="different versions of IKE"):
        network_parts(changed, WISHES)


@pytest.mark.parametrize(
    "text", ["", "\n", "hello", "conn\n", "IPSec Tunnel", "{}", "\0", "ipsec.conf"]
)
def test_what_is_no_download_is_one_clear_error(text: str) -> None:
    (said,) = errors({"x": text})
    assert said.startswith("x:1:1: of no format that is known here\n    hint: say with --as")
    assert errors({}) == ["(nothing):1:1: " + said.split(": ", 1)[1]]


@pytest.mark.parametrize("kind", ["aws-generic", "aws-ios", "oci-helper"])
def test_another_formats_file_has_no_tunnel(kind: str) -> None:
    other = "oci-helper" if kind != "oci-helper" else "aws-generic"
    (said,) = errors({"x": SAMPLES[other]}, kind)
    assert said == f"x:1:1: no tunnel is described here, read as {kind}"


def test_an_endless_file_is_refused() -> None:
    (said,) = errors({"x": "conn a\n" * 1_000_000})
    assert "larger than anything a cloud makes" in said


# There and back


def test_what_was_imported_is_rendered_as_it_was_downloaded() -> None:
    """Oracle's options -> network file -> plan -> Libreswan's own file -> the same again."""
    wishes = Wishes(**{**WISHES.__dict__, "asn": 65000})
    network = load_text(yaml.safe_dump(parts("oci-helper", wishes).document), "x").network
    files = render_node(compile_network(network)["cpe"])
    again = read({"bongsu.conf": files["/etc/ipsec.d/bongsu.conf"]})
    assert len(again.tunnels) == 2
    fields = ("name", "headend", "local", "public", "inside", "ike_version", "ike", "esp", "mark",
              "ike_lifetime_s", "esp_lifetime_s", "encapsulation")  # fmt: skip
    for before, after in zip(sample("oci-helper").tunnels, again.tunnels, strict=True):
        assert {f: getattr(before, f) for f in fields} == {f: getattr(after, f) for f in fields}


@pytest.mark.parametrize("node", ["cpe", "branch"])
def test_our_own_configuration_of_ios_is_read_as_it_is_meant(node: str) -> None:
    """The renderer's commands, by the reader of AWS's: two that were not made from each other."""
    plan = plans("vpn-ios")[node]
    found = read({"x": render_node(plan)[f"/ios/{node}.cfg"]}, "aws-ios")
    assert len(found.tunnels) == len(plan.vpns)
    peers = {peer.tunnel: peer for peer in plan.cloud_peers}
    for meant, tunnel in zip(plan.vpns, found.tunnels, strict=True):
        assert (tunnel.headend, tunnel.inside) == (meant.remote, meant.inside)
        assert tunnel.esp == meant.esp_proposals
        assert set(meant.ike_proposals) <= set(tunnel.ike)
        assert tunnel.ike_version == meant.ike_version
        assert tunnel.esp_lifetime_s == meant.esp_lifetime_s
        assert tunnel.psk is None, "a key stands in a comment"
        if meant.name in peers:
            peer = peers[meant.name]
            assert (tunnel.peer, tunnel.cloud_asn) == (peer.address, peer.asn)
            assert (tunnel.keepalive_s, tunnel.hold_s) == (peer.keepalive_s, peer.hold_s)
            assert tunnel.asn == plan.asn
