"""In the guest: VTIs and XFRM interfaces as the agent makes them, twice, and after each change."""

import json
from pathlib import Path
from typing import Any

from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.system import netns
from bongsu.system.ipsec import interfaces
from bongsu.system.run import run

NAMESPACE = "vpn-interfaces"
CHANGES: dict[str, dict[str, Any]] = {
    "made": {},
    "again": {},
    "mark": {"mark": 0x01020304},
    "mark again": {"mark": 0x01020304},
    "back": {},
}


def main() -> None:
    """Whether each step changed something, and the link as `ip` sees it; printed as JSON."""
    netns.create(NAMESPACE)
    run(["ip", "link", "add", "ens3", "type", "dummy"], netns=NAMESPACE)
    run(["ip", "link", "set", "ens3", "up"], netns=NAMESPACE)
    found: dict[str, list[tuple[str, bool, Any]]] = {}
    for kind, given in json.loads(Path("plans.json").read_text()).items():
        plan = VpnTunnelPlan.model_validate(given)
        for step, update in CHANGES.items():
            with netns.in_netns(NAMESPACE):
                changed = interfaces.build(plan.model_copy(update=update), tun=False)
            shown = run(["ip", "-d", "-j", "link", "show", plan.name], netns=NAMESPACE).stdout
            found.setdefault(kind, []).append((step, changed, json.loads(shown)[0]["linkinfo"]))
        with netns.in_netns(NAMESPACE):
            interfaces.delete(plan.name)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
