"""Raising a lab and taking it down again, whatever happens in between.

A record is on disk before anything is made; every exit but success removes what was made, Ctrl-C
included; and what a killed raiser left is removed by the next start of any lab.
"""

import contextlib
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bongsu.lab.blueprint import Cable
from bongsu.lab.certificates import keys_of, make_certificates
from bongsu.lab.converge import agents_missing, unsettled
from bongsu.lab.evidence import keep_evidence
from bongsu.lab.lab import Lab
from bongsu.lab.link.links import Links
from bongsu.lab.link.spec import LinkSpec
from bongsu.lab.member import end_inhabitants, inhabitants, start_node, start_router, write_bundle
from bongsu.lab.state import (
    LabError,
    LabPaths,
    forget,
    lab_names,
    locked,
    new_record,
    read_record,
    update_record,
    write_record,
)
from bongsu.lab.wiring import configure_ports, make_namespaces, make_nat, make_segment
from bongsu.model.lab import Impairment
from bongsu.model.network import Network
from bongsu.model.node import Platform
from bongsu.plan.node import NodePlan
from bongsu.plan.reflection import reflects
from bongsu.render.bundle import make_bundle
from bongsu.system import netns

AGENT_WAIT_S = 60.0
"""Starting Python and BIRD on every node takes seconds; on a busy machine some more."""
SETTLE_WAIT_S = 90.0
"""A power cut leaves sessions that last a third of the hold time; beyond that it is said."""
POLL_S = 0.02
STEADY_S = 1.5
"""Longer than the examples' keepalive interval: right after a fault is healed the last unanswered
keepalive may still take a line down for a moment."""
NAME_LENGTH = 24
"""With a member's 31 characters it makes the name of a namespace, 64 characters at most."""
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Progress = Callable[[str], None]


def raise_lab(
    network: Network,
    source: Path,
    text: str,
    *,
    name: str | None = None,
    keep: bool,
    progress: Progress = lambda _step: None,
) -> Lab:
    """Raise the network's lab and wait until it has settled.

    `keep` leaves it up after this process; otherwise it is this process's, and a leftover when the
    process is gone. Raises LabError (nothing is left then), or what the parts raise.
    """
    name = network.name[:NAME_LENGTH].rstrip("-") if name is None else name
    if not re.fullmatch(rf"[a-z][a-z0-9-]{{0,{NAME_LENGTH - 1}}}", name):
        raise LabError(
            f"{name!r} is no name for a lab",
            hint=f"lower case, digits and hyphens, {NAME_LENGTH} characters at most",
        )
    sweep(progress)
    lab = Lab.of(name, network)
    with locked(name):
        if read_record(name) is not None:
            raise LabError(
                f"lab {name} is up already", hint=f"bongsu lab down --lab {name}, or another --name"
            )
        began = time.monotonic()
        # Absolute, for others look at it from elsewhere; standard input is nowhere.
        origin = str(source) if str(source) == "-" else str(source.absolute())
        write_record(new_record(name, origin, keep=keep))
        try:
            lab.paths.network.write_text(text)
            _build(lab, progress)
            _wait_for_agents(lab, progress)
            progress("waiting for the network to settle")
            settle(lab, SETTLE_WAIT_S)
            update_record(name, phase="up", raised_s=round(time.monotonic() - began, 2))
        except BaseException as error:
            with undisturbed():
                if isinstance(error, LabError) and (folder := keep_evidence(name)):
                    error.hint = f"logs and routes are kept in {folder}"
                progress("removing the lab")
                _remove(name)
            raise
    return lab


def remove_lab(name: str) -> None:
    """End everything of the lab. LabError if there is no such lab."""
    with locked(name):
        if read_record(name) is None and not netns.names(LabPaths(name).netns("")):
            raise LabError(f"there is no lab {name}", hint="bongsu lab status")
        with undisturbed():
            _remove(name)


def sweep(progress: Progress = lambda _step: None) -> list[str]:
    """Remove labs that nobody wants any more: their raiser died. Their names."""
    removed = []
    for name in lab_names():
        record = read_record(name)
        if record is not None and record.leftover:
            progress(f"removing what is left of lab {name}")
            with locked(name):
                again = read_record(name)
                if again is not None and again.leftover:
                    with undisturbed():
                        _remove(name)
                    removed.append(name)
    return removed


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore what asks this process to end: a second Ctrl-C must not leave half of a lab.

    Programs that are run meanwhile ignore it too, for the terminal sends it to them as well.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread, which alone may say what becomes of them
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def settle(lab: Lab, wait_s: float) -> list[str]:
    """Wait until every session is up and every vantage point has its routes; what is still missing.

    With time to wait, it has to stay so for STEADY_S.
    """
    deadline = time.monotonic() + wait_s
    since: float | None = None
    while True:
        settled = next(unsettled(lab), None) is None
        now = time.monotonic()
        if settled and wait_s <= 0:
            return []
        since = (since or now) if settled else None
        if since is not None and now - since >= STEADY_S:
            return []
        if now > deadline:
            return list(unsettled(lab))
        time.sleep(POLL_S * 5)


def start_one_node(lab: Lab, node: str, plan: NodePlan | None = None) -> None:
    """Start a node's namespaces and agent; its cables and certificates must be there.

    `plan` is what it carries out, if not the lab's own for it.
    """
    configure_ports(lab.topology, lab.paths, [node])
    write_bundle(make_bundle(plan or stand_in(lab.plans[node])), node, lab.paths)
    start_node(node, lab.paths, {**lab.secrets, **keys_of(node, lab.paths)})


def stand_in(plan: NodePlan) -> NodePlan:
    """The plan that the lab carries out for a node.

    A machine of another make is not here: a Linux node stands in for it, with the same plan, and
    sends no keepalive back where the original would send none.
    """
    if plan.platform is Platform.LINUX:
        return plan
    tunnels = [
        tunnel.model_copy(update={"rpf": "strict"})
        if tunnel.rpf is not None and not reflects(tunnel, plan.platform)
        else tunnel
        for tunnel in plan.tunnels
    ]
    return plan.model_copy(update={"platform": Platform.LINUX, "tunnels": tunnels})


def link_spec(cable: Cable, paths: LabPaths) -> LinkSpec:
    """What the link makers need to know of a cable; one that does nothing to packets is plain."""
    does = {key: getattr(cable.impairment, key) for key in Impairment.model_fields}
    impairment = Impairment(**does)
    return LinkSpec(
        name=cable.name,
        a_ns=paths.netns(cable.a.member),
        a_if=cable.a.interface,
        b_ns=paths.netns(cable.b.member),
        b_if=cable.b.interface,
        impairment=impairment,
        mtu=cable.mtu,
        plain=impairment == Impairment(),
    )


def _build(lab: Lab, progress: Progress) -> None:
    topology, paths = lab.topology, lab.paths
    progress(f"making {len(topology.members())} namespaces and {len(topology.cables)} links")
    make_namespaces(topology, paths)
    links = Links.start(paths.emulator, paths.closet)
    try:
        links.create([link_spec(cable, paths) for cable in topology.cables.values()])
    finally:
        links.close()
    configure_ports(topology, paths, topology.routers)
    for segment in topology.segments:
        make_segment(segment, paths)
    for nat in topology.nats:
        make_nat(nat, paths)
    configure_ports(topology, paths, [nat.name for nat in topology.nats])
    foreign = [
        name
        for name, plan in lab.plans.items()
        if plan.platform is not Platform.LINUX or name in lab.network.clouds
    ]
    progress(
        f"starting {len(topology.nodes)} nodes and {len(topology.routers)} AS routers"
        + (f"; Linux stands in for {', '.join(foreign)}" if foreign else "")
    )
    make_certificates(lab.plans.values(), paths)
    for node in topology.nodes:
        start_one_node(lab, node)
    references = {f"env:{key}": value for key, value in lab.secrets.items()}
    for router in topology.routers.values():
        start_router(router, topology, paths, references)


def _wait_for_agents(lab: Lab, progress: Progress) -> None:
    progress("waiting for the agents")
    deadline = time.monotonic() + AGENT_WAIT_S
    while missing := agents_missing(lab):
        dead = [node for node in missing if not _lives(lab, node)]
        if dead or time.monotonic() > deadline:
            node = (dead or missing)[0]
            raise LabError(
                f"the agent of {node} {'died' if dead else 'is not ready'}:\n{_tail(lab, node)}"
            )
        time.sleep(POLL_S)


def _lives(lab: Lab, node: str) -> bool:
    return bool(inhabitants([lab.paths.netns(node)]))


def _tail(lab: Lab, node: str, lines: int = 15) -> str:
    try:
        text = (lab.paths.node(node) / "agent.log").read_text(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:])


def _remove(name: str) -> None:
    """Idempotent, and fit for whatever half of a lab there is."""
    paths = LabPaths(name)
    members = netns.names(paths.netns(""))
    if read_record(name) is not None and paths.record.exists():
        update_record(name, phase="removing")
    # Nothing of a lab is worth a goodbye: agents and daemons are ended at once.
    end_inhabitants(members, grace_s=0.0)
    Links.end(paths.emulator, paths.closet)
    for member in members:
        netns.remove(member)
    forget(name)
