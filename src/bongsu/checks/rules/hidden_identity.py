"""VPN002: an IKE identity that the far end does not know, because a NAT stands before it."""

from collections.abc import Iterator

from bongsu.checks.address import is_public, kind
from bongsu.checks.connection import Connection, Pipe
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.node import Platform


def check(scene: Scene) -> Iterator[Finding]:
    """Private outer addresses under way to public headends, and what stands in for them."""
    told = set()
    for connection, pipe in scene.pipes:
        # With IKEv1 an IOS has no other name (IOS001), and the far end is told of it.
        itself = (
            pipe.plan.ike_version == 1 and scene.plans[connection.site].platform is Platform.IOS
        )
        for finding in _wrong(connection, pipe, itself=itself):
            # One missing line in an interface is one finding, however many tunnels lean on it.
            if (finding.path, finding.message) not in told:
                told.add((finding.path, finding.message))
                yield finding


def _wrong(connection: Connection, pipe: Pipe, *, itself: bool) -> Iterator[Finding]:
    plan = pipe.plan
    at = ("nodes", connection.site, "interfaces", plan.underlay)
    if not is_public(plan.remote) or is_public(plan.local):
        return
    if not plan.nat and pipe.tunnel.id is None:
        yield Finding(
            "VPN002",
            Severity.ERROR,
            at,
            f"{connection.site} would call itself {plan.local}, which is {kind(plan.local)}: the "
            "gateway on the Internet knows nobody of that name, and answers nothing",
            "`public:` with the address that the NAT gives it; behind an address that changes, an "
            "`id` in each tunnel that the far end is told of",
        )
    elif plan.nat and not is_public(plan.public):
        yield Finding(
            "VPN002",
            Severity.ERROR,
            (*at, "public"),
            f"{plan.public} is {kind(plan.public)}: it is no address that the Internet sees",
            "what the provider's page, or a look from outside, says",
        )
    elif pipe.tunnel.id == str(plan.local) and not itself:
        yield Finding(
            "VPN002",
            Severity.ERROR,
            (*pipe.at, "id"),
            f"{plan.local} is the address behind the NAT, and the gateway expects the one before it",
            f"leave `id` out: {plan.public} is used" if plan.nat else "the NAT's public address",
        )
