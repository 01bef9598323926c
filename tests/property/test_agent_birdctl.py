"""Whatever a control socket says, its reader ends with values or with BirdError."""

import socket
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from bongsu.system.daemons.birdctl import (
    BirdControl,
    BirdError,
    Line,
    parse_bfd,
    parse_protocols,
    parse_routes,
)

words = st.text(alphabet="0123 -+.:ab/[]()*\tUpDown", max_size=60)


@given(st.binary(max_size=400))
def test_random_bytes(data: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    theirs.send(data or b"\n")
    theirs.close()
    bird = BirdControl.__new__(BirdControl)
    bird._socket, bird._buffer = ours, bytearray()
    with bird, suppress(BirdError):
        assert bird._reply()


@given(st.lists(st.builds(Line, st.sampled_from([1002, 1007, 1020]), words), max_size=20))
def test_random_rows(rows: list[Line]) -> None:
    for parse in (parse_protocols, parse_bfd, parse_routes):
        assert len(parse(rows)) <= len(rows)
