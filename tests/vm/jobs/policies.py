"""In the guest: two tunnels by policy with the same selectors, by two strongSwans and the kernel's XFRM.

    python -m tests.vm.jobs.policies      reads policies.json, see tests.vm.test_policies

Which tunnel carries is asked of the kernel's counters: at first, after the standby's keys are new, with the
first headend silent, and with it back. Uses the standard library alone, to start soon.
"""

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.vm.jobs.hybrid_vpn import inside, on, run, said, step, wait

SITE, FAR = "site", "far"
DEAF = """
table ip deaf {
  chain hears { type filter hook input priority -300; ip daddr HEADEND drop; }
}
"""


def main() -> None:
    """Build, start, wait; break and mend; say who carried."""
    given = json.loads(Path("policies.json").read_text())
    run("ip", "-batch", "-", text="\n".join(given["links"]))
    for node, lines in given["lines"].items():
        run(*inside(node, "ip", "-batch", "-"), text="\n".join(lines))
    for node in (FAR, SITE):
        start(node, given["nodes"][node])
    first = given["headends"][0]
    found: dict[str, Any] = {}
    wait("two tunnels", lambda: installed() == 2)
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
