"""Heads of HTTP/1.x as real clients and servers send them, and cut in every way that TCP may."""

import http.client
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bongsu.protocol.flow.exchanges import Exchanges
from bongsu.system import netns
from bongsu.system.flow.choice import Choice
from tests.root.flow_world import ADDRESS, FAMILY, PATIENCE_S, Wire, text, wire

pytestmark = pytest.mark.root


@pytest.fixture
def w() -> Iterator[Wire]:
    with wire() as made:
        made.start()
        made.monitor.choose(Choice(http=True))
        yield made


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pause_s = 0.0

    def do_GET(self) -> None:
        time.sleep(self.pause_s)
        body = b"x" * 3000
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET
    daemon_threads = True


def serve(w: Wire, family: int) -> Any:
    kind = type("Here", (Server,), {"address_family": FAMILY[family]})
    server = w.at("far", lambda: kind((ADDRESS["far"][family], 8080), Answers))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


@pytest.mark.parametrize("family", [4, 6])
def test_a_real_server(w: Wire, family: int) -> None:
    server = serve(w, family)
    try:
        far = ADDRESS["far"][family]
        client = http.client.HTTPConnection(far, 8080, timeout=PATIENCE_S)
        with netns.in_netns(w.ns("near")):
            client.connect()
        asked = [
            ("GET", "/index.html?token=secret", None, 200),
            ("POST", "/missing/form", b"GET /not/a/request HTTP/1.1\r\n" * 200, 404),
            ("GET", "/slow#part", None, 200),
        ]
        for method, path, body, code in asked:
            Answers.pause_s = 0.2 if "slow" in path else 0.0
            client.request(
                method, path, body=body, headers={"Host": "www.example.com", "Cookie": "a" * 500}
            )
            answer = client.getresponse()
            answer.read()
            assert answer.status == code
        client.close()
    finally:
        server.shutdown()
        server.server_close()
    events = w.monitor.events()
    assert b"secret" not in events.tobytes()
    done = Exchanges().take(events, time.monotonic_ns())
    told = [(e["method"], e["path"], e["host"], int(e["code"])) for e in done]
    assert told == [
        (b"GET", b"/index.html", b"www.example.com", 200),
        (b"POST", b"/missing/form", b"www.example.com", 404),
        (b"GET", b"/slow", b"www.example.com", 200),
    ]
    assert [text(e, "daddr") for e in done] == [far] * 3
    assert done["latency_us"][2] >= 200_000
    assert 0 < done["latency_us"][0] < 200_000 * 50
    assert w.monitor.stats()["http_dropped"] == 0


@pytest.mark.parametrize("options", [b"", b"\x01" * 12])
@pytest.mark.parametrize("step", [1, 2, 3, 7, 50])
def test_heads_in_pieces(w: Wire, step: int, options: bytes) -> None:
    """Every piece is a segment of its own; with `options` the IP header is longer as well."""
    far = ADDRESS["far"][4]
    request = (
        b"GET /a/long/path?q=hidden HTTP/1.1\r\nAccept: */*\r\nhOsT:  example.org:8080\r\n\r\n"
    )
    response = b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"
    with (
        w.socket("far", 4, socket.SOCK_STREAM) as server,
        w.socket("near", 4, socket.SOCK_STREAM) as client,
    ):
        server.bind((far, 8081))
        server.listen()
        if options:
            client.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, options)
        client.connect((far, 8081))
        served, _ = server.accept()
        with served:
            for each in (client, served):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for one, other, data in ((client, served, request), (served, client, response)):
                for at in range(0, len(data), step):
                    one.send(data[at : at + step])
                    assert other.recv(1000) == data[at : at + step]
    done = Exchanges().take(w.monitor.events(), time.monotonic_ns())
    assert [(e["method"], e["path"], e["host"], int(e["code"])) for e in done] == [
        (b"GET", b"/a/long/path", b"example.org:8080", 302)
    ]
    # a piece that begins with a capital may have looked like another head: nothing stays of it
    heads = w.monitor._maps["flow_heads"]
    assert not list(heads.items())


@pytest.mark.parametrize(("size", "told"), [(3600, [b"/long"]), (4100, [])])
def test_how_much_of_a_head_is_read(w: Wire, size: int, told: list[bytes]) -> None:
    """What stands before Host in one segment: the kernel reads so much and no more."""
    far = ADDRESS["far"][4]
    request = b"GET /long HTTP/1.1\r\nCookie: " + b"a" * size + b"\r\nHost: h\r\n\r\n"
    with (
        w.socket("far", 4, socket.SOCK_STREAM) as server,
        w.socket("near", 4, socket.SOCK_STREAM) as client,
    ):
        server.bind((far, 8084))
        server.listen()
        client.connect((far, 8084))
        served, _ = server.accept()
        with served:
            client.send(request)
            assert len(served.recv(10000)) == len(request)
    assert w.monitor.events()["path"].tolist() == told
    assert w.monitor.stats()["http_abandoned"] == (0 if told else 1)


def test_switched_on_and_off(w: Wire) -> None:
    far = ADDRESS["far"][4]

    def ask(path: bytes) -> None:
        with w.socket("near", 4, socket.SOCK_STREAM) as client:
            client.connect((far, 8082))
            served, _ = server.accept()
            with served:
                client.send(b"GET " + path + b" HTTP/1.0\r\n\r\n")
                served.recv(1000)

    with w.socket("far", 4, socket.SOCK_STREAM) as server:
        server.bind((far, 8082))
        server.listen()
        ask(b"/one")
        w.monitor.choose(Choice(http=False))
        ask(b"/two")
        w.monitor.choose(Choice(http=True))
        w.at("far", lambda: w.monitor.watch("wf", http=False))
        ask(b"/three")
        w.at("far", lambda: w.monitor.watch("wf"))
        ask(b"/four")
    assert w.monitor.events()["path"].tolist() == [b"/one", b"/four"]


def test_a_full_ring_is_counted(w: Wire) -> None:
    """Nobody reads: the ring has room for so many, and the rest is counted."""
    far = ADDRESS["far"][4]
    asked, said = 6000, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    with (
        w.socket("far", 4, socket.SOCK_STREAM) as server,
        w.socket("near", 4, socket.SOCK_STREAM) as client,
    ):
        server.bind((far, 8083))
        server.listen()
        client.connect((far, 8083))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        served, _ = server.accept()
        with served:
            for _ in range(asked):
                client.send(said)
                assert served.recv(1000) == said
    stats, events = w.monitor.stats(), w.monitor.events()
    assert stats["http_requests"] == asked
    assert stats["http_dropped"] > 0
    assert len(events) + stats["http_dropped"] == asked
    assert np.all(np.diff(events["time"].astype(np.int64)) > 0)
    # room again, and the ring goes on where its end was
    assert len(w.monitor.events()) == 0
