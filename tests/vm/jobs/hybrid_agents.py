"""In the guest: the same network, each node run by its agent, as in a lab.

    python -m tests.vm.jobs.hybrid_agents      reads world.json, see tests.vm.hybrid_world

What the agents do with Debian's kernel and the daemons the file names: Libreswan with VTIs at the CPE,
strongSwan with XFRM interfaces at the cloud. Two agents take this processor most of a minute to read.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from bongsu.system.agent_client import SOCKET_NAME, AgentClient, AgentError
from tests.vm.jobs import libreswan
from tests.vm.jobs.hybrid_vpn import build, inside, links, on, packets, states, step, wait

HOME = Path("/run/nodes")
UNSHARE = ("unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc")


def main() -> None:
    """Build, start both, wait until their tunnels carry, ask."""
    world = json.loads(Path("world.json").read_text())
    libreswan.lay_over()
    build(world)
    for node, tree in world["bundles"].items():
        start(node, tree, world["secrets"])
    step("agents are started")
    ready = [run_of(node) / "bongsu" / "ready" for node in world["bundles"]]
    wait("agents are ready", lambda: all(path.exists() for path in ready))
    found: dict[str, Any] = {"ready": step("agents are ready")}
    wait("tunnels carry", lambda: all(carries(ask(node, "vpn")) for node in world["bundles"]))
    found |= {"carried": step("tunnels carry"), **packets()}
    for node in world["bundles"]:
        found[node] = {
            **{question: ask(node, question) for question in ("vpn", "bgp", "status")},
            "links": links(node),
            "states": states(node),
            "routes": on(node, "ip", "route"),
        }
    found["again"] = {node: again(node) for node in world["bundles"]}
    found["seconds"] = step("done")
    print(json.dumps(found))


def run_of(node: str) -> Path:
    return HOME / node / "run"


def start(node: str, tree: dict[str, str], secrets: dict[str, str]) -> None:
    """As bongsu.lab.member starts one."""
    home = HOME / node
    for folder in ("run", "etc", "work"):
        (home / folder).mkdir(parents=True)
    for path, text in tree.items():
        target = home / "run" / "bundle" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    script = "\n".join(
        [
            "set -e",
            f"mount -t overlay etc -o lowerdir=/etc,upperdir={home}/etc,workdir={home}/work /etc",
            "mount -t sysfs sys /sys",
            "mount -t tmpfs -o mode=1777 tmp /var/tmp",
            f"mount --bind {home}/run /run",
            f"exec {shlex.quote(sys.executable)} -m bongsu.agent --bundle /run/bundle",
        ]
    )
    with Path(f"/run/{node}-agent.err").open("wb") as log:
        subprocess.Popen(
            inside(node, *UNSHARE, "sh", "-c", script),
            env={**os.environ, **secrets}, stdout=log, stderr=log,
        )  # fmt: skip


def ask(node: str, question: str) -> dict[str, Any]:
    """The agent's answer; empty while it has none."""
    try:
        return dict(AgentClient(run_of(node) / "bongsu" / SOCKET_NAME, 60).call(question))
    except AgentError:
        return {}


def again(node: str) -> dict[str, Any]:
    """The same bundle once more: what the agent says that it changed, and what stands after."""
    client = AgentClient(run_of(node) / "bongsu" / SOCKET_NAME, 120)
    before = ask(node, "vpn"), ask(node, "bgp")
    report = client.call("apply", bundle="/run/bundle")
    after = ask(node, "vpn"), ask(node, "bgp")
    return {
        "changes": report["changes"],
        "spis": [[sa["spi_in"] for one in vpn["tunnels"] for sa in one["esp"]]
                 for vpn, _ in (before, after)],
        "uptimes": [[one["since_s"] for one in bgp["neighbors"]] for _, bgp in (before, after)],
    }  # fmt: skip


def carries(answer: dict[str, Any]) -> bool:
    tunnels = answer.get("tunnels", [])
    return bool(tunnels) and all(tunnel["state"] == "up" for tunnel in tunnels)


if __name__ == "__main__":
    main()
