"""The doctor tries everything and leaves nothing."""

from pathlib import Path

import pytest

from bongsu.system import netns
from bongsu.system.doctor import diagnose

pytestmark = pytest.mark.root


def interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def test_doctor() -> None:
    found = {item.name: item for item in diagnose()}
    assert not netns.names("bongsu-scratch")
    assert not interfaces() & {"v0", "v1", "probe", "probe-x", "tap0", "vrf0", "wg0", "xfrm0"}
    # What these tests themselves could not run without.
    for name in ("root", "kernel", "GRE backend", "veth", "nftables", "bird", "nft", "namespaces"):
        assert found[name].ok, found[name]
    for item in found.values():
        assert item.detail, item
        assert item.ok or item.hint, item
