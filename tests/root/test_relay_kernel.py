"""The relay by the kernel's NAT, end to end: client, entry, egress and endpoint in namespaces."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from bongsu.plan.relay import RelayPlan, number
from bongsu.system import netns
from bongsu.system.bpf.libbpf import BpfError
from bongsu.system.relay import (
    KernelRelay,
    LiveEndpoint,
    RelayBackend,
    RelayError,
    RelayPlane,
    choose,
    choose_relay,
    layout,
)
from bongsu.system.relay.conntrack import Conntrack
from bongsu.system.relay.kernel import stands
from bongsu.system.run import run
from tests.root import test_agent_relay as agents
from tests.root.agent_box import boxes
from tests.root.relay_world import (
    ACCELERATED,
    CLIENT,
    ENDPOINT,
    OFF,
    OWN,
    PATIENCE_S,
    SECOND,
    World,
    again,
    eventually,
    exchange,
    listener,
    plan,
    world,
)

pytestmark = pytest.mark.root
OTHER = "10.9.0.3"
IPSEC = [(500, 500), (4500, 4500)]
FORWARDING = Path("/proc/sys/net/ipv4/conf")
ACCOUNT = Path("/proc/sys/net/netfilter/nf_conntrack_acct")


@pytest.fixture
def w() -> Iterator[World]:
    with world() as made:
        for family, way in ((4, "192.0.2.2"), (6, "2001:db8:e::2")):
            made.ip("e", f"route add {OFF[family]} via {way}")
        # where the PoPs have no address of the family, the entry speaks as the accelerated one
        made.ip("x", f"route add {ACCELERATED[6]} via 2001:db8:e::1")
        made.ip("s", f"addr add {OTHER}/24 dev sx")
        yield made


def apply(w: World, *where: str, family: int = 4, **changes: Any) -> None:
    for each in where or "ex":
        if each not in w.planes:
            w.planes[each] = w.at(each, KernelRelay.open)  # type: ignore[assignment]
        wanted = plan(each, family, **changes)
        w.at(each, lambda e=each, p=wanted: w.planes[e].apply(p, None))  # type: ignore[misc]


def start(w: World, family: int = 4, **changes: Any) -> None:
    """Both PoPs, and the endpoint alive."""
    apply(w, family=family, **changes)
    for each in plan("x", family, **changes).accelerators[0].listeners:
        w.endpoints([ENDPOINT[family]], each.name)


def weigh(w: World, **weights: int) -> None:
    """The endpoints of the listener that live: `first` and `second`."""
    known = {"first": ENDPOINT[4], "second": OTHER}
    live = [LiveEndpoint(n, ip_address(known[n]), each) for n, each in weights.items()]
    accelerator = number("accelerator", "seoul")
    w.at("x", lambda: w.plane("x").set_endpoints(accelerator, "vpn", live))


def sessions(w: World, where: str) -> Any:
    return w.at(where, lambda: w.planes[where].sessions())


def counted(w: World, where: str) -> Any:
    return w.at(where, lambda: w.planes[where].counters()["seoul"])


def translated(w: World, where: str) -> int:
    def count() -> int:
        with Conntrack() as table:
            return sum(len(list(table.flows(family, translated=True))) for family in (4, 6))

    return w.at(where, count)


def nothing_comes(far: socket.socket) -> None:
    far.settimeout(0.3)
    with pytest.raises(TimeoutError):
        far.recv(100)
    far.settimeout(PATIENCE_S)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
def test_a_datagram_goes_and_its_answer_comes(w: World, family: int, outer: int) -> None:
    if (family, outer) == (4, 6):
        w.ip("x", f"route add {ACCELERATED[4]} via 192.0.2.1")
    start(w, family, outer=outer)
    assert exchange(w, family) == (OFF[family], 40000)
    (entered,), (left,) = sessions(w, "e"), sessions(w, "x")
    assert (entered["role"], entered["accelerator"], entered["listener"]) == (
        "entry",
        "seoul",
        "vpn",
    )
    assert str(layout.address(entered["client"])) == CLIENT[family]
    assert str(layout.address(entered["address"])) == ACCELERATED[family]
    assert (left["role"], left["off_port"], left["port"]) == ("egress", 40000, 7)
    own = OWN["e"][family] if family == outer else ACCELERATED[family]
    assert str(layout.address(left["client"])) == own
    assert str(layout.address(left["off"])) == OFF[family]
    assert str(layout.address(left["endpoint"])) == ENDPOINT[family]
    size = 128 if family == 4 else 148
    for where in "ex":
        carried = counted(w, where)
        assert (carried.up.packets, carried.up.bytes) == (1, size)
        assert (carried.down.packets, carried.down.bytes) == (1, size)
        assert (carried.up.drops, carried.down.drops) == ({}, {})
        (session,) = sessions(w, where)
        assert (session["up_packets"], session["down_bytes"]) == (1, size)
        assert session["age_s"] < 60


def test_both_ports_of_a_gateway_and_two_gateways_behind_one_port(w: World) -> None:
    start(w, listeners=[listener(ranges=IPSEC)])
    seen = {}
    with contextlib.ExitStack() as open_:
        far = {port: open_.enter_context(w.udp("s", ENDPOINT[4], port)) for port in (500, 4500)}
        for name, client in (("one", CLIENT[4]), ("two", SECOND[4])):
            for port in (500, 4500):
                near = open_.enter_context(w.udp("c", client, port))
                seen[name, port] = again(near, far[port], port=port)
        # and from a port behind some NAT of their own
        near = open_.enter_context(w.udp("c", CLIENT[4], 61000))
        seen["three", 4500] = again(near, far[4500], port=4500)
    assert {address for address, _ in seen.values()} == {OFF[4]}
    assert seen["one", 500][1] == 500
    assert seen["one", 4500][1] == 4500
    assert seen["three", 4500][1] == 61000
    assert len(set(seen.values())) == 5
    assert len(sessions(w, "x")) == 5


@pytest.mark.parametrize("family", [4, 6])
def test_tcp(w: World, family: int) -> None:
    start(w, family, listeners=[listener(protocol="tcp", ranges=[(80, 90)], validation="tcp")])
    size = 1 << 20
    af = socket.AF_INET if family == 4 else socket.AF_INET6
    with (
        netns.socket_in(w.ns("s"), af, socket.SOCK_STREAM) as server,
        netns.socket_in(w.ns("c"), af, socket.SOCK_STREAM) as near,
    ):
        server.bind((ENDPOINT[family], 85))
        server.listen()
        for each in (server, near):
            each.settimeout(PATIENCE_S)
        near.connect((ACCELERATED[family], 85))
        far, seen = server.accept()
        with far:
            far.settimeout(PATIENCE_S)
            assert seen[0] == OFF[family]
            sender = threading.Thread(target=near.sendall, args=(bytes(size),))
            sender.start()
            got = 0
            while got < size:
                got += len(far.recv(1 << 16))
            sender.join()
            (session,) = sessions(w, "x")
            assert session["protocol"] == "tcp"
            assert session["proved"]
            assert session["up_bytes"] > size

            def left() -> list[int]:
                with Conntrack() as table:
                    return [flow.left_s for flow in table.flows(family, translated=True)]

            # the listener's own time, and not the kernel's five days
            for where in "ex":
                (seconds,) = w.at(where, left)
                assert 0 < seconds <= 300


def test_strangers_and_other_ports_are_left_to_the_machine(w: World) -> None:
    start(w, listeners=[listener(ranges=IPSEC)])
    w.ip("t", f"route add {OFF[4]} via 192.0.2.194")
    with (
        w.udp("s", ENDPOINT[4], 500) as far,
        w.udp("x", OFF[4], 500) as own,
        w.udp("e", ACCELERATED[4], 501) as beside,
        w.udp("t", "192.0.2.193", 500) as stranger,
        w.udp("c", CLIENT[4], 500) as near,
    ):
        stranger.sendto(b"stranger", (OFF[4], 500))
        assert own.recvfrom(100) == (b"stranger", ("192.0.2.193", 500))
        near.sendto(b"past the entry", (OFF[4], 500))
        assert own.recvfrom(100) == (b"past the entry", (CLIENT[4], 500))
        near.sendto(b"no listener", (ACCELERATED[4], 501))
        assert beside.recvfrom(100)[0] == b"no listener"
        nothing_comes(far)
        assert again(near, far, port=500) == (OFF[4], 500)
    assert (translated(w, "e"), translated(w, "x")) == (1, 1)


def test_what_exceeds_the_bandwidth_is_dropped(w: World) -> None:
    start(w, bandwidth=400_000)  # 50 kB/s, and as much at once
    with w.udp("s", ENDPOINT[4], 7) as far, w.udp("c", CLIENT[4], 40000) as near:
        again(near, far)
        for _ in range(1000):
            near.sendto(bytes(972), (ACCELERATED[4], 7))
        eventually(
            lambda: counted(w, "e").up.packets + counted(w, "e").up.drops["rate"] == 1001, "all"
        )
    up = counted(w, "e").up
    assert 25 <= up.packets < 800
    assert counted(w, "e").down.drops == {}


def test_the_heaviest_that_lives_takes_what_is_new(w: World) -> None:
    start(w)
    with (
        w.udp("s", ENDPOINT[4], 7) as first,
        w.udp("s", OTHER, 7) as second,
        w.udp("c", CLIENT[4], 40000) as near,
        w.udp("c", CLIENT[4], 40001) as later,
    ):
        weigh(w, first=100, second=100)
        again(near, first)
        # it lives, so who has it keeps it
        weigh(w, first=100, second=200)
        again(near, first)
        again(later, second)
        weigh(w, second=200)
        again(near, second)
        again(later, second)
        # weight 0 takes nobody new, and keeps whom it has
        weigh(w, first=100, second=0)
        again(later, second)
        weigh(w)
        near.sendto(b"for nobody", (ACCELERATED[4], 7))
        eventually(lambda: counted(w, "x").up.drops == {"no_endpoint": 1}, "the drop")
        assert translated(w, "x") == 0
        for each in (first, second):
            nothing_comes(each)
        weigh(w, first=1)
        again(near, first)


def test_endpoints_and_errors(w: World) -> None:
    start(w)
    accelerator = number("accelerator", "seoul")
    with pytest.raises(RelayError, match="there is no listener web of accelerator"):
        w.at("x", lambda: w.plane("x").set_endpoints(accelerator, "web", []))
    with pytest.raises(RelayError, match="none of this node's PoPs"):
        w.at("x", lambda: w.plane("x").set_path(number("node", "t"), 7))
    w.at("x", lambda: w.plane("x").set_path(number("node", "e"), number("node", "t")))
    assert exchange(w) == (OFF[4], 40000)


def test_applied_again_and_by_a_new_process_sessions_go_on(w: World) -> None:
    start(w)
    with w.udp("s", ENDPOINT[4], 7) as far, w.udp("c", CLIENT[4], 40000) as near:
        again(near, far)
        began = {where: sessions(w, where)[0]["age_s"] for where in "ex"}
        both = [listener(), listener("web", ranges=[(80, 80)])]
        apply(w, listeners=both, bandwidth=1_000_000_000)
        again(near, far)
        w.planes.clear()
        apply(w, listeners=both)
        again(near, far)
        for where in "ex":
            carried = counted(w, where)
            assert (carried.up.packets, carried.down.packets) == (3, 3)
            (session,) = sessions(w, where)
            assert session["up_packets"] == 3
            assert session["age_s"] >= began[where]


@pytest.mark.parametrize("new", [False, True])
def test_what_the_plan_has_no_more_ends(w: World, new: bool) -> None:
    """Also where another process had loaded it."""
    start(w, listeners=[listener(), listener("web", ranges=[(80, 80)])])
    with (
        w.udp("s", ENDPOINT[4], 7) as far,
        w.udp("s", ENDPOINT[4], 80) as web,
        w.udp("c", CLIENT[4], 40000) as near,
    ):
        again(near, far)
        again(near, web, port=80)
        if new:
            w.planes.clear()
        apply(w)
        near.sendto(b"gone", (ACCELERATED[4], 80))
        nothing_comes(web)
        again(near, far)
        for where in "ex":
            assert [each["listener"] for each in sessions(w, where)] == ["vpn"]
            assert translated(w, where) == 1
        names = {line.split()[1] for line in table(w, "x").splitlines() if "map live" in line}
        assert len(names) == 1
        # another off address is another session
        w.ip("e", "route add 203.0.113.21 via 192.0.2.2")
        w.ip("x", "addr add 203.0.113.21 dev lo")
        moved = {}
        for where in "ex":
            wanted = plan(where)
            off = {
                "off_address": ip_address("203.0.113.21"),
                "off_public": ip_address("203.0.113.21"),
            }
            item = wanted.accelerators[0].model_copy(update=off)
            moved[where] = wanted.model_copy(update={"accelerators": [item]})
            w.at(where, lambda e=where: w.planes[e].apply(moved[e], None))  # type: ignore[misc]
        assert again(near, far) == ("203.0.113.21", 40000)
        assert {where: translated(w, where) for where in "ex"} == {"e": 1, "x": 1}


def test_a_client_that_called_before_the_relay_came_is_not_forgotten(w: World) -> None:
    """Its flow is known by then, and the kernel asks rules about what is new alone."""
    for where in "ex":
        run(
            ["nft", "add table t; add chain t c { type nat hook prerouting priority 0; };"
             " add rule t c ct state new counter"],
            netns=w.ns(where),
        )  # fmt: skip
    with w.udp("c", CLIENT[4], 40000) as near, w.udp("s", ENDPOINT[4], 7) as far:
        near.sendto(b"too early", (ACCELERATED[4], 7))

        def known() -> list[bool]:
            with Conntrack() as tracked:
                return [flow.translated for flow in tracked.flows(4, translated=False)]

        assert w.at("e", known) == [False]
        start(w)
        assert again(near, far) == (OFF[4], 40000)


def table(w: World, where: str) -> str:
    return run(["nft", "list", "table", "inet", "bongsu_relay"], netns=w.ns(where)).stdout


def settings() -> dict[str, str]:
    paths = [*FORWARDING.glob("*/forwarding"), ACCOUNT, ACCOUNT.parent / "nf_conntrack_timestamp"]
    return {str(path): path.read_text().strip() for path in paths}


def test_interfaces_forward_what_is_ours_alone_and_it_leaves_nothing(w: World) -> None:
    before = {}
    for where in "ex":
        with netns.in_netns(w.ns(where)):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
            before[where] = settings()
            ACCOUNT.write_text("0")
            before[where] = settings()
    w.ip("e", "route add 10.9.0.0/24 via 192.0.2.2")
    w.ip("x", "route add 198.51.100.0/24 via 192.0.2.1")
    start(w)
    apply(w)
    assert exchange(w) == (OFF[4], 40000)
    with w.udp("s", ENDPOINT[4], 9) as far, w.udp("c", CLIENT[4], 40000) as near:
        near.sendto(b"past the relay", (ENDPOINT[4], 9))
        nothing_comes(far)
        assert w.at("e", w.plane("e").stray).drops == {"not_relayed": 1}
        # somebody wants the machine to forward, and says so
        for where in "ex":
            with netns.in_netns(w.ns(where)):
                Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        apply(w)
        near.sendto(b"a router's now", (ENDPOINT[4], 9))
        assert far.recv(100) == b"a router's now"
        for where in "ex":
            with netns.in_netns(w.ns(where)):
                Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
        apply(w)
    assert exchange(w) == (OFF[4], 40000)
    for where in "ex":
        w.at(where, w.planes.pop(where).close)
        assert run(["nft", "list", "ruleset"], netns=w.ns(where)).stdout == ""
        assert translated(w, where) == 0
        assert w.at(where, settings) == before[where]


def test_ipv6_has_to_be_forwarded_already(w: World) -> None:
    with netns.in_netns(w.ns("e")):
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("0")
    with pytest.raises(RelayError, match="IPv6 forwarding is off") as caught:
        apply(w, "e", family=6)
    assert caught.value.hint.startswith("net.ipv6.conf.all.forwarding = 1")
    assert not w.at("e", stands)


def test_it_is_chosen_where_bpf_cannot_be_loaded(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: Any) -> RelayPlane:
        raise BpfError(1, "load relay", "the verifier's log")

    def chosen(name: str | None = None) -> RelayBackend:
        return w.at("e", lambda: choose_relay(name))

    with monkeypatch.context() as patch:
        patch.setattr(RelayPlane, "open", refused)
        backend = chosen()
        assert (backend.name, backend.reason) == ("kernel", "load relay: Operation not permitted")
        with pytest.raises(
            RelayError, match="the bpf relay backend does not work here: load relay"
        ):
            chosen("bpf")
        w.at("e", lambda: backend.apply(plan("e"), None))
        w.at("e", lambda: choose_relay().apply(plan("e"), None))
    # what stands goes on, unless the other is asked for
    assert chosen().reason.startswith("an earlier agent began with it")
    plane = chosen("bpf")
    assert (plane.name, plane.reason) == ("bpf", "")
    assert not w.at("e", stands)
    w.at("e", lambda: plane.apply(plan("e"), None))
    plane.detach()
    again_ = chosen()
    assert again_.name == "bpf"
    again_.detach()
    assert chosen("kernel").name == "kernel"
    assert (
        "relay" not in run(["tc", "filter", "show", "dev", "ec", "ingress"], netns=w.ns("e")).stdout
    )
    with pytest.raises(RelayError, match="no relay backend ebpf"):
        chosen("ebpf")


def test_the_drivers_are_asked_for(w: World) -> None:
    """tc by itself; XDP, too, where it is asked for, and no more where it is not."""

    def programs(name: str | None) -> str:
        plane = w.at("e", lambda: choose_relay(name))
        w.at("e", lambda: plane.apply(plan("e"), None))
        plane.detach()
        return run(["ip", "-d", "link", "show", "ec"], netns=w.ns("e")).stdout

    assert "prog/xdp" not in programs(None)
    assert "prog/xdp" in programs("xdp")
    assert "prog/xdp" not in programs(None)
    w.at("e", lambda: choose_relay("kernel")).close()


def test_both_are_probed(w: World) -> None:
    able = w.at("c", choose.probe)
    assert (able.bpf, able.kernel, able.best) == ("", "", "bpf")


def test_agents_with_their_own_filters_carry_it(tmp_path: Path) -> None:
    """The rendered filter and settings let it pass, an agent's death too; a purge takes it away."""
    with boxes(tmp_path, "mid", "client", "one", "two", *agents.POPS) as found:
        made = agents.World(found)

        def begin(name: str) -> None:
            box = made.pops[name]
            box.start(box.bundle(made.plans[name]), "--relay", "kernel")
            box.wait_ready()

        for name in ("shanghai", "seoul"):
            begin(name)
        seoul = made.pops["seoul"]
        assert "table inet bongsu\n" in seoul.text("nft", "list", "tables")
        with (
            made.udp(made.client, agents.CLIENT, 40000) as near,
            made.udp(made.one, agents.ENDPOINTS[0], agents.PORT) as far,
        ):
            seen = agents.eventually(lambda: agents.exchange(near, far), "nothing comes through")
            assert seen == (agents.OFF, 40000)
            told = made.ask("seoul", "accelerator", sessions=True)
            assert told["backend"] == "kernel"
            (session,) = told["sessions"]
            assert session["client"] == agents.POPS["shanghai"]
            assert session["endpoint"] == agents.ENDPOINTS[0]
            (said,) = made.said("seoul", "relay")
            assert "carried by the kernel's NAT" in said
            os.kill(seoul.agent_pid(), signal.SIGKILL)
            seoul.wait_end()
            assert agents.exchange(near, far) == seen
            begin("seoul")
            assert agents.exchange(near, far) == seen
            (session,) = made.ask("seoul", "accelerator", sessions=True)["sessions"]
            assert session["up"]["packets"] >= 3
            made.ask("seoul", "stop", purge=True)
            seoul.wait_end()
            assert agents.exchange(near, far) is None
            assert seoul.text("nft", "list", "ruleset") == ""
            value = run(["cat", str(FORWARDING / "wan" / "forwarding")], netns=seoul.netns).stdout
            assert value == "0\n"


def test_the_plan_is_the_same_for_both(w: World) -> None:
    """Nothing of a plan is refused that the other backend carries, but what is told here."""
    wanted: RelayPlan = plan("x")
    tunnelled = [peer.model_copy(update={"tunnel": "gre1"}) for peer in wanted.peers]
    relay = w.at("x", KernelRelay.open)
    with pytest.raises(RelayError, match="goes from uplink to uplink, and e is reached by gre1"):
        w.at("x", lambda: relay.apply(wanted.model_copy(update={"peers": tunnelled}), None))
    twin = wanted.accelerators[0].model_copy(update={"name": "twin", "number": 7})
    both = wanted.model_copy(update={"accelerators": [*wanted.accelerators, twin]})
    with pytest.raises(
        RelayError, match=r"seoul and twin both leave x from 203\.0\.113\.20 by udp 7"
    ):
        w.at("x", lambda: relay.apply(both, None))
    assert not w.at("x", stands)
