"""The agent and the filters of a machine: what it refuses to run on, and what it keeps as it was."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bongsu.system import netns
from tests.root.agent_box import Box, boxes, cable, example, until

pytestmark = pytest.mark.root
CONF = Path("/proc/sys/net/ipv4/conf")


@pytest.fixture
def seoul(tmp_path: Path) -> Iterator[Box]:
    with boxes(tmp_path, "seoul", "far") as (box, far):
        cable(box, "ens3", far, "far")
        box.ip("addr add 203.0.113.10/24 dev ens3")
        yield box


def put(box: Box, name: str, value: int) -> None:
    with netns.in_netns(box.netns):
        (CONF / name).write_text(str(value))


def value(box: Box, name: str) -> int:
    with netns.in_netns(box.netns):
        return int((CONF / name).read_text())


def test_a_machine_that_takes_its_own_addresses_is_refused(seoul: Box) -> None:
    put(seoul, "all/accept_local", 1)
    seoul.start(seoul.bundle(example()["seoul"]))
    assert seoul.wait_end() == 1
    assert "net.ipv4.conf.all.accept_local is 1" in seoul.errors()
    assert "gre-seoul" not in seoul.ip("-o link"), "nothing was begun"
    assert value(seoul, "ens3/forwarding") == 0


def strict(data: dict[str, Any]) -> None:
    data["tunnels"]["gre-seoul"]["ends"]["seoul"]["rpf"] = "strict"


def test_one_tunnel_is_strict_and_the_uplink_stays_loose(seoul: Box) -> None:
    put(seoul, "all/rp_filter", 2)
    put(seoul, "ens3/rp_filter", 0)
    bundle = seoul.bundle(example(strict)["seoul"])
    seoul.start(bundle)
    seoul.wait_ready()

    def filters() -> list[int]:
        return [value(seoul, f"{name}/rp_filter") for name in ("all", "ens3", "gre-seoul")]

    assert filters() == [0, 2, 1]
    assert seoul.client.call("apply", bundle=bundle)["changes"] == []
    assert filters() == [0, 2, 1]
    # without it, the machine gets back what it had
    seoul.client.call("apply", bundle=seoul.bundle(example()["seoul"], "loose"))
    assert filters() == [2, 0, 2]
    assert [event for event in seoul.events("recursion") if event["level"] == "error"] == []
    seoul.client.call("stop", purge=True)
    until(lambda: seoul.wait_end() == 0, "stopped")
