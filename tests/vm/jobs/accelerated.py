"""In the guest: two strongSwans on XFRM that know nothing of it, and an accelerator between them.

    python -m tests.vm.jobs.accelerated      reads world.json, see tests.vm.test_accelerated

First the BPF plane at three PoPs: keys are made anew, and the path is led by the third PoP. Then the
kernel's NAT at two of them. No agent runs here (it takes this processor as long as all the rest).
Writes what the daemons, the kernel and the relays say.
"""

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from tests.vm.jobs.hybrid_vpn import inside, on, run, states, step, wait
from tests.vm.jobs.policies import start, swanctl

GATEWAY, CLOUD = "gw-shanghai", "seoul"
ENTRY, TRANSIT, EGRESS = "pop-shanghai", "pop-tokyo", "pop-seoul"
POPS = (ENTRY, TRANSIT, EGRESS)
RECORDS = 64
TUNNEL = "ga1"


def main() -> None:
    """Build, start, wait, ask, say."""
    world = json.loads(Path("world.json").read_text())
    build(world)
    start(CLOUD, world["daemons"][CLOUD])
    step("the far gateway waits")
    relay = Relay(world)
    step("the programs stand")
    relay.start(POPS, relay.bpf)
    step("the relay carries")
    start(GATEWAY, world["daemons"][GATEWAY])
    found: dict[str, Any] = {}
    wait("both tunnels", lambda: installed() == 2)
    found["up"] = asked() | {"relay": relay.told()}
    step("both tunnels")

    before = spis(CLOUD), keys()
    swanctl(GATEWAY, "--rekey", "--child", TUNNEL)
    wait("other ESP keys", lambda: len(keys()) == 2 and not keys() & before[1])
    # the far end begins: its packets have to find the way back
    swanctl(CLOUD, "--rekey", "--ike", TUNNEL)
    wait("other IKE keys", lambda: len(spis(CLOUD)) == 2 and not {*spis(CLOUD)} & {*before[0]})
    wait("the same at the near end", lambda: spis(GATEWAY) == spis(CLOUD))
    found["rekeyed"] = asked() | {"ike": [before[0], spis(CLOUD)]}
    step("keys are new")

    before = spis(CLOUD), keys()
    relay.lead(TRANSIT)
    found["through"] = asked() | {
        "ike": [before[0], spis(CLOUD)],
        "esp": [sorted(before[1]), sorted(keys())],
        "transit": relay.transit(),
    }
    step("through the third PoP")

    relay.end()
    relay.start((ENTRY, EGRESS), relay.kernel)
    step("the kernel's NAT carries")
    old = spis(CLOUD)
    swanctl(GATEWAY, "--terminate", "--ike", TUNNEL, "--timeout", "20")
    swanctl(GATEWAY, "--initiate", "--child", TUNNEL, "--timeout", "40")
    wait("a new association", lambda: len(spis(CLOUD)) == 2 and not {*spis(CLOUD)} & {*old})
    found["kernel"] = asked() | {"relay": relay.told()}
    relay.end()
    found["left"] = {pop: on(pop, "nft", "list", "tables") for pop in (ENTRY, EGRESS)}
    found["seconds"] = step("done")
    print("\n" + json.dumps(found))


class Relay:
    """The PoPs' planes. Imported late: the daemons start meanwhile."""

    def __init__(self, world: dict[str, Any]) -> None:
        from bongsu.plan.relay import RelayPlan
        from bongsu.system.relay import KernelRelay, RelayPlane

        self.bpf: Callable[[], Any] = partial(RelayPlane.open, records=RECORDS)
        self.kernel: Callable[[], Any] = KernelRelay.open
        self.plans = {pop: RelayPlan.model_validate(world["relays"][pop]) for pop in POPS}
        self.key = world["key"].encode()
        self.planes: dict[str, Any] = {}

    def at(self, pop: str, act: Callable[[], Any]) -> Any:
        from bongsu.system import netns

        with netns.in_netns(pop):
            return act()

    def start(self, pops: Sequence[str], opened: Callable[[], Any]) -> None:
        """A plane at each of these PoPs, and all endpoints alive."""
        from bongsu.system.relay import LiveEndpoint

        # the verifier takes its time here, and there are two processors
        with ThreadPoolExecutor(len(pops)) as pool:
            planes = pool.map(lambda pop: self.at(pop, opened), pops)
            self.planes = dict(zip(pops, planes, strict=True))
        for pop, plane in self.planes.items():
            self.at(pop, partial(plane.apply, self.plans[pop], self.key))
        for each in self.plans[EGRESS].accelerators:
            for listener in each.listeners:
                live = [
                    LiveEndpoint(e.name, ip_address(str(e.address))) for e in listener.endpoints
                ]
                act = partial(self.planes[EGRESS].set_endpoints, each.number, listener.name, live)
                self.at(EGRESS, act)

    def lead(self, hop: str) -> None:
        """Both ways by that PoP."""
        numbers = {pop: plan.number for pop, plan in self.plans.items()}
        for pop, other in ((ENTRY, EGRESS), (EGRESS, ENTRY)):
            self.at(pop, partial(self.planes[pop].set_path, numbers[other], numbers[hop]))

    def transit(self) -> int:
        """Packets that the third PoP has carried on."""
        return int(self.at(TRANSIT, self.planes[TRANSIT].stray).transit)

    def told(self) -> dict[str, Any]:
        """Sessions and drops of each PoP."""
        from bongsu.system.relay import layout

        found = {}
        for pop, plane in self.planes.items():
            sessions = self.at(pop, plane.sessions)
            found[pop] = {
                "backend": plane.name,
                "sessions": [
                    {
                        "accelerator": str(each["accelerator"]),
                        "client": str(layout.address(each["client"])),
                        "address": str(layout.address(each["address"])),
                        "port": int(each["port"]),
                        "off": str(layout.address(each["off"])),
                        "endpoint": str(layout.address(each["endpoint"])),
                        "proved": bool(each["proved"]),
                        "esp": bool(each["esp"]),
                    }
                    for each in sessions
                ],
                "spis": len(self.at(pop, plane.spis)),
                "drops": {
                    name: [counted.up.drops, counted.down.drops]
                    for name, counted in self.at(pop, plane.counters).items()
                },
            }
        return found

    def end(self) -> None:
        for pop, plane in self.planes.items():
            self.at(pop, plane.close)
        self.planes.clear()


def build(world: dict[str, Any]) -> None:
    """The network: one router, to which all have a link; filters and settings as rendered."""
    run("ip", "-batch", "-", text="\n".join(f"netns add {one}" for one in world["lines"]))
    for member in world["routers"]:
        text = "net.ipv4.ip_forward=1\nnet.ipv4.conf.all.rp_filter=0\nnet.ipv4.conf.default.rp_filter=0\n"
        run(*inside(member, "sysctl", "-q", "-p", "-"), text=text)
    run("ip", "-batch", "-", text="\n".join(world["links"]))
    for member, lines in world["lines"].items():
        run(*inside(member, "ip", "-batch", "-"), text="\n".join(lines))
    for pop, files in world["files"].items():
        run(*inside(pop, "nft", "-f", "-"), text=files["filter"])
        run(*inside(pop, "sysctl", "-q", "-p", "-"), text=files["settings"])
    step("the network stands")


def installed() -> int:
    """Tunnels of the near gateway that have ESP."""
    text = swanctl(GATEWAY, "--list-sas")
    return len(set(re.findall(r"^  (\S+): #\d+, reqid \d+, INSTALLED", text, re.M)))


def spis(node: str) -> list[str]:
    """The IKE SA's two, of one tunnel; another negotiation has others."""
    text = swanctl(node, "--list-sas", "--ike", TUNNEL)
    return re.findall(r"([0-9a-f]{16})_[ir]", text)


def keys() -> set[str]:
    """ESP SPIs of one tunnel that are installed at the near gateway."""
    text = swanctl(GATEWAY, "--list-sas", "--ike", TUNNEL)
    return set(re.findall(r"(?:in|out)\s+([0-9a-f]{8})", text))


def asked() -> dict[str, Any]:
    """What the daemons, the kernel and the hosts say now."""
    ping = ("ping", "-n", "-c", "4", "-i", "0.2", "-W", "4")
    return {
        "near": swanctl(GATEWAY, "--list-sas"),
        "far": swanctl(CLOUD, "--list-sas"),
        "states": {node: states(node) for node in (GATEWAY, CLOUD)},
        "pings": [
            on("vm-shanghai", *ping, "172.31.0.93"),
            on("vm-seoul", *ping, "10.20.0.10"),
        ],
    }


if __name__ == "__main__":
    main()
