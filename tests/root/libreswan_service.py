"""A program: Libreswan's service with a real pluto, in a network and a mount namespace of its own.

    python -m tests.root.libreswan_service FOLDER      see test_libreswan_service.py, which reads it

Without the kernel's ESP no tunnel comes up, and none needs to: what is seen is what pluto and its database
are told, and when. Its connections are by policies, so that no interface is needed either.
"""

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bongsu.agent.certificates import check_keys
from bongsu.agent.events import EventLog
from bongsu.agent.services.libreswan import CERTIFICATES, CONNECTIONS, SECRETS, LibreswanService
from bongsu.agent.services.service import Request
from bongsu.intent.loader import load_text
from bongsu.plan.compile import compile_network
from bongsu.plan.node import NodePlan
from bongsu.render.bundle import make_bundle
from bongsu.system import files
from bongsu.system.daemons.pluto import NSS, PROGRAMS
from bongsu.system.run import run
from tests.authority import RSA, Authority

FILE = """
version: 1
name: certificates
nodes:
  site:
    role: router
    ipsec: libreswan
    interfaces:
      wan: {role: uplink, addresses: [192.0.2.10/24], gateway: 192.0.2.1}
      lan: {role: lan, addresses: [10.0.85.1/24]}
clouds:
  seoul: {profile: generic, networks: [172.16.0.0/24]}
  busan: {profile: generic, networks: [172.17.0.0/24]}
vpns:
"""
VPN = """
  VPN:
    site: site
    cloud: CLOUD
    static: true
    binding: policy
    certificate: {certificate: /etc/ssl/VPN.pem, key: "file:/etc/ssl/VPN.key", ca: /etc/ssl/VPN-ca.pem}
    tunnels:
      TUNNEL: {headend: HEADEND, id: site.example.net, peer_id: cloud.example.net}
"""


def plan(*vpns: str) -> NodePlan:
    text = FILE
    for vpn, tunnel, cloud, headend in (
        ("hub", "one", "seoul", "198.51.100.2"),
        ("spare", "two", "busan", "198.51.100.6"),
    ):
        if vpn in vpns:
            own = VPN
            words = {"VPN": vpn, "TUNNEL": tunnel, "CLOUD": cloud, "HEADEND": headend}
            for word, value in words.items():
                own = own.replace(word, value)
            text += own
    return compile_network(load_text(text, "certificates.yaml").network)["site"]


class Site:
    """The service, and what it is given."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        self.events = EventLog(None, None)
        self.service = LibreswanService(self.state, self.events, ThreadPoolExecutor(1))
        self.authorities = {vpn: Authority(folder / vpn, vpn) for vpn in ("hub", "spare")}
        for vpn in self.authorities:
            self.renew(vpn)

    def renew(self, vpn: str, subject: str = "", key: str = RSA) -> str:
        """A new certificate and key where the file says, and the authority's; its serial number."""
        authority = self.authorities[vpn]
        pem, private = authority.sign(subject or f"site-{vpn}", "site.example.net", key=key)
        for name, text in (
            (f"{vpn}.pem", pem),
            (f"{vpn}.key", private),
            (f"{vpn}-ca.pem", authority.pem),
        ):
            Path("/etc/ssl", name).write_text(text)
        return authority.serial()

    async def apply(self, *vpns: str) -> list[str]:
        wanted = plan(*vpns)
        texts = {Path(path): text for path, text in make_bundle(wanted).files.items()}
        own = {path: texts[path] for path in (CONNECTIONS, SECRETS)}
        scratch = self.state / "check"
        scratch.mkdir(exist_ok=True)
        self.service.check(wanted, own, scratch)

        def secret(reference: str) -> str:
            return Path(reference.partition(":")[2]).read_text()

        check_keys(wanted, secret)
        for path, text in own.items():
            files.write_atomic(path, text, 0o600)
        changes: list[str] = []
        await self.service.apply(Request(wanted, own, changes.append, secret=secret))
        return changes

    def look(self) -> dict[str, Any]:
        """What pluto and the database say."""
        whack = [str(PROGRAMS / "whack"), "--ctlsocket", "/run/pluto/pluto.ctl"]
        return {
            "pid": self.service.status()[0]["pid"],
            "status": run([*whack, "--status"], check=False).stdout,
            "certificates": run([*whack, "--listcerts"], check=False).stdout,
            "listed": run(["certutil", "-L", "-d", f"sql:{NSS}"]).stdout,
            "keys": run(["certutil", "-K", "-d", f"sql:{NSS}"], check=False).stdout,
            "file": CERTIFICATES.exists(),
        }


async def refused(site: Site, *vpns: str) -> str:
    try:
        return f"applied: {await site.apply(*vpns)}"
    except ValueError as error:
        return str(error)


async def go(folder: Path) -> dict[str, Any]:
    """Each step's changes and what stands then."""
    site = Site(folder)
    found: dict[str, Any] = {}

    async def step(name: str, *vpns: str) -> None:
        found[name] = {"changes": await site.apply(*vpns), **site.look()}

    await step("first", "hub", "spare")
    await step("again", "hub", "spare")
    await asyncio.sleep(1.1)  # NSS tells the newer by whole seconds.
    serial = site.renew("hub")
    await step("renewed", "hub", "spare")
    found["renewed"]["serial"] = serial
    site.renew("hub", "site-spare")
    await step("shared", "hub", "spare")
    Path("/etc/ssl/hub.key").write_text(Path("/etc/ssl/spare.key").read_text())
    found["another's key"] = await refused(site, "hub", "spare")
    site.authorities["hub"] = Authority(folder / "third", "spare")
    site.renew("hub")
    found["one name"] = await refused(site, "hub", "spare")
    await step("fewer", "spare")
    await site.service.stop()
    found["forgotten"] = site.service.forget()
    found["last"] = {**site.look(), "record": (NSS / "bongsu.json").exists()}
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(go(Path(sys.argv[1])))))
