"""What the journal knows, durable: the drafts that the replica does not hold, and where the log was last seen.

A checkpoint (``state``) and a log on top of it (``wal-<generation>``). What
was committed comes back after any crash, exactly (P4); checkpoints, automatic
and at closing, drop what nobody needs any more (P14).
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Self

from confstream.clock import Clock
from confstream.codec.fields import pack
from confstream.errors import ConfstreamError, UnavailableError
from confstream.events import about
from confstream.journal.book import Book, Record, confirmed_payload
from confstream.journal.coalesce import coalesced
from confstream.journal.directory import StateDirectory
from confstream.journal.draft import Draft, FencedBy, State, decode_state, encode_draft, encode_state
from confstream.journal.generation import STATE_NAME, Generation, check_empty, newest_number, remove_strays
from confstream.journal.spool import content_of
from confstream.journal.tokens import Token, Tokens
from confstream.journal.wal import cannot_write, sync_content
from confstream.revision import Position
from confstream.tree import Entry, Tree

LOG_SIZE_MAX = 8 << 20
"""The size in bytes from which a log that is mostly dead is written anew."""

_WRITER_SIZE = 8
_log = logging.getLogger("confstream.journal")


class Ledger:
    """The durable state of one journal, held by one process; every method may be called from any thread.

    After an ``UnavailableError`` (a full disk) it goes on as soon as the disk
    does. Close it: that releases the lock and makes the next start cheap.
    *new_id* returns as many random bytes as it is asked for.
    """

    def __init__(
        self,
        directory: StateDirectory,
        *,
        clock: Clock,
        new_id: Callable[[int], bytes],
        log_size_max: int = LOG_SIZE_MAX,
        sync: Callable[[int], None] = sync_content,
    ) -> None:
        """Read what *directory* holds, or begin there. *sync* makes the bytes of a descriptor durable."""
        self._new_id = new_id
        self._directory = directory
        self._clock = clock
        self._log_size_max = self._shrink_from = log_size_max
        self._sync = sync
        self._lock = threading.RLock()
        self._closed = False
        # The log lacks something that is true, or another log may count: only a checkpoint can go on.
        self._stale = False
        self._uncommitted = Tokens()
        self._number = newest_number(directory)
        encoded = directory.read(STATE_NAME)
        if encoded is None:
            check_empty(directory)
            self._book = Book(State(new_id(_WRITER_SIZE).hex(), 0, 0, 0))
            self._log = self._write_checkpoint(None)
        else:
            state = decode_state(encoded, str(directory.path / STATE_NAME))
            self._log, self._book = Generation.resume(directory, state, sync)
        remove_strays(directory, self._log.wal.path, at_start=True)
        if self._log.grown:
            # A killed process left this. Once a sync has failed, the next one of the same pages succeeds without
            # writing them, so only what is written anew can be believed.
            self._try_checkpoint("the log of a process that was killed was not written anew")

    @classmethod
    def open(
        cls,
        state_dir: Path,
        *,
        clock: Clock,
        new_id: Callable[[int], bytes],
        owner: tuple[int, int] | None = None,
        log_size_max: int = LOG_SIZE_MAX,
        sync: Callable[[int], None] = sync_content,
    ) -> Self:
        """Lock *state_dir* and return the ledger in it; begin a new one if there is none.

        An absent directory is given to *owner*, or to its parent's owner, when
        run as root. Raise ``ConfstreamError`` if another process holds it,
        ``IntegrityError`` if it is damaged, ``UnavailableError`` if the disk fails.
        """
        directory = StateDirectory(state_dir, owner)
        try:
            return cls(directory, clock=clock, new_id=new_id, log_size_max=log_size_max, sync=sync)
        except OSError as error:
            directory.close()
            found = f"{error.filename or state_dir}: {error.strerror}"
            raise ConfstreamError(f"{found}; uid and gid of this process must be able to use the journal") from error
        except BaseException:
            directory.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def writer(self) -> str:
        """The id of this journal as a writer: 16 hexadecimal digits, made once."""
        return self._book.writer

    @property
    def stream(self) -> str | None:
        """The id of the replica's stream that this journal belongs to, once it is known."""
        return self._book.stream

    @property
    def base(self) -> Position:
        """The last revision of the log that this journal knows."""
        return self._book.base

    @property
    def base_tree(self) -> Tree:
        """The tree at *base*."""
        with self._lock:
            return self._book.base_tree

    @property
    def settled(self) -> Tree:
        """The tree before the oldest pending draft; not *base_tree* where others published or a draft became a fork."""
        with self._lock:
            return self._book.settled_tree

    @property
    def current(self) -> Mapping[bytes, Entry]:
        """The tree as captured last, drafts that are not committed yet included; as it is now, whatever comes."""
        with self._lock:
            return self._book.current_view()

    @property
    def pending(self) -> list[Draft]:
        """The committed drafts that the replica does not hold, oldest first."""
        with self._lock:
            self._uncommitted.forget_durable(self._log.wal.durable)
            return self._book.pending[: len(self._book.pending) - len(self._uncommitted)]

    @property
    def pending_bytes(self) -> int:
        """What the pending drafts and their contents take on the disk."""
        return self._log.spool.live_bytes

    @property
    def intents(self) -> list[Draft]:
        """The drafts whose files may not be written yet, oldest first, whether or not they are pending still."""
        with self._lock:
            return list(self._book.intents.values())

    @property
    def fenced(self) -> FencedBy | None:
        """Who fenced this writer."""
        return self._book.fenced

    @property
    def notes(self) -> Mapping[str, str]:
        """What ``note`` set; a copy."""
        with self._lock:
            return dict(self._book.notes)

    def record(self, draft: Draft, contents: Iterable[tuple[bytes, bytes]] = (), *, hashed: bool = False) -> Token:
        """Add *draft*, and those of *contents* (hash, bytes) that are not held yet; ``commit`` makes it durable.

        *contents* may be lazy: one at a time is in memory. *hashed* says that the hashes were made of these very bytes,
        and need not be made again. Raise ``ValueError`` if the draft does not fit *current*, ``UnavailableError`` if
        the disk does not take it; nothing is recorded then.
        """
        encoded = encode_draft(draft)
        with self._lock:
            self._check_open()
            if self._stale or self._log.wal.broken:
                self.checkpoint()
            undo = self._book.record(draft)
            try:
                offset = self._log.append_draft(draft, encoded, contents, hashed=hashed)
            except BaseException as error:
                self._book.retract(draft, undo)
                if isinstance(error, UnavailableError):
                    self._shrink(0)  # On a full disk, what nobody needs any more makes room for the next attempt.
                raise
            return self._uncommitted.add(Token(draft, self._log.wal, offset, undo))

    def commit(self, token: Token) -> None:
        """Return once what *token* stands for survives ``kill -9`` and power loss (P4).

        Raise ``UnavailableError`` if the disk does not confirm: then that draft,
        and every later one, was not recorded and is gone from *current*. Only
        a crash before the next record may bring it back.
        """
        try:
            token.wal.sync(token.offset)
        except (UnavailableError, ValueError):
            with self._lock:
                if token.wal is self._log.wal:
                    self._retract()
                elif not token.lost:
                    # A checkpoint came first, and holds it.
                    return
            raise

    def applied(self, write_id: bytes) -> None:
        """Note that the files of an intent are written; a crash may forget it."""
        with self._lock:
            self._check_open()
            draft = self._book.applied(write_id)
            if draft is not None:
                self._log.spool.release(draft)
                self._remember(Record.APPLIED, write_id)

    def confirmed(self, write_id: bytes, position: Position) -> None:
        """Take the pending drafts up to *write_id* as published: the log holds the tree after it at *position*.

        A crash may forget it: then the log is found to hold the write id.
        """
        with self._lock:
            self._check_open()
            self._log.spool.unpend(self._book.confirmed(write_id, position))
            self._remember(Record.CONFIRMED, confirmed_payload(write_id, position))

    def forked(self, write_id: bytes) -> None:
        """Take the pending drafts up to *write_id* as published in a fork; *current* keeps their changes."""
        with self._lock:
            self._check_open()
            self._log.spool.unpend(self._book.forked(write_id))
            self._remember(Record.FORKED, write_id)

    def rebase(self, position: Position, tree: Tree, *, captured: bool = False) -> None:
        """Take *tree* at *position* for the head of the log: others published, or this is a fresh start.

        With *captured*, which needs that nothing is pending, *current* becomes
        *tree* as well. It is durable when this returns.
        """
        with self._lock:
            self._check_open()
            self._book.rebase(position, tree, captured=captured)
            self._stale = True
            self.checkpoint()

    def attach(self, stream: str) -> None:
        """Remember durably which stream this journal belongs to."""
        with self._lock:
            self._check_open()
            if self._book.stream != stream:
                self._book.stream = stream
                self._stale = True
                self.checkpoint()

    def fence(self, fenced: FencedBy | None) -> None:
        """Remember durably who fenced this writer, or that it is fenced no more (P5)."""
        with self._lock:
            self._check_open()
            self._book.fenced = fenced
            payload = pack((fenced.writer, fenced.epoch)) if fenced else b""
            self._remember(Record.FENCED if fenced else Record.UNFENCED, payload, durably=True)

    def note(self, name: str, text: str | None) -> None:
        """Remember *text* under *name* durably, or forget it if it is None."""
        with self._lock:
            self._check_open()
            if self._book.notes.get(name) != text:
                self._book.note(name, text)
                self._remember(Record.NOTE, pack((name, text)), durably=True)

    def content(self, digest: bytes) -> bytes | None:
        """Return the content with the hash *digest*, or None if the log does not hold it.

        Whatever a pending draft or an unapplied intent was recorded with is held.
        """
        while True:
            with self._lock:
                self._check_open()
                log = self._log
                offset = log.spool.find(digest)
            if offset is None:
                return None
            try:
                return content_of(log.wal.read(offset))[1]
            except ValueError:
                # Read outside the lock: a checkpoint may have come in between.
                if log is self._log:
                    raise

    def coalesce(self, keep_newest: int, locked: Collection[bytes] = ()) -> int:
        """Merge the pending drafts but the *keep_newest* newest; return how many fewer there are.

        Drafts with a write id in *locked* stay. The newest state is never lost,
        contents in between are. The log is written anew: merge many at a time.
        """
        with self._lock:
            self._check_open()
            self._uncommitted.forget_durable(self._log.wal.durable)
            before = self._book.pending
            count = max(len(before) - max(keep_newest, len(self._uncommitted)), 0)
            merged = coalesced(before[:count], self._book.settled, locked, self._new_id)
            if len(merged) == count:
                return 0
            self._book.pending = merged + before[count:]
            try:
                self.checkpoint()
            except BaseException:
                self._book.pending = before
                raise
            return count - len(merged)

    def checkpoint(self) -> None:
        """Write state and log anew with only what is needed; everything recorded is durable then.

        Raise ``UnavailableError`` if the disk does not take it; what was there counts still.
        """
        with self._lock:
            self._check_open()
            old = self._log
            self._log = self._write_checkpoint(old)
            old.wal.close()
            self._uncommitted.clear()
            self._stale = False
            remove_strays(self._directory, self._log.wal.path)

    def close(self) -> None:
        """Leave everything durable and small, and release the lock."""
        with self._lock:
            if self._closed:
                return
            try:
                wal = self._log.wal
                if self._stale or wal.broken or self._log.grown:
                    self._try_checkpoint("the journal was closed without a checkpoint")
                if wal is self._log.wal and wal.size > wal.durable and not wal.broken:
                    wal.sync(wal.size - 1)
            finally:
                self._closed = True
                self._log.wal.close()
                self._directory.close()

    def _write_checkpoint(self, old: Generation | None) -> Generation:
        self._number += 1
        log = Generation.write(self._directory, self._number, self._book, old, self._sync)
        state = self._book.state(self._number, log.checkpoint_size, self._clock.now_ns())
        try:
            self._directory.replace(STATE_NAME, encode_state(state))
        except OSError as error:
            # Which state a power loss would leave is unknown. Both are whole while both logs stay and neither grows.
            self._stale = True
            log.wal.close()
            raise cannot_write(self._directory.path / STATE_NAME, error, "no checkpoint was made") from error
        return log

    def _try_checkpoint(self, otherwise: str) -> None:
        try:
            self.checkpoint()
        except UnavailableError as error:
            # While the disk is full not at every record, but when the log has grown by as much once more.
            self._shrink_from = self._log.wal.size + self._log_size_max
            _log.warning("%s: %s", otherwise, error, extra=about("journal_behind", error=error))
        else:
            self._shrink_from = self._log_size_max

    def _remember(self, kind: Record, payload: bytes, *, durably: bool = False) -> None:
        """Append a record of what is true already; if that fails, a checkpoint has to say it."""
        wal = self._log.wal
        try:
            if not self._stale:
                wal.append(kind, payload)
                if durably:
                    wal.sync(wal.size - 1)
        except UnavailableError as error:
            self._stale = True
            if wal.broken:
                self._retract()
            _log.warning("the journal is behind for now: %s", error, extra=about("journal_behind", error=error))
        if durably and self._stale:
            self.checkpoint()
        self._shrink(self._shrink_from)

    def _shrink(self, size_max: int) -> None:
        size = self._log.wal.size
        if size > size_max and 2 * self._log.spool.live_bytes < size:
            self._try_checkpoint("the log was not made smaller")

    def _retract(self) -> None:
        self._uncommitted.forget_durable(self._log.wal.durable)
        self._uncommitted.retract(self._book, self._log.spool)

    def _check_open(self) -> None:
        if self._closed:
            raise ConfstreamError(f"{self._directory.path}: the journal is closed")
