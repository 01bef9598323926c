"""A bundle -> this machine, step by step; every step compares first and changes only what differs.

Everything that can be refused is refused before anything is touched: hashes, secrets, platform, and
the daemons' own parsers on the very text that will be loaded. Then, in this order: files, secrets in
place of their markers; nftables (before forwarding, so that it never stands open); sysctl; tunnels with
their addresses; IPsec; rules; the relay; the routing daemons; keepalives; and last what the plan no
longer names.
A step that fails later leaves what was done, says so, and may be repeated. What stood there before is
recorded before it is changed (see owned), and `purge` puts it back.

The machine's own uplink and LAN addresses are never touched, and `netplan apply` is never run: live
tunnels are the agent's. The netplan file is written only for the `kernel` backend, for boots without
an agent, and only where netplan is installed; on a kernel without ip_gre it would only fail there.
"""

import asyncio
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pyroute2.netlink.exceptions import NetlinkError

from bongsu.agent.certificates import CertificateWatch, check_keys
from bongsu.agent.events import EventLog
from bongsu.agent.keepalive import KeepaliveShell, keepalive_ends
from bongsu.agent.owned import KEPT_SUFFIX, Owned
from bongsu.agent.secrets import SecretError, Secrets, usable_marked, weak_keys
from bongsu.agent.services.node import NodeServices
from bongsu.agent.services.service import Request
from bongsu.agent.supervisor import NotReadyError
from bongsu.agent.vpn.watch import VpnWatch
from bongsu.model.node import Platform
from bongsu.plan.node import NodePlan
from bongsu.render.bird import secret_constants
from bongsu.render.bundle import Bundle, BundleError
from bongsu.render.firewalld.render import PATH as FIREWALLD_PATH
from bongsu.render.secret import marked
from bongsu.system import files, nft, rules, sysctl
from bongsu.system.daemons.bird import SECRETS, USER
from bongsu.system.daemons.birdctl import BirdError
from bongsu.system.daemons.frr import DIRECTORY as FRR_DIRECTORY
from bongsu.system.daemons.frr import USER as FRR_USER
from bongsu.system.daemons.frr_vty import VtyError
from bongsu.system.daemons.vici import ViciError
from bongsu.system.gre.base import GreBackend, GreError
from bongsu.system.ipsec.interfaces import InterfaceError
from bongsu.system.netns import NetnsError
from bongsu.system.relay import RelayError
from bongsu.system.run import RunError, run

NFT_FILE = Path("/etc/nftables.d/60-bongsu.nft")
SYSCTL_FILE = Path("/etc/sysctl.d/60-bongsu.conf")
NETPLAN_FILE = Path("/etc/netplan/60-bongsu.yaml")
APPLIED_FILE = Path("/etc/bongsu/applied.json")
"""Manifest of the bundle in force: it outlives a reboot, so that stale files are known."""
FIREWALLD_FILE = Path(FIREWALLD_PATH)
KNOWN_FILES = {NFT_FILE, SYSCTL_FILE, NETPLAN_FILE, FIREWALLD_FILE}
"""A bundle may write these, those of a service, and nothing else."""
OWNED_FILE = Path("/etc/bongsu/owned.json")

BUNDLE_BYTES, BUNDLE_FILES = 64 * 1024 * 1024, 1000

_T = TypeVar("_T")


class ApplyError(Exception):
    """A bundle could not be applied. `changed`: whether the machine had been touched by then."""

    def __init__(self, step: str, message: str, *, changed: bool) -> None:
        self.step, self.changed = step, changed
        super().__init__(f"{step}: {message}")


@dataclass
class Report:
    """What an apply did."""

    bundle: str = ""
    plan: str = ""
    steps: list[dict[str, Any]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    """What was changed, in words; empty when everything stood already."""


class Applier:
    """Applies bundles, one at a time. System calls run in one worker thread of the agent."""

    def __init__(
        self,
        state_dir: Path,
        events: EventLog,
        worker: ThreadPoolExecutor,
        backend: Callable[[], GreBackend],
        services: NodeServices,
        keepalive: KeepaliveShell,
        vpn: VpnWatch,
    ) -> None:
        self._state_dir = state_dir
        self._events = events
        self._worker = worker
        self._backend = backend
        self._services = services
        self._keepalive = keepalive
        self._vpn = vpn
        self._secrets: Secrets | None = None
        self._report = Report()
        self._touched = False
        self._weak_keys: list[tuple[str, str, str]] = []
        self.bundle: Bundle | None = None
        """The bundle in force."""
        self.certificates = CertificateWatch()
        """Of those of the bundle in force, as they were when they were read."""

    async def apply(self, directory: Path) -> Report:
        """Apply the bundle in `directory`. Raises ApplyError."""
        self._report, self._touched, self._secrets = Report(), False, None
        return await self._put(await self._step("verify", lambda: _load(directory)))

    async def again(self) -> Report:
        """Apply the bundle in force once more: what it names on this node is another. As `apply`."""
        self._report, self._touched, self._secrets = Report(), False, None
        if self.bundle is None:
            return self._report
        return await self._put(self.bundle)

    async def _put(self, bundle: Bundle) -> Report:
        plan = bundle.plan
        self._report.bundle, self._report.plan = bundle.digest, plan.digest()
        # Before keys are read, and for nothing if the bundle is refused.
        certificates = CertificateWatch()
        await asyncio.to_thread(certificates.follow, plan)
        secrets = await self._step("secrets", lambda: _secrets(plan))
        self._secrets = secrets
        self._judge_keys(plan, secrets)
        backend = await self._step("backend", lambda: self._found_backend(plan))
        texts = {Path(path): text for path, text in bundle.files.items()}
        if backend is None or backend.name != "kernel" or shutil.which("netplan") is None:
            texts.pop(NETPLAN_FILE, None)
        if shutil.which("firewall-cmd") is None:
            texts.pop(FIREWALLD_FILE, None)
        await self._step("ipsec", lambda: self._services.choose(plan))
        texts = {path: text for path, text in texts.items() if self._services.used(path)}
        filled = await self._step("markers", lambda: _filled(texts, secrets))
        await self._step("check", lambda: self._check(plan, texts, filled, secrets))
        owned = await self._step("owned", lambda: Owned(OWNED_FILE))

        self._touched = True
        await self._step("files", lambda: self._files(owned, bundle, filled, secrets))
        settings = sysctl.parse(texts.get(SYSCTL_FILE, ""))
        await self._step("nftables", lambda: self._nftables(texts.get(NFT_FILE)))
        # Those of a tunnel come and go with it.
        tunnels = {each.name for each in plan.tunnels} | {each.name for each in plan.vpns}
        lasting = [setting for setting in settings if setting.interface not in tunnels]
        machine = [setting for setting in settings if not setting.interface]
        kept = await self._step("filters", lambda: sysctl.spread(settings))
        await self._step("found", lambda: owned.claim_settings(sysctl.differing(kept + lasting)))
        await self._step("sysctl", lambda: self._sysctl(kept + machine))
        await self._step("tunnels", lambda: self._tunnels(backend, plan))
        request = Request(
            plan, filled, self._change, lambda name: _settle(settings, name), secrets.value
        )
        before = len(self._report.changes)
        await self._async_step("vpns", self._services.ipsec.apply(request))
        changed = len(self._report.changes) > before
        # Those that carry nothing yet are closed before there is anybody who routes.
        await self._async_step("watch", self._vpn.follow(plan, changed=changed))
        await self._step("interfaces", lambda: self._sysctl([s for s in settings if s.interface]))
        await self._step("rules", lambda: self._rules(plan))
        # Before the accelerated addresses are announced.
        await self._async_step("relay", self._services.relay.apply(request))
        for service in self._services.routing:
            await self._async_step(service.name, service.apply(request))
        self._vpn.routing_loaded()
        await self._async_step("keepalive", self._watch(backend, plan))
        await self._step("stale", lambda: self._stale(backend, plan))
        await self._step("stale settings", lambda: self._settings_back(owned, settings))
        await self._step(
            "record", lambda: files.write_atomic(APPLIED_FILE, _json(bundle.manifest()))
        )
        self.bundle, self.certificates = bundle, certificates
        return self._report

    async def purge(self) -> None:
        """Take away all that is ours and put back what was before, whatever fails on the way.

        The daemons must have been stopped. Raises ApplyError for the first step that failed, at the end.
        """
        self._report, self._touched = Report(), True
        failed: ApplyError | None = None
        # Forwarding goes back first, and the filter last: in between nothing stands open.
        for name, step in (
            ("purge settings", lambda: self._settings_back(Owned(OWNED_FILE), [])),
            ("purge rules", lambda: rules.set_rules([])),
            ("purge tunnels", self._no_tunnels),
            ("purge files", self._files_back),
            ("purge nftables", nft.delete),
            *((f"purge {each.name}", each.clean) for each in self._services.all),
        ):
            try:
                await self._step(name, step)
            except ApplyError as error:
                failed = failed or error
        self.bundle = None
        if failed is not None:
            raise failed

    def _judge_keys(self, plan: NodePlan, secrets: Secrets) -> None:
        """Tell what is weak (VPN010), once, and never a word of a key."""
        weak = list(weak_keys(plan, secrets))
        for name, reference, why in weak:
            if (name, reference, why) not in self._weak_keys:
                text = f"the pre-shared key behind {reference} is weak: {why}"
                self._events.add("secret", name, text, level="warning", code="VPN010")
        self._weak_keys = weak

    def _found_backend(self, plan: NodePlan) -> GreBackend | None:
        try:
            return self._backend()
        except GreError:
            # A node without tunnels needs none; one that had some may need it to remove them.
            if plan.tunnels:
                raise
            return None

    def _check(
        self, plan: NodePlan, texts: dict[Path, str], filled: dict[Path, str], secrets: Secrets
    ) -> None:
        if plan.platform is not Platform.LINUX:
            raise ValueError(f"{plan.node} is a {plan.platform.value} node, not this agent's")
        unknown = {path for path in set(texts) - KNOWN_FILES if not self._services.owns(path)}
        if unknown:
            names = sorted(str(path) for path in unknown)
            raise ValueError(f"the bundle writes files it has no business with: {names}")
        sysctl.parse(texts.get(SYSCTL_FILE, ""))
        if plan.tunnels and sysctl.own_addresses_taken():
            raise ValueError(
                "net.ipv4.conf.all.accept_local is 1: anybody may send packets with this machine's"
                " own addresses as source, and they would be forwarded. Set it to 0; a tunnel that"
                " needs it gets it for itself"
            )
        for tunnel in plan.tunnels:
            if tunnel.keepalive is not None:
                keepalive_ends(tunnel)
        check_keys(plan, secrets.value)
        with tempfile.TemporaryDirectory(prefix="check-", dir=self._state_dir) as directory:
            scratch = Path(directory)
            self._services.bird.use_secrets(secrets.bird_text)
            for service in self._services.all:
                service.check(plan, filled, scratch)
            if NFT_FILE in texts:
                (scratch / "bongsu.nft").write_text(texts[NFT_FILE])
                nft.check(scratch / "bongsu.nft")
            if NETPLAN_FILE in texts:
                path = scratch / NETPLAN_FILE.relative_to("/")
                files.write_atomic(path, texts[NETPLAN_FILE], 0o600)
                run(["netplan", "generate", "--root-dir", str(scratch)])

    def _files(
        self, owned: Owned, bundle: Bundle, texts: dict[Path, str], secrets: Secrets
    ) -> None:
        secret_text = secrets.bird_text()
        wanted = set(texts) | ({SECRETS} if secret_text is not None else set())
        for path in owned.claim([*sorted(wanted), APPLIED_FILE]):
            self._change(f"kept {path} of before as {path}{KEPT_SUFFIX}")
        for path, text in texts.items():
            group = FRR_USER if path.parent == FRR_DIRECTORY else None
            if files.write_atomic(path, text, _mode(bundle, path), group):
                self._change(f"wrote {path}")
        if secret_text is not None and files.write_atomic(SECRETS, secret_text, 0o640, USER):
            self._change(f"wrote {SECRETS}")
        for path in sorted(owned.files - wanted - {APPLIED_FILE}):
            if done := owned.give_back(path):
                self._change(done)

    def _files_back(self) -> None:
        owned = Owned(OWNED_FILE)
        for path in sorted(owned.files):
            if done := owned.give_back(path):
                self._change(done)
        # What could not be put back so far is tried again by the next purge.
        if not owned.settings:
            owned.remove()

    def _settings_back(self, owned: Owned, wanted: list[sysctl.Setting]) -> None:
        keys = owned.settings.keys() - {setting.path for setting in wanted}
        if any(setting.path == sysctl.FILTER_OF_ALL for setting in wanted):
            keys = {key for key in keys if not sysctl.is_filter(key)}
        # Forwarding first: writing it sets other keys of its own accord (ip-sysctl.rst).
        for key in sorted(keys, key=lambda key: ("forward" not in key, key)):
            if sysctl.apply([sysctl.Setting(key, owned.settings[key])]).changed:
                self._change(f"put {key} back")
            owned.forget_settings([key])

    def _no_tunnels(self) -> None:
        try:
            backend = self._backend()
        except GreError:
            return  # without a backend there never was a tunnel
        for name in backend.names():
            backend.delete(name)
            self._change(f"removed tunnel {name}")

    def _nftables(self, text: str | None) -> None:
        record = self._state_dir / "nftables.json"
        if text is None:
            if nft.delete():
                self._change("removed the nftables table")
            return
        digest = hashlib.sha256(text.encode()).hexdigest()
        stands = nft.fingerprint()
        if stands is not None and [digest, stands] == _read_json(record):
            return
        nft.load(NFT_FILE)
        files.write_atomic(record, json.dumps([digest, nft.fingerprint()]), 0o600)
        self._change("loaded the nftables table")

    def _sysctl(self, settings: list[sysctl.Setting]) -> None:
        outcome = sysctl.apply(settings)
        for path in outcome.changed:
            self._change(f"set {path}")
        if outcome.missing:
            # Some keys exist only in the first network namespace, some not on every kernel.
            self._events.add(
                "sysctl", ", ".join(outcome.missing), "not on this kernel", level="debug"
            )

    def _tunnels(self, backend: GreBackend | None, plan: NodePlan) -> None:
        for tunnel in plan.tunnels:
            assert backend is not None
            if backend.create(tunnel):
                self._change(f"built tunnel {tunnel.name}")

    def _rules(self, plan: NodePlan) -> None:
        wanted = rules.policy_rules(plan)
        wanted += rules.reply_rules((item.prefix for item in plan.home), plan.reply_table)
        added, removed = rules.set_rules(wanted)
        if added or removed:
            self._change(f"policy rules: {len(added)} added, {len(removed)} removed")

    async def _watch(self, backend: GreBackend | None, plan: NodePlan) -> None:
        watched = [tunnel for tunnel in plan.tunnels if tunnel.keepalive is not None]
        if backend is None:
            return
        # A new agent goes on from what an earlier one found out.
        loop = asyncio.get_running_loop()
        seats = await loop.run_in_executor(self._worker, backend.seats)
        self._keepalive.set_tunnels(watched, backend.keepalive_memory(), seats)
        # Not before: until its session has ended, a line may still go down.
        await loop.run_in_executor(self._worker, self._unwatched, backend, plan)

    def _unwatched(self, backend: GreBackend, plan: NodePlan) -> None:
        for tunnel in plan.tunnels:
            # Nobody would bring it up again once its keepalive is not wanted any more.
            if tunnel.keepalive is None and not backend.line(tunnel.name):
                backend.set_line(tunnel.name, True)
                self._change(f"line protocol of {tunnel.name} up: no keepalive")

    def _stale(self, backend: GreBackend | None, plan: NodePlan) -> None:
        if backend is None:
            return
        names = {tunnel.name for tunnel in plan.tunnels}
        for name in backend.names():
            if name not in names:
                backend.delete(name)
                self._change(f"removed tunnel {name}")

    def _change(self, what: str) -> None:
        self._report.changes.append(what)

    async def _step(self, name: str, function: Callable[[], _T]) -> _T:
        loop = asyncio.get_running_loop()
        return await self._async_step(name, loop.run_in_executor(self._worker, function))

    async def _async_step(self, name: str, step: Awaitable[_T]) -> _T:
        began = time.monotonic()
        before = len(self._report.changes)
        try:
            result = await step
        except (
            BundleError, SecretError, RunError, BirdError, VtyError, ViciError, GreError,
            InterfaceError, NetnsError, NotReadyError, RelayError, NetlinkError, OSError, ValueError,
            KeyError,
        ) as error:  # fmt: skip
            text = str(error) or type(error).__name__
            text = self._secrets.redact(text) if self._secrets else text
            self._events.add("apply", name, text, level="error", touched=self._touched)
            raise ApplyError(name, text, changed=self._touched) from None
        took = round((time.monotonic() - began) * 1000, 1)
        changes = self._report.changes[before:]
        self._report.steps.append({"step": name, "ms": took, "changes": len(changes)})
        self._events.add("apply", name, "; ".join(changes), duration_ms=took)
        return result


def _load(directory: Path) -> Bundle:
    tree = files.read_tree(directory, limit_bytes=BUNDLE_BYTES, limit_files=BUNDLE_FILES)
    return Bundle.from_tree(tree)


def _secrets(plan: NodePlan) -> Secrets:
    return Secrets(secret_constants(plan), usable_marked(plan))


def _filled(texts: dict[Path, str], secrets: Secrets) -> dict[Path, str]:
    return {path: secrets.fill(text) for path, text in texts.items()}


def _mode(bundle: Bundle, path: Path) -> int:
    """Nobody else reads a file with a secret, whatever the bundle says."""
    mode = bundle.mode(str(path))
    return mode & ~0o007 if marked(bundle.files[str(path)]) else mode


def _settle(settings: list[sysctl.Setting], interface: str) -> None:
    """An interface that was made anew has the machine's defaults: give it its own again."""
    sysctl.apply([setting for setting in settings if setting.interface == interface])


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
