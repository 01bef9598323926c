"""In the guest: Libreswan and strongSwan prove to each other who they are, by certificates.

    python -m tests.vm.jobs.libreswan_certificates      reads world.json, see the test

The site is Libreswan with VTIs, the cloud strongSwan with XFRM interfaces, one link between them. What the
agent does at the site is done step by step with the agent's own parts: it takes this processor too long to
read. The cloud shows, one after the other, a certificate of the other connection's authority and one of
another name; then the site's is renewed. Writes what daemons, kernel and database have said, JSON.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from bongsu.plan.certificate import read_pem
from bongsu.system.daemons.pluto import Pluto
from bongsu.system.ipsec import nss
from bongsu.system.ipsec.nss import Entry
from tests.vm.jobs import libreswan
from tests.vm.jobs.hybrid_vpn import inside, on, place, run, said, step, wait

SITE, CLOUD = "site", "cloud"
HERE = "/etc/ipsec.d/bongsu-certificates.conf"
SCRATCH = Path("/run/scratch")
LOG = Path("/run/pluto.log")
WHACK = str(libreswan.PROGRAMS / "whack")
PLUTO = Pluto()

World = dict[str, Any]


def main() -> None:
    """Build, start, and go through what the cloud shows and what the site renews."""
    world = json.loads(Path("world.json").read_text())
    libreswan.lay_over()
    SCRATCH.mkdir()
    build(world)
    step("the network stands")
    for node, files in world["files"].items():
        place(node, files)
    found: World = {"put": [take(world["stages"]["first"])]}
    shown(world["shown"]["right"])
    start(world)
    step("daemons are started")
    wait("both carry", lambda: carried() == {"one", "two"})
    step("both carry")
    found |= {"first": look(), "ping": {name: ping(world, name) for name in ("one", "two")}}
    for what, ways in (("authority", ("calling", "called")), ("name", ("calling",))):
        found[what] = refuse(what, ways, world["shown"][what])
    shown(world["shown"]["right"])
    load()
    # Begun once: what it still had in mind goes with the connection.
    text = world["stages"]["first"]["text"]
    PLUTO.delete("two")
    PLUTO.reload(text.partition("conn two")[0], text)
    wait("both carry again", lambda: carried() == {"one", "two"})
    step("both carry again")
    found["renewed"] = renewal(world["stages"])
    found |= {
        "status": said(WHACK, "--status"),
        "listed": run("certutil", "-L", "-d", f"sql:{PLUTO.nss}"),
        "keys": run("certutil", "-K", "-d", f"sql:{PLUTO.nss}"),
        "modes": {path.name: path.stat().st_mode & 0o777
                  for path in (PLUTO.nss, *PLUTO.nss.iterdir())},
        "seconds": step("done"),
    }  # fmt: skip
    print(json.dumps(found))


def build(world: World) -> None:
    """Two members, a link, and the cloud's interfaces."""
    lines = [f"netns add {node}" for node in (SITE, CLOUD)]
    lines.append(f"link add wan netns {SITE} type veth peer name wan netns {CLOUD}")
    run("ip", "-batch", "-", text="\n".join(lines))
    for node in (SITE, CLOUD):
        text = "\n".join(["link set lo up", "link set wan up", *world["lines"][node]])
        run(*inside(node, "ip", "-batch", "-"), text=text)


def refuse(what: str, ways: tuple[str, ...], files: dict[str, str]) -> World:
    """What becomes of the second tunnel with these files at the cloud: calling it, and called by it."""
    said(WHACK, "--terminate", "--name", "two")
    wait(f"{what}: the old one is gone", lambda: carried() == {"one"})
    shown(files)
    load()
    found = {}
    for way in ways:
        mark = len(LOG.read_text())
        if way == "calling":
            PLUTO.initiate("two")
        else:
            said("swanctl", "--initiate", "--child", "two", "--timeout", "9")
        wait(f"{what}, {way}: an outcome", lambda mark=mark: outcome(LOG.read_text()[mark:]))
        found[way] = {"log": LOG.read_text()[mark:], "carried": look()}
        said(WHACK, "--terminate", "--name", "two")
        step(f"another {what} is refused, {way}")
    return found


def renewal(stages: World) -> World:
    """The first tunnel's certificate becomes another one."""
    before, times = look(), len(proofs())
    done = renew(stages["first"], stages["renewed"])
    after = look()
    # Nothing has happened yet: the next authentication has it.
    said(WHACK, "--terminate", "--name", "one")
    PLUTO.initiate("one")
    wait("carried anew", lambda: len(proofs()) > times and carried() == {"one", "two"})
    step("renewed")
    return {"done": done, "before": before, "after": after, "last": look(), "proofs": proofs(),
            "certificates": said(WHACK, "--listcerts")}  # fmt: skip


def take(stage: World) -> list[str]:
    """The site's certificates into the database, and what Libreswan is told of them."""
    put = nss.put(PLUTO.nss, entries(stage), SCRATCH)
    Path(HERE).write_text(stage["document"])
    return [entry.name for entry in put]


def entries(stage: World) -> list[Entry]:
    return [Entry(one["name"], read_pem(one["pem"]), one["key"]) for one in stage["entries"]]


def renew(before: World, stage: World) -> World:
    """As the agent does when a file has changed."""
    put = take(stage)
    done = PLUTO.reload(before["text"], stage["text"], by_name=stage["by_name"])
    return {
        "put": put,
        "done": done,
        "loose": PLUTO.loose(stage["text"]),
        "pruned": nss.prune(PLUTO.nss, entries(stage), SCRATCH),
    }


def shown(files: dict[str, str]) -> None:
    """What the cloud has to show from now on."""
    for path, text in files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)


def load() -> None:
    run("swanctl", "--load-all", "--noprompt", "--clear")


def start(world: World) -> None:
    Path("/run/pluto").mkdir()
    with Path("/run/charon.err").open("wb") as log:
        subprocess.Popen(inside(CLOUD, "charon-systemd"), stdout=log, stderr=log)
    argv = [str(libreswan.PROGRAMS / "pluto"), "--nofork", "--config", "/etc/ipsec.conf"]
    with Path("/run/pluto.err").open("wb") as log:
        wait("strongSwan", Path("/run/charon.vici").exists)
        load()
        subprocess.Popen(inside(SITE, *argv, "--logfile", str(LOG)), stdout=log, stderr=log)
    wait("Libreswan", PLUTO.answers)
    PLUTO.loose(world["stages"]["first"]["text"])


def carried() -> set[str]:
    return set(re.findall(r'"(\w+)", type=ESP', said(WHACK, "--trafficstatus")))


def outcome(log: str) -> bool:
    """Whether the second tunnel has been given up, or stands."""
    return bool(re.search(r'"two" #\d+: deleting state', log)) or "two" in carried()


def look() -> World:
    """The numbers of what stands, by tunnel: other ones, had it been negotiated anew."""
    text = said(WHACK, "--trafficstatus")
    found = dict(re.findall(r'#(\d+): "(\w+)", type=ESP', text))
    return {name: sorted(n for n, t in found.items() if t == name) for name in ("one", "two")}


def ping(world: World, tunnel: str) -> str:
    own, far = world["inside"][tunnel]
    return on(SITE, "ping", "-n", "-c", "3", "-i", "0.2", "-W", "3", "-I", own, far)


def proofs() -> list[list[str]]:
    """How the site has proved to be itself, each time, as the cloud says: tunnel and subject."""
    log = Path("/run/charon.err").read_text(errors="replace")
    shown = dict(re.findall(r"<(\d+)> received end entity cert \"(.*)\"", log))
    done = r"<(\w+)\|(\d+)> authentication of 'site\.example\.net' with \S+ successful"
    return [[name, shown.get(number, "")] for name, number in re.findall(done, log)]


if __name__ == "__main__":
    main()
