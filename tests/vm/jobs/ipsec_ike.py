"""In the guest: the same question, with keys and policies by two Libreswans that speak IKEv2.

    python -m tests.vm.jobs.ipsec_ike SENDER:A:B ...    forms are map, xfrm and route

All tunnels are children of one IKE association. Reads the empty NSS database in /job/nss (they take
no other) and writes what ipsec_keepalive writes.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

from bongsu.system.run import Process, run, spawn
from tests.vm.jobs import libreswan
from tests.vm.jobs.ipsec_keepalive import build, parsed, seen
from tests.vm.jobs.ipsec_tunnel import DEVICES, ENDS, OTHER, Tunnel, namespace

HOME = Path("/run/bst-ipsec")
FIRST = 11
"""Libreswan 4.10 makes an `ipsec1` to see whether it could, and gives up where there is one."""
PATIENCE_S, LOOK_S = 90.0, 0.5
CONFIG = """\
config setup
  logfile={home}/pluto.log
  protostack=xfrm
  uniqueids=no
"""
CONNECTION = """
conn {tunnel}
  left={ours}
  right={theirs}
  leftsubnet={local}/32
  rightsubnet={remote}/32
  leftprotoport=gre
  rightprotoport=gre
  type=tunnel
  authby=secret
  ikev2=insist
  ike=aes256-sha2_256;dh19
  esp=aes_gcm256
  retransmit-interval=8000
  leftupdown=%disabled
  auto=add
"""
"""Routes are ours: its own script would route what IOS does not."""


class Pluto:
    """The IKE daemon of one end."""

    def __init__(self, end: str, tunnels: list[Tunnel]) -> None:
        self.home = HOME / end
        (self.home / "run").mkdir(parents=True)
        shutil.copytree(Path(os.environ["JOB"]) / "nss", self.home / "nss")
        text = CONFIG.format(home=self.home)
        for tunnel in tunnels:
            text += CONNECTION.format(
                tunnel=tunnel.name,
                ours=tunnels[0].gateway(end),
                theirs=tunnels[0].gateway(OTHER[end]),
                local=tunnel.outer(end),
                remote=tunnel.outer(OTHER[end]),
            )
            if tunnel.form(end) in DEVICES:
                text += f"  ipsec-interface={tunnel.number}\n"
        (self.home / "ipsec.conf").write_text(text)
        (self.home / "ipsec.secrets").write_text('%any %any : PSK "known to this test alone"\n')
        self.process: Process = spawn(
            [
                *(f"{libreswan.PROGRAMS}/pluto", "--nofork", "--config", f"{self.home}/ipsec.conf"),
                *("--secretsfile", f"{self.home}/ipsec.secrets", "--nssdir", f"{self.home}/nss"),
                *("--rundir", f"{self.home}/run", "--ipsecdir", str(self.home)),
            ],
            netns=namespace(end),
        )

    def ask(self, *words: str, check: bool = True) -> str:
        control = f"{self.home}/run/pluto.ctl"
        argv = [f"{libreswan.PROGRAMS}/whack", "--ctlsocket", control, *words]
        return run(argv, check=check, timeout_s=PATIENCE_S).stdout

    def wait_for(self, word: str, *question: str, count: int = 1) -> None:
        """Until the answer has the word so many times. TimeoutError has the log."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            answer = self.ask(*question, check=False)
            if answer.count(word) >= count:
                return
            time.sleep(LOOK_S)
        raise TimeoutError(f"no {word!r}\n{answer}\n{(self.home / 'pluto.log').read_text()}")


def main(names: list[str]) -> None:
    runs = {name: parsed(number, name) for number, name in enumerate(names, start=FIRST)}
    tunnels = [tunnel for _, tunnel in runs.values()]
    build(tunnels)
    libreswan.lay_over()
    near, far = (Pluto(end, tunnels) for end in ENDS)
    try:
        for each in (near, far):
            each.wait_for(f"loaded {len(tunnels)}", "--status")
        for tunnel in tunnels:
            near.ask("--initiate", "--asynchronous", "--name", tunnel.name)
        # The initiator's is the last to stand: the responder has installed its own before.
        near.wait_for("type=ESP", "--trafficstatus", count=len(tunnels))
        found = {name: seen(tunnel, sender) for name, (sender, tunnel) in runs.items()}
    finally:
        for each in (near, far):
            each.process.terminate()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
