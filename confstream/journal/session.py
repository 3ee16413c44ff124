"""One connection of a journal to its replica: how they stand, publishing in order, and the upkeep.

No thread and no patience of its own: what fails is raised, and the drafts are
in the ledger still (P4).
"""

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace

from confstream import guards
from confstream.clock import Clock
from confstream.compactor import snapshot_at
from confstream.errors import IntegrityError
from confstream.events import about
from confstream.journal import fork as forks
from confstream.journal import stranger
from confstream.journal.announcement import Before, announce
from confstream.journal.draft import Draft
from confstream.journal.kept import kept, with_kept
from confstream.journal.ledger import Ledger
from confstream.journal.origin import Comparison, Origin, compare
from confstream.journal.packer import Packer
from confstream.journal.phase import UplinkSettings
from confstream.journal.sources import Sources
from confstream.journal.untracked import dropped, untracked
from confstream.layout import Fork
from confstream.log.intent import Intent, Published, Writer
from confstream.log.publisher import Publisher
from confstream.log.reader import LogReader
from confstream.meter import Meter
from confstream.revision import WRITE_ID_SIZE, Authorship, Verdict
from confstream.store import Store
from confstream.tree import Tree, apply
from confstream.validate import combined

logger = logging.getLogger("confstream.uplink")

_TOLD_MAX = 20
"""How many revisions may wait while it is found out how files changed."""

_CHEAP_SIZE = 1 << 16
"""A snapshot that is no larger than this is made as often as any."""


class Session:
    """Publishes a ledger's drafts through one store. For one thread; ``coalesce`` for any."""

    def __init__(
        self,
        store: Store,
        reader: LogReader,
        ledger: Ledger,
        sources: Sources,
        *,
        clock: Clock,
        packer: Packer,
        settings: UplinkSettings,
        stop: threading.Event,
        new_id: Callable[[int], bytes],
        meter: Meter,
        unreadable: Callable[[], Collection[bytes]] = tuple,
    ) -> None:
        """Read the end of the log, and find out how the captured tree stands to it.

        What is *unreadable*, and in the log, stays in the log's tree: nobody deleted that (P6).
        """
        self._store = store
        self._ledger = ledger
        self._sources = sources
        self._clock = clock
        self._packer = packer
        self._settings = settings
        self._stop = stop
        self._new_id = new_id
        self._meter = meter
        # Perhaps it is another log than before.
        sources.recent.clear()
        writer = Writer(ledger.writer, settings.host)
        self.publisher = Publisher.start(reader, writer, clock, stop, grace_seconds=settings.grace_seconds)
        self._beat_at: float | None = None
        self._publishing: bytes | None = None
        self._choosing = threading.Lock()
        self._kept = kept(self.publisher.head.tree, ledger.current, unreadable())
        self.origin = self._begin(reader)
        self.held = self.origin.held
        # The first revision over others' is judged against theirs: nobody did that when it was captured (P10).
        self._untracking: Intent | None = None
        # Before the first revision of a journal is on the log, where its tree comes from is not known.
        self._is_new = not ledger.base.number
        self._is_first = self.origin.relation in {Origin.BEHIND, Origin.DIVERGED, Origin.HELD}
        self._snapshot_number = max((0, *reader.listing.snapshots))
        self._size_before = self.publisher.size
        packer.connected(reader.listing)

    def publish(self, on_published: Callable[[Published], None], together: AbstractContextManager[object]) -> None:
        """Publish every draft that is not held, oldest first, telling *on_published* of each.

        *together* is held until both the ledger and *on_published* know of it: nobody may see one without the other.
        """
        while not self._stop.is_set():
            with self._choosing:
                pending = self._ledger.pending
                all_held = bool(self.held) and {draft.write_id for draft in pending} <= self.held
                if not pending or all_held or self._is_held_back(pending):
                    return
                self.held = frozenset()
                # From here until it is confirmed its outcome may be unknown: it must stay what it is (I5).
                draft = pending[0]
                self._publishing = draft.write_id
            intent = forks.intent_of(draft, self._ledger.settled)
            intent = replace(intent, tree=with_kept(intent.tree, self._kept))
            if self._is_first:
                self._untrack(intent.tree)
                intent = replace(intent, verdict=self._judged(intent))
            elif self._is_new:
                # What was captured before anybody could know of the doubt.
                still = stranger.still(self._ledger, self._clock.now_ns())
                intent = replace(intent, verdict=combined(intent.verdict, still))
            before = Before(self.publisher.head.tree, self.publisher.head.verdict)
            size = self.publisher.size
            published = self.publisher.publish(intent, self._sources.find, self._sources.at_hand)
            self._packer.published(published.position.number, self.publisher.size - size)
            with together:
                self._ledger.confirmed(draft.write_id, published.position)
                self._publishing = None
                self._is_first = False
                self._know_kept()
                on_published(published)
            if published.revision is not None:
                seconds = max(0.0, (self._clock.now_ns() - draft.time_ns) / 1e9)
                # What others published meanwhile did this writer not change; where many wait, they come first.
                in_brief = bool(published.adopted) or len(pending) > _TOLD_MAX
                announce(published.revision, before, self._sources.at_hand, seconds, in_brief=in_brief)

    def coalesce(self, keep_newest: int) -> int:
        """Merge old drafts in the ledger, but none that may be on its way; return how many fewer there are (P14)."""
        with self._choosing:
            return self._ledger.coalesce(keep_newest, {self._publishing} if self._publishing else ())

    def fork(self) -> Fork | None:
        """Remember who fenced this writer, and keep every draft as a fork (P5); None if nothing would be in it."""
        return forks.keep(self._ledger, self.publisher, self._sources)

    def upkeep(self, lag_seconds: float) -> bool:
        """Write the heartbeat and the snapshot that are due, and have old revisions packed; return whether any was."""
        did = self._beat_if_due(lag_seconds)
        did = self._snapshot_if_due() or did
        self._packer.turn(self._store, self.publisher, self._sources.recent)
        return did

    @property
    def idle_seconds(self) -> float:
        """Return how long nothing has to be done unless something is recorded."""
        idle_seconds = min(86_400.0, self._packer.idle_seconds)
        if self._beat_at is None or not self._settings.heartbeat_seconds:
            return idle_seconds
        beat_seconds = self._beat_at + self._settings.heartbeat_seconds - self._clock.elapsed_seconds()
        return max(0.0, min(idle_seconds, beat_seconds))

    def release(self, lag_seconds: float) -> None:
        """Say on the replica that this writer stopped on purpose, so that nobody waits for it."""
        if self._beat_at is not None:
            interval = self._settings.heartbeat_seconds
            self.publisher.beat(interval, lag_seconds, self._settings.version, released=True)

    def close(self) -> None:
        """Release the connections."""
        self._store.close()

    def _is_held_back(self, pending: Sequence[Draft]) -> bool:
        """Hold *pending* back while there is no file in the tree, if it was held when this session began (P10)."""
        if not self._is_first or self.origin.relation is not Origin.HELD:
            return False
        tree = apply(self._ledger.settled, [change for draft in pending for change in draft.changes])
        if not guards.held_back(self.publisher.head.tree, tree):
            return False
        self.held = frozenset(draft.write_id for draft in pending)
        return True

    def _untrack(self, tree: Tree) -> None:
        """Publish first, and say so, what the log has that is not tracked here: nobody deleted that."""
        publisher, head = self.publisher, self.publisher.head
        if self._untracking is None:
            paths = tuple(path for path in untracked(head.tree, self._settings.selection) if path not in tree)
            if not paths:
                return
            changes, made = dropped(head.tree, paths)
            logger.warning("%s", made.message, extra=about("untracked", files=len(paths)))
            made = replace(made, labels=self._settings.labels)
            write_id, now_ns = self._new_id(WRITE_ID_SIZE), self._clock.now_ns()
            self._untracking = Intent(write_id, now_ns, apply(head.tree, changes), made, head.verdict)
        supersedes, publisher.supersedes = publisher.supersedes, None
        try:
            publisher.publish(self._untracking, self._sources.find, self._sources.at_hand)
            self._untracking = None
        finally:
            publisher.supersedes = supersedes

    def _judged(self, intent: Intent) -> Verdict:
        # What somebody restored is what somebody wants, however small.
        strange = self._is_new and self._settings.guards and intent.authorship.source != "restore"
        over = stranger.judge(self.publisher.head.tree, intent.tree, known=not strange)
        if strange:
            stranger.doubt(self._ledger, over, self._clock.now_ns())
        return combined(intent.verdict, over)

    def _begin(self, reader: LogReader) -> Comparison:
        head = self.publisher.head
        forks.forget(self._ledger)
        origin = compare(self._ledger, reader, head, guards=self._settings.guards, kept=self._kept)
        for write_id, position in origin.confirmed:
            self._ledger.confirmed(write_id, position)
        if origin.note:
            logger.warning("%s", origin.note, extra=about("compared", relation=origin.relation.value))
        self.publisher.supersedes = origin.supersedes
        if origin.adopt:
            self._ledger.rebase(head.position, head.tree)
        if origin.relation is Origin.IN_SYNC:
            self._know_kept()
        is_ours = origin.relation in {Origin.AHEAD, Origin.DIVERGED}
        if is_ours and not self._ledger.pending and not self._ledger.settled.matches(head.tree):
            # All drafts are confirmed, but not by this log: the tree as it is has to become a revision.
            made = Authorship("replicate", message="the tree as it was found", labels=self._settings.labels)
            draft = Draft(self._new_id(WRITE_ID_SIZE), self._clock.now_ns(), made, ())
            self._ledger.commit(self._ledger.record(draft))
        return origin

    def _know_kept(self) -> None:
        """Let the ledger know of what only the log has, once its tree is the log's but for that."""
        head = self.publisher.head
        if not self._kept or not with_kept(self._ledger.settled, self._kept).matches(head.tree):
            return
        # Something was captured meanwhile: then after that.
        with suppress(ValueError):
            self._ledger.rebase(head.position, head.tree, captured=True)
            self._kept = {}

    def _snapshot_if_due(self) -> bool:
        number, every = self.publisher.head.position.number, self._settings.snapshot_every
        count = number - self._snapshot_number
        # Until what came since the last one is as much to read as that, it may be more objects.
        worth_it = max(_CHEAP_SIZE, self.publisher.size - self._size_before)
        if count < every or (count < 2 * every and self.publisher.snapshot_size > worth_it):
            return False
        try:
            self.publisher.snapshot(self._sources.find)
        except IntegrityError:
            # A content is not at hand any more: the log has it, or says what is wrong with it.
            self.publisher.reader.refresh()
            snapshot_at(self.publisher.reader, self._store, number)
        self._snapshot_number, self._size_before = number, self.publisher.size
        self._meter.count("snapshots_total")
        return True

    def _beat_if_due(self, lag_seconds: float) -> bool:
        interval, now = self._settings.heartbeat_seconds, self._clock.elapsed_seconds()
        if not interval or (self._beat_at is not None and now < self._beat_at + interval):
            return False
        self.publisher.beat(interval, lag_seconds, self._settings.version)
        self._beat_at = now
        return True
