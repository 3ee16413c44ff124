"""When a journal packs old revisions of its replica, and deletes what packs cover: in a thread, beside publishing.

While revisions come quickly they are packed step by step, and nothing is merged: what was merged stays for the grace
period. Once they rest, all steps become one pack.
"""

import logging
import threading
from collections import deque

from confstream.clock import Clock
from confstream.compactor import (
    IN_PASSING,
    MERGE_RATIO,
    MINIMUM,
    TAIL,
    CompactReport,
    compact,
    needed,
    scattered,
    superfluous,
)
from confstream.complaint import Complaint
from confstream.errors import ConfstreamError, IntegrityError
from confstream.events import about, carrying
from confstream.journal.grace import Grace
from confstream.journal.phase import UplinkSettings
from confstream.layout import Listing
from confstream.log.publisher import Publisher
from confstream.log.recent import Recalling, Recent
from confstream.store import Store

logger = logging.getLogger("confstream.uplink")

REST_SECONDS = 3600.0
"""Revisions rest when none was published for so long."""

_PAUSE_SECONDS = 600.0
"""How long after a failure packing is not tried again, and after the grace period nothing is deleted."""

_HEAVY_SIZE, _UNPACKED_MAX = 1 << 21, 1000
"""Revisions that take more than this are packed after a day of rest, though they are few."""


class Packer:
    """Outlives sessions, so that it knows what it did; ``turn`` is for one thread at a time."""

    def __init__(self, grace: Grace, clock: Clock, settings: UplinkSettings) -> None:
        self._grace = grace
        self._clock = clock
        self._settings = settings
        self._thread: threading.Thread | None = None
        self._complaint = Complaint(logger, clock)
        self._not_before = 0.0
        self._published_at = clock.elapsed_seconds()
        self._unpacked: deque[tuple[int, int]] = deque(maxlen=_UNPACKED_MAX)
        self._packed_at: float | None = None
        self._merged_at: float | None = None
        self._sweep_at: float | None = None
        self._is_scattered = False

    def connected(self, listing: Listing) -> None:
        """See what a *listing* has that others, or this writer before a restart, left to be done."""
        self._is_scattered = scattered(listing, self._settings.pack_size)
        if self._sweep_at is None and superfluous(listing):
            self._sweep_at = self._clock.elapsed_seconds() + REST_SECONDS

    def published(self, number: int, size: int) -> None:
        """Take note of revision *number*, whose object has *size* bytes."""
        self._published_at = self._clock.elapsed_seconds()
        self._unpacked.append((number, size))

    @property
    def idle_seconds(self) -> float:
        """Return how long there is nothing to do unless something is published."""
        now = self._clock.elapsed_seconds()
        if self._is_busy:
            return _PAUSE_SECONDS
        due = [float("inf") if self._sweep_at is None else self._sweep_at]
        if self._is_scattered:
            due.append(max(self._published_at + REST_SECONDS, self._merge_after()))
        return max(0.0, min(due) - now, self._not_before - now)

    def turn(self, store: Store, publisher: Publisher, recent: Recent) -> None:
        """Begin to pack or to delete if something is due; *recent* has what this writer published itself."""
        now, size = self._clock.elapsed_seconds(), self._settings.pack_size
        if self._is_busy or now < self._not_before:
            return
        # The listing is old, so what it calls packed is; whether the rest still has to be needs a new one (P11).
        reader, head = publisher.reader, publisher.head.position.number
        is_resting = now >= self._published_at + REST_SECONDS
        may_merge = now >= self._merge_after()
        is_swept = self._sweep_at is not None and now >= self._sweep_at
        is_idle = now >= self._published_at + max(REST_SECONDS, self._settings.grace_seconds)
        is_due = may_merge and ((is_resting and self._is_scattered) or (is_idle and self._is_heavy()))
        worth_it = needed(reader.listing, head=head, pack_size=size) and needed(reader.refresh(), pack_size=size)
        if not (worth_it or is_swept or is_due):
            return
        self._sweep_at = None
        is_long_ago = self._packed_at is None or now >= self._after_grace(self._packed_at)
        # Who only deletes packs nothing.
        minimum = MINIMUM if worth_it or is_due else size
        merges = worth_it and may_merge and (is_resting or is_long_ago)
        # What is due is so once a day at most.
        merge_ratio = float("inf") if is_due else MERGE_RATIO if merges else 0.0
        arguments = (store, recent, minimum, merge_ratio)
        self._thread = threading.Thread(target=carrying(self._run), args=arguments, name="confstream-pack", daemon=True)
        self._thread.start()

    @property
    def _is_busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _is_heavy(self) -> bool:
        """Return whether the revisions that no pack has yet, but for the tail, are worth one."""
        return len(self._unpacked) >= 2 * TAIL and sum(size for _, size in [*self._unpacked]) >= _HEAVY_SIZE

    def _merge_after(self) -> float:
        """Return from when on packs may be merged: what was merged before is deleted before it waits once more."""
        return 0.0 if self._merged_at is None else self._after_grace(self._merged_at)

    def _after_grace(self, moment: float) -> float:
        return moment + self._settings.grace_seconds + _PAUSE_SECONDS

    def _run(self, store: Store, recent: Recent, minimum: int, merge_ratio: float) -> None:
        settings = self._settings
        try:
            with self._grace.looking() as known_seconds:
                # What this writer put into its slots is at hand: to pack that, it is not fetched again (P11).
                report = compact(
                    Recalling(store, recent),
                    self._clock,
                    pack_size=settings.pack_size,
                    minimum=minimum,
                    merge_ratio=merge_ratio,
                    manner=IN_PASSING,
                    grace_seconds=settings.grace_seconds,
                    known_seconds=known_seconds,
                )
        except ConfstreamError as error:
            if isinstance(error, IntegrityError):
                # Whichever is wrong, the next attempt goes by the replica alone.
                recent.clear()
            now = self._clock.elapsed_seconds()
            # It reads a thousand objects: not once more for every revision, and what can wait waits for as long again.
            self._not_before, self._published_at = now + _PAUSE_SECONDS, now
            self._sweep_at = now + REST_SECONDS
            said = about("pack_failed", error=error)
            what = f"packing did not finish, it will be tried again: {error}"
            self._complaint.say(what, level=logging.WARNING, extra=said)
        else:
            self._complaint.over("recovered: packing works again", extra=about("recovered", what="packing"))
            logger.info("%s", report, extra=about("packed"))
            self._done(report, asked=merge_ratio > 0)

    def _done(self, report: CompactReport, *, asked: bool) -> None:
        """Take note of what was done, and of whether it was to merge what there is."""
        now = self._clock.elapsed_seconds()
        if report.packs:
            self._packed_at = now
            while self._unpacked and self._unpacked[0][0] <= report.packs[-1][1]:
                self._unpacked.popleft()
        elif asked:
            self._unpacked.clear()
        if report.plan.merged:
            self._merged_at = now
        if report.packs or asked:
            self._is_scattered = not asked
        if report.packs or report.plan.waiting:
            # What they cover may go when the grace period is over, or every listing has it for nothing (P11).
            self._sweep_at = self._after_grace(now)
