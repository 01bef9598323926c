"""In the guest: a VPN to a cloud by the daemons that the file names, on the files that bongsu renders.

    python -m tests.vm.jobs.hybrid_vpn      reads world.json, see tests.vm.hybrid_world

The CPE is Libreswan with VTIs and FRR behind a 1:1 NAT, the cloud strongSwan with XFRM interfaces and FRR.
No agent runs here (one takes this processor as long as all the rest): what it does is done step by step,
with the same files, filters and settings. Writes what Libreswan, strongSwan, FRR, the kernel and a capture
have seen, JSON. Uses the standard library alone, to start soon.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.vm.jobs import libreswan

BEGAN = time.monotonic()
CPE, CLOUD = "cpe", "seoul"
PATTERN = "626f6e677375"
WIRE = Path("/run/wire.pcap")
PATIENCE_S = 150.0
WHACK = str(libreswan.PROGRAMS / "whack")


def main() -> None:
    """Build, start, wait, ask, say."""
    world = json.loads(Path("world.json").read_text())
    libreswan.lay_over()
    build(world)
    step("the network stands")
    for node, files in world["files"].items():
        place(node, files)
    step("files are placed")
    interfaces(world["tunnels"][CLOUD])
    start()
    step("daemons are started")
    found: dict[str, Any] = {"times": {}}
    for what, holds in WAITED.items():
        wait(what, holds)
        found["times"][what] = step(what)
    for tunnel in world["tunnels"][CPE]:
        on(CPE, "ip", "link", "set", tunnel["name"], "mtu", str(tunnel["mtu"]))
    found |= packets()
    found |= {
        "pluto": said(WHACK, "--trafficstatus"),
        "pluto_status": said(WHACK, "--status"),
        "verify": verify(),
        "plugins": re.findall(r"loaded plugins: (.*)", Path(f"/run/{CLOUD}-ike.err").read_text()),
        "charon": said("swanctl", "--list-sas"),
        "bgp": {node: summary(node) for node in (CPE, CLOUD)},
        "links": {node: links(node) for node in (CPE, CLOUD)},
        "states": {node: states(node) for node in (CPE, CLOUD)},
        "nat": on("_nat0", "nft", "list", "table", "ip", "bongsu_nat"),
        "dropped": {node: on(node, "nft", "list", "counters", "table", "inet", "bongsu")
                    for node in (CPE, CLOUD)},
        "settings": {
            key: on(CPE, "cat", f"/proc/sys/net/ipv4/{key}").strip()
            for key in ("ip_forward", "conf/all/send_redirects", "conf/vti1/rp_filter",
                        "conf/all/rp_filter", "conf/vti1/disable_policy")
        },
    }  # fmt: skip
    found["seconds"] = step("done")
    print(json.dumps(found))


def step(what: str) -> float:
    """Seconds since the start; told on standard error, for the case that nothing else comes."""
    now = round(time.monotonic() - BEGAN, 1)
    print(f"{now} s: {what}", file=sys.stderr, flush=True)
    return now


def run(*argv: str, text: str | None = None, check: bool = True) -> str:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60)
    if check and done.returncode:
        raise SystemExit(f"{argv}\n{done.stdout}{done.stderr}")
    return done.stdout


def said(*argv: str) -> str:
    return run(*argv, check=False)


def inside(member: str, *argv: str) -> list[str]:
    """That command, in a member's network."""
    return ["nsenter", f"--net=/run/netns/{member}", *argv]


def on(member: str, *argv: str, text: str | None = None) -> str:
    return run(*inside(member, *argv), text=text, check=False)


def build(world: dict[str, Any]) -> None:
    """Each command is a process, and those are dear here: one `ip` for all lines of a member."""
    run("ip", "-batch", "-", text="\n".join(f"netns add {one}" for one in world["members"]))
    # First: what is made later has the defaults.
    text = "".join(f"net.ipv4.{key.replace('/', '.')}={value}\n"
                   for key, value in world["forward"].items())  # fmt: skip
    for member in world["forwards"]:
        run(*inside(member, "sysctl", "-q", "-p", "-"), text=text)
    run("ip", "-batch", "-", text="\n".join(world["links"]))
    for member, lines in world["lines"].items():
        # Ports of a bridge can be named before there is one.
        lines = sorted(lines, key=lambda line: not line.startswith("link add br0"))
        run(*inside(member, "ip", "-batch", "-"), text="\n".join(lines))
    for member, rules in world["nft"].items():
        run(*inside(member, "nft", "-f", "-"), text=rules)


def place(node: str, files: dict[str, str]) -> None:
    """The bundle's files where the daemons look; FRR's in a folder of the node's, for there are two."""
    for path, text in files.items():
        target = Path(path.replace("/etc/frr/", f"/etc/frr/{node}/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(mode=0o600)
        target.write_text(text)
        if path.startswith("/etc/nftables.d/"):
            run(*inside(node, "nft", "-f", str(target)))
        if path.startswith("/etc/sysctl.d/"):
            # Settings of interfaces that are made later are the agent's business, and set below.
            on(node, "sysctl", "-q", "-p", str(target))


def interfaces(tunnels: list[dict[str, Any]]) -> None:
    """The cloud's XFRM interfaces. The CPE's VTIs are made by Libreswan itself, as the file asks it."""
    lines = []
    for one in tunnels:
        device = f"type xfrm dev {one['underlay']} if_id {one['mark']}"
        lines.append(f"link add {one['name']} {device}")
        lines.append(f"addr add {one['inside']} dev {one['name']}")
        lines.append(f"link set {one['name']} mtu {one['mtu']} up")
    run(*inside(CLOUD, "ip", "-batch", "-"), text="\n".join(lines))


def start() -> None:
    """Both IKE daemons, and FRR at both ends."""
    Path("/run/pluto").mkdir()
    for node, argv in (
        (CLOUD, ["charon-systemd"]),
        (CPE, [str(libreswan.PROGRAMS / "pluto"), "--nofork", "--config", "/etc/ipsec.conf",
               "--logfile", "/run/pluto.log"]),
    ):  # fmt: skip
        with Path(f"/run/{node}-ike.err").open("wb") as log:
            subprocess.Popen(inside(node, *argv), stdout=log, stderr=log)
        if node == CLOUD:
            # It answers before anybody calls.
            wait("strongSwan", Path("/run/charon.vici").exists)
            run("swanctl", "--load-all", "--noprompt")
    for node in (CLOUD, CPE):
        # FRR's own user reads its files: /etc/frr/NODE and /run/frr/NODE are its pathspace.
        for folder in (Path("/etc/frr") / node, Path("/run/frr") / node):
            folder.mkdir(parents=True, exist_ok=True)
            for path in (folder.parent, folder, *folder.iterdir()):
                shutil.chown(path, "frr", "frr")
        config = f"/etc/frr/{node}/frr.conf"
        for daemon in ("zebra", "bgpd"):
            argv = [f"/usr/lib/frr/{daemon}", "-d", "-N", node, "-A", "127.0.0.1", "-f", config]
            run(*inside(node, *argv))


def wait(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            logs = "".join(
                f"--- {log}\n{log.read_text(errors='replace')[-2500:]}\n"
                for log in sorted(Path("/run").glob("*.log")) + sorted(Path("/run").glob("*.err"))
            )
            raise SystemExit(f"not within {PATIENCE_S:g} s: {what}\n{logs}")
        time.sleep(0.3)


def summary(node: str) -> dict[str, Any]:
    """FRR's sessions, by address."""
    asked = "show bgp ipv4 unicast summary json"
    text = said("vtysh", "-N", node, "-c", asked)
    return dict(json.loads(text).get("peers", {})) if text.startswith("{") else {}


WAITED: dict[str, Callable[[], bool]] = {
    "two ESP associations at Libreswan":
        lambda: said(WHACK, "--trafficstatus").count("type=ESP") == 2,
    "two BGP sessions, each with its prefixes":
        lambda: [peer["pfxRcd"] for peer in summary(CPE).values()
                 if peer["state"] == "Established"] == [2, 2],
    "the cloud's route back": lambda: "10.0.0.0/16" in on(CLOUD, "ip", "route"),
}  # fmt: skip


def packets() -> dict[str, Any]:
    """Pings both ways, and what of them the site's provider sees."""
    argv = (
        "tcpdump",
        "-n",
        "-U",
        "--immediate-mode",
        "-i",
        "to-cpe",
        "-w",
        str(WIRE),
        "not",
        "arp",
    )
    capture = subprocess.Popen(
        inside("isp", *argv), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert capture.stderr is not None
    capture.stderr.readline()
    ping = ("ping", "-n", "-c", "5", "-i", "0.2", "-W", "3", "-p", PATTERN)
    pings = {
        source: on(source, *ping, target)
        for source, target in (("vm-onprem", "172.16.0.93"), ("vm-cloud", "10.0.85.10"))
    }
    # It is written by a program that has to wait for its turn as everybody here.
    size = -1
    while size != WIRE.stat().st_size:
        size = WIRE.stat().st_size
        time.sleep(1.5)
    capture.terminate()
    capture.wait()
    lines = run("tcpdump", "-n", "-r", str(WIRE)).splitlines()
    return {
        "pings": pings,
        "wire": [re.sub(r"^\S+ ", "", line) for line in lines if " IP " in line],
        "clear": bytes.fromhex(PATTERN) * 4 in WIRE.read_bytes(),
    }


def verify() -> str:
    """Libreswan's own look at the machine."""
    return on(CPE, str(libreswan.FRONT), "verify")


def links(node: str) -> dict[str, dict[str, Any]]:
    """The tunnels' interfaces, as the kernel has them."""
    found = json.loads(on(node, "ip", "-j", "-d", "link"))
    return {
        one["ifname"]: {"mtu": one["mtu"], **one["linkinfo"]}
        for one in found
        if one.get("linkinfo", {}).get("info_kind") in ("vti", "xfrm")
        and not one["ifname"].startswith("ip_vti")
    }


def states(node: str) -> list[dict[str, Any]]:
    """The kernel's ESP states: from where to where, in what they are wrapped; no key of them."""
    entries = re.split(r"^(?=src )", on(node, "ip", "-s", "xfrm", "state"), flags=re.MULTILINE)
    return [
        {
            "from": entry.split()[1],
            "to": entry.split()[3],
            "espinudp": "encap type espinudp sport 4500 dport 4500" in entry,
            "gcm": "rfc4106(gcm(aes))" in entry,
            "packets": int((re.findall(r"\(bytes\), (\d+)\(packets\)", entry) or ["0"])[-1]),
        }
        for entry in entries
        if "proto esp" in entry
    ]


if __name__ == "__main__":
    main()
