"""In the guest: two tunnels by policy with the same selectors, by two strongSwans and the kernel's XFRM.

    python -m tests.vm.jobs.policies      reads policies.json, see tests.vm.test_policies

Which tunnel carries is asked of the kernel's counters: at first, after the standby's keys are new, with the
first headend silent, and with it back. Then the site's filter is asked what it has counted of packets that
must not pass. Uses the standard library alone, to start soon.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.vm.jobs.hybrid_vpn import inside, on, run, said, step, wait

SITE, FAR = "site", "far"
DEAF = """
table ip deaf {
  chain hears { type filter hook input priority -300; ip daddr HEADEND drop; }
}
"""
FORGED = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
    head = bytes([69, 0, 0, 28, 0, 7, 0, 0, 64, 17, 0, 0])
    ends = socket.inet_aton("SOURCE") + socket.inet_aton("DESTINATION")
    raw.sendto(head + ends + bytes([192, 0, 0, 53, 0, 8, 0, 0]), ("DESTINATION", 0))
"""
"""A datagram with another's source."""


def main() -> None:
    """Build, start, wait; break and mend; say who carried, and what was dropped."""
    given = json.loads(Path("policies.json").read_text())
    run("ip", "-batch", "-", text="\n".join(given["links"]))
    for node, lines in given["lines"].items():
        run(*inside(node, "ip", "-batch", "-"), text="\n".join(lines))
    run(*inside(SITE, "nft", "-f", "-"), text=given["filter"])
    on(SITE, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    for node in (FAR, SITE):
        start(node, given["nodes"][node])
    first = given["headends"][0]
    found: dict[str, Any] = {}
    wait("two tunnels", lambda: installed() == 2)
    wait("a way through", lambda: reaches(given))
    found["priorities"] = priorities()
    found["at first"] = used(given)
    swanctl(SITE, "--rekey", "--child", given["standby"])
    wait("new keys of the standby", lambda: installed() == 2)
    time.sleep(2)
    found["standby rekeyed"] = used(given)
    run(*inside(FAR, "nft", "-f", "-"), text=DEAF.replace("HEADEND", first))
    wait("the other tunnel", lambda: reaches(given))
    found["first headend silent"] = used(given)
    on(FAR, "nft", "delete", "table", "ip", "deaf")
    wait("two tunnels again", lambda: installed() == 2)
    wait("the first headend carries", lambda: used(given) == [first])
    found["mended"] = used(given)
    found["dropped"] = dropped(given)
    step("done")
    print(json.dumps(found))


def start(node: str, texts: dict[str, str]) -> None:
    """A charon with files of its own, and its connections."""
    settings, connections = Path(f"/run/{node}.conf"), Path(f"/run/{node}.swanctl")
    settings.write_text(texts["settings"])
    connections.write_text(texts["connections"])
    with Path(f"/run/{node}-ike.err").open("wb") as log:
        subprocess.Popen(
            inside(node, "env", f"STRONGSWAN_CONF={settings}", "charon-systemd"),
            stdout=log, stderr=log,
        )  # fmt: skip
    wait(f"strongSwan of {node}", Path(f"/run/{node}.vici").exists)
    swanctl(node, "--load-all", "--noprompt", "--file", str(connections))


def swanctl(node: str, *words: str) -> str:
    return said("env", f"STRONGSWAN_CONF=/run/{node}.conf", "swanctl", *words,
                "--uri", f"unix:///run/{node}.vici")  # fmt: skip


def installed() -> int:
    """Tunnels of the site that have ESP."""
    text = swanctl(SITE, "--list-sas")
    return len(set(re.findall(r"^  (\S+): #\d+, reqid \d+, INSTALLED", text, re.M)))


def reaches(given: dict[str, Any]) -> bool:
    text = on(SITE, "ping", "-n", "-c", "1", "-W", "2", "-I", given["here"], given["there"])
    return " 1 received" in text


def used(given: dict[str, Any]) -> list[str]:
    """The far ends that packets of now were encrypted for, or came from."""
    before = packets()
    assert reaches(given), "no way through"
    after = packets()
    return sorted({end for (end, spi), count in after.items() if count > before.get((end, spi), 0)})


def dropped(given: dict[str, Any]) -> dict[str, list[str]]:
    """Counters of the site's filter that rise, by what was sent to it."""
    host, guest, here, there = (given[key] for key in ("host", "guest", "here", "there"))
    forged = FORGED.replace("SOURCE", host).replace("DESTINATION", guest)
    ping = ("ping", "-n", "-c", "1", "-W", "1", "-I", there)
    connect = f"import socket as s; s.create_connection(({here!r}, 22), 1, ({there!r}, 0))"
    on(FAR, "ip", "route", "add", guest, "via", "192.0.2.1")
    found = {
        "forged by the uplink": raised(lambda: on(FAR, sys.executable, "-c", forged)),
        "to the gateway": raised(lambda: on(FAR, sys.executable, "-c", connect)),
        "ping to the gateway": raised(lambda: on(FAR, *ping, here)),
        "to a host": raised(lambda: on(FAR, *ping, host)),
    }
    on(SITE, "ip", "route", "del", given["lan"], "dev", "lan")
    found["without its LAN"] = raised(lambda: on(FAR, *ping, host))
    return found


def raised(act: Callable[[], Any]) -> list[str]:
    """Names of the counters that it raises; it may fail."""
    before = counters()
    act()
    return sorted(name for name, count in counters().items() if count > before[name])


def counters() -> dict[str, int]:
    listed = json.loads(on(SITE, "nft", "-j", "list", "counters"))["nftables"]
    each = [item["counter"] for item in listed if "counter" in item]
    return {one["name"]: one["packets"] for one in each}


def packets() -> dict[tuple[str, str], int]:
    """By headend and SPI."""
    entries = re.split(r"^(?=src )", on(SITE, "ip", "-s", "xfrm", "state"), flags=re.MULTILINE)
    found = {}
    for entry in entries:
        if "proto esp" not in entry:
            continue
        words = entry.split()
        far = next(end for end in (words[1], words[3]) if end != "192.0.2.1")
        spi = re.search(r"spi (0x[0-9a-f]+)", entry)
        assert spi is not None
        found[far, spi[1]] = int((re.findall(r"\(bytes\), (\d+)\(packets\)", entry) or ["0"])[-1])
    return found


def priorities() -> list[int]:
    """Of the site's policies outwards."""
    text = on(SITE, "ip", "xfrm", "policy")
    return [int(each) for each in re.findall(r"dir out priority (\d+)", text)]


if __name__ == "__main__":
    main()
