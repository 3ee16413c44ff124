"""The log in order: how much of it to read at once, and whether one revision follows another. Pure."""

from collections.abc import Iterator

from confstream.codec.objects import RevisionObject
from confstream.codec.outline import Outline
from confstream.errors import IntegrityError

_WINDOW = 128


class GapError(Exception):
    """A range that the listing does not cover; perhaps only because it is old."""


class DamagedError(Exception):
    """An object of history that does not decode, or does not belong where it is."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(why)
        self.key = key


def windows(first: int, last: int, *, newest_first: bool) -> Iterator[tuple[int, int]]:
    """Yield the ranges to read at once; small ones at first from the end, where a caller often needs only one."""
    size = 1 if newest_first else _WINDOW
    while first <= last:
        if newest_first:
            yield max(first, last - size + 1), last
            last -= size
            size = min(size * 4, _WINDOW)
        else:
            yield first, min(first + size - 1, last)
            first += size


def check_link(before: RevisionObject | Outline, after: RevisionObject | Outline) -> None:
    """Raise ``IntegrityError`` unless *after* is the revision that follows *before*."""
    follows = after.revision.previous == before.hash and after.revision.time_ns >= before.revision.time_ns
    if not follows or after.revision.number != before.revision.number + 1:
        raise IntegrityError(
            f"revision {after.revision.number} does not follow the revision {before.revision.number} that is there"
        )
