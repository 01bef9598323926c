"""What is known of each cloud: consistent with itself, and with what the clouds' documents say."""

import re
from ipaddress import ip_network
from pathlib import Path
from string import Formatter

import pytest

from bongsu.model.node import Platform
from bongsu.model.proposal import GROUPS, suite
from bongsu.model.vpn import Profile
from bongsu.plan.cloud import PROFILES
from bongsu.plan.cloud.console import CONSOLES, SITE_CONSOLES, Console, Step
from bongsu.plan.cloud.console.shape import NAMES

KINDS = list(Profile)


ALGORITHMS = {
    f"{phase}_{part}"
    for phase in ("ike", "esp")
    for part in ("encryption", "hash", "group", "lifetime")
}


def names_in(*texts: str) -> set[str]:
    return {name for text in texts for _, name, _, _ in Formatter().parse(text) if name is not None}


def texts_of(step: Step) -> list[str]:
    values = [text for item in step.fields for text in (item.name, item.value)]
    return [step.title, step.where, step.check, *(note.text for note in step.notes), *values]


def test_every_profile_has_its_data() -> None:
    assert set(PROFILES) == set(CONSOLES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_proposed_is_taken(kind: Profile) -> None:
    profile = PROFILES[kind]
    for text in profile.ike_proposals:
        assert profile.ike.refuses(suite(text)) == []
    for text in profile.esp_proposals:
        assert profile.esp.refuses(suite(text)) == []
    for lifetime, bounds in (
        (profile.ike_lifetime_s, profile.ike_lifetimes_s),
        (profile.esp_lifetime_s, profile.esp_lifetimes_s),
    ):
        assert bounds is None or bounds[0] <= lifetime <= bounds[1]
    assert profile.source


EVERY_CONSOLE = [*CONSOLES.values(), *SITE_CONSOLES.values()]


@pytest.mark.parametrize("console", EVERY_CONSOLE, ids=lambda console: console.source[:20])
def test_values_use_names_that_there_are(console: Console) -> None:
    for step in console.steps:
        # What is done once for the connection speaks of its only customer gateway, if there is one.
        assert names_in(*texts_of(step)) <= NAMES[step.each], step.title
        assert step.check, "after each step there is something to look at"
    titles = [step.title for step in console.steps]
    assert len(set(titles)) == len(titles) >= 2
    assert any(step.each == "tunnel" for step in console.steps)


@pytest.mark.parametrize("kind", KINDS)
def test_a_console_asks_for_what_a_tunnel_cannot_do_without(kind: Profile) -> None:
    """Address, key, algorithms and lifetimes, wherever the console has them."""
    used = names_in(*(text for step in CONSOLES[kind].steps for text in texts_of(step)))
    needed = {"public", "headend", "psk", "ike", "asn", "site_networks", "cloud_networks"}
    assert (needed | ALGORITHMS) - used == set()


@pytest.mark.parametrize("platform", SITE_CONSOLES)
def test_a_sites_own_console_asks_for_it_too(platform: Platform) -> None:
    used = names_in(*(text for step in SITE_CONSOLES[platform].steps for text in texts_of(step)))
    needed = {"own", "remote", "headend", "psk", "ike", "asn", "site_networks", "cloud_networks"}
    assert (needed | {"local_id", "peer_id"} | ALGORITHMS) - used == set()


@pytest.mark.parametrize("kind", [Profile.OCI, Profile.AWS])
def test_every_algorithm_that_is_taken_has_the_consoles_word(kind: Profile) -> None:
    profile, console = PROFILES[kind], CONSOLES[kind]
    for accepted, esp in ((profile.ike, False), (profile.esp, True)):
        for algorithm in accepted.encryption | accepted.hashes | accepted.groups:
            assert console.word(algorithm, esp=esp) != algorithm, algorithm
    assert console.word(None, esp=True).startswith("none")


def test_document_e_in_the_consoles_words() -> None:
    """Its `ike=aes_cbc256-sha2_384;modp1536` and `phase2alg=aes_gcm256;modp1536`."""
    console = CONSOLES[Profile.OCI]
    ike, esp = suite("aes256-sha384-modp1536"), suite("aes256gcm16-modp1536")
    assert PROFILES[Profile.OCI].ike.refuses(ike) == PROFILES[Profile.OCI].esp.refuses(esp) == []
    assert [console.word(part) for part in (ike.encryption, ike.integrity, ike.group)] == [
        "AES_256_CBC",
        "SHA2_384",
        "GROUP5",
    ]
    assert console.word(esp.encryption, esp=True) == "AES_256_GCM"
    assert console.word("sha256", esp=True) == "HMAC_SHA2_256_128"


@pytest.mark.parametrize(
    ("kind", "key", "good"),
    [
        (Profile.OCI, "7jBhG3 jmgdB3", True),
        (Profile.OCI, "with-hyphen-12345", False),
        (Profile.AWS, "a.b_c4567", True),
        (Profile.AWS, "0starts12", False),
        (Profile.AWS, "short", False),
        (Profile.AWS, "with-hyphen-12345", False),
        (Profile.ALIBABA, 'odd~!"\\?key', True),
        (Profile.ALIBABA, "with space", False),
        (Profile.ALIBABA, "x" * 101, False),
    ],
)
def test_keys(kind: Profile, key: str, good: bool) -> None:
    pattern = PROFILES[kind].psk
    assert pattern is not None
    assert bool(re.fullmatch(pattern, key)) is good


def test_inside_networks_that_clouds_keep() -> None:
    aws, oci = PROFILES[Profile.AWS], PROFILES[Profile.OCI]
    assert ip_network("169.254.169.252/30") in aws.reserved
    assert len(aws.reserved) == 7
    kept = [str(network) for network in oci.reserved]
    assert kept[0] == "169.254.10.0/24"
    assert kept[9] == "169.254.19.0/24"
    assert kept[-1] == "169.254.201.0/24"
    assert len(kept) == 30


# The document


def rows() -> dict[str, list[str]]:
    text = (Path(__file__).parents[2] / "docs" / "vpn-clouds.md").read_text()
    cells = (line.strip("| \n").split(" | ") for line in text.splitlines() if line.startswith("| "))
    return {row[0]: row[1:] for row in cells if len(row) == 4}


@pytest.mark.parametrize(
    ("place", "kind"), [*enumerate([Profile.OCI, Profile.AWS, Profile.ALIBABA])]
)
def test_the_document_says_the_same(place: int, kind: Profile) -> None:
    profile = PROFILES[kind]
    told = {name: cells[place] for name, cells in rows().items()}
    assert told["gateway there"] == profile.gateway
    assert told["its AS number"].startswith(str(profile.asn))
    assert told["tunnels of a connection"] == str(profile.tunnels)
    assert told["proposed for phase 1"] == f"`{profile.ike_proposals[0]}`"
    assert told["proposed for phase 2"] == f"`{profile.esp_proposals[0]}`"
    for lifetime in (profile.ike_lifetime_s, profile.esp_lifetime_s):
        assert str(lifetime) in told["lifetimes, s"]
    for bounds in (profile.ike_lifetimes_s, profile.esp_lifetimes_s):
        assert bounds is None or str(bounds[1]) in told["lifetimes, s"]
    assert set(re.findall(r"`(\w+)`", told["ciphers of phase 1"])) == profile.ike.encryption
    phase_2 = set(re.findall(r"`(\w+)`", told["ciphers of phase 2"])) | profile.ike.encryption
    assert phase_2 == profile.esp.encryption
    hashes = set(re.findall(r"`(\w+)`", told["hashes"]))
    assert hashes == profile.ike.hashes | profile.esp.hashes
    assert told["BFD in the tunnel"] == ("yes" if profile.bfd else "no")
    groups = told["groups"].replace("14 to 21", "14, 15, 16, 17, 18, 19, 20, 21")
    numbers = {int(number) for number in re.findall(r"\d+", groups)}
    assert numbers == {GROUPS[name] for name in profile.ike.groups | profile.esp.groups}
