"""What becomes of the keepalives that one end of a tunnel sends: predicted from the plans of both ends.

What the far end's settings decide is `reflection`'s; here is what takes both ends, IPsec above all. An
end that encrypts at its tunnel interface (tunnel protection) encrypts what the tunnel sends, and an
answer to a keepalive is not sent by the tunnel but forwarded beside it. A crypto map stands at the
physical interface and encrypts the answer with all else. The sender takes no GRE of its peer's in clear
text, however it encrypts itself. Source: Cisco's document 118370, which speaks of tunnel mode only.
"""

from dataclasses import dataclass
from enum import StrEnum

from bongsu.model.ipsec import Ipsec, Protection
from bongsu.model.node import Platform
from bongsu.model.tunnel import Dialect
from bongsu.plan.reflection import Obstacle, obstacles
from bongsu.plan.tunnel import TunnelPlan


class Outcome(StrEnum):
    """What an operator will see at the end that sends, while both ends and the path are well."""

    WORKS = "up/up"
    DOWN = "up/down"
    NO_EFFECT = "no effect"
    """Nothing is sent, and the line protocol is up whatever happens."""
    UNKNOWN = "unknown"


class Secrecy(StrEnum):
    """What IPsec does to the answer."""

    CLEAR = "the answer leaves the far end unencrypted, and the sender drops what is not encrypted"
    UNTRIED = "nobody has documented keepalives inside IPsec transport mode"


class Speech(StrEnum):
    """What an IOS makes of a keepalive that it would not have sent itself."""

    FOREIGN = "the far end does not take GRE of this protocol type for IP"
    UNHEARD = "nobody has documented that the far end sends this form back"


Reason = Obstacle | Secrecy | Speech

_UNDOCUMENTED = (Secrecy.UNTRIED, Speech.UNHEARD)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What becomes of one end's keepalives, and everything that makes it so."""

    outcome: Outcome
    reasons: tuple[Reason, ...] = ()

    @property
    def works(self) -> bool:
        """Whether the keepalives tell the truth about the path."""
        return self.outcome is Outcome.WORKS


def predict_keepalive(
    sender: TunnelPlan, far: TunnelPlan, far_platform: Platform = Platform.LINUX
) -> Prediction:
    """The fate of the keepalives that `sender` sends or would send; `far` is the tunnel's other end."""
    if sender.multipoint:
        return Prediction(Outcome.NO_EFFECT, (Obstacle.MULTIPOINT,))
    reasons: list[Reason] = list(obstacles(far, far_platform))
    if far.ipsec is not None and (secrecy := _secrecy(far.ipsec, far.protection)) is not None:
        reasons.append(secrecy)
    if far_platform is Platform.IOS and (speech := _speech(sender)) is not None:
        reasons.append(speech)
    if not reasons:
        return Prediction(Outcome.WORKS)
    known = any(reason not in _UNDOCUMENTED for reason in reasons)
    return Prediction(Outcome.DOWN if known else Outcome.UNKNOWN, tuple(reasons))


def _speech(sender: TunnelPlan) -> Speech | None:
    """Cisco's own form, and what does not differ from it over IPv4, goes back; so does a nonce."""
    dialect = sender.keepalive.dialect if sender.keepalive is not None else Dialect.CISCO
    if sender.local.version == 4 and dialect is Dialect.HUAWEI:
        return Speech.FOREIGN
    if sender.local.version == 6 or dialect is Dialect.VELOCLOUD:
        return Speech.UNHEARD
    return None


def _secrecy(ipsec: Ipsec, far: Protection) -> Secrecy | None:
    if ipsec.mode == "transport":
        return Secrecy.UNTRIED
    return Secrecy.CLEAR if far is Protection.TUNNEL else None
