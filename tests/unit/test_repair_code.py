"""The codec, by itself and against known answers."""

import random

import pytest

from bongsu.protocol.repair import code
from bongsu.protocol.siphash import siphash


def test_siphash_reference() -> None:
    # the test vector of the paper's appendix A
    key, message = bytes(range(16)), bytes(range(15))
    assert int.from_bytes(siphash(key, message), "little") == 0xA129CA6149BE45E5


def test_field() -> None:
    assert code.multiply(0x80, 2) == 0x1D
    for value in range(1, 256):
        assert code.multiply(value, code.inverse(value)) == 1
    with pytest.raises(ZeroDivisionError):
        code.inverse(0)


def test_every_square_can_be_inverted_for_the_largest_block() -> None:
    noise = random.Random(1)
    symbols = [noise.randbytes(9) for _ in range(code.BLOCK)]
    parities = {row: code.parity(symbols, row) for row in range(code.ROWS)}
    # nothing but parity is left
    assert code.solve({}, range(code.BLOCK), parities) == symbols


@pytest.mark.parametrize("losses", [1, 3, 5])
def test_any_losses_by_any_parities(losses: int) -> None:
    noise = random.Random(losses)
    for _ in range(50):
        symbols = [noise.randbytes(noise.randrange(4, 40)) for _ in range(20)]
        missing = sorted(noise.sample(range(20), losses))
        rows = noise.sample(range(64), losses)
        parities = {row: code.parity(symbols, row) for row in rows}
        have = {column: symbols[column] for column in range(20) if column not in missing}
        size = max(map(len, symbols))
        solved = code.solve(have, missing, parities)
        assert solved == [symbols[column].ljust(size, b"\0") for column in missing]


def test_too_few_parities() -> None:
    with pytest.raises(ValueError, match="2 are missing, 1 parities"):
        code.solve({}, [0, 1], {0: b"1234"})


def test_a_symbol_longer_than_its_parity() -> None:
    with pytest.raises(ValueError, match="longer"):
        code.solve({0: b"12345"}, [1], {0: b"1234"})
