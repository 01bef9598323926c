"""Secrets in rendered files: a marker stands for each, and the agent puts the value in its place.

A bundle holds no secret. Where a file needs one, the renderer writes `marker(reference)`, a word that
every daemon's parser takes for a password; the agent, which alone can resolve the reference, replaces
it when it writes the file, and gives the file no mode that others could read.
"""

import hashlib

from bongsu.model.base import SecretRef
from bongsu.plan.node import NodePlan
from bongsu.render.template import Admitted

_PREFIX = "BONGSU-SECRET-"


def marker(reference: SecretRef) -> Admitted:
    """The word that stands for a secret in a file: letters, digits and hyphens, 30 characters."""
    return Admitted(_PREFIX + hashlib.sha256(reference.encode()).hexdigest()[:16])


def marked(text: str) -> bool:
    """Whether a file's text waits for a secret."""
    return _PREFIX in text


def marked_references(plan: NodePlan) -> list[SecretRef]:
    """Every secret that a marker of this node's files may stand for. BIRD's have a file of their own."""
    found = [tunnel.psk for tunnel in plan.vpns]
    found += [t.certificate.key for t in plan.vpns if t.certificate is not None]
    found += [peer.password for peer in plan.cloud_peers]
    return list(dict.fromkeys(reference for reference in found if reference is not None))
