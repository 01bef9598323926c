"""IOS configurations as an independent parser reads them: the same commands in the same modes."""

import pytest
from netutils.config import parser

from bongsu.model.node import Platform
from bongsu.render import render_node
from tests.golden.networks import NETWORKS, plans
from tests.unit.ios_syntax import commands

LEAVES = "exit-address-family"
"""Shown beside the mode that it leaves, and counted to it by some: no matter."""

IOS = [
    (network, node)
    for network in NETWORKS
    for node, plan in plans(network).items()
    if plan.platform is Platform.IOS
]


@pytest.mark.parametrize(("network", "node"), IOS)
def test_another_parser_sees_the_same_modes(network: str, node: str) -> None:
    text = render_node(plans(network)[node])[f"/ios/{node}.cfg"]
    theirs = [
        tuple(words.strip() for words in (*line.parents, line.config_line))
        for line in parser.IOSConfigParser(text).build_config_relationship()
    ]
    ours = [command for command in commands(text) if "<" not in command[-1]]
    assert [c for c in theirs if c[-1] != LEAVES] == [c for c in ours if c[-1] != LEAVES]
    assert len(theirs) > 10
