"""Which packs to make: of revisions that have none yet, and of short packs that are made one.

What one pack has stored the next one stores again: merging makes a small replica. Before the grace period is over it
makes a large one, for what was merged stays until then.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from confstream.codec.fields import ENTRIES_MAX
from confstream.codec.objects import Pack
from confstream.compactor.packing import PACK_RECORDS_SIZE_MAX
from confstream.layout import Listing
from confstream.log.reader import PACKS_KEPT, LogReader

_Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Group:
    """What is to be one pack: *packs* that are there, one after the other from *first* on, then the log to *last*."""

    packs: tuple[_Pair, ...]
    first: int
    last: int


def grouped(listing: Listing, unpacked: _Pair, pack_size: int, merge_ratio: float) -> list[Group]:
    """Return what to pack of the *unpacked* revisions, and of the packs before them where merging pays.

    All packs that are shorter than *pack_size* are merged once they make a whole one, together with what is new. Until
    then a pack is merged with what comes after it where it is no more than *merge_ratio* times as long; 0 merges none.
    """
    first, last = unpacked
    shorter = _shorter(listing, first, pack_size) if merge_ratio else []
    groups, members = list[Group](), list[_Pair]()
    for pair in shorter:
        # It ends where a pack does: what packs cover may be nowhere else any more.
        members.append(pair)
        if pair[1] - members[0][0] + 1 >= pack_size:
            groups.append(Group(tuple(members), members[0][0], pair[1]))
            members = []
    begin = members[0][0] if members else first
    while last >= first and last - begin + 1 >= pack_size:
        groups.append(Group(tuple(members), begin, begin + pack_size - 1))
        begin, members = begin + pack_size, []
    kept, begin = list[_Pair](), max(begin, first)
    for start, end in reversed(members):
        # Whoever publishes quickly has packed a few more the first time, so a ratio of 1 would never do.
        if begin <= last and end - start + 1 > merge_ratio * (last - begin + 1):
            break
        kept.insert(0, (start, end))
        begin, last = start, max(last, end)
    if len(kept) > 1 or (first <= last and begin <= last):
        groups.append(Group(tuple(kept), begin, last))
    return groups


def fitting(reader: LogReader, group: Group, contents_size_max: int) -> Iterator[_Pair]:
    """Yield the ranges of the packs that *group* makes: one, unless that would be too large."""
    begin, count, total = group.first, 0, (0, 0, 0)
    for start, end in group.packs:
        # As few as a reader remembers are read whole at once: they will be merged, as a rule.
        sizes = _sizes(reader.pack(start, end, index_only=len(group.packs) > PACKS_KEPT))
        together = (total[0] + sizes[0], total[1] + sizes[1], total[2] + sizes[2])
        if _are_too_large(together, contents_size_max):
            if count > 1:
                yield begin, start - 1
            begin, count, total = start, 0, (0, 0, 0)
            together = sizes
        count, total = count + 1, together
    if group.last > (group.packs[-1][1] if group.packs else 0):
        yield (group.packs[-1][1] + 1 if _are_too_large(total, contents_size_max) else begin), group.last
    elif count > 1:
        yield begin, group.last


def _shorter(listing: Listing, first: int, pack_size: int) -> list[_Pair]:
    """Return the packs just before revision *first* that are shorter than *pack_size*, and follow one another."""
    starts = {end: start for start, end in sorted(listing.packs, reverse=True)}
    found: list[_Pair] = []
    while first - 1 in starts and first - starts[first - 1] < pack_size:
        found.insert(0, (starts[first - 1], first - 1))
        first = starts[first - 1]
    return found


def _sizes(index: Pack) -> tuple[int, int, int]:
    return (
        sum(entry.size for made in index.revisions for entry in made.contents.inline_entries),
        sum(len(made.record) for made in index.revisions),
        sum(len(made.revision.changes) for made in index.revisions),
    )


def _are_too_large(sizes: tuple[int, int, int], contents_size_max: int) -> bool:
    limits = (contents_size_max, PACK_RECORDS_SIZE_MAX, ENTRIES_MAX)
    return any(size > limit for size, limit in zip(sizes, limits, strict=True))
