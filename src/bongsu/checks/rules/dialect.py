"""GRE012: a keepalive in a dialect that the far end does not speak, or the tunnel cannot carry."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.model.node import Platform
from bongsu.model.tunnel import Dialect
from bongsu.plan.prediction import Speech


def check(scene: Scene) -> Iterator[Finding]:
    """`dialect` of keepalives over IPv4 to an IOS; nodes of ours answer them all.

    Over IPv6 GRE005 says what there is to say, and what an IOS cannot send itself is IOS001's.
    """
    for watch in scene.watches:
        if watch.platform is Platform.IOS:
            continue
        dialect = watch.keepalive.dialect.value
        if dialect == Dialect.VELOCLOUD and watch.own.inside4() is None:
            yield Finding(
                "GRE012",
                Severity.ERROR,
                watch.path,
                f"{watch.sender} would write keepalives as {dialect} does, between inside addresses of "
                f"IPv4, and {watch.tunnel} does not have them at both ends",
                "an IPv4 address in `addresses` of both ends, or `dialect: cisco`",
            )
            continue
        if watch.own.local.version == 6:
            continue
        if Speech.FOREIGN in watch.prediction.reasons:
            severity, words = Severity.ERROR, "drops it as GRE of an unknown protocol type"
        elif Speech.UNHEARD in watch.prediction.reasons:
            severity, words = Severity.WARNING, "is not known to send it back"
        else:
            continue
        yield Finding(
            "GRE012",
            severity,
            watch.path,
            f"{watch.sender} would write keepalives as {dialect} does, and {watch.far} is an IOS, "
            f"which {words}",
            "leave `dialect` at `cisco`, its default",
        )
