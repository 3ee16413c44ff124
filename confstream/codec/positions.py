"""Positions among the entries of an object: ascending, 4 bytes each, little-endian."""

import sys
from array import array
from collections.abc import Iterable
from itertools import pairwise

from confstream.errors import IntegrityError


def dump(positions: Iterable[int]) -> bytes:
    """Return *positions* as bytes."""
    numbers = array("I", positions)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def load(encoded: bytes, count: int, key: str) -> tuple[int, ...]:
    """Return the positions among *count* entries that *encoded* holds, or raise ``IntegrityError``."""
    if len(encoded) % 4 or len(encoded) > 4 * count:
        raise IntegrityError(f"{key}: {len(encoded)} bytes of positions for {count} entries")
    numbers = array("I", encoded)
    if sys.byteorder == "big":
        numbers.byteswap()
    positions = tuple(numbers)
    if any(one >= other for one, other in pairwise(positions)) or (positions and positions[-1] >= count):
        raise IntegrityError(f"{key}: positions that do not ascend or point past the {count} entries")
    return positions
