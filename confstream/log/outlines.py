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
from confstream.log.objects import INDEX_GUESS, RECORD_GUESS, get_outlines
from confstream.log.reader import LogReader
from confstream.plan import Unit

_BEGUN_MAX = 512
"""Of how many objects the beginnings are held that are on their way: a few MiB (P14)."""


def outlines(
    reader: LogReader, first: int = 1, last: int | None = None, *, newest_first: bool = False, expected: int = 0
) -> Iterator[Outline]:
    """Yield what ``LogReader.revisions`` does, as outlines: a gap raises ``IntegrityError``, the chain is checked.

    Whoever will certainly look at *expected* of them waits for them all at once.
    """
    listing = reader.require()
    last = listing.head if last is None else last
    first = max(first, reader.oldest())
    pages = _Pages(reader)
    sure = (max(first, last - expected + 1), last) if newest_first else (first, min(last, first + expected - 1))
    rest = (first, sure[0] - 1) if newest_first else (sure[1] + 1, last)
    if expected:
        pages.begin(*sure)
    successor: Outline | None = None
    for start, end in (one for span in (sure, rest) for one in windows(*span, newest_first=newest_first)):
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
        self._begun: frozenset[Unit] = frozenset()

    def begin(self, first: int, last: int) -> None:
        """Begin to read what holds revisions *first* to *last*, the newest first and no more than is held."""
        units = plan.units(self._reader.sound(self._reader.listing), first, last) or ()
        self._begun = frozenset(units[-_BEGUN_MAX:])
        parts = ((unit.key, 0, INDEX_GUESS if unit.packed else RECORD_GUESS) for unit in reversed(units[-_BEGUN_MAX:]))
        self._reader.ahead.begin(parts)

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
        # What is on its way needs nobody else to wait for it.
        pages = map(self._page, units) if self._begun.issuperset(units) else self._reader.each(self._page, units)
        found = {one.revision.number: one for page in pages for one in page}
        return [found[number] for number in range(first, last + 1)]

    def _page(self, unit: Unit) -> tuple[Outline, ...]:
        known = self._last
        if known is not None and known[0] == unit:
            return known[1]
        found = get_outlines(self._reader.ahead, unit)
        if unit.packed:
            self._last = unit, found
        return found
