"""Random networks render to the same text every time, announce nothing foreign and show no secret."""

import re
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bongsu.model.network import Network
from bongsu.plan.compile import compile_network
from bongsu.plan.node import NodePlan
from bongsu.render import RenderError, render_node
from bongsu.render.bird import secret_constants
from bongsu.render.bundle import Bundle, make_bundle

V4 = int(ip_address("20.0.0.0"))
V6 = int(ip_address("2001:db8::"))

# A network takes milliseconds to draw and to render; no deadline, the machine may be busy.
NETWORKS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

names = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True)
secrets = st.sampled_from(["env:HUSH_A", "file:/run/hush/b", None])
bfds = st.none() | st.builds(
    lambda interval, multiplier: {"interval_ms": interval, "multiplier": multiplier},
    st.integers(3, 60000),
    st.integers(2, 255),
)


def _prefix(index: int, family: int) -> str:
    if family == 4:
        return str(ip_network((V4 + (index << 12), 20)))
    return str(ip_network((V6 + (index << 84), 44)))


@st.composite
def networks(draw: st.DrawFn) -> dict[str, Any]:
    """A network whose references hold. It need not be wise: the checks judge, not the renderers."""
    pops = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    homes = draw(
        st.lists(names.filter(lambda n: n not in pops), min_size=1, max_size=2, unique=True)
    )
    owned = [_prefix(i, draw(st.sampled_from([4, 6]))) for i in range(draw(st.integers(1, 4)))]
    foreign = [_prefix(100, 4), _prefix(100, 6)]
    tunnels: dict[str, Any] = {}
    labels = draw(st.lists(names, min_size=8, max_size=8, unique=True))
    for number in range(draw(st.integers(0, 6))):
        ends = {}
        inside = draw(st.sampled_from([(4,), (6,), (4, 6)]))
        for host, node in enumerate((draw(st.sampled_from(pops)), draw(st.sampled_from(homes)))):
            addresses = []
            if 4 in inside:
                addresses.append(f"10.99.{number}.{host + 1}/30")
            if 6 in inside:
                addresses.append(f"fd00:{number}::{host + 1}/64")
            ends[node] = {"addresses": addresses}
            if draw(st.booleans()):
                ends[node]["keepalive"] = False
        tunnels[labels[number]] = {
            "ends": ends,
            "key": draw(st.none() | st.integers(0, 2**32 - 1)),
            "tos": draw(st.just("inherit") | st.integers(0, 255)),
            "keepalive": draw(st.none() | st.just({})),
            "bfd": draw(bfds),
            "bgp": draw(st.booleans()),
            "egress": draw(st.booleans()),
            "preference": draw(st.integers(0, 1000)),
        }
    nodes: dict[str, Any] = {}
    for index, node in enumerate([*pops, *homes]):
        dual = draw(st.booleans())
        addresses = [f"192.0.2.{index + 1}/24"] + ([f"2001:db8:f::{index + 1}/64"] if dual else [])
        interfaces = {"eth0.1": {"role": "uplink", "addresses": addresses}}
        if node in homes and draw(st.booleans()):
            lan = ip_network(draw(st.sampled_from(owned)))
            interfaces["lan"] = {
                "role": "lan",
                "addresses": [f"{lan.network_address + 1}/{lan.prefixlen}"],
            }
        nodes[node] = {"role": "pop" if node in pops else "home", "interfaces": interfaces}
        if node in homes:
            continue
        mine = [name for name, tunnel in tunnels.items() if node in tunnel["ends"]]
        nodes[node]["announce"] = [
            {
                "prefix": prefix,
                "to": draw(st.none() | st.permutations(mine)) if mine else None,
                "deaggregate_on_failure": draw(st.none() | st.integers(1, 64)),
            }
            for prefix in draw(st.lists(st.sampled_from(owned + foreign), max_size=4))
        ]
        nodes[node]["bgp"] = {
            "neighbors": {
                name: {
                    "asn": draw(st.integers(1, 4294967294)),
                    "address": draw(st.sampled_from(["192.0.2.200", "2001:db8:f::c8", "fe80::1"])),
                    "multihop": draw(st.none() | st.integers(1, 255)),
                    "password": draw(secrets),
                    "bfd": draw(bfds),
                    "import": draw(st.sampled_from(["none", "default"])),
                }
                for name in draw(st.lists(names, max_size=3, unique=True))
            }
        }
    owner = {"asn": draw(st.integers(1, 4294967294)), "prefixes": owned}
    return {"version": 1, "name": "x", "owner": owner, "nodes": nodes, "tunnels": tunnels}


def _plans(data: dict[str, Any]) -> dict[str, NodePlan]:
    return compile_network(Network.model_validate(data))


@NETWORKS
@given(networks())
def test_rendering_is_a_function_of_the_plan(data: dict[str, Any]) -> None:
    for plan in _plans(data).values():
        bundle = make_bundle(plan)
        again = make_bundle(NodePlan.model_validate_json(plan.canonical_json()))
        assert bundle.to_tree() == again.to_tree()
        assert Bundle.from_tree(bundle.to_tree()) == bundle


@NETWORKS
@given(networks())
def test_nothing_foreign_is_announced_or_carried(data: dict[str, Any]) -> None:
    for plan in _plans(data).values():
        files = render_node(plan)
        for path, text in files.items():
            if path.startswith("/etc/netplan"):
                continue
            assert _prefix(100, 4) not in text
            assert _prefix(100, 6) not in text
        for _, members in re.findall(r"define (\w+) = \[ (.*) \];", files["/etc/bird/bird.conf"]):
            for member in members.split(", "):
                inside = [
                    owned
                    for owned in plan.owned
                    if owned.version == ip_network(member).version
                    and ip_network(member).subnet_of(owned)  # type: ignore[arg-type]
                ]
                assert inside


@NETWORKS
@given(networks())
def test_no_secret_and_no_reference_to_one_is_shown(data: dict[str, Any]) -> None:
    for plan in _plans(data).values():
        constants = secret_constants(plan)
        tree = make_bundle(plan).to_tree()
        for path, text in tree.items():
            if path != "plan.json":
                assert "HUSH" not in text
                assert "/run/hush" not in text
        used = set(re.findall(r"^  password (\w+);$", tree["root/etc/bird/bird.conf"], re.M))
        assert used == set(constants)


@NETWORKS
@given(networks())
def test_every_block_that_is_opened_is_closed(data: dict[str, Any]) -> None:
    for plan in _plans(data).values():
        for path, text in render_node(plan).items():
            code = "".join(
                line for line in text.splitlines(True) if not line.lstrip().startswith("#")
            )
            assert code.count("{") == code.count("}"), path
            assert code.count("[") == code.count("]"), path
            assert code.count('"') % 2 == 0, path


hostile = st.text(min_size=1, max_size=40).filter(
    lambda text: not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,30}", text)
)


@NETWORKS
@given(networks(), hostile)
def test_a_hostile_name_is_refused_or_not_printed(data: dict[str, Any], name: str) -> None:
    """Names that the model would refuse, put into a plan behind its back."""
    for plan in _plans(data).values():
        plans = [
            plan.model_copy(update={"node": name}),
            plan.model_copy(update={"network": name}),
            plan.model_copy(update={"interfaces": [_named(plan.interfaces[0], name)]}),
        ]
        plans += [plan.model_copy(update={"tunnels": [_named(t, name)]}) for t in plan.tunnels]
        plans += [plan.model_copy(update={"external": [_named(p, name)]}) for p in plan.external]
        for changed in plans:
            try:
                files = render_node(changed)
            except RenderError:
                continue
            # A name that is not printed does no harm: an interface that nothing refers to.
            assert len(name) < 3 or all(name not in text for text in files.values())


def _named(item: Any, name: str) -> Any:
    return item.model_copy(update={"name": name})
