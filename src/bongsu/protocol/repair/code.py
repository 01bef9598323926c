"""Systematic Reed-Solomon over GF(256): parity of a block, and the block back from what is left of it.

The matrix is Cauchy's, 1 / (row + column) with rows numbered from 128: each square part of it can be
inverted, so any `e` parities repair any `e` losses, of a block of any length up to 64. The field is
that of the polynomial x^8 + x^4 + x^3 + x^2 + 1, as nearly everywhere.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

BLOCK = ROWS = 64
"""Packets and parities of a block, at most."""
FIRST_ROW = 128
_POLYNOMIAL = 0x11D

Bytes = npt.NDArray[np.uint8]


def _powers() -> tuple[list[int], list[int]]:
    powers, logarithms, value = [0] * 510, [0] * 256, 1
    for exponent in range(255):
        powers[exponent] = powers[exponent + 255] = value
        logarithms[value] = exponent
        value <<= 1
        if value & 0x100:
            value ^= _POLYNOMIAL
    return powers, logarithms


_POWERS, _LOGARITHMS = _powers()


def multiply(one: int, other: int) -> int:
    """In the field."""
    if not one or not other:
        return 0
    return _POWERS[_LOGARITHMS[one] + _LOGARITHMS[other]]


def inverse(value: int) -> int:
    """In the field. ZeroDivisionError for 0."""
    if not value:
        raise ZeroDivisionError("0 has no inverse")
    return _POWERS[255 - _LOGARITHMS[value]]


_PRODUCTS = np.array(
    [[multiply(one, other) for other in range(256)] for one in range(256)], dtype=np.uint8
)


def coefficient(row: int, column: int) -> int:
    """Of a parity for a packet of its block."""
    return inverse((FIRST_ROW + row) ^ column)


def parity(symbols: Sequence[bytes], row: int) -> bytes:
    """Of a block whose symbols may differ in length; as long as the longest."""
    total = np.zeros(max(len(symbol) for symbol in symbols), np.uint8)
    for column, symbol in enumerate(symbols):
        total[: len(symbol)] ^= _PRODUCTS[coefficient(row, column)][_array(symbol)]
    return total.tobytes()


def solve(
    have: Mapping[int, bytes], missing: Sequence[int], parities: Mapping[int, bytes]
) -> list[bytes]:
    """The missing columns' symbols, as long as the parities.

    ValueError if there are fewer parities than missing columns, or a symbol is longer than they are.
    """
    rows = list(parities)[: len(missing)]
    if len(rows) < len(missing):
        raise ValueError(f"{len(missing)} are missing, {len(rows)} parities")
    size = len(parities[rows[0]])
    sums = []
    for row in rows:
        total = _array(parities[row]).copy()
        for column, symbol in have.items():
            if len(symbol) > size:
                raise ValueError("a symbol is longer than its block's parity")
            total[: len(symbol)] ^= _PRODUCTS[coefficient(row, column)][_array(symbol)]
        sums.append(total)
    matrix = [[coefficient(row, column) for column in missing] for row in rows]
    return [found.tobytes() for found in _eliminate(matrix, sums)]


def _eliminate(matrix: list[list[int]], sums: list[Bytes]) -> list[Bytes]:
    """Gauss and Jordan; no pivot of a Cauchy matrix is 0."""
    for pivot in range(len(matrix)):
        scale = inverse(matrix[pivot][pivot])
        matrix[pivot] = [multiply(scale, value) for value in matrix[pivot]]
        sums[pivot] = _PRODUCTS[scale][sums[pivot]]
        for other in range(len(matrix)):
            factor = matrix[other][pivot]
            if other != pivot and factor:
                matrix[other] = [
                    value ^ multiply(factor, above)
                    for value, above in zip(matrix[other], matrix[pivot], strict=True)
                ]
                sums[other] = sums[other] ^ _PRODUCTS[factor][sums[pivot]]
    return sums


def _array(data: bytes) -> Bytes:
    return np.frombuffer(data, np.uint8)
