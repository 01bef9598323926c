"""Who is let in: tokens, the limit on attempts, certificates and what is in them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from bongsu.system import pki
from bongsu.tower import tokens
from bongsu.tower.authority import Authority, found
from bongsu.tower.files import Layout, Settings, TowerError
from bongsu.tower.limit import SOURCES, Limit, network
from bongsu.tower.store.state import State

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_tokens_are_carried_as_text() -> None:
    token = tokens.new("ab" * 32)
    again = tokens.parse(f" {token}\n")
    assert again == token
    assert again is not None
    assert again.proves(token.digest())
    assert not tokens.new("ab" * 32).proves(token.digest())
    assert str(token) not in repr(token)


@pytest.mark.parametrize(
    "text", ["", "a.b.c", "x" * 200, "한" * 12 + "." + "a" * 43 + "." + "0" * 64]
)
def test_what_is_no_token(text: str) -> None:
    assert tokens.parse(text) is None


def test_a_source_has_a_burst_and_then_a_rate() -> None:
    limit = Limit(burst=3, every_s=10.0, share=100)
    assert [limit.takes("192.0.2.1", 0.0) for _ in range(4)] == [True, True, True, False]
    assert limit.takes("192.0.2.2", 0.0)
    assert not limit.takes("192.0.2.1", 9.9)
    assert limit.takes("192.0.2.1", 10.0)
    assert not limit.takes("192.0.2.1", 10.1)


def test_all_sources_together_have_one_too() -> None:
    limit = Limit(burst=2, every_s=10.0, share=3)
    taken = [limit.takes(f"192.0.2.{each}", 0.0) for each in range(20)]
    assert sum(taken) == 6


def test_a_host_is_its_network() -> None:
    assert (
        network("2001:db8:1:2::1") == network("2001:db8:1:2:ffff::9") != network("2001:db8:1:3::1")
    )
    assert network("::ffff:192.0.2.1") == network("192.0.2.1")
    assert network("fe80::1%eth0") == "fe80::/64"
    limit = Limit(1, 10.0, 10)
    assert limit.takes("2001:db8::1", 0.0)
    assert not limit.takes("2001:db8::2", 0.0)


def test_sources_that_are_remembered_are_bounded() -> None:
    limit = Limit(1, 10.0, 10**6)
    for each in range(SOURCES + 10):
        limit.takes(f"2001:db8:{each:x}::1", 0.0)
    assert len(limit._buckets) == SOURCES


class Place:
    """A tower's directory, an authority and a register, without a server."""

    def __init__(self, directory: Path) -> None:
        self.layout = Layout(directory / "tower")
        found(self.layout, Settings("127.0.0.1"), NOW)
        self.state = State(self.layout.state)
        self.authority = Authority(self.layout, self.layout.need(), self.state)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def request(name: str = "whoever") -> bytes:
    return pki.signing_request(pki.new_key(), name)


def test_a_token_is_used_once(place: Place) -> None:
    token = place.authority.invite("seoul", HOUR, NOW)
    made = place.authority.enrol(str(token), request(), NOW)
    assert made is not None
    assert made[0] == "seoul"
    assert place.authority.enrol(str(token), request(), NOW) is None


def test_a_token_ends(place: Place) -> None:
    token = place.authority.invite("seoul", HOUR, NOW)
    assert place.authority.enrol(str(token), request(), NOW + HOUR) is None


def test_a_newer_token_voids_the_older(place: Place) -> None:
    old = place.authority.invite("seoul", HOUR, NOW)
    new = place.authority.invite("seoul", HOUR, NOW)
    assert place.authority.enrol(str(old), request(), NOW) is None
    assert place.authority.enrol(str(new), request(), NOW) is not None


def test_a_wrong_secret_neither_helps_nor_uses_the_token_up(place: Place) -> None:
    token = place.authority.invite("seoul", HOUR, NOW)
    wrong = tokens.Token(token.number, bytes(32), token.authority)
    assert place.authority.enrol(str(wrong), request(), NOW) is None
    assert place.authority.enrol("nonsense", request(), NOW) is None
    assert place.authority.enrol(str(token), request(), NOW) is not None


def test_the_secret_is_nowhere_on_the_disk(place: Place) -> None:
    token = place.authority.invite("seoul", HOUR, NOW)
    secret = str(token).split(".")[1].encode()
    for path in place.layout.directory.iterdir():
        data = path.read_bytes()
        assert token.secret not in data, path.name
        assert secret not in data, path.name
    assert token.digest() in b"".join(p.read_bytes() for p in place.layout.directory.iterdir())


def test_a_certificate_says_what_the_token_said(place: Place) -> None:
    token = place.authority.invite("seoul", HOUR, NOW)
    made = place.authority.enrol(str(token), request("busan"), NOW)
    assert made is not None
    certificate = pki.parse(made[1].certificate)
    assert pki.node_of(certificate) == "seoul"
    assert "busan" not in certificate.subject.rfc4514_string()
    assert certificate.not_valid_after_utc == NOW + timedelta(days=7)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    assert pki.issued_by(certificate, pki.parse(made[1].authority))


def test_a_bad_request_does_not_cost_the_token(place: Place) -> None:
    token = place.authority.invite("seoul", HOUR, NOW)
    with pytest.raises(pki.PkiError):
        place.authority.enrol(str(token), b"nonsense", NOW)
    assert place.authority.enrol(str(token), request(), NOW) is not None


def _other(key: object) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)  # type: ignore[arg-type]


def test_requests_are_of_one_kind() -> None:
    with pytest.raises(pki.PkiError, match="not of P-256"):
        pki.requested_key(_other(rsa.generate_private_key(65537, 2048)))
    with pytest.raises(pki.PkiError, match="not of P-256"):
        pki.requested_key(_other(ec.generate_private_key(ec.SECP384R1())))
    forged = bytearray(request())
    forged[-3] ^= 1
    with pytest.raises(pki.PkiError):
        pki.requested_key(bytes(forged))


def test_revoked_by_removal(place: Place) -> None:
    token = place.authority.invite("seoul", HOUR, NOW)
    made = place.authority.enrol(str(token), request(), NOW)
    assert made is not None
    serial = pki.serial(pki.parse(made[1].certificate))
    assert place.state.may("seoul", serial, NOW)
    assert not place.state.may("busan", serial, NOW)
    assert not place.state.may("seoul", serial, NOW + timedelta(days=7))
    waiting = place.authority.invite("seoul", HOUR, NOW)
    assert place.state.remove("seoul", NOW)
    assert not place.state.may("seoul", serial, NOW)
    assert place.authority.enrol(str(waiting), request(), NOW) is None
    assert place.state.nodes() == []
    assert not place.state.remove("seoul", NOW)
    # It may come back, and its old certificate does not come with it.
    again = place.authority.invite("seoul", HOUR, NOW)
    assert place.authority.enrol(str(again), request(), NOW) is not None
    assert [each.name for each in place.state.nodes()] == ["seoul"]
    assert not place.state.may("seoul", serial, NOW)


def test_for_root_only(place: Place) -> None:
    place.authority.tower_identity(NOW)
    assert place.layout.directory.stat().st_mode & 0o777 == 0o700
    for path in place.layout.directory.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path.name


def test_the_tower_renews_its_own(place: Place) -> None:
    assert place.authority.tower_identity(NOW)
    assert not place.authority.tower_identity(NOW + timedelta(days=44))
    assert place.authority.tower_identity(NOW + timedelta(days=46))


def test_a_tower_is_made_once(place: Place) -> None:
    with pytest.raises(TowerError, match="a tower already"):
        found(place.layout, Settings("x"), NOW)
    with pytest.raises(TowerError, match="is no tower"):
        Layout(place.layout.directory / "nowhere").need()


def test_identities_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "id.pem"
    one, other = pki.new_authority(NOW, HOUR), pki.new_authority(NOW, HOUR)
    pki.write_identity(path, one)
    assert pki.read_identity(path).certificate == one.certificate
    pki.write_identity(path, pki.Identity(one.key, other.certificate, other.certificate))
    with pytest.raises(pki.PkiError, match="another key"):
        pki.read_identity(path)
    path.write_text("nonsense")
    with pytest.raises(pki.PkiError):
        pki.read_identity(path)
