"""What a person means by ``256MiB``. Pure."""

import re

from confstream.errors import UsageError

_SIZE = re.compile(r"([0-9]{1,12})(\.[0-9]{1,3})? ?([a-z]*)")
_UNITS = {
    **dict.fromkeys(["", "b"], 1),
    **dict.fromkeys(["k", "ki", "kib"], 1 << 10),
    **dict.fromkeys(["m", "mi", "mib"], 1 << 20),
    **dict.fromkeys(["g", "gi", "gib"], 1 << 30),
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
}


def parse_size(text: str) -> int:
    """Return the bytes that *text* means, as in ``64MiB``, ``1.5GiB`` or ``500000``; K, M and G are binary.

    Raise ``UsageError`` for anything else.
    """
    found = _SIZE.fullmatch(text.strip().lower())
    if found is None or found.group(3) not in _UNITS:
        raise UsageError(
            f"{text!r} is not a size; expected a number of bytes, or one with KiB, MiB or GiB, as in 64MiB"
        )
    return round(float(found.group(1) + (found.group(2) or "")) * _UNITS[found.group(3)])


def show_size(size_bytes: int) -> str:
    """Return *size_bytes* as ``parse_size`` reads them."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size_bytes and size_bytes % unit == 0:
            return f"{size_bytes // unit}{name}"
    return str(size_bytes)
