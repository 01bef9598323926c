"""Settings in sysctl.d(5)'s format, written below a directory that stands for /proc/sys."""

from pathlib import Path

import pytest

from bongsu.system.sysctl import Setting, apply, parse


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
