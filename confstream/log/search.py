"""The revision of an instant, found in few round trips however long the history is (P11).

Times never go backwards along the log, whatever the clocks did, so this is a
search; many places are asked at once, because a round trip costs more than they do.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Protocol

from confstream.codec.objects import RevisionObject
from confstream.layout import Listing

PROBES = 12
"""How many places are asked at the same time."""


class Log(Protocol):
    """What is asked about times."""

    def snapshot_time(self, number: int) -> int | None:
        """Return the time of the revision that has a snapshot; None if that cannot be told."""

    def revision(self, number: int) -> RevisionObject:
        """Return revision *number*."""

    def revisions(self, first: int, last: int) -> Iterable[RevisionObject]:
        """Return revisions *first* to *last*."""

    def each(self, work: Callable[[int], int | None], over: Iterable[int]) -> Iterable[int | None]:
        """Return what *work* makes of each of *over*, worked on at the same time."""


def last_until(log: Log, listing: Listing, first: int, last: int, time_ns: int) -> int:
    """Return the last of the revisions *first* to *last* that was made at or before *time_ns*; 0 if none was."""
    singles = set(_singles(listing))

    def time_at(number: int) -> int | None:
        return log.revision(number).revision.time_ns if number in singles else log.snapshot_time(number)

    places = sorted(one for one in {*singles, *listing.snapshots} if first <= one <= last)
    # The answer is in low .. high: low is no later than the instant, high the last that may be.
    low, high = first - 1, last
    while places:
        chosen = places if len(places) <= PROBES else [places[at * len(places) // PROBES] for at in range(PROBES)]
        times = dict(zip(chosen, log.each(time_at, chosen), strict=True))
        low = max([low, *(one for one, found in times.items() if found is not None and found <= time_ns)])
        high = min([high, *(one - 1 for one, found in times.items() if found is not None and found > time_ns)])
        places = [one for one in places if low < one <= high and one not in times]
    made = log.revisions(low + 1, high) if low < high else ()
    return max([low if low >= first else 0, *(one.revision.number for one in made if one.revision.time_ns <= time_ns)])


def _singles(listing: Listing) -> Iterable[int]:
    """Return the revisions that are objects of their own and in no pack: what may be a stray proves nothing."""
    starts = [first for first, _ in listing.packs]
    highest, reach = 0, []
    for _, end in listing.packs:
        highest = max(highest, end)
        reach.append(highest)
    for number in listing.log:
        at = bisect_right(starts, number)
        if not at or reach[at - 1] < number:
            yield number
