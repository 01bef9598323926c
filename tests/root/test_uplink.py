"""The agent's uplink as an agent runs it, and its connection in a network namespace of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bongsu.system import netns
from bongsu.system.management import Place, connect
from bongsu.system.run import run
from tests.tower.world import Node, RunningTower, until

from .agent_box import Box, boxes, cable, example

pytestmark = pytest.mark.root


@pytest.fixture
def management() -> Iterator[str]:
    """A namespace in which only the management network is."""
    name = f"bst-mgmt-{os.getpid()}"
    netns.create(name)
    run(["ip", "link", "set", "lo", "up"], netns=name)
    yield name
    netns.remove(name)


def test_the_connection_lives_in_the_management_namespace(tmp_path: Path, management: str) -> None:
    tower = RunningTower(tmp_path / "tower", netns=management)
    tower.start()
    with pytest.raises(OSError, match="refused"):
        connect("127.0.0.1", tower.node_port, Place())
    home = tower.enrol("seoul", tmp_path / "seoul", Place(management))
    seoul = Node(home)
    seoul.event(1)
    until(lambda: tower.events("seoul"), "nothing arrives")
    sockets = run(["ss", "-Htn", "state", "established"], netns=management).stdout
    assert f":{tower.node_port}" in sockets
    assert f":{tower.node_port}" not in run(["ss", "-Htn", "state", "established"]).stdout
    seoul.stop()
    tower.stop()


def test_held_to_an_interface(tmp_path: Path, management: str) -> None:
    """No other way is taken, though the route leads there."""
    run(["ip", "link", "add", "mgmt0", "type", "veth", "peer", "name", "mgmt1"], netns=management)
    for device in ("mgmt0", "mgmt1"):
        run(["ip", "link", "set", device, "up"], netns=management)
    tower = RunningTower(tmp_path / "tower", netns=management)
    tower.start()
    connect("127.0.0.1", tower.node_port, Place(management, "lo")).close()
    with pytest.raises(OSError, match=r"(?i)unreachable|timed out|no route"):
        connect("127.0.0.1", tower.node_port, Place(management, "mgmt0"))
    with pytest.raises(OSError, match=r"(?i)no such device"):
        connect("127.0.0.1", tower.node_port, Place(management, "nowhere"))
    tower.stop()


def test_an_agent_tells_its_tower(tmp_path: Path) -> None:
    with boxes(tmp_path, "uplink", "far") as (box, far):
        cable(box, "ens3", far, "far")
        box.ip("addr add 203.0.113.10/24 dev ens3")
        box.ip("route add default via 203.0.113.1")
        tower = RunningTower(tmp_path / "tower", netns=box.netns)
        tower.start()
        try:
            tells(tower, box)
        finally:
            tower.stop()


def tells(tower: RunningTower, box: Box) -> None:
    """What an agent does tells its tower, and its tower's death changes nothing."""
    home = tower.enrol("seoul", box.home / "run" / "uplink", Place(box.netns))
    # The agent is in that namespace itself.
    settings = home.settings.read_text().replace(f'"{box.netns}"', "null")
    home.settings.write_text(settings)
    plan = example()["seoul"]
    box.start(box.bundle(plan), "--uplink", "/run/uplink", "--purge")
    box.wait_ready()

    def told() -> set[str]:
        return {row.event.kind for row in tower.events("seoul")}

    # What happened before the tower was spoken to is told as well.
    until(lambda: {"agent", "applied", "uplink"} <= told(), f"only {told()}")
    until(lambda: tower.nodes()["seoul"].plan == plan.digest(), "no state was told")
    assert tower.tower is not None
    snapshot = tower.tower.store.snapshot("seoul", "status")
    assert snapshot is not None
    assert snapshot.document["plan"] == plan.digest()
    names = {each["name"] for each in snapshot.document["tunnels"]}
    assert names == {each.name for each in plan.tunnels} != set()
    subject = min(names)
    now = tower.clock.utc()

    def figures() -> list[object]:
        assert tower.tower is not None
        begin, end = now.replace(hour=0, minute=0), tower.clock.utc()
        return list(
            tower.tower.store.points("seoul", "tunnel", subject, "tx_packets", begin, end, 1.0, end)
        )

    until(lambda: len(figures()) >= 2, "no figures")
    uplink = box.client.call("status")["uplink"]
    assert uplink["state"] == "streaming"
    # The tower dies, the node goes on; what it does meanwhile is told by the agent after it.
    tower.stop()
    box.client.call("apply", bundle=box.bundle(plan, "again"))
    until(lambda: box.client.call("status")["uplink"]["state"] != "streaming", "it did not notice")
    box.terminate()
    assert box.wait_end() == 0
    tower.start()
    # From out here, by the namespace: what a later agent of the box would do.
    home.settings.write_text(settings.replace('"netns": null', f'"netns": "{box.netns}"'))
    last = Node(home)

    def stopped() -> bool:
        rows = [row.event for row in tower.events("seoul") if row.event.kind == "agent"]
        return any(each.cause == "stopped" for each in rows)

    until(stopped, "the agent's end was not told")
    applied = [row for row in tower.events("seoul") if row.event.kind == "applied"]
    assert len(applied) == 2
    last.stop()
