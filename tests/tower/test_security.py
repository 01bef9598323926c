"""Who is not let in, and what a stranger can do: nothing, and not often."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc as other_grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from grpclib import GRPCError
from grpclib.const import Cardinality, Status

from bongsu.agent.uplink.enrol import ENROL, INTRODUCE, enrol, root_of
from bongsu.agent.uplink.home import Home, UplinkError
from bongsu.system import grpc, pki, tls
from bongsu.system.management import Place
from bongsu.tower.service import ATTEMPTS
from bongsu.wire import bounds, codec, messages_pb2
from bongsu.wire.messages import Ack, Batch, EnrolRequest, Hello, Record, Welcome

from .world import HOST, Node, RunningTower, TestClock, until

MakeNode = Callable[..., Node]
STREAM = "/bongsu.wire.v1.Uplink/Stream"
RENEW = "/bongsu.wire.v1.Uplink/Renew"
NOW = datetime.now(UTC)
HELLO = codec.encode_from_node(Hello(bytes(16), 0))


def signed_by(authority: pki.Identity, node: str, path: Path, now: datetime = NOW) -> Path:
    """A node's identity file, signed by whomever."""
    key = pki.new_key()
    made = pki.sign_node(authority, node, key.public_key(), now, timedelta(days=1))
    pki.write_identity(path, pki.Identity(key, made, authority.certificate))
    return path


def root(tower: RunningTower) -> str:
    return root_of(pki.read_identity(tower.layout.authority))


def talk(port: int, context: ssl.SSLContext, *said: bytes, method: str = STREAM) -> list[bytes]:
    """Say something on a stream and hear what comes, until the tower ends it."""

    async def main() -> list[bytes]:
        heard = []
        async with (
            grpc.Line(HOST, port, context, Place(), 65536) as line,
            line.request(method, Cardinality.STREAM_STREAM, bytes, bytes) as stream,
        ):
            await stream.send_request()
            for each in said:
                await stream.send_message(each)
            await stream.end()
            await stream.recv_initial_metadata()
            while (data := await grpc.receive(stream, bounds.MESSAGE_BYTES)) is not None:
                heard.append(data)
            await stream.recv_trailing_metadata()
        return heard

    async def bounded() -> list[bytes]:
        async with asyncio.timeout(60):
            return await main()

    return asyncio.run(bounded())


def ask(tower: RunningTower, method: str, message: bytes, context: ssl.SSLContext) -> bytes:
    async def main() -> bytes:
        line = grpc.Line(HOST, tower.enrolment_port, context, Place(), 65536)
        async with line:
            return await line.call(method, message, bounds.ENROLMENT_BYTES, 60.0)

    return asyncio.run(main())


def refused(tower: RunningTower, identity: Path | None, *said: bytes) -> GRPCError | OSError:
    context = tls.node_context(root(tower), identity)
    with pytest.raises(grpc.CALL_ERRORS) as caught:
        talk(tower.node_port, context, *(said or (HELLO,)))
    assert isinstance(caught.value, GRPCError | OSError | grpc.StreamTerminatedError)
    return caught.value  # type: ignore[return-value]


def test_a_good_one_is_let_in(tower: RunningTower, tmp_path: Path) -> None:
    home = tower.enrol("seoul", tmp_path / "seoul")
    (heard,) = talk(tower.node_port, tls.node_context(root(tower), home.identity), HELLO)
    welcome = codec.decode_from_tower(heard)
    assert isinstance(welcome, Welcome)
    assert welcome.acked == 0


def test_no_certificate(tower: RunningTower) -> None:
    assert not isinstance(refused(tower, None), GRPCError)
    assert "seoul" not in tower.nodes()


def test_a_certificate_of_another_authority(tower: RunningTower, tmp_path: Path) -> None:
    tower.enrol("seoul", tmp_path / "seoul")
    stranger = pki.new_authority(NOW, timedelta(days=1))
    identity = signed_by(stranger, "seoul", tmp_path / "id.pem")
    assert not isinstance(refused(tower, identity), GRPCError)
    # Also one that has the authority's very name.
    genuine = pki.read_identity(tower.layout.authority)
    namesake = pki.Identity(stranger.key, genuine.certificate, genuine.certificate)
    identity = signed_by(namesake, "seoul", tmp_path / "id2.pem")
    assert not isinstance(refused(tower, identity), GRPCError)


def test_a_certificate_that_has_ended(tower: RunningTower, tmp_path: Path) -> None:
    authority = pki.read_identity(tower.layout.authority)
    identity = signed_by(authority, "seoul", tmp_path / "id.pem", NOW - timedelta(days=2))
    assert not isinstance(refused(tower, identity), GRPCError)


def test_a_certificate_that_the_tower_has_no_record_of(tower: RunningTower, tmp_path: Path) -> None:
    tower.enrol("seoul", tmp_path / "seoul")
    authority = pki.read_identity(tower.layout.authority)
    error = refused(tower, signed_by(authority, "seoul", tmp_path / "id.pem"))
    assert isinstance(error, GRPCError)
    assert error.status is Status.UNAUTHENTICATED


def test_the_towers_own_certificate_is_no_nodes(tower: RunningTower) -> None:
    assert not isinstance(refused(tower, tower.layout.identity), GRPCError)


def shake_hands(port: int, context: ssl.SSLContext) -> str | None:
    with (
        socket.create_connection((HOST, port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=pki.TOWER_NAME) as made,
    ):
        return made.version()


@pytest.mark.parametrize("port", ["node_port", "enrolment_port"])
def test_nothing_but_tls_1_3(tower: RunningTower, tmp_path: Path, port: str) -> None:
    home = tower.enrol("seoul", tmp_path / "seoul")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=root(tower))
    context.load_cert_chain(home.identity)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        shake_hands(getattr(tower, port), context)
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    assert shake_hands(getattr(tower, port), context) == "TLSv1.3"
    for made in (tls.tower_context(home.identity, root(tower)), tls.stranger_context(),
                 tls.node_context(root(tower))):  # fmt: skip
        assert made.minimum_version == made.maximum_version == ssl.TLSVersion.TLSv1_3


def test_a_node_holds_its_tower_to_the_authority(tmp_path: Path, node: MakeNode) -> None:
    """Another tower at the same place, and a node's certificate in a tower's place, are not believed."""
    one, other = RunningTower(tmp_path / "one"), RunningTower(tmp_path / "other")
    one.start()
    other.start()
    home = one.enrol("seoul", tmp_path / "seoul")
    home.write(replace(home.read(), port=other.node_port))
    seoul = node(home)
    until(lambda: any("tls" in each for each in seoul.heard("tower")), "it is believed")
    seoul.stop()
    one.stop()
    other.stop()


def test_a_node_cannot_be_the_tower(tower: RunningTower, node: MakeNode, tmp_path: Path) -> None:
    busan = tower.enrol("busan", tmp_path / "busan")
    seoul = tower.enrol("seoul", tmp_path / "seoul")

    async def main() -> str:
        context = tls.tower_context(busan.identity, root(tower))
        server = await asyncio.start_server(lambda _r, w: w.close(), HOST, 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        trusting = tls.node_context(root(tower), seoul.identity)
        try:
            async with grpc.Line(HOST, port, trusting, Place(), 65536) as line:
                await line.call(STREAM, HELLO, 1000, 60.0)
        except ssl.SSLCertVerificationError as error:
            return grpc.words(error)
        finally:
            server.close()
        return ""

    assert asyncio.run(main())


def test_a_node_that_is_removed_is_cut_off(
    tower: RunningTower, node: MakeNode, tmp_path: Path
) -> None:
    home = tower.enrol("seoul", tmp_path / "seoul")
    seoul = node(home)
    seoul.event(1)
    until(lambda: tower.events("seoul"), "nothing arrives")
    tower.remove("seoul")
    assert tower.tower is not None
    until(lambda: not tower.tower or not tower.tower._nodes.sessions, "its stream goes on")
    seoul.event(2)
    until(lambda: any("revoked" in each for each in seoul.heard("tower")), "nobody tells it why")
    assert tower.numbers("seoul") == [1]


def test_a_stream_ends_with_its_certificate(tmp_path: Path, node: MakeNode) -> None:
    clock = TestClock()
    tower = RunningTower(tmp_path / "tower", clock, certificate_days=1.0)
    tower.start()
    home = tower.enrol("seoul", tmp_path / "seoul")
    seoul = node(home)
    seoul.event(1)
    until(lambda: tower.events("seoul"), "nothing arrives")
    assert tower.tower is not None
    # The node's own clock stands still: it does not know that it should have renewed.
    clock.added += 86400.0
    until(lambda: seoul.heard("tower"), "its stream goes on")
    seoul.stop()
    tower.stop()


def test_certificates_are_renewed_by_themselves(
    tower: RunningTower, node: MakeNode, tmp_path: Path
) -> None:
    """The node's clock goes ahead, so that half of each certificate's time is always over for it."""
    home = tower.enrol("seoul", tmp_path / "seoul")
    clock = TestClock()
    seoul = node(home, clock)
    seen = {pki.serial(pki.read_identity(home.identity).certificate)}
    clock.added += 4 * 86400.0
    for each in range(1, 6):
        seoul.event(each)
        until(lambda: len(seoul.heard("certificate")) >= each, "not renewed")  # noqa: B023
        until(lambda: len(tower.events("seoul")) == each, "nothing arrives")  # noqa: B023
        seen.add(pki.serial(pki.read_identity(home.identity).certificate))
        clock.added += 61.0
    assert len(seen) >= 6
    assert tower.numbers("seoul") == [1, 2, 3, 4, 5]
    assert tower.nodes()["seoul"].missing == 0
    assert seoul.heard("tower") == []


def test_a_renewal_is_for_the_same_node(tower: RunningTower, tmp_path: Path) -> None:
    home = tower.enrol("seoul", tmp_path / "seoul")
    request = codec.encode_renew(pki.signing_request(pki.new_key(), "busan"))

    async def main() -> bytes:
        context = tls.node_context(root(tower), home.identity)
        async with grpc.Line(HOST, tower.node_port, context, Place(), 65536) as line:
            return await line.call(RENEW, request, bounds.ENROLMENT_BYTES, 60.0)

    made = codec.decode_certificate(asyncio.run(main()))
    assert pki.node_of(pki.parse(made.certificate)) == "seoul"


def test_an_ended_certificate_says_what_to_do(tower: RunningTower, tmp_path: Path) -> None:
    home = tower.enrol("seoul", tmp_path / "seoul")
    clock = TestClock()
    clock.added = 8 * 86400.0
    seoul = Node(home, clock)
    until(lambda: any("has ended" in each for each in seoul.heard("tower")), "it says nothing")
    seoul.stop()


def test_a_token_twice(tower: RunningTower, tmp_path: Path) -> None:
    token = tower.token("seoul")
    settings = asyncio.run(
        enrol(Home(tmp_path / "a"), token, HOST, tower.enrolment_port, Place(), {})
    )
    assert settings.node == "seoul"
    with pytest.raises(UplinkError, match="wrong, used or too old"):
        asyncio.run(enrol(Home(tmp_path / "b"), token, HOST, tower.enrolment_port, Place(), {}))
    assert not (tmp_path / "b").exists()
    with pytest.raises(UplinkError, match="enrolled already"):
        asyncio.run(enrol(Home(tmp_path / "a"), token, HOST, tower.enrolment_port, Place(), {}))
    with pytest.raises(UplinkError, match="no token"):
        asyncio.run(enrol(Home(tmp_path / "c"), "x", HOST, tower.enrolment_port, Place(), {}))


def test_a_token_is_not_told_to_another_tower(tmp_path: Path) -> None:
    one, other = RunningTower(tmp_path / "one"), RunningTower(tmp_path / "other")
    one.start()
    other.start()
    token = one.token("seoul")
    with pytest.raises(UplinkError, match="is not the token's"):
        asyncio.run(enrol(Home(tmp_path / "a"), token, HOST, other.enrolment_port, Place(), {}))
    assert not any(row.event.kind == "enrolment" for row in other.events(""))
    asyncio.run(enrol(Home(tmp_path / "a"), token, HOST, one.enrolment_port, Place(), {}))
    one.stop()
    other.stop()


def test_a_stranger_may_not_try_often(tower: RunningTower) -> None:
    token = tower.token("seoul")
    number, _, mark = token.split(".")
    wrong = f"{number}.{'A' * 43}.{mark}"
    request = pki.signing_request(pki.new_key(), "x")
    said = codec.encode_enrol(EnrolRequest(wrong, request))
    answers = []
    for _ in range(ATTEMPTS + 2):
        with pytest.raises(GRPCError) as caught:
            ask(tower, ENROL, said, tls.node_context(root(tower)))
        answers.append(caught.value.status)
    assert answers[0] is Status.PERMISSION_DENIED
    assert answers[-1] is Status.RESOURCE_EXHAUSTED
    # One line for all of them in the tower's own events.
    tower.stop()
    told = [row for row in tower.events("") if row.event.kind == "enrolment"]
    assert len(told) == 1


def test_the_enrolment_port_does_nothing_else(tower: RunningTower, tmp_path: Path) -> None:
    home = tower.enrol("seoul", tmp_path / "seoul")
    for identity in (None, home.identity):
        with pytest.raises(GRPCError):
            talk(tower.enrolment_port, tls.node_context(root(tower), identity), HELLO)
    assert not any(row.event.kind == "connected" for row in tower.events(""))


BAD: list[tuple[str, tuple[bytes, ...], str]] = [
    ("noise", (b"\xff" * 100,), "FromNode"),
    ("a batch first", (codec.encode_from_node(Batch(0, (Record(1, b"x"),))),), "first word"),
    ("two Hellos", (HELLO, HELLO), "said once"),
    ("a gap", (HELLO, codec.encode_from_node(Batch(7, (Record(8, b"x"),)))), "last one received"),
    ("too long", (HELLO, bytes(bounds.MESSAGE_BYTES + 1)), "are the most"),
]


@pytest.mark.parametrize(("said", "why"), [(x[1], x[2]) for x in BAD], ids=[x[0] for x in BAD])
def test_a_node_that_says_nonsense_is_told_so(
    tower: RunningTower, tmp_path: Path, said: tuple[bytes, ...], why: str
) -> None:
    home = tower.enrol("seoul", tmp_path / "seoul")
    context = tls.node_context(root(tower), home.identity)
    with pytest.raises((GRPCError, grpc.StreamTerminatedError)) as caught:
        talk(tower.node_port, context, *said)
    assert why in str(caught.value)
    assert tower.nodes()["seoul"].records == 0
    # And the tower goes on.
    talk(tower.node_port, context, HELLO)


def test_a_long_message_is_refused_before_it_is_read(tower: RunningTower) -> None:
    """The length stands before the message: four gigabytes are announced, and nothing of them is sent."""

    async def main() -> None:
        context = tls.node_context(root(tower))
        async with (
            grpc.Line(HOST, tower.enrolment_port, context, Place(), 65536) as line,
            line.request(INTRODUCE, Cardinality.UNARY_UNARY, bytes, bytes) as stream,
        ):
            await stream.send_request()
            await stream._stream.send_data(b"\0\xff\xff\xff\xff")
            await stream.recv_initial_metadata()

    with pytest.raises(GRPCError, match="are the most"):
        asyncio.run(main())


def test_noise_on_both_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no TLS, no HTTP/2, no gRPC or nothing at all costs its own connection."""
    monkeypatch.setattr("bongsu.tower.server.NEWCOMER_S", 1.0)
    tower = RunningTower(tmp_path / "tower")
    tower.start()

    async def main() -> None:
        for port in (tower.node_port, tower.enrolment_port):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.read()
            writer.close()
        context = tls.node_context(root(tower))
        for noise in (b"\0" * 1000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 200, b""):
            reader, writer = await asyncio.open_connection(
                HOST, tower.enrolment_port, ssl=context, server_hostname=pki.TOWER_NAME
            )
            writer.write(noise)
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()

    asyncio.run(asyncio.wait_for(main(), 60))
    answer = ask(tower, INTRODUCE, b"", tls.node_context(root(tower)))
    assert codec.decode_introduction(answer)
    tower.stop()


def test_strangers_cannot_take_every_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bongsu.tower.server.NEWCOMERS", 2)
    monkeypatch.setattr("bongsu.tower.server.NEWCOMER_S", 2.0)
    tower = RunningTower(tmp_path / "tower")
    tower.start()
    context = tls.node_context(root(tower))

    async def hold() -> None:
        held = [
            await asyncio.open_connection(
                HOST, tower.enrolment_port, ssl=context, server_hostname=pki.TOWER_NAME
            )
            for _ in range(4)
        ]
        for reader, _ in held[2:]:
            with contextlib.suppress(ConnectionError):
                while await reader.read(1000):
                    continue
        with pytest.raises(grpc.CALL_ERRORS):
            await asyncio.to_thread(ask, tower, INTRODUCE, b"", context)
        for reader, writer in held:
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()

    asyncio.run(asyncio.wait_for(hold(), 60))
    assert ask(tower, INTRODUCE, b"", context)
    tower.stop()


def test_another_implementation_of_grpc_understands_it(tower: RunningTower, tmp_path: Path) -> None:
    """The C core's client, with messages as protobuf's own tools write them."""
    home = tower.enrol("seoul", tmp_path / "seoul")
    identity = pki.read_identity(home.identity)
    key_and_certificates = home.identity.read_bytes()
    end = b"-----END PRIVATE KEY-----\n"
    key, _, _ = key_and_certificates.partition(end)
    credentials = other_grpc.ssl_channel_credentials(
        root(tower).encode(), key + end, identity.certificate.public_bytes(Encoding.PEM)
    )
    options = (("grpc.ssl_target_name_override", pki.TOWER_NAME),)
    pb = messages_pb2
    with other_grpc.secure_channel(f"{HOST}:{tower.node_port}", credentials, options) as channel:
        call: Any = channel.stream_stream(
            STREAM, pb.FromNode.SerializeToString, pb.FromTower.FromString
        )
        event = pb.Payload(event=pb.Event(level="info", kind="x", details=b'{"n": 1}'))
        record = pb.Record(sequence=1, body=event.SerializeToString())
        said = [
            pb.FromNode(hello=pb.Hello(version=1, spool=bytes(16), last=1)),
            pb.FromNode(batch=pb.Batch(after=0, records=[record])),
        ]
        answers = call(iter(said), timeout=60)
        assert next(answers).welcome.acked == 0
        until(lambda: tower.numbers("seoul") == [1], "it has not arrived")


def test_an_ack_for_what_was_not_sent_ends_the_connection(
    tower: RunningTower, tmp_path: Path
) -> None:
    home = tower.enrol("seoul", tmp_path / "seoul")
    batch = codec.encode_from_node(Batch(0, (Record(3, b"\xff"), Record(5, b"\xff"))))
    context = tls.node_context(root(tower), home.identity)
    heard = talk(tower.node_port, context, HELLO, batch)
    until(lambda: tower.nodes()["seoul"].records == 2, "it has not arrived")
    assert tower.nodes()["seoul"].missing == 3
    for each in heard[1:]:
        assert codec.decode_from_tower(each) == Ack(5)
