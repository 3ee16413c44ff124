"""Pack old revisions into few objects, and delete what the packs cover.

Packing concatenates and never squashes: every revision stays restorable (P5).
Killed anywhere, the replica is whole and the next run completes the work.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial

from confstream import layout
from confstream.clock import Clock
from confstream.compactor.manner import IN_PASSING, TAIL, THOROUGHLY, Manner
from confstream.compactor.packing import WORKERS, check_snapshot, pack_range, read_pack, snapshot_at
from confstream.compactor.planning import (
    MERGE_RATIO,
    MINIMUM,
    PACK_SIZE,
    CompactPlan,
    Deletion,
    Grace,
    needed,
    plan_compaction,
    scattered,
    server_ns,
    superfluous,
    witness_ns,
)
from confstream.errors import IntegrityError, ObjectMissingError
from confstream.events import about
from confstream.log.publisher import GRACE_SECONDS
from confstream.log.reader import LogReader
from confstream.store import Store

__all__ = [
    "IN_PASSING",
    "MERGE_RATIO",
    "MINIMUM",
    "PACK_SIZE",
    "TAIL",
    "THOROUGHLY",
    "CompactPlan",
    "CompactReport",
    "Deletion",
    "Manner",
    "compact",
    "needed",
    "plan_compaction",
    "scattered",
    "snapshot_at",
    "superfluous",
]

logger = logging.getLogger("confstream.compactor")

_DELETE_BATCH = 500


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What a compaction did; with *dry_run*, what it would have done.

    *strays* are objects inside of packs that are damaged or hold another
    revision than the pack: they are never deleted, and ``verify`` explains them.
    """

    plan: CompactPlan
    packs: tuple[tuple[int, int], ...] = ()
    deleted: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    dry_run: bool = False

    def __str__(self) -> str:
        """Return it for a person to read."""
        if self.dry_run:
            return str(self.plan)
        count = sum(last - first + 1 for first, last in self.packs)
        text = f"{count} revisions packed into {len(self.packs)} objects, {len(self.deleted)} objects deleted"
        if self.plan.waiting:
            text += f", {self.plan.waiting} wait for the grace period"
        if self.strays:
            text += f"; strays, run verify: {', '.join(self.strays)}"
        return text


def compact(
    store: Store,
    clock: Clock,
    *,
    pack_size: int = PACK_SIZE,
    minimum: int = MINIMUM,
    tail: int = TAIL,
    merge_ratio: float = MERGE_RATIO,
    manner: Manner = THOROUGHLY,
    grace_seconds: float = GRACE_SECONDS,
    known_seconds: Callable[[int, int], float] | None = None,
    dry_run: bool = False,
) -> CompactReport:
    """Pack all but the newest *tail* revisions, *pack_size* together, and delete what older packs cover.

    Nothing is packed for fewer than *minimum*; a pack that is not whole is made
    anew with what comes after it where it is at most *merge_ratio* times as long, 0 for never. Several packers and
    writers may work at the same time. *grace_seconds* is the one of the writers; 0 says that there is no other writer.
    *known_seconds*, for how long the caller knows of a pack, counts instead of *clock*, and is asked for every pack
    that is made. Raise ``IntegrityError`` if an object that would be packed, or a pack that would be relied upon, is
    damaged: then nothing that it covers was deleted.
    """
    reader = LogReader(store)
    reader.require()
    # Who only deletes, and counts for itself, asks nobody for the time (P11).
    seen_ns = cache(lambda: witness_ns(reader, reader.listing))
    now_ns = min(clock.now_ns(), seen_ns(), server_ns(store)) if known_seconds is None else 0
    grace = Grace(grace_seconds, now_ns, known_seconds)
    sizes = {"pack_size": pack_size, "minimum": minimum, "tail": tail}
    todo = plan_compaction(reader, grace, **sizes, merge_ratio=merge_ratio, manner=manner)
    if dry_run:
        return CompactReport(todo, dry_run=True)

    pack = partial(pack_range, created_ns=lambda: max(clock.now_ns(), seen_ns()), manner=manner)
    packs = [made for first, last in todo.packs for made in pack(reader, first, last)]
    grace.begin(packs)
    for number in todo.snapshots:
        snapshot_at(reader, store, number)
    deleted: list[str] = []
    strays: list[str] = []
    for deletion in todo.deletions:
        gone, found = _delete(reader, deletion)
        deleted += gone
        strays += found
    report = CompactReport(todo, tuple(packs), tuple(deleted), tuple(strays))
    _tell(store, strays)
    return report


def _tell(store: Store, strays: Sequence[str]) -> None:
    for key in strays:
        said = about("pack_differs", key=key)
        logger.error("%s: %s is not what the pack around it holds; it was kept, run verify", store.url, key, extra=said)


def _delete(reader: LogReader, deletion: Deletion) -> tuple[list[str], list[str]]:
    """Delete what *deletion* names; return the keys that went, and those of strays that stayed."""
    pack = read_pack(reader.store, deletion.first, deletion.last)
    end = pack.revisions[-1]
    check_snapshot(reader.store, end.position, end.revision.tree_hash)
    hashes = {made.revision.number: made.hash for made in pack.revisions}

    def is_covered(number: int) -> bool:
        try:
            return reader.log_object(number).hash == hashes[number]
        except ObjectMissingError:
            return True
        except IntegrityError:
            return False

    def is_merged(pair: tuple[int, int]) -> bool:
        try:
            shorter = reader.pack(*pair, index_only=True).revisions
        except ObjectMissingError:
            return True
        except IntegrityError:
            return False
        return all(made.hash == hashes[made.revision.number] for made in shorter)

    with ThreadPoolExecutor(WORKERS) as pool:
        covered = dict(zip(deletion.log, pool.map(is_covered, deletion.log), strict=True))
    strays = [layout.log_key(number) for number, is_so in covered.items() if not is_so]
    strays += [layout.pack_key(*pair) for pair in deletion.packs if not is_merged(pair)]
    kept = set(strays)
    gone = [key for key in deletion.keys if key not in kept]
    # I4: pack and snapshot are durable, and were just read whole.
    for start in range(0, len(gone), _DELETE_BATCH):
        reader.store.delete(gone[start : start + _DELETE_BATCH])
    return gone, strays
