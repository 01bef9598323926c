"""GRE005: a keepalive over IPv6 to a far end that has none."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.node import Platform
from bongsu.plan.prediction import Speech


def check(scene: Scene) -> Iterator[Finding]:
    """Keepalives over IPv6 against the far end's platform.

    Ends of two families are GRE004's, and what an IOS cannot send itself is IOS001's.
    """
    for watch in scene.watches:
        over_ipv6 = watch.own.local.version == watch.other.local.version == 6
        if (
            over_ipv6
            and Speech.UNHEARD in watch.prediction.reasons
            and watch.platform is not Platform.IOS
        ):
            yield Finding(
                "GRE005",
                Severity.WARNING,
                watch.path,
                f"{watch.tunnel} runs over IPv6, and {watch.far} is an IOS, which has no keepalive "
                "there: nobody has said that it sends one back",
                "give both ends an IPv4 underlay, or try it before you rely on it",
            )
