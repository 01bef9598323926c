"""VPN010: a pre-shared key that can be guessed."""

from collections.abc import Iterator

from bongsu.checks.finding import Finding, Severity
from bongsu.checks.scene import Scene
from bongsu.plan.psk import psk_weakness


def check(scene: Scene) -> Iterator[Finding]:
    """Keys whose value the lab is given. Of the others the file has references only: the agent, which
    resolves them on the node, judges those in the same way."""
    values = scene.network.lab.secrets if scene.network.lab is not None else {}
    told = set()
    for connection, pipe in scene.pipes:
        kind, _, name = (pipe.plan.psk or "").partition(":")
        if kind != "env" or name not in values or name in told:
            continue
        told.add(name)
        weakness = psk_weakness(values[name], connection.profile)
        if weakness is not None:
            yield Finding(
                "VPN010",
                Severity.WARNING,
                ("lab", "secrets", name),
                f"the lab's key of {pipe.name} is no model for the real one: {weakness}",
                "32 random letters and digits: `tr -dc A-Za-z1-9 </dev/urandom | head -c 32`",
            )
