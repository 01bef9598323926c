"""A tunnel's life: made once, changed in place, found by the next agent, and gone without a trace."""

import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from ipaddress import ip_interface
from typing import Any

import pytest
from pyroute2 import IPRoute
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE

from bongsu.system import netns
from bongsu.system.bpf import attach, layout
from bongsu.system.bpf.libbpf import BpfError
from bongsu.system.bpf.maps import Map
from bongsu.system.bpf.objects import Object, Program, compiled
from bongsu.system.gre import choose_backend, plane
from bongsu.system.gre.base import GreError
from bongsu.system.gre.ebpf import EbpfBackend, record_of, underlays_of
from bongsu.system.gre.kernel import KernelBackend
from bongsu.system.gre.probe import probe
from bongsu.system.run import run
from tests.root.gre_world import INNER, OUTER, World, eventually, plan, world

pytestmark = pytest.mark.root


@pytest.fixture
def w() -> Iterator[World]:
    with world() as made:
        yield made


def interfaces(w: World, where: str) -> set[str]:
    return set(w.at(where, lambda: [name for _, name in socket.if_nameindex()]))


def program(w: World, where: str, device: str) -> Program:
    def look() -> Program:
        with IPRoute() as ipr:
            found = attach.tc_find(ipr.link_lookup(ifname=device)[0], "ingress", plane.PRIORITY)
            assert found is not None
            return found

    return w.at(where, look)


def test_same_plan_changes_nothing(w: World) -> None:
    assert w.create("a") is True
    before = run(["ip", "-n", w.ns("a"), "-d", "-o", "addr"]).stdout
    running = program(w, "a", "ua")
    assert w.create("a") is False
    assert program(w, "a", "ua").id == running.id
    assert run(["ip", "-n", w.ns("a"), "-d", "-o", "addr"]).stdout == before


def test_changes_in_place(w: World) -> None:
    w.tunnel()
    w.echo()
    index = w.at("a", lambda: socket.if_nametoindex("t"))
    for change in ({"ttl": 9}, {"tos": 0x10}, {"mtu": 1300}, {"key": 5, "mtu": 1300}):
        assert w.create("a", **change) is True
        assert w.create("b", **change) is True
        assert w.create("a", **change) is False
        w.echo()
    assert w.counters("a").tx_packets == 5, "the counters went on"
    assert w.at("a", lambda: socket.if_nametoindex("t")) == index
    # the old key is gone: a packet with it is a stranger's
    backend: Any = w.backend("b")
    w.create("b", key=6, mtu=1300)
    with w.udp("a") as near:
        near.sendto(b"x", (INNER["b"][4], 7))
    eventually(lambda: backend.stray()["unknown"] == 1, "it is counted as unknown")
    assert w.counters("b").rx_packets == 5


def test_addresses_follow_the_plan(w: World) -> None:
    w.create("a")
    w.create("a", addresses=[ip_interface("10.77.0.1/30"), ip_interface("fd00:77::1/64")])
    shown = run(["ip", "-n", w.ns("a"), "-o", "addr", "show", "dev", "t"]).stdout
    assert "10.77.0.1/30" in shown
    assert "fd00:77::1/64" in shown
    assert INNER["a"][4] not in shown
    assert "fe80" not in shown, "no address was made up"


def test_two_tunnels_of_one_pair_need_keys(w: World) -> None:
    w.create("a", key=1)
    with pytest.raises(GreError, match="t has the same ends and key") as caught:
        w.create("a", name="u", key=1)
    assert "key of its own" in caught.value.hint
    assert "u" not in interfaces(w, "a"), "nothing was begun"
    assert w.create("a", name="u", key=2, addresses=[])


def test_what_is_not_ours_stays(w: World) -> None:
    w.ip("a", "link add name t type bridge")
    with pytest.raises(GreError, match="no tunnel of ours"):
        w.create("a")
    assert w.at("a", lambda: w.backend("a").delete("t")) is False
    assert "t" in interfaces(w, "a")
    with pytest.raises(GreError, match="no underlay interface"):
        w.create("a", name="u", underlay="nowhere")
    with pytest.raises(GreError, match="not an Ethernet"):
        w.create("a", name="u", underlay=_tun(w))


def _tun(w: World) -> str:
    w.ip("a", "tuntap add mode tun name tun0")
    return "tun0"


RESTARTED = """
import sys
from bongsu.system import netns
from bongsu.system.gre.ebpf import EbpfBackend
with netns.in_netns(sys.argv[1]):
    backend = EbpfBackend()
    counted = backend.counters()["t"]
    print(backend.names(), backend.line("t"), counted.tx_packets, counted.rx_packets)
    backend.set_line("t", True)
    backend.close()
"""


def test_a_new_agent_finds_the_plane(w: World) -> None:
    w.tunnel(key=3)
    w.echo()
    w.set_line("a", False)
    running = program(w, "a", "ua")
    for backend in w.backends.values():
        backend.close()
    w.backends.clear()

    # nobody is there, and what was up goes on
    answer = subprocess.run(
        [sys.executable, "-c", RESTARTED, w.ns("a")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert answer == "['t'] False 1 1\n"
    eventually(lambda: _works(w), "traffic, with no agent at all")
    assert program(w, "a", "ua").id == running.id
    # and the next changes nothing
    assert w.create("a", key=3) is False
    assert w.counters("a").tx_packets >= 2


def _works(w: World) -> bool:
    try:
        return len(w.echo()) == 100
    except TimeoutError:
        return False


def test_another_version_takes_over(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    w.tunnel()
    w.echo()
    old = {device: program(w, "a", device).tag for device in ("ua", "t-x")}
    for backend in w.backends.values():
        backend.close()
    w.backends.clear()
    # another program: the gap between ICMP messages is one of its constants, and so is our TTL of
    # ten minutes for what was learned
    image = compiled("gre")
    changed = image.replace(struct.pack("<I", 1_000_000), struct.pack("<I", 1_000_001))
    low, high = struct.unpack("<II", struct.pack("<Q", 600 * 10**9))
    changed = changed.replace(
        struct.pack("<I", low) + b"\0\0\0\0" + struct.pack("<I", high),
        struct.pack("<I", low - 1) + b"\0\0\0\0" + struct.pack("<I", high),
    )
    assert changed != image
    monkeypatch.setattr(plane, "compiled", lambda name: changed)
    w.backend("a")
    new = {device: program(w, "a", device).tag for device in ("ua", "t-x")}
    assert new["ua"] != old["ua"]
    assert new["t-x"] != old["t-x"]
    assert w.at("a", lambda: w.backend("a").names()) == ["t"]
    w.echo()
    assert w.counters("a").tx_packets == 2, "the counters went on"


def test_traffic_while_agents_come_and_go(w: World) -> None:
    w.tunnel()
    stop, lost = threading.Event(), []

    def speak() -> None:
        with w.udp("a") as near, w.udp("b") as far:
            far.bind((INNER["b"][4], 7))
            while not stop.is_set():
                mark = os.urandom(8)
                near.sendto(mark, (INNER["b"][4], 7))
                if far.recv(100) != mark:
                    lost.append(mark)

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        for number in range(3):
            w.backends.pop("a").close()
            w.create("a", ttl=100 + number)
    finally:
        stop.set()
        speaker.join()
    assert lost == []
    near, far = w.counters("a"), w.counters("b")
    assert near.tx_packets == far.rx_packets > 0


def gone(number: int, find: Any) -> bool:
    try:
        find(number).close()
    except BpfError:
        return True
    return False


def test_deletion_leaves_nothing(w: World) -> None:
    before = interfaces(w, "a")
    w.tunnel()
    w.create("a", name="u", key=9, addresses=[])
    encap, decap = program(w, "a", "t-x"), program(w, "a", "ua")
    ids = {encap.id, decap.id}, set(encap.map_ids) | set(decap.map_ids)
    encap.close()
    decap.close()
    backend = w.backend("a")
    assert w.at("a", lambda: backend.delete("t")) is True
    assert w.at("a", lambda: backend.delete("t")) is False
    assert w.at("a", backend.names) == ["u"]
    assert (
        "gre_decap" in run(["tc", "-n", w.ns("a"), "filter", "show", "dev", "ua", "ingress"]).stdout
    )
    assert w.at("a", lambda: backend.delete("u")) is True
    assert interfaces(w, "a") == before
    assert "clsact" not in run(["tc", "-n", w.ns("a"), "qdisc"]).stdout
    w.backends.pop("a").close()
    eventually(lambda: all(gone(n, Program.by_id) for n in ids[0]), "no program")
    eventually(lambda: all(gone(n, Map.by_id) for n in ids[1]), "no map")
    # again, from nothing
    w.create("a")
    w.echo()


def test_other_filters_are_left_alone_and_heard(w: World) -> None:
    # another's filter after ours still sees what is not ours, and outlives the tunnel
    w.create("a")
    tc = ["tc", "-n", w.ns("a"), "filter"]
    place = ["dev", "ua", "ingress"]
    match = ["protocol", "all", "u32", "match", "u32", "0", "0", "classid", "1:1"]
    run([*tc, "add", *place, "pref", "60000", *match])
    run(["ping", "-c", "1", "-W", "5", "192.0.2.254"], netns=w.ns("a"))
    assert w.at("a", lambda: w.backend("a").delete("t"))
    shown = run([*tc, "show", *place]).stdout
    assert "u32" in shown
    assert "gre_decap" not in shown


def test_underlay_changes(w: World) -> None:
    w.tunnel()
    w.create("a", underlay="ha")
    assert "clsact" not in run(["tc", "-n", w.ns("a"), "qdisc", "show", "dev", "ua"]).stdout
    assert (
        "gre_decap" in run(["tc", "-n", w.ns("a"), "filter", "show", "dev", "ha", "ingress"]).stdout
    )
    w.create("a")
    w.echo()


def test_xdp_decapsulates(w: World) -> None:
    w.backends["b"] = w.at("b", lambda: EbpfBackend(xdp=True))
    w.tunnel(key=4)
    mark = os.urandom(12)
    head = IP(src=OUTER["a"][4], dst=OUTER["b"][4])
    bodies = [
        IP(src=INNER["a"][4], dst=INNER["b"][4]) / UDP(dport=9) / mark,
        IPv6(src=INNER["a"][6], dst=INNER["b"][6]) / UDP(dport=9) / mark,
    ]
    frames = [head / GRE(key_present=1, key=4) / body for body in bodies]
    frames += [head / GRE(key_present=1, key=5) / bodies[0]]
    frames += [head / GRE(key_present=1, key=4, seqnum_present=1) / bodies[0]]
    with w.udp("b", 4) as four, w.udp("b", 6) as six:
        four.bind((INNER["b"][4], 9))
        six.bind((INNER["b"][6], 9))
        w.throw("r", "rb", *w.frames_to_b(*frames))
        assert four.recv(100) == six.recv(100) == mark
    # what XDP passes on, tc judges
    eventually(lambda: w.counters("b").drops.get("rx_sequence") == 1, "refused behind XDP")
    counted = w.counters("b")
    assert (counted.rx_packets, counted.rx_bytes) == (2, 28 + 12 + 48 + 12)
    assert counted.tx_packets == 0
    shown = run(["ip", "-n", w.ns("b"), "link", "show", "ub"]).stdout
    assert "prog/xdp" in shown
    assert w.at("b", lambda: w.backend("b").delete("t"))
    assert "xdp" not in run(["ip", "-n", w.ns("b"), "link", "show", "ub"]).stdout


def test_keepalives_beside_the_driver(w: World) -> None:
    # The kernel backend's part of the plane, on a kernel without the driver: data passes to the
    # stack untouched, the peer's keepalives are answered.
    backend = w.at("b", KernelBackend)
    try:
        keepalives_only(w, backend)
        eye = w.eye("r", "rb")
        inside = IP(src=OUTER["b"][4], dst=OUTER["a"][4], ttl=255) / GRE(proto=0)
        head = IP(src=OUTER["a"][4], dst=OUTER["b"][4])
        w.throw("r", "rb", *w.frames_to_b(head / GRE() / inside))
        back = eye.one(lambda frame: frame[23] == 47)
        assert back[14:] == bytes(IP(src=OUTER["b"][4], dst=OUTER["a"][4], ttl=254) / GRE(proto=0))
        with netns.socket_in(w.ns("b"), socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_GRE) as raw:
            raw.settimeout(10)
            data = head / GRE() / IP() / b"for the driver"
            w.throw("r", "rb", *w.frames_to_b(data))
            assert raw.recv(200) == bytes(data)
    finally:
        backend.close()


def keepalives_only(w: World, backend: KernelBackend) -> None:
    def put() -> None:
        wanted = plan("b")
        underlays = underlays_of(backend._kernel, wanted)
        record = record_of(wanted, underlays)
        record["flags"] |= layout.KEEPALIVE_ONLY
        record["peer"] = record["device"] = 4000
        record["slot"], record["counters"] = 1, backend._plane.cpus
        backend._plane.put(record, None)
        backend._plane.hold_underlay(underlays[0], xdp=False)

    w.at("b", put)


def test_probe_and_choice(w: World) -> None:
    able = probe()
    assert able.ebpf.works, able.ebpf.reason
    assert able.kernel4.works or able.kernel4.reason
    chosen = w.at("a", choose_backend)
    assert chosen.name == able.best
    chosen.close()
    with pytest.raises(GreError, match="no GRE backend pigeon"):
        choose_backend("pigeon")


def test_errors_carry_the_log() -> None:
    with pytest.raises(BpfError) as caught:
        Object(b"this is no object", "nonsense")
    assert "nonsense" in str(caught.value)
    # helpers of the GPL only are refused to others
    image = compiled("gre").replace(b"Dual BSD/GPL", b"Proprietary\0")
    with Object(image, "closed") as closed, pytest.raises(BpfError) as refused:
        closed.load()
    assert "GPL" in refused.value.log or "gpl" in refused.value.log
