"""Sizes as people write them."""

import pytest

from confstream.errors import UsageError
from confstream.sizes import parse_size, show_size


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("500000", 500_000), ("64MiB", 64 << 20), (" 64 mib ", 64 << 20), ("1.5G", 3 << 29), ("2kB", 2000)],
)
def test_a_size_is_bytes_or_has_a_unit(text: str, expected: int) -> None:
    assert parse_size(text) == expected
    assert parse_size(show_size(expected)) == expected


@pytest.mark.parametrize("text", ["", "MiB", "-1", "64 apples", "1e6", "64MiBs", "0x10"])
def test_anything_else_is_told_what_was_expected(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size; expected"):
        parse_size(text)
