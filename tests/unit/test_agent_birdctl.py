"""BIRD's replies, as 2.0.12 writes them, become values; nonsense never becomes an exception."""

import socket

import pytest

from bongsu.system.daemons.birdctl import (
    BirdControl,
    BirdError,
    Line,
    parse_bfd,
    parse_protocols,
    parse_routes,
)

END = "0000 \n"  # with its blank, as BIRD writes it

PROTOCOLS = f"""\
2002-Name       Proto      Table      State  Since         Info
1002-device1    Device     ---        up     2026-11-22 03:43:30.158
 b1         BFD        ---        up     03:43:30.158
 s1         Static     master4    up     2026-11-22
 up1        BGP        ---        start  2026-11-22 03:43:30.158  Active        Socket: Connection refused
 x-y        BGP        ---        up     1.234  Established
 odd        BGP        ---        dreaming  1.234
{END}"""

BFD = f"""\
1020-bfd1:
 IP address                Interface  State      Since         Interval  Timeout
 10.99.1.2                 gre-seoul  Up         2026-11-22 03:43:30.159    0.010    0.030
 2001:db8::2               ---        Down       03:43:30.159    1.000    0.000
{END}"""

ROUTES = f"""\
1007-Table master4:
 10.9.0.0/24          unicast [s1 2026-11-22 03:43:30.158] * (200)
 \tvia 10.99.1.2 on gre-seoul
 \tdev lo
                      unicast [up1 03:43:30.158] (100/10) [AS64501i]
 \tvia 192.0.2.1 on ens3
 10.0.0.0/8           blackhole [s1 03:43:30.158] * (200)
{END}"""


def control(*said: bytes) -> BirdControl:
    """A control whose other end has said this and hung up."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    for part in said:
        theirs.send(part)
    theirs.close()
    found = BirdControl.__new__(BirdControl)
    found._socket, found._buffer = ours, bytearray()
    return found


def lines(text: str) -> list[Line]:
    with control(text.encode()) as bird:
        return bird._reply()


def test_protocols() -> None:
    found = {item.name: item for item in parse_protocols(lines(PROTOCOLS))}
    assert list(found) == ["device1", "b1", "s1", "up1", "x-y"]
    assert found["up1"].since == "2026-11-22 03:43:30.158"
    assert found["up1"].info == "Active Socket: Connection refused"
    assert not found["up1"].established
    assert (found["x-y"].established, found["x-y"].since) == (True, "1.234")


def test_bfd_sessions() -> None:
    first, second = parse_bfd(lines(BFD))
    assert (first.protocol, first.address, first.interface) == ("bfd1", "10.99.1.2", "gre-seoul")
    assert (first.state, first.interval_s, first.timeout_s) == ("Up", 0.01, 0.03)
    assert (second.interface, second.state) == ("---", "Down")


def test_routes() -> None:
    first, second, third = parse_routes(lines(ROUTES))
    assert (first.table, first.prefix, first.primary) == ("master4", "10.9.0.0/24", True)
    assert first.via == (("10.99.1.2", "gre-seoul"), ("", "lo"))
    assert (second.prefix, second.protocol, second.primary) == ("10.9.0.0/24", "up1", False)
    assert second.preference == 100
    assert (third.kind, third.preference, third.via) == ("blackhole", 200, ())


def test_asynchronous_lines_are_left_out() -> None:
    assert lines("+0 something happened\n0013 up\n") == [Line(13, "up")]


@pytest.mark.parametrize(
    ("text", "message"),
    [("HTTP/1.1 400 Bad\n", "not a reply of BIRD"), ("1002-half\n", "closed"), ("", "closed")],
)
def test_what_is_not_bird(text: str, message: str) -> None:
    with pytest.raises(BirdError, match=message):
        lines(text)


def test_a_refusal_carries_its_code() -> None:
    # The answer is there before the question; a stream does not mind.
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    theirs.send(b"9001 syntax error\n")
    bird = BirdControl.__new__(BirdControl)
    bird._socket, bird._buffer = ours, bytearray()
    with bird, theirs, pytest.raises(BirdError, match="bogus: syntax error") as caught:
        bird.ask("bogus")
    assert caught.value.code == 9001


def test_one_command_is_one_line() -> None:
    with control() as bird, pytest.raises(ValueError, match="one line"):
        bird.ask("show status\ndown")
