"""Links by the kernel alone, and the choice between backends. netem itself is proved in a VM."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bongsu.lab.link import netem
from bongsu.lab.link.links import Links
from bongsu.lab.link.spec import LinkError, LinkSpec, mac
from bongsu.lab.link.wire import Wire
from bongsu.model.lab import Impairment
from bongsu.system import netns
from tests.root.link_wire import HEADER, Port, eventually, namespaces, numbered

pytestmark = pytest.mark.root


@pytest.fixture
def ends() -> Iterator[tuple[str, str, str]]:
    """Two namespaces and the name of a closet, which is removed too."""
    with namespaces("a", "b") as (a, b):
        closet = a.removesuffix("a") + "closet"
        try:
            yield a, b, closet
        finally:
            Wire.end(closet)


@pytest.fixture
def plain(ends: tuple[str, str, str]) -> Iterator[tuple[Wire, Port, Port]]:
    a, b, closet = ends
    wire = Wire.start(closet)
    wire.create([LinkSpec("lan", a, "x0", b, "x1", mtu=1400, plain=True)])
    yield wire, Port(a, "x0"), Port(b, "x1")
    wire.close()


def test_plain_link(plain: tuple[Wire, Port, Port]) -> None:
    wire, a, b = plain
    for source, target in ((a, b), (b, a)):
        for payload in numbered(100, 1400):
            source.send(payload)
        assert target.receive_count(100) == numbered(100, 1400)
    assert [port.link().get("address") for port in (a, b)] == [mac("lan", "a"), mac("lan", "b")]
    assert a.link().get("mtu") == 1400
    stats = wire.stats("lan")
    assert (stats.ab.rx, stats.ab.tx) == (stats.ba.rx, stats.ba.tx) == (100, 100)


def test_link_layer_neighbors_are_seen(plain: tuple[Wire, Port, Port]) -> None:
    _, a, b = plain
    lldp = bytes.fromhex("0180c200000e") + HEADER[6:] + b"hello" + bytes(60)
    a.socket.send(lldp)
    assert (b.receive() or b"")[:5] == b"hello"


def test_down_takes_the_carrier_at_both_ends(plain: tuple[Wire, Port, Port]) -> None:
    wire, a, b = plain
    wire.down("lan")
    assert not a.carrier
    assert not b.carrier
    assert wire.stats("lan").down
    wire.up("lan")
    assert eventually(lambda: a.carrier and b.carrier)
    a.send(bytes(100))
    assert b.receive() == bytes(100)


@pytest.mark.parametrize("direction", ["both", "a->b", "b->a"])
def test_silence_is_not_told_to_anyone(plain: tuple[Wire, Port, Port], direction: str) -> None:
    wire, a, b = plain
    silent = {"both": (True, True), "a->b": (True, False), "b->a": (False, True)}[direction]
    wire.silence("lan", True, direction)  # type: ignore[arg-type]
    for source, target, quiet in ((a, b, silent[0]), (b, a, silent[1])):
        for payload in numbered(50):
            source.send(payload)
        assert target.receive_all() == ([] if quiet else numbered(50))
        assert source.carrier
    stats = wire.stats("lan")
    assert (stats.ab.silent, stats.ba.silent) == silent
    wire.silence("lan", False, direction)  # type: ignore[arg-type]
    for source, target in ((a, b), (b, a)):
        source.send(bytes(100))
        assert target.receive() == bytes(100)


def test_a_direction_that_is_none(plain: tuple[Wire, Port, Port]) -> None:
    with pytest.raises(LinkError, match="a direction is"):
        plain[0].silence("lan", True, "sideways")  # type: ignore[arg-type]


def test_a_namespace_removed_under_it(plain: tuple[Wire, Port, Port]) -> None:
    wire, a, b = plain
    b.socket.close()
    netns.remove(b.namespace)
    assert eventually(lambda: wire.stats("lan").gone != "-")
    assert wire.stats("lan").gone == "b"
    with pytest.raises(LinkError, match="an end of link lan is gone"):
        wire.down("lan")
    wire.remove(["lan"])
    assert wire.links() == []
    assert a.link() is None


def test_plain_links_cannot_be_impaired(plain: tuple[Wire, Port, Port]) -> None:
    with pytest.raises(LinkError, match="is plain"):
        plain[0].set("lan", Impairment(delay_ms=1))
    with pytest.raises(LinkError, match="no link nobody"):
        plain[0].set("nobody", Impairment())


def test_netem_is_found_missing_by_trying() -> None:
    before = netns.names("bs-netem")
    assert netem.available() in ("", "the kernel has no sch_netem")
    assert netns.names("bs-netem") == before


def test_without_netem_an_impaired_wire_is_refused_whole(ends: tuple[str, str, str]) -> None:
    a, b, closet = ends
    if not netem.available():
        return
    wire = Wire.start(closet)
    good = LinkSpec("one", a, "x0", b, "x0", plain=True)
    bad = LinkSpec("two", a, "x1", b, "x1", impairment=Impairment(delay_ms=1))
    with pytest.raises(LinkError, match="no netem; use the emulator"):
        wire.create([good, bad])
    assert wire.links() == []
    wire.create([good])
    with pytest.raises(LinkError, match="exists already"):
        wire.create([good])
    assert wire.links() == ["one"]
    wire.close()


def test_all_links_of_a_lab(ends: tuple[str, str, str], tmp_path: Path) -> None:
    a, b, closet = ends
    links = Links.start(tmp_path, closet, "emulator")
    try:
        lan = LinkSpec("lan", a, "x0", b, "x0", plain=True)
        wan = LinkSpec("wan", a, "x1", b, "x1", impairment=Impairment(delay_ms=1))
        links.create([lan, wan])
        other = Links.connect(tmp_path, closet)
        assert other.kind == "emulator"
        assert other.links() == ["lan", "wan"]
        for name, interface in (("lan", "x0"), ("wan", "x1")):
            one, two = Port(a, interface), Port(b, interface)
            one.send(bytes(100))
            assert two.receive() == bytes(100)
            other.silence(name, True)
            assert links.stats(name).ab.silent
            one.send(bytes(100))
            assert two.receive_all() == []
            links.silence(name, False)
            other.down(name)
            assert not one.carrier
            links.up(name)
        other.set("wan", Impairment())
        other.close()
        with pytest.raises(LinkError, match="link wan exists already"):
            links.create([LinkSpec("wan", a, "x2", b, "x2", plain=True)])
        with pytest.raises(LinkError):
            links.create(
                [
                    LinkSpec("more", a, "x3", b, "x3", plain=True),
                    LinkSpec("fail", a, "x1", b, "x4"),
                ]
            )
        assert links.links() == ["lan", "wan"]
        links.remove(["lan", "wan"])
        assert links.links() == []
    finally:
        links.close()
        Links.end(tmp_path, closet)
    assert not netns.exists(closet)
    assert list(tmp_path.iterdir()) == []
    Links.end(tmp_path, closet)
    with pytest.raises(LinkError):
        Links.connect(tmp_path, closet)
