"""Rendered files against the trees kept beside this file: <network>/<node>/etc/...

After a change that is meant: BONGSU_UPDATE_GOLDEN=1 pytest tests/golden, then read the diff.
"""

import os
import shutil
from pathlib import Path

import pytest

from bongsu.render import render_node
from tests.golden.networks import HERE, NETWORKS, plans

UPDATE = "BONGSU_UPDATE_GOLDEN"


def compare(rendered: dict[str, str], tree: Path) -> list[str]:
    """What differs, one line for each file; an expectation of nothing is a difference, too."""
    expected = {
        f"/{path.relative_to(tree)}": path.read_text()
        for path in sorted(tree.rglob("*"))
        if path.is_file()
    }
    if not expected:
        return [f"{tree} expects nothing; set {UPDATE}=1 to make it"]
    missing = [f"missing {path}" for path in expected.keys() - rendered.keys()]
    extra = [f"extra {path}" for path in rendered.keys() - expected.keys()]
    changed = [
        f"changed {path}"
        for path in expected.keys() & rendered.keys()
        if expected[path] != rendered[path]
    ]
    return sorted(missing + extra + changed)


@pytest.mark.parametrize("network", NETWORKS)
def test_tree(network: str) -> None:
    root = HERE / network
    nodes = {name: render_node(plan) for name, plan in plans(network).items()}
    if os.environ.get(UPDATE):
        shutil.rmtree(root, ignore_errors=True)
        for node, files in nodes.items():
            for path, text in files.items():
                target = root / node / path.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
    assert {path.name for path in root.iterdir()} == set(nodes)
    differences = {
        node: found for node, files in nodes.items() if (found := compare(files, root / node))
    }
    assert differences == {}


def test_every_tree_has_a_network() -> None:
    kept = {path.name for path in HERE.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert kept - {"networks"} == set(NETWORKS)


def test_comparison_bites(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    assert "expects nothing" in compare({"/etc/a": "1"}, tmp_path)[0]
    (tmp_path / "etc/a").write_text("1")
    assert compare({"/etc/a": "1"}, tmp_path) == []
    assert compare({"/etc/a": "2"}, tmp_path) == ["changed /etc/a"]
    assert compare({"/etc/a": "1", "/etc/b": ""}, tmp_path) == ["extra /etc/b"]
    assert compare({}, tmp_path) == ["missing /etc/a"]
