"""What to pack and what to delete: a value, made before anything is done.

Nothing may be deleted before a writer that slept can no longer create its slot
again, whatever the clocks say, and nothing that a restore could need (P5, P8).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from confstream import layout, plan
from confstream.codec.fields import NUMBER_MAX
from confstream.compactor.grouping import fitting, grouped
from confstream.compactor.manner import TAIL, THOROUGHLY, Manner
from confstream.layout import Listing
from confstream.log.reader import LogReader
from confstream.store import Store

PACK_SIZE = 1000
"""Revisions in one pack."""

MINIMUM = 100
"""Fewer unpacked revisions than this are left for another time."""

STEP = 200
"""A writer packs as often as so many revisions are unpacked."""

MERGE_RATIO = 16.0
"""A pack may be so many times as long as what comes after it, and they are merged."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """What one pack makes superfluous: revisions' own objects, snapshots strictly inside of it, and shorter packs."""

    first: int
    last: int
    log: tuple[int, ...]
    snapshots: tuple[int, ...]
    packs: tuple[tuple[int, int], ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of all of them."""
        packs = (layout.pack_key(first, last) for first, last in self.packs)
        return (*map(layout.log_key, self.log), *packs, *map(layout.snapshot_key, self.snapshots))


@dataclass(frozen=True, slots=True)
class CompactPlan:
    """What a compaction is going to do, before it does any of it.

    *packs* are the closed ranges to pack, each perhaps as several packs;
    *merged* counts the packs that they hold already; *snapshots* are those that packs lack at their ends; *waiting*
    counts the objects that are covered, but not for the grace period yet.
    """

    packs: tuple[tuple[int, int], ...] = ()
    snapshots: tuple[int, ...] = ()
    deletions: tuple[Deletion, ...] = ()
    waiting: int = 0
    merged: int = 0

    def __str__(self) -> str:
        """Return one line for each step."""
        lines = [f"pack revisions {first} to {last}" for first, last in self.packs]
        lines += [f"snapshot revision {number}" for number in self.snapshots]
        lines += [
            f"delete {len(one.keys)} objects that pack {one.first} to {one.last} covers" for one in self.deletions
        ]
        lines += [f"keep {self.waiting} covered objects until the grace period is over"] * bool(self.waiting)
        return "\n".join(lines) or "nothing to do"


@dataclass(frozen=True, slots=True)
class Grace:
    """How long what a pack covers stays, and what tells that it is over: *now_ns*, or for how long a pack is known.

    A writer that slept may create a slot again only within a quarter of that
    period after it listed, so a slot must stay taken for longer than that
    after it was packed (rule 4). To a process that only looks once, clocks are
    all there is to tell, and each may be wrong. A pack's time is the latest of
    its maker's clock and of all times on the replica, so a clock that is behind
    cannot make it look old; one that was ahead only delays. And *now_ns* is as
    late as this clock, the newest sign of life on the replica, and the storage's
    server where it tells the time, all say, so this clock alone, jumping ahead,
    deletes nothing: with nobody alive to witness the time, everything just
    stays. A writer would be its own witness, and its clock may have been ahead
    before it started: it counts for how long it knows of a pack,
    *known_seconds*.
    """

    seconds: float
    now_ns: int
    known_seconds: Callable[[int, int], float] | None = None

    def begin(self, packs: Iterable[tuple[int, int]]) -> None:
        """Count from now on for *packs*, which were just made."""
        if self.known_seconds is not None:
            for pair in packs:
                self.known_seconds(*pair)

    def due(self, reader: LogReader, first: int, last: int) -> set[int]:
        """Return the revisions of a pack that are covered by it for longer than the grace period."""
        if self.seconds <= 0:
            return set(range(first, last + 1))
        if self.known_seconds is not None:
            return set(range(first, last + 1)) if self.known_seconds(first, last) > self.seconds else set()
        index, late_ns = reader.pack(first, last, index_only=True), self.now_ns - round(self.seconds * 1e9)
        return {
            made.revision.number for made in index.revisions if max(index.created_ns, made.revision.time_ns) < late_ns
        }


def needed(listing: Listing, *, head: int | None = None, pack_size: int = PACK_SIZE, tail: int = TAIL) -> bool:
    """Return whether enough revisions are unpacked to be packed, as far as *listing* and *head* tell."""
    first, end = plan.unpacked(listing)
    return max(end, head or 0) - first + 1 >= min(pack_size, STEP) + tail


def plan_compaction(
    reader: LogReader,
    grace: Grace,
    *,
    pack_size: int = PACK_SIZE,
    minimum: int = MINIMUM,
    tail: int = TAIL,
    merge_ratio: float = MERGE_RATIO,
    manner: Manner = THOROUGHLY,
) -> CompactPlan:
    """Return what there is to do, having read no more than the indexes of packs that still cover objects."""
    listing = reader.require()
    first, end = plan.unpacked(listing)
    last = _aligned(listing, first, max(end - tail, first - 1), end, manner.slack)
    groups = grouped(listing, (first, last), pack_size, merge_ratio)
    ranges = [pair for group in groups for pair in fitting(reader, group, manner.contents_size_max)]
    # A short pack at the end is worth it only where there is enough for it.
    packs = tuple(pair for pair in ranges if pair[1] - pair[0] + 1 >= min(minimum, pack_size))
    ends = {last for first, last in listing.packs if not _covering(listing, first, last)}
    snapshots = tuple(sorted(ends - set(listing.snapshots)))
    deletions, waiting, seen_log, seen_snapshots = [], 0, set[int](), set[int]()
    for start, stop in (pair for pair in listing.packs if not _covering(listing, *pair)):
        log = {number for number in listing.log if start <= number <= stop} - seen_log
        inner = {number for number in listing.snapshots if start <= number < stop} - ends - seen_snapshots
        shorter = {pair for pair in listing.packs if _covers((start, stop), pair)}
        if not (log or inner or shorter):
            continue
        seen_log |= log
        seen_snapshots |= inner
        due = grace.due(reader, start, stop)
        gone = tuple(sorted(pair for pair in shorter if pair[1] in due))
        waiting += len(log - due) + len(inner - due) + len(shorter) - len(gone)
        chosen = Deletion(start, stop, tuple(sorted(log & due)), tuple(sorted(inner & due)), gone)
        if chosen.keys and _is_safe(listing, chosen):
            deletions.append(chosen)
    merged = sum(_covers(one, pair) for one in packs for pair in listing.packs)
    return CompactPlan(packs, snapshots, tuple(deletions), waiting, merged)


def witness_ns(reader: LogReader, listing: Listing) -> int:
    """Return the newest time that anybody left on the replica."""
    times = [beat.time_ns for beat in reader.heartbeats()]
    if listing.head:
        times.append(reader.revision(listing.head).revision.time_ns)
    return max(times, default=0)


def server_ns(store: Store) -> int:
    """Return what time it is for the server of *store*; the end of time where it does not tell.

    The writer whose times are on the replica may run on this very machine, by the same wrong clock.
    """
    core: object = store
    while hasattr(core, "inner"):
        core = core.inner
    date = getattr(core, "server_date", "")
    if not date:
        return NUMBER_MAX
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - large, and no writer needs it

    try:
        return int(parsedate_to_datetime(date).timestamp()) * 10**9
    except ValueError:
        return NUMBER_MAX


def scattered(listing: Listing, pack_size: int = PACK_SIZE) -> bool:
    """Return whether packs lie there, as far as *listing* tells, that a compaction would merge."""
    first, _ = plan.unpacked(listing)
    return bool(grouped(listing, (first, first - 1), pack_size, MERGE_RATIO))


def superfluous(listing: Listing) -> bool:
    """Return whether packs cover something in *listing*, which a compaction deletes after the grace period."""
    packs = [pair for pair in listing.packs if not _covering(listing, *pair)]
    if len(packs) < len(listing.packs):
        return True
    return any(
        start <= number < stop + is_log
        for start, stop in packs
        for is_log, numbers in ((1, listing.log), (0, listing.snapshots))
        for number in numbers[bisect_left(numbers, start) :][:1]
    )


def _aligned(listing: Listing, first: int, last: int, end: int, slack: int) -> int:
    """Return where the pack that ends at about *last* does: at a snapshot that is there before *end*, if one is close.

    A little of the tail, too, for writers make a snapshot just when a revision more than fits was published.
    """
    limit = min(last + slack // 5, end)
    there = [number for number in listing.snapshots if first <= number <= limit and number > last - slack]
    return max(there, default=last)


def _covers(pair: tuple[int, int], other: tuple[int, int]) -> bool:
    return pair != other and pair[0] <= other[0] and other[1] <= pair[1]


def _covering(listing: Listing, first: int, last: int) -> bool:
    return any(_covers(pair, (first, last)) for pair in listing.packs)


def _is_safe(listing: Listing, deletion: Deletion) -> bool:
    """Return whether everything that can be restored from *listing* still can be after *deletion*."""
    log, snapshots, packs = set(deletion.log), set(deletion.snapshots), set(deletion.packs)
    rest = replace(
        listing,
        log=tuple(number for number in listing.log if number not in log),
        packs=tuple(pair for pair in listing.packs if pair not in packs),
        snapshots=tuple(number for number in listing.snapshots if number not in snapshots),
    )
    return plan.reachable(rest) == plan.reachable(listing)
