"""Starting what lives in a lab: AS routers (BIRD) and nodes (the production agent).

A node is a set of namespaces: network, mount, PID, UTS. Inside, /run and /var/tmp are the node's own,
/etc is an overlay whose upper layer is the node's own, and the agent is process 1: the same program,
applying the same bundle to the same paths as on a real box.
"""

import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bongsu.lab.blueprint import Router, Topology
from bongsu.lab.internet import router_config
from bongsu.lab.state import LabPaths
from bongsu.render.bundle import Bundle
from bongsu.system import netns
from bongsu.system.run import Process, kill_exact, spawn, start_time

AGENT_BUNDLE = "bongsu/bundle"
"""Where a node finds its bundle under its /run."""
MAX_ROUNDS = 5
"""Looks for processes to end; a supervisor starts its daemon again once at most, then dies itself."""

UNSHARE = (
    *("unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"),
    # slave: a lab removed outside gives its namespaces up here as well
    *("--propagation", "slave"),
)


def start_router(
    router: Router, topology: Topology, paths: LabPaths, secrets: Mapping[str, str]
) -> Process:
    """Write the router's configuration (0600: it holds lab passwords) and start BIRD on it."""
    config = paths.router(router.name, "conf")
    config.parent.mkdir(parents=True, exist_ok=True)
    config.touch(mode=0o600)
    vantage = topology.vantages.get(router.name)
    config.write_text(router_config(router, secrets, topology.families, vantage))
    with paths.router(router.name, "log").open("wb") as log:
        return spawn(
            ["bird", "-f", "-c", str(config), "-s", str(paths.router(router.name, "ctl"))],
            netns=paths.netns(router.name),
            stderr=log,
            stdout=log,
            hint="scripts/install-debian.sh installs BIRD",
        )


def write_bundle(bundle: Bundle, node: str, paths: LabPaths) -> None:
    """Lay the node's bundle where its agent will look for it."""
    root = paths.node(node) / "run" / AGENT_BUNDLE
    for relative, text in bundle.to_tree().items():
        target = root / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def start_node(node: str, paths: LabPaths, secrets: Mapping[str, str]) -> Process:
    """Start the node's namespaces and, in them, the agent as process 1."""
    home = paths.node(node)
    for directory in ("run", "etc", "work"):
        (home / directory).mkdir(parents=True, exist_ok=True)
    # The order matters: /run comes last, since the lab's own directory is under it.
    script = "\n".join(
        [
            "set -e",
            f"echo {shlex.quote(node)} > /proc/sys/kernel/hostname",
            "mount -t overlay bongsu-lab -o "
            f"lowerdir=/etc,upperdir={home}/etc,workdir={home}/work /etc",
            "mount -t sysfs bongsu-lab /sys",
            # FRR's daemons each want a folder there named after their pid, which is another node's too.
            "mount -t tmpfs -o mode=1777 bongsu-lab /var/tmp",
            f"mount --bind {home}/run /run",
            f"exec {shlex.quote(sys.executable)} -m bongsu.agent --bundle /run/{AGENT_BUNDLE}",
        ]
    )
    with (home / "agent.log").open("ab") as log:
        return spawn(
            [*UNSHARE, "sh", "-c", script],
            netns=paths.netns(node),
            env=dict(secrets),
            stdout=log,
            stderr=log,
        )


@dataclass(frozen=True)
class Inhabitant:
    """A process that lives in one of the lab's network namespaces."""

    pid: int
    started: int
    name: str
    netns: str


def inhabitants(namespaces: Iterable[str]) -> list[Inhabitant]:
    """Every process in these namespaces, by one look through /proc."""
    inodes = {netns.path(name).stat().st_ino: name for name in namespaces if netns.exists(name)}
    found: list[Inhabitant] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            name = inodes.get((entry / "ns" / "net").stat().st_ino)
            if name is None:
                continue
            comm = (entry / "comm").read_text().strip()
        except OSError:
            continue  # it has ended meanwhile
        started = start_time(int(entry.name))
        if started is not None:
            found.append(Inhabitant(int(entry.name), started, comm, name))
    return found


def runs_agent(item: Inhabitant) -> bool:
    """Whether it is the node's agent, or what has started it; not one of its daemons."""
    try:
        return b"bongsu.agent" in Path(f"/proc/{item.pid}/cmdline").read_bytes()
    except OSError:
        return False  # it has ended meanwhile


def end_inhabitants(namespaces: Iterable[str], grace_s: float) -> int:
    """End every process that lives in these namespaces of ours; how many there were.

    It looks again until nobody is left: a supervisor may have started one more in between.
    """
    wanted = list(namespaces)
    ended = 0
    for _ in range(MAX_ROUNDS):
        found = inhabitants(wanted)
        if not found:
            break
        for item in found:
            ended += kill_exact(item.pid, item.started, grace_s)
    return ended
