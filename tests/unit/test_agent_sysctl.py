"""Settings in sysctl.d(5)'s format, written below a directory that stands for /proc/sys."""

from pathlib import Path

import pytest

from bongsu.system.sysctl import Setting, apply, own_addresses_taken, parse, spread


def test_both_spellings() -> None:
    text = "# comment\n\nnet.ipv4.ip_forward = 1\n-net/ipv4/conf/eth0.5/rp_filter=2\n; more\n"
    assert parse(text) == [
        Setting("net/ipv4/ip_forward", "1"),
        Setting("net/ipv4/conf/eth0.5/rp_filter", "2"),
    ]


def test_a_slash_in_dotted_form_is_a_dot() -> None:
    assert parse("net.ipv4.conf.eth0/5.rp_filter = 2") == [
        Setting("net/ipv4/conf/eth0.5/rp_filter", "2")
    ]


@pytest.mark.parametrize("line", ["net.ipv4.ip_forward", "= 1", "word = 1", "net/../../x = 1"])
def test_what_is_no_setting(line: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        parse(line)


def test_whose_setting_it_is() -> None:
    assert Setting("net/ipv4/conf/gre-seoul/rp_filter", "2").interface == "gre-seoul"
    assert Setting("net/ipv6/conf/eth0.5/disable_ipv6", "1").interface == "eth0.5"
    for path in ("net/ipv4/conf/all/rp_filter", "net/ipv4/ip_forward"):
        assert Setting(path, "1").interface is None


def test_only_what_differs_is_written(tmp_path: Path) -> None:
    for name, value in (("a", "1\n"), ("b", "4096\t131072\n"), ("c", "0\n")):
        (tmp_path / name).write_text(value)
    (tmp_path / "a").chmod(0o444)
    outcome = apply(
        [Setting("a", "1"), Setting("b", "4096 131072"), Setting("c", "1"), Setting("d", "1")],
        tmp_path,
    )
    assert (outcome.changed, outcome.missing) == (["c"], ["d"])
    assert (tmp_path / "c").read_text() == "1\n"
    assert (tmp_path / "b").read_text() == "4096\t131072\n"


def machine(root: Path, **filters: int) -> Path:
    """A tree with these reverse path filters, and no interface that takes our own addresses."""
    for name, value in filters.items():
        directory = root / "net/ipv4/conf" / name
        directory.mkdir(parents=True)
        (directory / "rp_filter").write_text(f"{value}\n")
        (directory / "accept_local").write_text("0\n")
    return root


def filters(root: Path) -> dict[str, int]:
    """What decides on each interface: the greater of its own and that of all."""
    found = {
        path.parent.name: int(path.read_text())
        for path in (root / "net/ipv4/conf").glob("*/rp_filter")
    }
    of_all = found.pop("all")
    return {name: max(of_all, value) for name, value in found.items()}


@pytest.mark.parametrize("of_all", [0, 1, 2])
def test_a_tunnel_is_strict_and_the_others_stay_as_they_were(tmp_path: Path, of_all: int) -> None:
    root = machine(tmp_path, all=of_all, default=0, lo=0, eth0=1, eth1=2, tunnel0=0)
    before = filters(root)
    wanted = [
        Setting("net/ipv4/conf/all/rp_filter", "0"),
        Setting("net/ipv4/conf/tunnel0/rp_filter", "1"),
    ]
    first = spread(wanted, root)
    apply(first, root)
    assert "net/ipv4/conf/tunnel0/rp_filter" not in [setting.path for setting in first]
    # not for a moment less than before, for interfaces come first
    assert filters(root) == before
    apply(wanted, root)
    assert filters(root) == before | {"tunnel0": 1}
    assert spread(wanted, root) == [], "and there it stays"


def test_a_filter_that_is_not_lowered_moves_nothing(tmp_path: Path) -> None:
    root = machine(tmp_path, all=1, eth0=0)
    assert spread([Setting("net/ipv4/conf/all/rp_filter", "2")], root) == []
    assert spread([Setting("net/ipv4/conf/eth0/rp_filter", "0")], root) == []
    assert spread([Setting("net/ipv4/conf/all/rp_filter", "0")], tmp_path / "nothing") == []


def test_own_addresses_are_taken_when_all_says_so(tmp_path: Path) -> None:
    root = machine(tmp_path, all=1, eth0=1, tunnel0=2)
    assert not own_addresses_taken(root)
    (root / "net/ipv4/conf/tunnel0/accept_local").write_text("1\n")
    assert not own_addresses_taken(root), "a tunnel's own switch opens only that"
    (root / "net/ipv4/conf/all/accept_local").write_text("1\n")
    assert own_addresses_taken(root)
    assert not own_addresses_taken(tmp_path / "nothing")
