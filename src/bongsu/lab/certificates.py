"""Throw-away certificates for connections that authenticate by them: the lab's own authority.

Every connection has an authority of its own, which signs the site's certificate and that of the cloud's
stand-in, each with the identities that its end goes by. Certificates are put where the file says they
lie, in the node's own /etc; keys too, or into its environment, as their reference says. All of it ends
with the lab.
"""

import json
import tempfile
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

from bongsu.lab.state import LabError, LabPaths
from bongsu.plan.node import NodePlan
from bongsu.plan.vpn import VpnTunnelPlan
from bongsu.system.run import run

DAYS = "2"
ETC = Path("/etc")


KEYS = "keys.json"
"""What a node's environment has of keys; a node that was killed is started with the same."""


def keys_of(node: str, paths: LabPaths) -> dict[str, str]:
    """Keys that a node finds in its environment."""
    try:
        found: dict[str, str] = json.loads((paths.node(node) / KEYS).read_text())
    except FileNotFoundError:
        return {}
    return found


def make_certificates(plans: Iterable[NodePlan], paths: LabPaths) -> None:
    """Certificates and keys of all nodes that need them.

    Raises LabError when a file is to lie where the lab has none of its own, RunError from openssl.
    """
    ends = [
        (plan.node, group)
        for plan in plans
        for group in _by_connection(plan).values()
        if group[0].certificate is not None
    ]
    environments: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory(prefix="bongsu-lab-") as directory:
        for vpn in dict.fromkeys(group[0].vpn for _, group in ends):
            authority = _Authority(Path(directory) / vpn, vpn)
            for node, group in ends:
                if group[0].vpn == vpn:
                    placed = _place(authority, node, group, paths)
                    environments.setdefault(node, {}).update(placed)
    for node, keys in environments.items():
        _keep(paths.node(node) / KEYS, json.dumps(keys))


def _by_connection(plan: NodePlan) -> dict[str, list[VpnTunnelPlan]]:
    found: dict[str, list[VpnTunnelPlan]] = {}
    for tunnel in plan.vpns:
        found.setdefault(tunnel.vpn, []).append(tunnel)
    return found


def _place(
    authority: "_Authority", node: str, group: list[VpnTunnelPlan], paths: LabPaths
) -> dict[str, str]:
    """One end's files, in its /etc; its key is returned if a variable is to hold it."""
    wanted = group[0].certificate
    assert wanted is not None
    identities = list(dict.fromkeys(tunnel.local_id for tunnel in group))
    certificate, key = authority.sign(node, identities)
    _write(paths, node, Path(wanted.ca), authority.text)
    _write(paths, node, Path(wanted.certificate), certificate)
    kind, _, where = wanted.key.partition(":")
    if kind == "env":
        return {where: key}
    _write(paths, node, Path(where), key)
    return {}


def _write(paths: LabPaths, node: str, path: Path, text: str) -> None:
    if not path.is_relative_to(ETC):
        raise LabError(
            f"{path} of {node} is to hold a certificate or its key, and the lab has only its own /etc",
            hint="name a path below /etc, such as /etc/ssl/bongsu/site.pem",
        )
    _keep(paths.node(node) / "etc" / path.relative_to(ETC), text)


def _keep(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


class _Authority:
    """A key that signs, for as long as it takes."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir()
        self._folder = folder
        self._made = folder / "ca.pem"
        _openssl(
            "req", "-x509", *_NEW_KEY, "-days", DAYS, "-subj", f"/CN=bongsu lab {name}",
            "-keyout", str(folder / "ca.key"), "-out", str(self._made),
        )  # fmt: skip
        self.text = self._made.read_text()

    def sign(self, node: str, identities: list[str]) -> tuple[str, str]:
        """A certificate and its key, PEM, for who goes by these names or addresses."""
        request, key = self._folder / f"{node}.csr", self._folder / f"{node}.key"
        made, names = self._folder / f"{node}.pem", self._folder / f"{node}.names"
        _openssl("req", "-new", *_NEW_KEY, "-subj", f"/CN={node}", "-keyout", str(key),
                 "-out", str(request))  # fmt: skip
        names.write_text(
            "subjectAltName=" + ",".join(_alternative(one) for one in identities) + "\n"
        )
        _openssl(
            "x509", "-req", "-in", str(request), "-CA", str(self._made),
            "-CAkey", str(self._folder / "ca.key"), "-CAcreateserial", "-days", DAYS,
            "-extfile", str(names), "-out", str(made),
        )  # fmt: skip
        return made.read_text(), key.read_text()


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*words: str) -> None:
    run(["openssl", *words], hint="scripts/install-debian.sh installs openssl")


def _alternative(identity: str) -> str:
    """An identity as a subject's alternative name (RFC 5280 section 4.2.1.6)."""
    try:
        return f"IP:{ip_address(identity)}"
    except ValueError:
        return f"email:{identity}" if "@" in identity else f"DNS:{identity}"
