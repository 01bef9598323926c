"""ADR004: two ends of a tunnel that do not share a network."""

from collections.abc import Iterator

from bongsu.checks.address import is_no_host
from bongsu.checks.connection import Pipe
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.tunnel import Tunnel


def check(scene: Scene) -> Iterator[Finding]:
    """Inside addresses of every tunnel, family by family; the first of each is the session's. Of a
    VPN's tunnel, our inside address and the cloud's."""
    for name, tunnel in scene.network.tunnels.items():
        for words, hint in _wrong(tunnel):
            yield Finding("ADR004", Severity.ERROR, ("tunnels", name, "ends"), words, hint)
    for _connection, pipe in scene.pipes:
        for key, words, hint in _cloud_wrong(pipe):
            yield Finding("ADR004", Severity.ERROR, (*pipe.at, key), words, hint)


def _cloud_wrong(pipe: Pipe) -> Iterator[tuple[str, str, str]]:
    inside, peer = pipe.tunnel.inside, pipe.tunnel.peer
    if inside is None:
        return
    network = inside.network
    if is_no_host(inside.ip, network):
        yield "inside", f"{inside.ip} is the first or last address of {network}", "one in between"
    if peer is None and pipe.plan.peer_inside is None:
        yield "inside", f"{network} has no other host that could be the cloud's", "add `peer`"
    if peer is None:
        return
    if peer not in network:
        yield (
            "peer",
            f"{peer} is not in {network}, where our end is: neither end finds the other",
            "the two addresses of one line of the cloud's page",
        )
    elif is_no_host(peer, network):
        yield "peer", f"{peer} is the first or last address of {network}", "one in between"


def _wrong(tunnel: Tunnel) -> Iterator[tuple[str, str]]:
    (one, first), (other, second) = tunnel.ends.items()
    for family in (4, 6):
        a = next((ip for ip in first.addresses if ip.version == family), None)
        b = next((ip for ip in second.addresses if ip.version == family), None)
        if a is None and b is None:
            continue
        if a is None or b is None:
            lacking, given = (one, b) if a is None else (other, a)
            network = "" if given is None else f" of {given.network}"
            yield (
                f"only one end has an IPv{family} address inside",
                f"give {lacking} an address{network}",
            )
        elif a.ip == b.ip:
            yield f"both ends are {a.ip}", f"two addresses of {a.network}"
        elif a.network != b.network:
            yield (
                f"{one} is in {a.network} and {other} in {b.network}: neither end finds the other",
                f"an address of {a.network} at {other}",
            )
        else:
            for node, address in ((one, a), (other, b)):
                if is_no_host(address.ip, address.network):
                    yield (
                        f"{address.ip} at {node} is the first or last address of "
                        f"{address.network}, which no host can have",
                        "one in between",
                    )
