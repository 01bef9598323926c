"""Every rendered file of every network is accepted by the daemon that reads it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bongsu.plan.node import NodePlan
from bongsu.render import render_node
from bongsu.render.bird import SECRETS_PATH, secret_constants
from bongsu.system import netns
from bongsu.system.run import run
from tests.golden.networks import NETWORKS, plans

pytestmark = pytest.mark.root

NAMESPACE = "bst-render-parsers"
BIRD, NETPLAN = "/etc/bird/bird.conf", "/etc/netplan/60-bongsu.yaml"
ALL = {
    f"{network}-{node}": plan
    for network in NETWORKS
    for node, plan in plans(network).items()
    if plan.platform == "linux"
}
NODES = [pytest.param(plan, id=name) for name, plan in ALL.items()]


def with_file(path: str) -> list[Any]:
    """The nodes that are given that file, at least one."""
    found = [pytest.param(p, id=name) for name, p in ALL.items() if path in render_node(p)]
    assert found, path
    return found


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    netns.remove(NAMESPACE)
    netns.create(NAMESPACE)
    yield NAMESPACE
    netns.remove(NAMESPACE)


@pytest.mark.parametrize("plan", with_file(BIRD))
def test_bird(plan: NodePlan, tmp_path: Path) -> None:
    secrets, config = tmp_path / "secrets.conf", tmp_path / "bird.conf"
    secrets.write_text("".join(f'define {name} = "x y";\n' for name in secret_constants(plan)))
    text = render_node(plan)[BIRD]
    config.write_text(text.replace(SECRETS_PATH, str(secrets)))
    run(["bird", "-p", "-c", str(config)])


@pytest.mark.parametrize("plan", NODES)
def test_nft(plan: NodePlan, namespace: str, tmp_path: Path) -> None:
    rules = tmp_path / "rules.nft"
    rules.write_text(render_node(plan)["/etc/nftables.d/60-bongsu.nft"])
    run(["nft", "-c", "-f", str(rules)], netns=namespace)
    # Its dry run does not reach the kernel's own checks of set elements; loading it does.
    run(["nft", "-f", str(rules)], netns=namespace)


@pytest.mark.parametrize("plan", with_file(NETPLAN))
def test_netplan(plan: NodePlan, tmp_path: Path) -> None:
    config = tmp_path / "etc/netplan/60-bongsu.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(render_node(plan)[NETPLAN])
    config.chmod(0o600)
    done = run(["netplan", "generate", "--root-dir", str(tmp_path)])
    assert done.stderr == ""
    made = {path.name for path in (tmp_path / "run/systemd/network").iterdir()}
    for tunnel in plan.tunnels:
        assert f"10-netplan-{tunnel.name}.netdev" in made


@pytest.mark.parametrize("plan", NODES)
def test_sysctl(plan: NodePlan, namespace: str) -> None:
    """Keys of all interfaces exist in this kernel; those of one, with `default` in its place."""
    text = render_node(plan)["/etc/sysctl.d/60-bongsu.conf"]
    settings = [line for line in text.splitlines() if line and line[0] != "#"]
    for line in settings:
        match = re.fullmatch(r"(-?)([A-Za-z0-9_./-]+) = (\d+)", line)
        assert match, line
        if not match[1]:
            key = re.sub(r"/conf/(?!all/)[^/]+/", "/conf/default/", match[2])
            run(["sysctl", "-n", key], netns=namespace)
