"""What is known of an IPsec tunnel at one moment, and how bad that is.

The causes have an order, from below: underlay, IKE, ESP, BGP, route. The first that does not hold is
the one that is told: what is above it cannot hold either.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum


class Layer(StrEnum):
    """Where a cause lies. The order is that of the questions."""

    UNDERLAY = "underlay"
    IKE = "IKE"
    ESP = "ESP"
    BGP = "BGP"
    ROUTE = "route"


class Health(Enum):
    """What a moment's evidence says, before anything that came earlier is thought of."""

    GOOD = "all holds"
    WEAK = "it carries, but something does not hold"
    BAD = "it does not carry"


@dataclass(frozen=True)
class Cause:
    """Why a link is not up."""

    layer: Layer
    code: str
    """A word for programs."""
    text: str
    """A sentence for people."""


@dataclass(frozen=True)
class Probe:
    """Echoes through the tunnel."""

    unanswered: int
    """Of the last ones, one after the other."""
    misses: int
    """So many mean that nothing comes through."""
    ever: bool
    """Whether one was ever answered since the tunnel stands: a far end may not answer at all."""
    lost: int = 0
    """Of the last minute's."""
    counted: int = 0
    """Of the last minute."""

    @property
    def loss(self) -> float:
        """Part of the last minute's without an answer, 0 to 1."""
        return self.lost / self.counted if self.counted else 0.0


@dataclass(frozen=True)
class Bgp:
    """The session inside the tunnel."""

    state: str
    """RFC 4271's word."""
    received: int | None = None
    """Prefixes that were taken; None where nobody counts."""

    @property
    def established(self) -> bool:
        return self.state == "Established"


@dataclass(frozen=True)
class Evidence:
    """One look at everything."""

    underlay: str = ""
    """Why no packet can leave for the far end; empty if one can."""
    daemon: bool = True
    """Whether the IKE daemon answers."""
    ike: str = "none"
    """`none`, `connecting` or `established`."""
    esp: bool = False
    """Whether there are keys for packets in both directions."""
    missing: tuple[str, ...] = ()
    """Pairs of traffic selectors that nothing carries, while others are."""
    unanswered: int = 0
    """How often a request of IKE, dead peer detection's too, was sent again without an answer."""
    reason: Cause | None = None
    """What the IKE daemon said last of a failure."""
    probe: Probe | None = None
    bgp: Bgp | None = None
    interface: bool = True
    """Whether the tunnel's interface is there."""


LOSS, LOST = 0.01, 3
"""Of a minute's probes, from which on a link counts as degraded; fewer than so many are chance."""


NAMED = 3
"""Missing pairs of selectors that a sentence names."""


def judge(seen: Evidence) -> tuple[Health, Cause | None]:
    """How bad it is, and the first cause from below."""
    if seen.underlay:
        return Health.BAD, Cause(Layer.UNDERLAY, "underlay", seen.underlay)
    if not seen.esp:
        return Health.BAD, _no_esp(seen)
    if not seen.interface:
        return Health.BAD, Cause(Layer.ESP, "interface", "the tunnel's interface is gone")
    probe = seen.probe
    if probe is not None and probe.ever and probe.unanswered >= probe.misses:
        text = f"{probe.unanswered} probes through the tunnel unanswered"
        return Health.BAD, Cause(Layer.ESP, "probe", text)
    for cause in (_weak_ike(seen), _weak_esp(seen), _weak_probe(probe), _weak_bgp(seen.bgp)):
        if cause is not None:
            return Health.WEAK, cause
    return Health.GOOD, None


def _no_esp(seen: Evidence) -> Cause:
    if not seen.daemon:
        return Cause(Layer.IKE, "daemon", "the IKE daemon does not answer")
    if seen.reason is not None:
        # In IKEv1 the same words refuse either kind of proposal.
        if seen.reason.code == "proposal" and seen.ike == "established":
            return Cause(Layer.ESP, "esp-proposal", seen.reason.text)
        return seen.reason
    if seen.ike == "established":
        return Cause(Layer.ESP, "no-esp", "IKE is established, ESP is not")
    if seen.unanswered:
        return Cause(Layer.IKE, "no-answer", no_answer(seen.unanswered))
    if seen.ike == "connecting":
        return Cause(Layer.IKE, "connecting", "IKE is being negotiated")
    return Cause(Layer.IKE, "idle", "nobody has begun IKE")


def no_answer(times: int) -> str:
    """What to say, and where to look."""
    return (
        f"the far end does not answer IKE ({times} requests sent again): is it there, and does"
        " UDP 500 and 4500 reach it?"
    )


def _weak_ike(seen: Evidence) -> Cause | None:
    if not seen.daemon:
        return Cause(Layer.IKE, "daemon", "the IKE daemon does not answer; ESP goes on")
    if seen.unanswered:
        times = f"{seen.unanswered} request{'s' if seen.unanswered > 1 else ''}"
        return Cause(Layer.IKE, "dpd", f"the far end leaves {times} of IKE unanswered")
    if seen.ike != "established":
        return Cause(Layer.IKE, "connecting", "ESP stands, IKE is being negotiated")
    return None


def _weak_esp(seen: Evidence) -> Cause | None:
    if not seen.missing:
        return None
    named = ", ".join(seen.missing[:NAMED]) + (" ..." if len(seen.missing) > NAMED else "")
    text = f"nothing carries {named}, other selectors are carried"
    if seen.reason is not None and seen.reason.layer is Layer.ESP:
        text += f": {seen.reason.text}"
    return Cause(Layer.ESP, "part", text)


def _weak_probe(probe: Probe | None) -> Cause | None:
    if probe is None:
        return None
    if not probe.ever and probe.unanswered >= probe.misses:
        return Cause(Layer.ESP, "probe-silent", "no probe was ever answered: is echo let through?")
    if probe.ever and probe.lost >= LOST and probe.loss >= LOSS:
        return Cause(Layer.ESP, "loss", f"{probe.loss:.1%} of the probes are lost")
    return None


def _weak_bgp(bgp: Bgp | None) -> Cause | None:
    if bgp is None:
        return None
    if not bgp.established:
        return Cause(Layer.BGP, "bgp", f"ESP stands, BGP is {bgp.state}")
    if bgp.received == 0:
        return Cause(
            Layer.ROUTE, "no-prefix", "BGP is Established, and no prefix was taken from it"
        )
    return None
