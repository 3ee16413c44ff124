"""Everything that turns into a draft: this process's own writes, and what others wrote.

Writes go ahead of the files (P4); captures wait until no write is between
ledger and disk. Nothing here talks to a replica.
"""

import contextlib
import logging
import os
import secrets
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from confstream import checkout
from confstream.clock import Clock
from confstream.complaint import Complaint
from confstream.errors import ConfstreamError, UsageError
from confstream.events import about
from confstream.journal import stranger
from confstream.journal.capture import Capture, Finding
from confstream.journal.contents import ContentCache
from confstream.journal.draft import Draft
from confstream.journal.judging import Judge
from confstream.journal.ledger import Ledger
from confstream.journal.left_out import LeftOut
from confstream.journal.leftovers import sweep
from confstream.journal.restored import RESTORED, restored_note
from confstream.journal.unprotected import Unprotected
from confstream.journal.untracked import check_left, dropped
from confstream.journal.views import Captured
from confstream.journal.writes import Batch, Placer, numbers_of, plan_changes, redo
from confstream.log.spool import Spool
from confstream.meter import Meter
from confstream.revision import OK, WRITE_ID_SIZE, Authorship, Verdict
from confstream.scan import Selection
from confstream.stamp import Stamp
from confstream.tree import Change, Entry, Kind, Op
from confstream.validate import Validators

logger = logging.getLogger("confstream.journal")

_ATTEMPTS = 5


class Recorder:
    """Records changes of one directory in a ledger. Every method may be called from any thread."""

    def __init__(
        self,
        root: Path,
        ledger: Ledger,
        cache: ContentCache,
        clock: Clock,
        selection: Selection | None,
        *,
        guards: bool,
        validators: Validators | None = None,
        meter: Meter | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._root = root
        self._labels = dict(labels or {})
        self._believe_all = not guards
        self._ledger = ledger
        self._cache = cache
        self._clock = clock
        self._capture = Capture(root, selection, believe_all=not guards, on_content=cache.put)
        self._meter = meter or Meter()
        self._left_out = LeftOut(self._meter)
        self._judge = Judge(ledger, clock, validators, believe_all=not guards, meter=self._meter)
        self._placer = Placer(root, ledger.writer)
        self._lock = threading.RLock()
        self._in_flight: Counter[bytes] = Counter()
        self._order = 0
        self._unprotected = Unprotected(clock)
        self._absence = Complaint(logger, clock)
        self._restore_counted = False
        self.held = ""
        self.verdict = OK
        self.changed_ns = 0

    @property
    def doubts(self) -> Mapping[str, tuple[str, ...]]:
        """Return the files that are blank or invalid now, by path, with the reasons."""
        return self._judge.doubts

    @property
    def unreadable(self) -> Mapping[bytes, str]:
        """Return the files that could not be read, with the reason: they are not protected."""
        return dict(self._capture.unreadable)

    @property
    def skipped(self) -> Mapping[bytes, str]:
        """Return the sockets, FIFOs and devices that were left out."""
        return dict(self._capture.skipped)

    def recover(self, *, restore: bool = True) -> None:
        """Finish what a crash interrupted: a restore, and writes that were recorded and not in place yet.

        Without *restore*, for a restore that is under way, nothing of one is touched.
        """
        finished = checkout.finish(self._root) if restore else None
        if finished is not None:
            said = about("restore_finished", files=finished.written)
            logger.warning("finished a restore that was interrupted: %d files written", finished.written, extra=said)
        done = redo(self._root, self._ledger)
        if restore:
            sweep(self._root, self._ledger.writer, self._clock.now_ns())
            self._count_restore()
        if done:
            said = about("writes_finished", files=len(done))
            logger.warning("completed %d write(s) that a crash interrupted", len(done), extra=said)

    def untrack(self) -> None:
        """Take what the selection does not track any more out of the tree, in a revision that says so.

        Raise ``UsageError`` if that were every file, unless everything is believed (P10).
        """
        with self.quiet():
            current = self._ledger.current
            paths = self._capture.untracked(current)
            if not paths:
                return
            if not self._believe_all:
                check_left(current, paths)
            changes, made = dropped(current, paths)
            logger.warning("%s", made.message, extra=about("untracked", files=len(paths)))
            self._judge.forget(paths)
            write_id = secrets.token_bytes(WRITE_ID_SIZE)
            draft = Draft(write_id, self._clock.now_ns(), self.labelled(made), changes, OK)
            self._ledger.commit(self._ledger.record(draft))

    def labelled(self, made: Authorship) -> Authorship:
        """Return *made* with the labels that every revision of this journal has, its own first."""
        return replace(made, labels={**self._labels, **made.labels}) if self._labels else made

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Keep every write and capture out for a while."""
        with self._placer.quiet(), self._lock:
            yield

    def stamp(self, path: bytes) -> Stamp | None:
        """Return what the disk says about *path* now."""
        return self._capture.stamp(path)

    @property
    def stamps(self) -> Mapping[bytes, Stamp]:
        """Return what the captured files and links looked like, to be compared as ``is_as_remembered`` does."""
        return self._capture.stamps

    def leaves_out(self, path: bytes) -> bool:
        """Return whether *path* is, by what it holds, nothing to be recorded."""
        with self._lock:
            return self._capture.leaves_out(path)

    def differing(self) -> dict[bytes, Stamp | None]:
        """Return which paths are other than captured, with their stamps (None: gone); reads no file."""
        with self.quiet():
            if why := self._capture.check_device():
                self._hold(why)
                return {}
            differing = self._capture.differing(self._ledger.current)
            if self.held and None not in differing.values():
                # Nothing is missing any more; else only a capture can say whether it may be believed.
                self._hold("")
            self._note_left_out()
            return differing

    def capture(
        self,
        paths: Sequence[bytes] | Mapping[bytes, Stamp | None] | None,
        unsettled: Sequence[bytes],
        authorship: Authorship | None,
    ) -> Captured:
        """Record what other programs changed, in the whole tree or at *paths*; durable when this returns."""
        with self.quiet():
            current = self._ledger.current
            finding = (
                self._capture.whole(current, unsettled)
                if paths is None
                else self._capture.some(current, paths, unsettled)
            )
            try:
                write_id, verdict = self._record(finding, authorship, current)
            except BaseException:
                # It was seen and not recorded: the next look must find it again.
                self._capture.forget(finding)
                raise
            finally:
                finding.contents.close()
            self._note_left_out(finding.unstable)
        return Captured(write_id, finding.changes, verdict, finding.held, finding.unreadable, finding.unstable)

    def commit(self, batch: Batch, authorship: Authorship) -> bytes | None:
        """Record what *batch* wants and put it into the tree; return the draft's write id, None if nothing changes."""
        contents = {put.hash: put.content for put in batch.puts.values()}
        paths = [*batch.puts, *batch.deletes]
        for path in paths:
            if not self._capture.tracks(path):
                raise UsageError(f"{os.fsdecode(path)!r} is left out by the selection, so it cannot be recorded")
            if path in batch.puts and self._capture.refuses(batch.puts[path].content):
                raise UsageError(f"{os.fsdecode(path)!r} is a SQLite database, which the selection leaves out")
        # In vain is an attempt in which another thread's write succeeded, or, for the first few, another program's.
        for attempt in count():
            self._capture_touched(paths)
            changes = self._plan(batch)
            if not changes:
                return None
            try:
                written = self._write(batch, changes, contents, authorship, patient=attempt < _ATTEMPTS)
            except _NotPlacedError as error:
                # What is on the disk counts: it is the next revision.
                with contextlib.suppress(ConfstreamError):
                    self.capture(paths, (), None)
                raise error.reason from error.reason.__cause__
            if written is None:
                continue
            write_id, edited = written
            for digest, content in contents.items():
                self._cache.put(digest, content)
            if edited:
                # It came right after, so it is the next revision; the write itself has succeeded.
                with contextlib.suppress(ConfstreamError):
                    self.capture(edited, (), None)
            return write_id
        raise AssertionError

    def _write(
        self,
        batch: Batch,
        changes: Sequence[Change],
        contents: Mapping[bytes, bytes],
        authorship: Authorship,
        *,
        patient: bool,
    ) -> tuple[bytes, list[bytes]] | None:
        """Write ahead, then place; return the draft's write id, and what somebody else wrote there right after.

        None if the tree is not what *changes* were planned for any more.

        If *patient*, so it is after an edit that was not recorded: what is
        replaced has to be in the history (P1).
        """
        paths = [*batch.puts, *batch.deletes]
        # Outside of the lock: a validator may take its time, and other threads write other files.
        verdict = self._judge.verdict(self._ledger.current, changes, lambda entry: self._content(entry, contents))
        with self._placer.prepared(changes, contents) as temporary, self._placer.placing():
            with self._lock:
                # Before the check: what somebody writes after this is noticed when the files are placed.
                seen = {change.path: self._capture.stamp(change.path) for change in changes}
                # Another thread may have changed what this one builds on while it wrote its files.
                if not _same_files(changes, self._plan(batch)) or (patient and self._edited(paths, seen)):
                    return None
                before = {path: numbers_of(found) for path, found in seen.items()}
                draft, order = self._intent(changes, authorship, verdict, before), self._order
                self._order += 1
                token = self._ledger.record(draft, contents.items(), hashed=True)
                self._in_flight.update(change.path for change in changes)
            try:
                self._ledger.commit(token)
                self._count(draft)
                self._placer.place(changes, temporary, order, draft.before)
            except ConfstreamError as error:
                if draft.write_id not in {one.write_id for one in self._ledger.intents}:
                    raise
                self._ledger.applied(draft.write_id)
                raise _NotPlacedError(error) from error
            finally:
                edited = self._landed(changes, paths)
            self._ledger.applied(draft.write_id)
            return draft.write_id, edited

    def _plan(self, batch: Batch) -> list[Change]:
        with self._lock:
            return plan_changes(batch, self._ledger.current, self._clock.now_ns())

    def _intent(
        self,
        changes: Sequence[Change],
        authorship: Authorship,
        verdict: Verdict,
        before: Mapping[bytes, tuple[int, ...] | None],
    ) -> Draft:
        write_id, now_ns = secrets.token_bytes(WRITE_ID_SIZE), self._clock.now_ns()
        made = self.labelled(authorship)
        return Draft(write_id, now_ns, made, tuple(changes), verdict, intent=True, before=before)

    def _content(self, entry: Entry, new: Mapping[bytes, bytes] | Spool) -> bytes | None:
        """Return a file's content, new or from before; None if it is not at hand."""
        if entry.hash in new:
            return new[entry.hash]
        held = self._ledger.content(entry.hash)
        return held if held is not None else self._cache.get(entry.hash)

    def _landed(self, changes: Sequence[Change], paths: Sequence[bytes]) -> list[bytes]:
        """Remember what *changes* left; return which of *paths* another program changed since."""
        with self._lock:
            for change in changes:
                self._in_flight[change.path] -= 1
                if not self._in_flight[change.path]:
                    del self._in_flight[change.path]
            return self._edited(paths, {change.path: self._capture.wrote(change) for change in changes})

    def _capture_touched(self, paths: Sequence[bytes]) -> None:
        """Record first what another program wrote where this process is about to write (P1)."""
        with self._lock:
            dirty = [path for path in paths if not self._in_flight[path] and not self._capture.untouched(path)]
        if dirty:
            self.capture(dirty, (), None)

    def _edited(self, paths: Sequence[bytes], seen: Mapping[bytes, Stamp | None]) -> list[bytes]:
        """Return which of *paths* another program changed since they were captured or written, where *seen* as seen."""
        current, edited = self._ledger.current, []
        for path in paths:
            found = seen[path] if path in seen else self._capture.seen(path)
            if not self._in_flight[path] and not self._capture.is_as_captured(path, found, known=path in current):
                edited.append(path)
        return edited

    def _record(
        self, finding: Finding, authorship: Authorship | None, current: Mapping[bytes, Entry]
    ) -> tuple[bytes | None, Verdict]:
        self._hold(finding.held)
        if not finding.changes or finding.held:
            return None, OK
        contents = finding.contents
        restored = restored_note(self._root) if authorship is None else None
        if restored is not None:
            stranger.trust(self._ledger)
        verdict = self._judge.verdict(
            current, finding.changes, lambda entry: self._content(entry, contents), finding.unsettled
        )
        made = authorship or restored or Authorship("replicate")
        write_id = secrets.token_bytes(WRITE_ID_SIZE)
        draft = Draft(write_id, self._clock.now_ns(), self.labelled(made), finding.changes, verdict)
        hashes = {change.entry.hash for change in finding.changes if change.entry and change.entry.kind is Kind.FILE}
        new = ((digest, contents[digest]) for digest in sorted(hashes) if digest in contents)
        self._ledger.commit(self._ledger.record(draft, new))
        self._count(draft)
        if restored is not None:
            self._count_restore()
            (self._root / RESTORED).unlink(missing_ok=True)
        return write_id, verdict

    def _note_left_out(self, unstable: Sequence[bytes] = ()) -> None:
        seen = self._capture
        self._left_out.note(
            unreadable=seen.unreadable,
            too_large=seen.too_large,
            skipped=seen.skipped,
            excluded=seen.excluded,
            unstable=unstable,
        )
        self._unprotected.note(seen.unreadable, seen.too_large, seen.is_there)

    def _count(self, draft: Draft) -> None:
        self.verdict, self.changed_ns = draft.verdict, draft.time_ns
        for change in draft.changes:
            self._meter.count("changes_total", op="mode" if change.op is Op.META else change.op.value)

    def _hold(self, why: str) -> None:
        """Say that nothing is captured and why, and that it goes on (P7, P10)."""
        if why:
            self._absence.say(f"nothing is captured: {why}", extra=about("held", error=why))
            if why != self.held:
                self._meter.count("suspicious_changes_total", kind="root_missing")
        else:
            said = about("recovered", what="directory")
            self._absence.over("recovered: the directory is back, captures go on", extra=said)
        self.held = why

    def _count_restore(self) -> None:
        """Count the restore that left its note, unless this process made it itself."""
        if self._restore_counted or not (self._root / RESTORED).exists():
            return
        self._restore_counted = True
        if not self._meter.read().count("restores_total", outcome="restored"):
            self._meter.count("restores_total", outcome="restored")


class _NotPlacedError(Exception):
    """A draft is recorded, and its files could not be put into place, for *reason*."""

    def __init__(self, reason: ConfstreamError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def _same_files(planned: Sequence[Change], again: Sequence[Change]) -> bool:
    def key(change: Change) -> tuple[object, ...]:
        entry = change.entry
        return (change.op, change.path, entry and (entry.kind, entry.mode, entry.uid, entry.gid, entry.hash))

    return list(map(key, planned)) == list(map(key, again))
