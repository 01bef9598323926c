"""Work grows as the network does: counted in calls, since time is nothing that a test can rely on."""

import importlib.util
import json
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from bongsu.checks import run_checks
from bongsu.intent.document import Document, read_document
from bongsu.intent.references import reference_problems
from bongsu.model.network import Network
from bongsu.plan.compile import compile_network
from bongsu.plan.node import NodePlan

SMALL, LARGE = 30, 120


def network_text(sites: int) -> str:
    path = Path(__file__).parents[2] / "bench" / "scale.py"
    spec = importlib.util.spec_from_file_location("bench_scale", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text: str = module.network_text(sites)
    return text


def vpn_text(sites: int) -> str:
    """As many sites behind a 1:1 NAT, each with two tunnels to one cloud of theirs all."""
    nodes, vpns = {}, {}
    for n in range(sites):
        high, low = divmod(n, 250)
        nodes[f"s{n}"] = {
            "role": "router",
            "interfaces": {
                "ens3": {
                    "role": "uplink",
                    "addresses": ["192.168.0.2/24"],
                    "gateway": "192.168.0.1",
                    "public": f"11.1.{high}.{low + 1}",
                    "source_dest_check": False,
                },
                "ens4": {"role": "lan", "addresses": [f"10.{high}.{low}.1/24"]},
            },
            "bgp": {"asn": 65000, "router_id": f"10.{high}.{low}.1"},
        }
        vpns[f"s{n}"] = {
            "site": f"s{n}",
            "cloud": "seoul",
            "bgp": {},
            "tunnels": {
                f"t{k}": {
                    "headend": f"11.2.0.{k}",
                    "inside": f"169.254.{k}.1/30",
                    "psk": f"env:KEY_{n}_{k}",
                }
                for k in (1, 2)
            },
        }
    clouds = {"seoul": {"profile": "oci", "networks": ["172.16.0.0/16"]}}
    root = {"version": 1, "name": "scale", "nodes": nodes, "clouds": clouds, "vpns": vpns}
    return json.dumps(root)


TEXTS = {"gre": network_text, "vpn": vpn_text}


@cache
def parts(sites: int, kind: str = "gre") -> tuple[Document, Network, dict[str, NodePlan]]:
    document = read_document(TEXTS[kind](sites), "scale.yaml")
    network = Network.model_validate_json(json.dumps(document.root))
    return document, network, compile_network(network)


def calls(act: Callable[[], Any]) -> int:
    """Calls of Python and C functions while it acts."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("kind", TEXTS)
def test_the_generated_network_is_clean(kind: str) -> None:
    _document, network, plans = parts(SMALL, kind)
    assert len(network.nodes) == SMALL
    assert run_checks(network, plans) == []


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("phase", ["references", "compile", "check"])
def test_four_times_the_network_is_four_times_the_work(phase: str, kind: str) -> None:
    counts = []
    for sites in (SMALL, LARGE):
        document, network, plans = parts(sites, kind)
        acts: dict[str, Callable[[], Any]] = {
            "references": partial(reference_problems, document),
            "compile": partial(compile_network, network),
            "check": partial(run_checks, network, plans),
        }
        acts[phase]()  # what is made once for all is made now
        counts.append(calls(acts[phase]))
    assert counts[0] > SMALL
    assert counts[1] / counts[0] < LARGE / SMALL * 1.15
