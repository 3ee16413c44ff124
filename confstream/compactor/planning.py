"""What to pack and what to delete: a value, made before anything is done.

Nothing may be deleted before a writer that slept can no longer create its slot
again, whatever the clocks say, and nothing that a restore could need (P5, P8).
"""

from dataclasses import dataclass, replace

from confstream import layout, plan
from confstream.codec.objects import Pack
from confstream.layout import Listing
from confstream.log.publisher import GRACE_SECONDS
from confstream.log.reader import LogReader

PACK_SIZE = 1000
"""Revisions in one pack."""

MINIMUM = 100
"""Fewer unpacked revisions than this are left for another time."""

TAIL = 50
"""The newest revisions, which always stay objects of their own."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """What one pack makes superfluous: revisions' own objects, and snapshots strictly inside of it."""

    first: int
    last: int
    log: tuple[int, ...]
    snapshots: tuple[int, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of all of them."""
        return (*map(layout.log_key, self.log), *map(layout.snapshot_key, self.snapshots))


@dataclass(frozen=True, slots=True)
class CompactPlan:
    """What a compaction is going to do, before it does any of it.

    *packs* are the closed ranges to pack, each perhaps as several packs;
    *snapshots* those that packs lack at their ends; *waiting* counts the
    objects that are covered, but not for the grace period yet.
    """

    packs: tuple[tuple[int, int], ...] = ()
    snapshots: tuple[int, ...] = ()
    deletions: tuple[Deletion, ...] = ()
    waiting: int = 0

    def __str__(self) -> str:
        """Return one line for each step."""
        lines = [f"pack revisions {first} to {last}" for first, last in self.packs]
        lines += [f"snapshot revision {number}" for number in self.snapshots]
        lines += [
            f"delete {len(one.keys)} objects that pack {one.first} to {one.last} covers" for one in self.deletions
        ]
        lines += [f"keep {self.waiting} covered objects until the grace period is over"] * bool(self.waiting)
        return "\n".join(lines) or "nothing to do"


def needed(listing: Listing, *, head: int | None = None, pack_size: int = PACK_SIZE, tail: int = TAIL) -> bool:
    """Return whether a whole pack's worth of revisions is unpacked, as far as *listing* and *head* tell."""
    first, end = plan.unpacked(listing)
    return max(end, head or 0) - first + 1 >= pack_size + tail


def plan_compaction(
    reader: LogReader,
    now_ns: int,
    witness_ns: int,
    *,
    pack_size: int = PACK_SIZE,
    minimum: int = MINIMUM,
    tail: int = TAIL,
    grace_seconds: float = GRACE_SECONDS,
) -> CompactPlan:
    """Return what there is to do, having read no more than the indexes of packs that still cover objects."""
    listing = reader.require()
    first, end = plan.unpacked(listing)
    last = end - tail
    ranges = [(start, min(start + pack_size - 1, last)) for start in range(first, last + 1, pack_size)]
    # A short pack at the end is worth it only where there is enough for it.
    packs = [(one, other) for one, other in ranges if other - one + 1 >= min(minimum, pack_size)]
    ends = {last for _, last in listing.packs}
    snapshots = tuple(sorted(ends - set(listing.snapshots)))
    deletions, waiting, seen = [], 0, set[int]()
    for start, stop in listing.packs:
        log = {number for number in listing.log if start <= number <= stop} - seen
        inner = {number for number in listing.snapshots if start <= number < stop} - ends - seen
        if not log | inner:
            continue
        seen |= log | inner
        index = reader.pack(start, stop, index_only=True)
        due = _due(index, now_ns, witness_ns, grace_seconds)
        waiting += len(log - due) + len(inner - due)
        chosen = Deletion(start, stop, tuple(sorted(log & due)), tuple(sorted(inner & due)))
        if chosen.keys and _is_safe(listing, chosen):
            deletions.append(chosen)
    return CompactPlan(tuple(packs), snapshots, tuple(deletions), waiting)


def witness_ns(reader: LogReader, listing: Listing) -> int:
    """Return the newest time that anybody left on the replica."""
    times = [beat.time_ns for beat in reader.heartbeats()]
    if listing.head:
        times.append(reader.revision(listing.head).revision.time_ns)
    return max(times, default=0)


def _due(index: Pack, now_ns: int, witness_ns: int, grace_seconds: float) -> set[int]:
    """Return the revisions of a pack that are covered by it for longer than the grace period.

    A writer that slept may create a slot again only within a quarter of that
    period after it listed, so a slot must stay taken for longer than that
    after it was packed (rule 4). Clocks are all there is to tell, and each may
    be wrong. A pack's time is the latest of its maker's clock and of all times
    on the replica, so a clock that is behind cannot make it look old; one that
    was ahead only delays. And it is as late as both this clock and the newest
    sign of life on the replica say, so this clock alone, jumping ahead, deletes
    nothing: with nobody alive to witness the time, everything just stays.
    """
    numbers = {made.revision.number: made.revision.time_ns for made in index.revisions}
    if grace_seconds <= 0:
        return set(numbers)
    late_ns = min(now_ns, witness_ns) - round(grace_seconds * 1e9)
    return {number for number, time_ns in numbers.items() if max(index.created_ns, time_ns) < late_ns}


def _is_safe(listing: Listing, deletion: Deletion) -> bool:
    """Return whether everything that can be restored from *listing* still can be after *deletion*."""
    log, snapshots = set(deletion.log), set(deletion.snapshots)
    rest = replace(
        listing,
        log=tuple(number for number in listing.log if number not in log),
        snapshots=tuple(number for number in listing.snapshots if number not in snapshots),
    )
    return plan.reachable(rest) == plan.reachable(listing)
