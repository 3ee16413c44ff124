"""From a listing and a target: which objects to read, and what cannot be read.

Pure. A *unit* is one object of history: a pack or a single revision.
"""

from bisect import bisect_right
from collections.abc import Sequence

from confstream.layout import Listing, log_key, pack_key
from confstream.values import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """One object that holds revisions *first* to *last*, both included."""

    first: int
    last: int
    packed: bool

    @property
    def key(self) -> str:
        """Return where it lies."""
        return pack_key(self.first, self.last) if self.packed else log_key(self.first)


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach a revision: a snapshot (0 is the empty tree), then units in order."""

    snapshot: int
    units: tuple[Unit, ...]


def units(listing: Listing, first: int, last: int) -> tuple[Unit, ...] | None:
    """Return the fewest units that hold every revision from *first* to *last*; None if there is a gap.

    Packs are preferred: a log object inside a pack's range may be a stray (P8, P9).
    """
    singles, chosen, wanted = set(listing.log), [], first
    while wanted <= last:
        ends = [end for start, end in listing.packs if start <= wanted <= end]
        if ends:
            end = max(ends)
            start = min(start for start, last_one in listing.packs if last_one == end and start <= wanted)
            chosen.append(Unit(start, end, packed=True))
            wanted = end + 1
        elif wanted in singles:
            chosen.append(Unit(wanted, wanted, packed=False))
            wanted += 1
        else:
            return None
    return tuple(chosen)


def route(listing: Listing, target: int, *, without: Sequence[int] = ()) -> Route | None:
    """Return the shortest way to revision *target*, or None if a gap is in every one.

    Snapshots in *without* are left out: they turned out to be damaged.
    """
    usable = [number for number in listing.snapshots if number <= target and number not in without]
    for snapshot in [*reversed(usable), 0]:
        path = units(listing, snapshot + 1, target)
        if path is not None:
            return Route(snapshot, path)
    return None


def reachable(listing: Listing) -> list[tuple[int, int]]:
    """Return the closed ranges of revisions that can be restored, ascending."""
    ranges: list[tuple[int, int]] = []
    packs = dict(listing.packs)
    singles = set(listing.log)
    for start in [0, *listing.snapshots]:
        if ranges and start and start <= ranges[-1][1]:
            continue
        end = start
        while True:
            longest = max(
                (last for first, last in listing.packs if first <= end + 1 <= last), default=packs.get(end + 1, 0)
            )
            if longest > end:
                end = longest
            elif end + 1 in singles:
                end += 1
            else:
                break
        if end >= max(start, 1):
            ranges.append((max(start, 1), end))
    return ranges


def nearest(ranges: Sequence[tuple[int, int]], target: int) -> list[int]:
    """Return the restorable revisions next to *target*: the last before it and the first after."""
    before = [min(last, target) for first, last in ranges if first <= target]
    after = [max(first, target) for first, last in ranges if last >= target]
    return sorted({*before[-1:], *after[:1]})


def unpacked(listing: Listing) -> tuple[int, int]:
    """Return the closed range of revisions after the last pack that only ``log/`` holds; empty is (n + 1, n)."""
    packed = max((last for _, last in listing.packs), default=0)
    end = packed
    for number in listing.log[bisect_right(listing.log, packed) :]:
        if number != end + 1:
            break
        end = number
    return packed + 1, end
