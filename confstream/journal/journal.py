"""The public journal: every write durable here at once, and on the replica soon after.

One process per journal; its threads may share it. What other programs write
into the tree is captured too, when the journal is opened and on ``capture``.
"""

import contextlib
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from confstream import checkout
from confstream.clock import Clock, SystemClock
from confstream.errors import ConfstreamError, RefusedError
from confstream.history import At, LogEntry
from confstream.journal.account import loop_of, status_of
from confstream.journal.bound import Bound
from confstream.journal.contents import ContentCache
from confstream.journal.ledger import Ledger
from confstream.journal.past import Past
from confstream.journal.phase import HEARTBEAT_SECONDS, Phase, UplinkSettings
from confstream.journal.recorder import Recorder
from confstream.journal.rewind import counted_restore, rewind
from confstream.journal.surroundings import check_places, user, version
from confstream.journal.uplink import Uplink
from confstream.journal.views import Captured, JournalStatus
from confstream.journal.vitals import Vitals
from confstream.journal.writes import Transaction, check_authorship, tree_path
from confstream.meter import Meter
from confstream.revision import Authorship, Status
from confstream.scan import Selection
from confstream.stamp import Stamp
from confstream.store import Store
from confstream.store.contact import Answers, Contact
from confstream.store.metered import MeteredStore
from confstream.store.open import open_store
from confstream.validate import Validators

CLOSE_SECONDS = 30.0


class Journal:
    """A protected directory: writes to it, its history, and the way back. Made by ``Journal.open``."""

    def __init__(
        self,
        root: Path,
        replica: str,
        ledger: Ledger,
        state_dir: Path,
        *,
        clock: Clock,
        settings: UplinkSettings,
        open_store: Callable[[], Store],
        author: str,
        validators: Validators,
        meter: Meter,
    ) -> None:
        """Take over an opened *ledger*. Use ``Journal.open``."""
        self.root = root
        self.replica = replica
        self.selection = settings.selection
        self.clock = clock
        self.meter = meter
        self._author = author
        self._ledger = ledger
        self._settings = settings
        self._validators = validators
        self._started_ns, self._contact = clock.now_ns(), Contact(clock)
        self._cache = ContentCache(state_dir / "content")
        self._recorder = Recorder(
            root, ledger, self._cache, clock, settings.selection, guards=settings.guards, validators=validators,
            meter=meter, labels=settings.labels,
        )  # fmt: skip
        self._past = Past(root, ledger, self._cache, open_store, clock)
        self._closed = False
        self._last_status: JournalStatus | None = None
        self._uplink = Uplink(
            ledger, self._past.sources, lambda: MeteredStore(open_store(), meter, self._contact, clock=clock),
            clock=clock, settings=settings, new_id=secrets.token_bytes, meter=meter,
            unreadable=lambda: self._recorder.unreadable,
        )  # fmt: skip
        self._bound = Bound(ledger, self._uplink.coalesce, meter, clock=clock, size_bytes_max=settings.spool_bytes_max)

    @classmethod
    def open(
        cls,
        tree: str | Path,
        replica: str,
        *,
        storage_options: Mapping[str, Any] | None = None,
        selection: Selection | None = None,
        state_dir: str | Path | None = None,
        author: str | None = None,
        guards: bool = True,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        takeover: bool = False,
        unsafe_single_writer: bool = False,
        timeout_seconds: float = 30.0,
        clock: Clock | None = None,
        settings: UplinkSettings | None = None,
        capture: bool = True,
        publish: bool = True,
        validators: Validators | None = None,
        finish_restore: bool = True,
        meter: Meter | None = None,
    ) -> Self:
        """Protect the directory *tree* with the replica at the URL or path *replica*.

        Finishes what a crash interrupted, captures what changed meanwhile, and
        publishes in the background; the replica need not be reachable.
        *selection* says what belongs to the tree (default: everything); what was captured and does
        not any more leaves it in a revision that says so. *guards* off also believes an empty directory (P10).
        *validators* (default: syntax by suffix) give verdicts, which never block (P6). *meter* counts. Raise
        ``UsageError`` if *tree* is no directory, ``ConfstreamError`` if another process has the journal open.
        """
        clock, root = clock or SystemClock(), Path(tree).absolute()
        check_places(root, replica)
        given = settings or UplinkSettings(heartbeat_seconds=heartbeat_seconds)
        given = given.overruled(takeover=takeover, unsafe_single_writer=unsafe_single_writer, guards=guards)
        given = replace(given, version=version(), host=socket.gethostname(), selection=selection)
        options, author = dict(storage_options or {}), user() if author is None else author
        connect = partial(open_store, replica, storage_options=options, timeout_seconds=timeout_seconds, clock=clock)
        state = checkout.prepare_state_dir(root, Path(state_dir).absolute() if state_dir is not None else None)
        ledger = Ledger.open(state, clock=clock, new_id=secrets.token_bytes, owner=checkout.state_owner(root))
        try:
            journal = cls(
                root, replica, ledger, state, clock=clock, settings=given, open_store=connect, author=author,
                validators=validators or Validators.default(), meter=meter or Meter(),
            )  # fmt: skip
            journal._begin(capture=capture, publish=publish, finish_restore=finish_restore)
        except BaseException:
            ledger.close()
            raise
        return journal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is None:
            self.close()
            return
        # The block's own error is the one to tell.
        with contextlib.suppress(ConfstreamError):
            self.close()

    def write(
        self,
        path: str | bytes,
        content: str | bytes,
        *,
        mode: int | None = None,
        message: str = "",
        author: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Set the file *path* to *content*, text as UTF-8; it survives power loss when this returns (P4).

        *path* is relative to the tree; directories on the way are made. *mode*
        defaults to the file's, 0644 for a new one. The replica has it after
        ``sync``. Raise ``UsageError`` for a path that cannot be meant, and the
        disk's error as a ``ConfstreamError``; nothing has happened then.
        """
        with self.transaction(message=message, author=author, labels=labels) as transaction:
            transaction.write(path, content, mode=mode)

    def delete(
        self,
        path: str | bytes,
        *,
        message: str = "",
        author: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Delete the file *path*; its history stays."""
        with self.transaction(message=message, author=author, labels=labels) as transaction:
            transaction.delete(path)

    @contextlib.contextmanager
    def transaction(
        self,
        *,
        message: str = "",
        author: str | None = None,
        labels: Mapping[str, str] | None = None,
        source: str = "api",
    ) -> Iterator[Transaction]:
        """Collect writes and deletes, and make them one revision when the block ends without an error."""
        self._check_open()
        transaction = Transaction()
        yield transaction
        made = Authorship(source, self._author if author is None else author, message, dict(labels or {}))
        authorship = check_authorship(made)
        transaction.write_id = self._recorder.commit(transaction.batch, authorship)
        if transaction.write_id is not None:
            self._recorded()

    def capture(
        self,
        paths: Sequence[bytes] | Mapping[bytes, Stamp | None] | None = None,
        *,
        unsettled: Sequence[bytes] = (),
        authorship: Authorship | None = None,
    ) -> Captured:
        """Record what other programs changed in the tree, or only at *paths*; durable when this returns.

        Files being written at this moment, or whose stamp is not the one that
        *paths* gives, are left for the next time, and named in the answer.
        """
        self._check_open()
        captured = self._recorder.capture(paths, unsettled, authorship)
        if captured.write_id is not None:
            self._recorded()
        return captured

    def differing(self) -> dict[bytes, Stamp | None]:
        """Return which paths are other than captured, with their stamps (None: gone); reads no file.

        Empty while the directory is not there or another volume is in its
        place, which ``status().held`` then says (P10).
        """
        return self._recorder.differing()

    def stamp(self, path: bytes) -> Stamp | None:
        """Return what the disk says about *path* now; None if nothing is there that a tree can hold."""
        return self._recorder.stamp(path)

    def leaves_out(self, path: bytes) -> bool:
        """Return whether *path* is, by what it holds, nothing to be recorded: a SQLite database, or part of one."""
        return self._recorder.leaves_out(path)

    def sync(self, timeout_seconds: float | None = None) -> None:
        """Return once the replica holds every change made before this call (P4).

        Raise ``UnavailableError`` when *timeout_seconds* are over, and at once
        what waiting cannot mend: ``FencedError``, ``AccessDeniedError``,
        ``NoExclusiveCreateError``, ``IntegrityError``.
        """
        self._check_open()
        self._uplink.wait(timeout_seconds)

    def history(self, *, path: str | bytes | None = None, newest_first: bool = True) -> Iterator[LogEntry]:
        """Yield the revisions, those that only the journal holds included (``published`` tells)."""
        return self._past.entries(path=path, newest_first=newest_first)

    def read(self, path: str | bytes, at: At = None) -> bytes:
        """Return the content of *path* at *at*; without *at* as it was captured or written last."""
        return self._past.read(path, at)

    def diff(self, old: At, new: At = None, path: str | bytes | None = None, *, mask: bool = True) -> Iterator[str]:
        """Yield one unified diff for each file that differs between *old* and *new*, default the present state."""
        return self._past.diff(old, new, path, mask=mask)

    def restore(self, at: At, *, path: str | bytes | None = None, delete: bool = False, message: str = "") -> Captured:
        """Bring the tree, or only *path*, back to *at*, all or nothing (P3); return the revision that records it.

        What is replaced is captured first, so a restore can be undone (P1).
        Files that *at* lacks stay unless *delete*.
        """
        with counted_restore(self.meter, self.clock):
            return self._restore(at, None if path is None else tree_path(path), delete=delete, message=message)

    def _restore(self, at: At, wanted: bytes | None, *, delete: bool, message: str) -> Captured:
        before = self.capture()
        found = self._past.state(at)
        try:
            with self._recorder.quiet():
                rewind(
                    self.root, self._ledger, found, before, wanted=wanted, delete=delete,
                    selection=self.selection, clock=self.clock, expected=self._recorder.stamps,
                )  # fmt: skip
        finally:
            found.close()
        note = message or f"restored {'the tree' if wanted is None else os.fsdecode(wanted)} to {found.label}"
        return self.capture(authorship=Authorship("restore", self._author, note))

    def status(self) -> JournalStatus:
        """Return how the journal is; once it is closed, how it ended."""
        if self._last_status is not None:
            return self._last_status
        return status_of(self.root, self.replica, self._ledger, self._recorder, self._uplink, merged=self._bound.merged)

    def vitals(self, name: str = "") -> Vitals:
        """Return all that health and metrics need of this journal at this moment."""
        return Vitals(
            name or self.root.name,
            now_ns=self.clock.now_ns(),
            started_ns=self._started_ns,
            version=self._settings.version,
            status=self.status(),
            replica=self._contact.read(),
            loops=(loop_of(self._uplink, self._contact.read()),),
            heartbeat_seconds=self._settings.heartbeat_seconds,
            validators={name: test.why for name, test in self._validators.tested.items()},
        )

    @property
    def is_settled(self) -> bool:
        """Return whether the replica answered, and nothing is on its way to it."""
        return self._uplink.state.connected and not self._ledger.pending

    @property
    def is_failing(self) -> bool:
        """Return whether publishing failed, which the log then says."""
        return self._uplink.state.error is not None

    @property
    def answers(self) -> Answers:
        """Return how the replica answers."""
        return self._contact.read()

    @property
    def held(self) -> str:
        """Return why nothing is captured; empty if that is not so."""
        return self._recorder.held

    @property
    def unreadable(self) -> Mapping[bytes, str]:
        """Return the files that cannot be read, and are not protected, with the reasons."""
        return self._recorder.unreadable

    @property
    def is_doubtful(self) -> bool:
        """Return whether a file is blank or invalid now, or the last change is not to be trusted."""
        return bool(self._recorder.doubts) or self._recorder.verdict.status is not Status.OK

    @property
    def failure(self) -> ConfstreamError | None:
        """Return what ended publishing for good: another writer, a backend that is not fit. None while it goes on."""
        state = self._uplink.state
        return state.error if state.phase in {Phase.FENCED, Phase.STOPPED} else None

    def publish(self) -> None:
        """Begin to publish in the background, where ``open`` was told not to."""
        self._uplink.start()

    def on_failure(self, call: Callable[[], None]) -> None:
        """Have *call* called, from another thread, when publishing ends for good; ``failure`` then says why."""
        self._uplink.on_end = call

    def close(self, timeout_seconds: float = CLOSE_SECONDS) -> JournalStatus:
        """Publish what is left, at most *timeout_seconds*, release everything, and return how it ended.

        Raise what ``sync`` raises if something could not be published; it is
        safe in the journal, which is closed in any case.
        """
        if self._closed:
            return self.status()
        self._closed = True
        try:
            self._uplink.stop(timeout_seconds)
        finally:
            self._last_status = self.status()
            try:
                self._cache.retain({entry.hash for entry in self._ledger.current.values()})
            finally:
                self._release()
        return self._last_status

    def give_up(self) -> None:
        """Have a ``sync`` or ``close`` that waits end now; may be called from a signal handler."""
        self._uplink.give_up()

    def abort(self) -> None:
        """Release everything at once, without publishing; nothing is lost, the next start goes on."""
        if self._closed:
            return
        self._closed = True
        self._uplink.abort()
        self._last_status = self.status()
        self._release()

    def _begin(self, *, capture: bool, publish: bool, finish_restore: bool) -> None:
        """Finish what a crash interrupted, see what changed, and start to publish."""
        self._recorder.recover(restore=finish_restore)
        if finish_restore:
            self._recorder.untrack()
        if capture:
            self.capture()
        if publish:
            self.publish()

    def _release(self) -> None:
        self._ledger.close()
        self._past.close()

    def _recorded(self) -> None:
        """Have a new draft published, and keep the spool within its bound, loudly (P14)."""
        self._uplink.wake()
        self._bound.keep()

    def _check_open(self) -> None:
        if self._closed:
            raise RefusedError("the journal is closed")
