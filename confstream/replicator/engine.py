"""Protect a directory that other programs write: watch, wait until a file is finished, record, publish.

Wake-ups come from the watcher, the truth from comparing stamps. Nothing about
a file stops the rest (P6), and the end says whether everything is on the
replica (P7).
"""

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from confstream.clock import Clock, SystemClock
from confstream.errors import ConfstreamError, UnavailableError
from confstream.events import about, in_stream
from confstream.journal.journal import Journal
from confstream.journal.vitals import Vitals
from confstream.meter import Meter
from confstream.replicator.beginning import first_differing
from confstream.replicator.child import Child
from confstream.replicator.coverage import Coverage
from confstream.replicator.options import ReplicateOptions, ReplicateReport
from confstream.replicator.recording import Recording
from confstream.replicator.signs import Signs
from confstream.scan import RootGoneError, Selection, identity
from confstream.settle import Mark, Settler
from confstream.stamp import Stamp
from confstream.tracking import TrackOptions
from confstream.validate import Validators
from confstream.watch import Events, Watcher, open_watcher

logger = logging.getLogger("confstream.replicate")

_AGAIN_SECONDS = 1.0
"""How soon a first capture that the journal's disk did not take is tried again."""

_LOST_SECONDS = 1.0
"""How often to look whether a directory that went away is back."""


class Replicator:
    """Replicates one directory until it is told to stop. ``signal`` may be called from a signal handler.

    *on_ready* is called once the directory is watched, what was there is
    recorded, and the command, if any, runs; *on_end* when the end begins.
    """

    def __init__(
        self,
        tree: str | Path,
        replica: str,
        options: ReplicateOptions,
        *,
        selection: Selection | None = None,
        storage_options: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
        validators: Validators | None = None,
        meter: Meter | None = None,
        name: str = "",
        on_ready: Callable[[], None] = lambda: None,
        on_end: Callable[[], None] = lambda: None,
        tracked: TrackOptions | None = None,
    ) -> None:
        """Prepare to protect *tree*; *name* is what its stream is called in logs, else the directory's own name.

        *tracked*, a profile by name or to be recognised, says what *selection* and *validators* say otherwise.
        """
        self._root = Path(tree).absolute()
        self._replica = replica
        self._options = options
        self._storage_options = storage_options
        self._clock = clock or SystemClock()
        self._coverage = Coverage(self._root, options.state_dir, tracked, selection, validators)
        self._changes = self._ready = False
        self.meter = meter or Meter()
        self.signs = Signs(name or self._root.name, self._clock)
        self._on_ready = on_ready
        self._on_end = on_end
        self._stop = threading.Event()
        self._signal = 0
        self._journal: Journal | None = None
        self._watcher: Watcher | None = None
        self._child = Child(options.command)
        self._deadline: float | None = None
        self._seen: dict[bytes, Stamp | None] = {}
        self._scan_at = 0.0
        self._recording = Recording(self._clock)
        self._rooted = True
        self._watched: tuple[int, int] | None = None

    def signal(self, number: int) -> None:
        """Begin to end: pass the signal to the child if there is one, else flush and return from ``run``.

        The second call gives up the flush: ``run`` returns at once, with an
        error if anything is not on the replica.
        """
        if not self._child.signal(number):
            self._stop.set()
            if self._signal:
                self._deadline = 0.0
                if self._journal is not None:
                    self._journal.give_up()
        self._signal = self._signal or number
        self._wake()

    @property
    def name(self) -> str:
        """Return what the stream is called."""
        return self.signs.name

    def vitals(self) -> Vitals:
        """Return all that health and metrics need of it at this moment; from any thread."""
        return self.signs.vitals(self._journal, self._watcher)

    def run(self) -> ReplicateReport:
        """Replicate until ``signal``, the child's end, or the end of ``once``.

        Raise ``FencedError`` when another writer took over,
        ``UnavailableError`` when the end came before everything was on the
        replica, ``UsageError`` if there is no such directory.
        """
        self.signs.begin()
        try:
            with in_stream(self.name):
                return self._run()
        except BaseException as error:
            self.signs.end(str(error) if isinstance(error, ConfstreamError) else type(error).__name__)
            raise
        finally:
            self.signs.end("stopped")

    def _run(self) -> ReplicateReport:
        try:
            while True:
                self._coverage.decide()
                self.signs.test(self._coverage.validators)
                self._changes = False
                if (report := self._protect()) is not None:
                    return report
        finally:
            self._child.end(signal.SIGTERM, self._options.shutdown_seconds)

    def _protect(self) -> ReplicateReport | None:
        """Replicate until the end; None if something else is to be tracked from now on."""
        options = self._options
        journal = Journal.open(
            self._root,
            self._replica,
            storage_options=self._storage_options,
            selection=self._coverage.selection,
            state_dir=options.state_dir,
            author=options.author,
            guards=options.guards,
            settings=options.uplink,
            takeover=options.takeover,
            unsafe_single_writer=options.unsafe_single_writer,
            timeout_seconds=options.timeout_seconds,
            clock=self._clock,
            capture=False,
            publish=False,
            validators=self._coverage.validators,
            meter=self.meter,
        )
        self._journal = journal
        try:
            self._coverage.remember()
            self._watcher = self._watch()
            journal.on_failure(self._wake)
            settler = Settler(
                close_events=self._watcher.close_events,
                close_seconds=options.close_seconds,
                seconds=options.settle_seconds,
                max_seconds=max(options.settle_seconds_max, options.settle_seconds),
            )
            self._start(journal, settler)
            self._child.start(self._wake)
            if not self._ready:
                self._ready = True
                self._on_ready()
            self._replicate(journal, settler)
            if self._changes:
                return None
            self._on_end()
            return self._end(journal, settler)
        finally:
            watcher, self._watcher = self._watcher, None
            if watcher is not None:
                watcher.close()
            journal.abort()

    def _wake(self) -> None:
        # The watcher may be another one by now than when this was given to somebody, or be closed already.
        watcher = self._watcher
        if watcher is not None:
            with contextlib.suppress(ValueError):
                watcher.wake()

    def _watch(self) -> Watcher:
        options, root, selection = self._options, identity(self._root), self._coverage.selection
        watcher = open_watcher(
            self._root, selection, self._clock, polling=options.polling, interval_seconds=options.poll_seconds
        )
        self._watched = root
        return watcher

    def _start(self, journal: Journal, settler: Settler) -> None:
        """Capture what is there, then publish: how a tree stands to the log is only known of a whole one."""
        while True:
            differing, young = first_differing(journal, self._options.settle_seconds, self._clock, self._stop)
            now = self._clock.elapsed_seconds()
            # A writer that gets no turn leaves files that look old.
            self._hear(journal, settler)
            young |= {path for path in differing if settler.is_open(path)}
            fresh = not journal.status().files
            first = differing if fresh else {path: differing[path] for path in differing.keys() - young}
            try:
                if first:
                    journal.capture(first, unsettled=sorted(young & first.keys()))
                break
            except UnavailableError as error:
                self._recording.failed(error)
                self.signs.note(journal, self._watcher, self._recording.trouble)
                if self._options.once or self._clock.wait(self._stop, _AGAIN_SECONDS):
                    raise
        self._recording.works()
        for path in differing.keys() - first.keys():
            settler.note(path, Mark.SEEN, now)
        # What happened in the meantime was told before anybody listened.
        self._scan_at = now
        self.signs.note(journal, self._watcher, self._recording.trouble)
        self.signs.scanned()
        journal.publish()
        how = "inotify" if self._watcher is not None and self._watcher.close_events else "polling"
        files = journal.status().files
        said = about("watching", root=str(self._root), how=how, files=files)
        logger.info("watching %s (%s), %d files", self._root, how, files, extra=said)

    def _replicate(self, journal: Journal, settler: Settler) -> None:
        while not self._stop.is_set():
            if (failure := journal.failure) is not None:
                raise failure
            if self._child.code is not None:
                return
            if self._coverage.is_outdated:
                self._changes = True
                return
            if self._options.once and not len(settler):
                return
            self._turn(journal, settler)

    def _turn(self, journal: Journal, settler: Settler, timeout_seconds: float | None = None) -> Events:
        """Wait for the next thing to do, and do it."""
        events, now = self._hear(journal, settler, self._until(settler, timeout_seconds))
        if events.overflow or events.rescan or not self._rooted or now >= self._scan_at:
            self._scan(journal, settler, now)
        self._settle(journal, settler, now)
        self.signs.note(journal, self._watcher, self._recording.trouble)
        return events

    def _hear(self, journal: Journal, settler: Settler, timeout_seconds: float = 0.0) -> tuple[Events, float]:
        """Let the settler know what happened until now, waited for at most so long; return that, and when now is."""
        assert self._watcher is not None  # noqa: S101 - there is one while it runs
        events = self._watcher.wait(timeout_seconds)
        now = self._clock.elapsed_seconds()
        if settler.close_events is not self._watcher.close_events:
            settler.close_events = self._watcher.close_events
            settler.lose_closes()
        if events.overflow:
            logger.warning("events were lost, the whole directory is compared", extra=about("events_lost"))
            settler.lose_closes()
        events = self._of_interest(events, journal, settler)
        settler.note_all(events.changed, events.moved, now)
        if events.root_lost:
            self._rooted = False
        return events, now

    def _of_interest(self, events: Events, journal: Journal, settler: Settler) -> Events:
        """Return *events* without those of databases: a busy one never rests, and nobody waits for it."""
        busy = {path for path in events.changed if journal.leaves_out(path)}
        if not busy:
            return events
        for path in busy:
            settler.forget(path)
        changed = {path: mark for path, mark in events.changed.items() if path not in busy}
        moved = tuple(pair for pair in events.moved if pair[1] not in busy)
        return replace(events, changed=changed, moved=moved)

    def _until(self, settler: Settler, timeout_seconds: float | None) -> float:
        """Return for how long nothing has to be done unless something happens."""
        now = self._clock.elapsed_seconds()
        look = settler.next_look()
        until = [self._scan_at] if self._rooted else [now + _LOST_SECONDS]
        if look is not None:
            until.append(look)
        if timeout_seconds is not None:
            until.append(now + timeout_seconds)
        return self.signs.turn(max(0.0, min(until) - now), self._journal)

    def _scan(self, journal: Journal, settler: Settler, now: float) -> None:
        """Compare the whole directory: what events did not tell, if anything."""
        if not self._rooted or identity(self._root) not in {None, self._watched}:
            # What is mounted over the directory, or unmounted from it, no event tells.
            self._return_to_root()
        try:
            differing = journal.differing()
        except RootGoneError:
            differing = {}
        for path in differing:
            if path not in settler:
                settler.note(path, Mark.SEEN, now)
        self.signs.scanned()
        seconds = self._options.scan_seconds if settler.close_events else self._options.poll_seconds
        self._scan_at = now + (min(seconds, _LOST_SECONDS) if journal.held else seconds)

    def _return_to_root(self) -> None:
        try:
            watcher = self._watch()
        except ConfstreamError:
            return
        before, self._watcher, self._rooted = self._watcher, watcher, True
        if before is not None:
            before.close()
        if self._stop.is_set():
            watcher.wake()

    def _settle(self, journal: Journal, settler: Settler, now: float) -> None:
        for path in settler.due(now):
            try:
                self._seen[path] = journal.stamp(path)
            except (OSError, RootGoneError):
                # Nothing can be said of it: the next scan will.
                settler.forget(path)
                self._seen.pop(path, None)
                continue
            settler.observe(path, self._seen[path], now)
        ready = settler.take(now)
        if not ready:
            return
        stamps = {one.path: self._seen.pop(one.path, None) for one in ready}
        try:
            captured = journal.capture(stamps, unsettled=[one.path for one in ready if not one.settled])
        except UnavailableError as error:
            # A full disk, most likely: what is on it is tried again until it can be recorded.
            self._recording.failed(error)
            again: Iterable[bytes] = stamps
        else:
            # Somebody wrote between the last look and the capture.
            again = captured.unstable
            # That nothing had to be recorded proves nothing while something else waits for it.
            if captured.write_id is not None or not (len(settler) or again):
                self._recording.works()
        for path in again:
            settler.note(path, Mark.SEEN, now)

    def _end(self, journal: Journal, settler: Settler) -> ReplicateReport:
        """Take a last look once the tree is quiet, publish, and close; everything within the time for it."""
        options = self._options
        if self._deadline is None:
            self._deadline = self._clock.elapsed_seconds() + options.shutdown_seconds
        if self._signal or self._child.started:
            self._quieten(journal, settler)
        self.signs.turn(options.timeout_seconds + options.shutdown_seconds, None)
        self._last_look(journal, settler)
        left = max(0.0, self._deadline - self._clock.elapsed_seconds()) if not options.once else options.timeout_seconds
        status = journal.close(left)
        number = status.position.number
        said = about("stopped", position=number, pending=status.pending, error=status.detail or None)
        if status.pending or status.detail:
            logger.warning("done, the replica is at revision %d: %s", number, status.detail, extra=said)
        else:
            logger.info("done: revision %d is on the replica, nothing is left", number, extra=said)
        return ReplicateReport(status, self._child.code, self._signal, status.unreadable)

    def _quieten(self, journal: Journal, settler: Settler) -> None:
        """Go on until nothing happens any more: applications write their state while they shut down."""
        quiet_since = self._clock.elapsed_seconds()
        # A third of the time is kept for publishing.
        until = quiet_since + self._options.shutdown_seconds * 2 / 3
        while True:
            now = self._clock.elapsed_seconds()
            deadline = min(until, self._deadline if self._deadline is not None else until)
            if now >= deadline or (now - quiet_since >= self._options.quiet_seconds and not len(settler)):
                return
            if self._turn(journal, settler, self._options.quiet_seconds / 5).changed:
                quiet_since = self._clock.elapsed_seconds()

    def _last_look(self, journal: Journal, settler: Settler) -> None:
        differing = journal.differing()
        unsettled = {path for path in differing if path in settler}
        # What began since the last turn was just found, and nobody has heard of it yet.
        self._hear(journal, settler)
        unsettled |= {path for path in differing if settler.is_open(path)}
        if differing and (torn := journal.capture(differing, unsettled=sorted(unsettled)).unstable):
            # There is no later: as they are is better than not at all.
            journal.capture(torn, unsettled=torn)
