"""The log as a list: what a person looks at by the thousand, decoded no further than a line shows.

Whatever does not go smoothly is left to the reader's own way, which names the damage and goes around it (P8).
"""

from collections.abc import Iterator, Sequence
from functools import partial

from confstream import plan
from confstream.codec.outline import Outline
from confstream.errors import IntegrityError
from confstream.layout import Listing
from confstream.log.chain import GapError, check_link, windows
from confstream.log.objects import get_outlines
from confstream.log.reader import LogReader
from confstream.plan import Unit


def outlines(
    reader: LogReader, first: int = 1, last: int | None = None, *, newest_first: bool = False
) -> Iterator[Outline]:
    """Yield what ``LogReader.revisions`` does, as outlines: a gap raises ``IntegrityError``, the chain is checked."""
    listing = reader.require()
    last = listing.head if last is None else last
    pages = _Pages(reader)
    successor: Outline | None = None
    for start, end in windows(max(first, reader.oldest()), last, newest_first=newest_first):
        for made in pages.window(start, end, newest_first=newest_first):
            if successor is not None:
                check_link(*((made, successor) if newest_first else (successor, made)))
            successor = made
            yield made


def outline(reader: LogReader, number: int) -> Outline:
    """Return revision *number*, as ``LogReader.revision`` does; of one that is an object of its own, only its record.

    A pack is decoded as a whole, for whoever asks reads on in it.
    """
    listing = reader.require()
    units = plan.units(listing, number, number) if reader.oldest() <= number <= listing.head else ()
    if units and not units[0].packed:
        return next(outlines(reader, number, number))
    made = reader.revision(number)
    return Outline(made.revision, made.hash)


class _Pages:
    """The revisions of a range; the last pack is remembered, for the next range is mostly out of it, too."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._last: tuple[Unit, tuple[Outline, ...]] | None = None

    def window(self, first: int, last: int, *, newest_first: bool) -> Iterator[Outline]:
        try:
            found = self._reader.stable(last, partial(self._range, first, last))
        except IntegrityError:
            made = self._reader.revisions(first, last, newest_first=newest_first)
            yield from (Outline(one.revision, one.hash) for one in made)
            return
        yield from reversed(found) if newest_first else found

    def _range(self, first: int, last: int, listing: Listing) -> Sequence[Outline]:
        units = plan.units(self._reader.sound(listing), first, last)
        if units is None:
            raise GapError(f"revisions {first} to {last}")
        found = {one.revision.number: one for page in self._reader.each(self._page, units) for one in page}
        return [found[number] for number in range(first, last + 1)]

    def _page(self, unit: Unit) -> tuple[Outline, ...]:
        known = self._last
        if known is not None and known[0] == unit:
            return known[1]
        found = get_outlines(self._reader.ahead, unit)
        if unit.packed:
            self._last = unit, found
        return found
