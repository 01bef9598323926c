"""Two tunnels by policy with the same selectors in Debian's kernel: the first that works is used.

The kernel has one policy for the selectors, and charon puts the best of those it knows there.
"""

import json
import re
from typing import Any

import pytest

from bongsu.intent import load_text
from bongsu.plan.compile import compile_network
from bongsu.plan.connect import stand_in_plan
from bongsu.plan.node import NodePlan
from bongsu.render import render_node
from bongsu.render.nftables.render import PATH as RULES
from bongsu.render.secret import marker
from bongsu.render.strongswan.render import CONNECTIONS, SECRETS, SETTINGS
from tests.vm.harness import resume

pytestmark = pytest.mark.vm

HEADENDS = ("198.51.100.2", "198.51.100.6")
FILE = f"""
version: 1
name: policies
nodes:
  site:
    role: router
    interfaces:
      wan: {{role: uplink, addresses: [192.0.2.1/24], gateway: 192.0.2.2}}
      lan: {{role: lan, addresses: [10.1.0.1/24]}}
clouds:
  far: {{networks: [172.16.0.0/24]}}
vpns:
  up:
    site: site
    cloud: far
    binding: policy
    dpd: {{delay_s: 5, timeout_s: 20}}
    tunnels:
      one: {{headend: {HEADENDS[0]}, psk: env:PSK}}
      two: {{headend: {HEADENDS[1]}, psk: env:PSK}}
"""
PSK = "aKxj2dR7yLq9TzV4nWc5Bh8mEf3G"


def files(plan: NodePlan) -> dict[str, str]:
    """One charon's: two share the machine's file system."""
    rendered = render_node(plan)
    socket = f"unix:///run/{plan.node}.vici"
    own = (
        f"charon-systemd {{\n  plugins {{\n    vici {{\n      socket = {socket}\n    }}\n  }}\n}}\n"
    )
    connections = rendered[CONNECTIONS] + rendered[SECRETS].replace(
        marker(plan.vpns[0].psk) if plan.vpns[0].psk else "", PSK
    )
    # The machine's own says which plugins are loaded: not kernel-libipsec.
    settings = "include /etc/strongswan.conf\n" + rendered[SETTINGS] + own
    return {"settings": settings, "connections": connections}


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    network = load_text(FILE, "policies.yaml").network
    job = {
        "headends": HEADENDS,
        "standby": "two",
        "here": "10.1.0.1",
        "there": "172.16.0.1",
        "lan": "10.1.0.0/24",
        "host": "10.1.0.9",
        "guest": "172.16.0.99",
        "filter": render_node(compile_network(network)["site"])[RULES],
        "links": [
            "netns add site",
            "netns add far",
            "link add wan netns site type veth peer name wan netns far",
            "link add lan netns site type veth peer name host netns site",
        ],
        "lines": {
            "site": [
                "link set lo up", "link set wan up", "addr add 192.0.2.1/24 dev wan",
                "link set lan up", "link set host up", "addr add 10.1.0.1/24 dev lan",
                "neigh add 10.1.0.9 lladdr 02:00:00:00:00:01 dev lan", "route add default via 192.0.2.2",
            ],
            "far": [
                "link set lo up", "link set wan up", "addr add 192.0.2.2/24 dev wan",
                "addr add 172.16.0.1/32 dev lo", "route add default via 192.0.2.1",
                *(f"addr add {headend}/32 dev wan" for headend in HEADENDS),
            ],
        },
        "nodes": {
            "site": files(compile_network(network)["site"]),
            "far": files(stand_in_plan(network, "far")),
        },
    }  # fmt: skip
    result = resume(
        "exec $PYTHON -m tests.vm.jobs.policies", {"policies.json": json.dumps(job)}, timeout_s=500
    )
    assert result.rc == 0, result.output
    return dict(json.loads(result.output[result.output.rindex("\n{") :]))


def test_the_first_that_works_carries(seen: dict[str, Any]) -> None:
    first, second = HEADENDS
    network = load_text(FILE, "policies.yaml").network
    text = files(compile_network(network)["site"])["connections"]
    (behind,) = map(int, re.findall(r"priority = (\d+)", text))
    # charon's own reckoning is what the standby is put behind: it may be another one some day.
    assert [0 < behind - each < 512 for each in seen["priorities"]] == [True]
    assert {when: seen[when] for when in seen if when not in ("priorities", "dropped")} == {
        "at first": [first],
        "standby rekeyed": [first],
        "first headend silent": [second],
        "mended": [first],
    }


def test_the_filter_knows_what_came_by_a_policy(seen: dict[str, Any]) -> None:
    assert seen["dropped"] == {
        "forged by the uplink": ["into_tunnel"],
        "to the gateway": ["tunnel_input"],
        "ping to the gateway": [],
        "to a host": [],
        "without its LAN": ["vpn_leak"],
    }
