"""A bundle: a plan, the files made of it, and a manifest of hashes. The one thing that is applied.

    manifest.json   version, node, digest of the plan, and of each file its SHA-256 and mode
    plan.json       the plan, canonical
    root/etc/...    the files

Its digest names it as a whole (that of manifest.json, which covers everything else), ready to be
signed. A bundle holds no secret. This module does not touch a file system: a tree is a mapping of
relative paths to text.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from bongsu.plan.node import NodePlan
from bongsu.render import render_node

VERSION = 1
MANIFEST = "manifest.json"
PLAN = "plan.json"
ROOT = "root"

DEFAULT_MODE = 0o644
MODES = {
    "/etc/netplan/": 0o600,
    "/etc/ipsec.d/bongsu.secrets": 0o600,
    "/etc/swanctl/conf.d/bongsu-secrets.conf": 0o600,
    "/etc/swanctl/private/": 0o600,
    "/etc/bongsu/libipsec/": 0o600,
    "/etc/frr/": 0o640,
}
"""By beginning of the path: what others must not read once the agent has put secrets in place.
netplan complains about a file that they can."""


class BundleError(ValueError):
    """A tree is not the bundle its manifest describes. The lists hold relative paths."""

    def __init__(
        self,
        reason: str,
        *,
        missing: tuple[str, ...] = (),
        extra: tuple[str, ...] = (),
        changed: tuple[str, ...] = (),
    ) -> None:
        self.reason, self.missing, self.extra, self.changed = reason, missing, extra, changed
        kinds = (("missing", missing), ("extra", extra), ("changed", changed))
        parts = [f"{kind}: {', '.join(paths)}" for kind, paths in kinds if paths]
        super().__init__("; ".join([reason, *parts]))


@dataclass(frozen=True)
class Bundle:
    """A plan with its files. Treat `files` as frozen, too."""

    plan: NodePlan
    files: Mapping[str, str]
    """Absolute path -> text."""

    def mode(self, path: str) -> int:
        """Permission bits of a file of the bundle."""
        return next((m for start, m in MODES.items() if path.startswith(start)), DEFAULT_MODE)

    def manifest(self) -> dict[str, Any]:
        """What manifest.json says: hashes in hex, modes in octal."""
        return {
            "version": VERSION,
            "network": self.plan.network,
            "node": self.plan.node,
            "plan": _sha256(self._plan_json),
            "files": {
                path: {"sha256": _sha256(content), "mode": f"{self.mode(path):04o}"}
                for path, content in self.files.items()
            },
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of manifest.json, hex."""
        return _sha256(self._manifest_json)

    def to_tree(self) -> dict[str, str]:
        """Relative path -> text, in sorted order."""
        tree = {MANIFEST: self._manifest_json, PLAN: self._plan_json}
        tree |= {f"{ROOT}{path}": content for path, content in self.files.items()}
        return dict(sorted(tree.items()))

    @classmethod
    def from_tree(cls, tree: Mapping[str, str]) -> "Bundle":
        """The bundle in a tree. Raises BundleError that names all that is not as it was made."""
        absent = tuple(name for name in (MANIFEST, PLAN) if name not in tree)
        if absent:
            raise BundleError("no bundle", missing=absent)
        claimed = _manifest(tree[MANIFEST])
        found = {path[len(ROOT) :]: text for path, text in tree.items() if _is_file(path)}
        files: dict[str, Any] = claimed["files"]
        missing = tuple(sorted(f"{ROOT}{path}" for path in files.keys() - found.keys()))
        extra = tuple(
            sorted(
                path
                for path in tree
                if path not in (MANIFEST, PLAN)
                and not (_is_file(path) and path[len(ROOT) :] in files)
            )
        )
        changed = [PLAN] if _sha256(tree[PLAN]) != claimed["plan"] else []
        for path in sorted(files.keys() & found.keys()):
            if not isinstance(files[path], dict) or files[path].get("sha256") != _sha256(
                found[path]
            ):
                changed.append(f"{ROOT}{path}")
        if missing or extra or changed:
            raise BundleError(
                "bundle differs from its manifest",
                missing=missing,
                extra=extra,
                changed=tuple(changed),
            )
        bundle = cls(_plan(tree[PLAN]), dict(sorted(found.items())))
        # Everything else the manifest says follows from plan and files: modes, names, spelling.
        if bundle._manifest_json != tree[MANIFEST] or bundle._plan_json != tree[PLAN]:
            raise BundleError("bundle differs from its manifest", changed=(MANIFEST,))
        return bundle

    @cached_property
    def _plan_json(self) -> str:
        return self.plan.canonical_json() + "\n"

    @cached_property
    def _manifest_json(self) -> str:
        return json.dumps(self.manifest(), sort_keys=True, separators=(",", ":")) + "\n"


def make_bundle(plan: NodePlan) -> Bundle:
    """Render a plan. Equal plans make bundles of equal digest. Raises RenderError."""
    return Bundle(plan, render_node(plan))


def _manifest(text: str) -> dict[str, Any]:
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise BundleError(f"manifest is no JSON ({error})", changed=(MANIFEST,)) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise BundleError("manifest lists no files", changed=(MANIFEST,))
    if manifest.get("version") != VERSION:
        raise BundleError(
            f"manifest is of version {manifest.get('version')!r}, not {VERSION}",
            changed=(MANIFEST,),
        )
    return {"plan": None, **manifest}


def _plan(text: str) -> NodePlan:
    try:
        return NodePlan.model_validate_json(text)
    except ValidationError as error:
        raise BundleError("plan.json is no plan of this version", changed=(PLAN,)) from error


def _is_file(path: str) -> bool:
    # `root//etc` and `root/../etc` would be written elsewhere than they are listed.
    return path.startswith(f"{ROOT}/") and not {"", ".", ".."} & set(path.split("/"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
