"""ACC019: answers that stay limited, for no client of the listener can prove where it is."""

from collections.abc import Iterator

from bongsu.checks.accelerator import IKE, NAT_T
from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.plan.relay import validates


def check(scene: Scene) -> Iterator[Finding]:
    """Listeners of UDP that is not IPsec, whose file does not say `amplification`."""
    for ear in scene.ears:
        if validates(ear.item) == "none" and "amplification" not in ear.item.model_fields_set:
            times = ear.item.amplification
            yield Finding(
                "ACC019",
                Severity.INFO,
                ear.at,
                f"a client of {ear.accelerator}/{ear.name} gets at most {times} bytes for each that it "
                "sends, for as long as it speaks: nothing in such UDP proves where it is",
                "a listener of their own for 500 and 4500: IKE's clients prove it there"
                if ear.hears("udp", IKE) or ear.hears("udp", NAT_T)
                else f"`amplification: {times}` if that is enough; `unlimited` where the protocol itself "
                "refuses forged senders, as QUIC does",
            )
