"""A machine for an agent: its own network, mount and PID namespaces, /run and /etc of its own.

The agent runs as it does in production; the test speaks to it over its control socket, which is
reached through the box's own directory from outside.
"""

import contextlib
import itertools
import json
import os
import select
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bongsu.intent.loader import load_text
from bongsu.model.network import Network
from bongsu.plan.compile import compile_network
from bongsu.plan.node import NodePlan
from bongsu.render.bundle import Bundle, make_bundle
from bongsu.system import netns
from bongsu.system.agent_client import AgentClient, AgentError
from bongsu.system.run import Process, run, spawn

EXAMPLE = Path(__file__).parents[2] / "examples" / "anycast.yaml"
PASSWORD = "only-for-this-test"
START_WITHIN_S = 60

_numbers = itertools.count(1)


def example(change: Callable[[dict[str, Any]], None] | None = None) -> dict[str, NodePlan]:
    """Plans of the anycast example, after `change` of its plain data."""
    loaded = load_text(EXAMPLE.read_text(), str(EXAMPLE))
    data = loaded.network.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    data["version"] = 1
    if change is not None:
        change(data)
    return compile_network(Network.model_validate(data))


def write_tree(bundle: Bundle, directory: Path) -> None:
    for relative, text in bundle.to_tree().items():
        path = directory / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class Box:
    """One machine. Its network namespace exists from the start; processes come with `start`."""

    def __init__(self, name: str, home: Path) -> None:
        self.netns = f"bst-agent-{os.getpid()}-{next(_numbers)}-{name}"
        self.home = home
        for directory in ("run", "etc", "work"):
            (home / directory).mkdir(parents=True)
        netns.create(self.netns)
        self.ip("link set lo up")
        self.process: Process | None = None
        self._ready = -1
        self.client = AgentClient(home / "run" / "bongsu" / "agent.sock")

    def ip(self, command: str) -> str:
        return run(["ip", *command.split()], netns=self.netns).stdout

    def text(self, *argv: str) -> str:
        return run(argv, netns=self.netns, check=False).stdout

    def bundle(self, plan: NodePlan, name: str = "bundle") -> str:
        """Lay a bundle into the box; its path in there."""
        write_tree(make_bundle(plan), self.home / "run" / name)
        return f"/run/{name}"

    def start(
        self,
        bundle: str,
        *arguments: str,
        pid_namespace: bool = True,
        program: Sequence[str] = ("-m", "bongsu.agent"),
    ) -> None:
        """Start the agent, as PID 1 unless told otherwise; `program` is Python's to run."""
        read, write = os.pipe()
        agent = [sys.executable, *program, "--bundle", bundle, *arguments]
        script = "\n".join(
            [
                "set -e",
                f"mount -t overlay o -o lowerdir=/etc,upperdir={self.home}/etc,"
                f"workdir={self.home}/work /etc",
                "mount -t sysfs s /sys",
                f"mount --bind {self.home}/run /run",
                f"exec {shlex.join(agent)} --ready-fd {write}",
            ]
        )
        own = ["--pid", "--fork", "--kill-child", "--mount-proc"] if pid_namespace else []
        with (self.home / "agent.err").open("ab") as log:
            self.process = spawn(
                ["unshare", "--mount", "--propagation", "slave", *own, "sh", "-c", script],
                netns=self.netns,
                env={"SEOUL_BGP_PASSWORD": PASSWORD, "TOKYO_BGP_PASSWORD": PASSWORD},
                stderr=log,
                pass_fds=(write,),
            )
        os.close(write)
        if self._ready >= 0:
            os.close(self._ready)
        self._ready = read

    def wait_ready(self) -> None:
        """Until the agent says so. AssertionError with its words if it ends instead."""
        found, _, _ = select.select([self._ready], [], [], START_WITHIN_S)
        assert found, self.errors()
        assert os.read(self._ready, 64) == b"ready\n", self.errors()

    def wait_end(self) -> int:
        assert self.process is not None
        return self.process.wait(START_WITHIN_S)

    def errors(self) -> str:
        return (self.home / "agent.err").read_text()

    def terminate(self) -> None:
        """SIGTERM to the agent itself, as an init system does."""
        os.kill(self.agent_pid(), signal.SIGTERM)

    def agent_pid(self) -> int:
        """The agent's pid out here: its status gives the pid it sees itself."""
        return self.outside(self.client.call("status")["pid"])

    def outside(self, inner: int) -> int:
        """The pid out here of a process of the box."""
        for pid in self.processes():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("NSpid:") and int(line.split()[-1]) == inner:
                    return pid
        raise AssertionError(f"no process {inner} in {self.netns}")

    def processes(self) -> list[int]:
        """Every process in the box's network namespace."""
        inode = netns.path(self.netns).stat().st_ino
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if (entry / "ns" / "net").stat().st_ino == inode:
                        found.append(int(entry.name))
        return found

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.client.call("events", limit=2000) if event["kind"] == kind]

    def state(self, name: str) -> Any:
        return json.loads((self.home / "run" / "bongsu" / name).read_text())

    def close(self) -> None:
        # An agent that is still there starts what was killed before it once more.
        while found := self.processes():
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.process is not None and self.process.pid in found:
                self.process.wait(10)
            time.sleep(0.01)
        if self.process is not None:
            self.process.wait(10)
        if self._ready >= 0:
            os.close(self._ready)
        netns.remove(self.netns)


@contextlib.contextmanager
def boxes(home: Path, *names: str) -> Iterator[list[Box]]:
    """Machines that are gone afterwards, whatever happened."""
    made: list[Box] = []
    try:
        for name in names:
            made.append(Box(name, home / name))
        yield made
    finally:
        for box in made:
            box.close()


def cable(a: Box, a_name: str, b: Box, b_name: str) -> None:
    """A veth between two boxes, both ends up."""
    a.ip(f"link add {a_name} type veth peer name {b_name} netns {b.netns}")
    a.ip(f"link set {a_name} up")
    b.ip(f"link set {b_name} up")


def until(what: Callable[[], Any], why: str, within_s: float = 30) -> Any:
    """Look until it is so; its value."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            if value := what():
                return value
        except (AgentError, OSError):
            pass
        assert time.monotonic() < deadline, why
        time.sleep(0.02)
