"""One generation of a journal's log: the file, and the index of what is in it.

A checkpoint writes the next generation with what is needed still, makes it
durable, and only then lets the state file name it.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from confstream import durable
from confstream.checkout.state import STAGING
from confstream.errors import IntegrityError
from confstream.journal.book import Book, Record
from confstream.journal.directory import StateDirectory
from confstream.journal.draft import Draft, State, encode_draft
from confstream.journal.frames import HEADER_SIZE, Frame, remedy
from confstream.journal.spool import Spool, content_of, content_payload
from confstream.journal.wal import Wal, cannot_write
from confstream.tree import HASH_SIZE, content_hash

STATE_NAME = "state"
"""The name of the file that says which generation counts."""

_PREFIX = "wal-"
_Sync = Callable[[int], None]


def log_path(directory: Path, number: int) -> Path:
    """Return the path of the log of generation *number*."""
    return directory / f"{_PREFIX}{number}"


def newest_number(directory: StateDirectory) -> int:
    """Return the highest generation of which there is a log, whole or not, or 0."""
    return max((int(name.removeprefix(_PREFIX)) for name in directory.names() if _is_log(name)), default=0)


def check_empty(directory: StateDirectory) -> None:
    """Raise ``IntegrityError`` if a log holds anything: without a state file, nothing says how to read it."""
    for name in directory.names():
        path = directory.path / name
        if _is_log(name) and path.stat().st_size > HEADER_SIZE:
            raise IntegrityError(f"{path}: there is no file {STATE_NAME!r} that says how to read it. {remedy(path)}")


def remove_strays(directory: StateDirectory, kept: Path, *, at_start: bool = False) -> None:
    """Remove the logs that checkpoints replaced, and *at_start* what a crash left half-written."""
    names = directory.names()
    # A restore may be at work here, and its marker bears such a name until it is renamed.
    leftovers = at_start and os.fsdecode(STAGING) not in names
    for name in names:
        if (_is_log(name) and name != kept.name) or (leftovers and durable.is_temporary(os.fsencode(name))):
            directory.remove(name)


@dataclass(slots=True, eq=False)
class Generation:
    """A log that is open, its index, and the size that it had when it was written."""

    wal: Wal
    spool: Spool
    checkpoint_size: int

    @classmethod
    def write(cls, directory: StateDirectory, number: int, book: Book, old: "Generation | None", sync: _Sync) -> Self:
        """Write the log of generation *number* with the drafts of *book* and their contents, durably.

        Raise ``UnavailableError`` if the disk does not take it, ``IntegrityError``
        if a content in *old* is damaged; leave nothing behind then.
        """
        path, spool = log_path(directory.path, number), Spool()
        wal = Wal.create(path, number, owner=directory.owner, sync=sync)
        try:
            if old is not None:
                _copy_contents(old, book, wal, spool)
            _write_drafts(book, wal, spool)
            if wal.size > wal.durable:
                wal.sync(wal.size - 1)
            directory.sync()
        except BaseException as error:
            wal.close()
            path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise cannot_write(path, error, "the log was not written anew") from error
            raise
        return cls(wal, spool, wal.size)

    @classmethod
    def resume(cls, directory: StateDirectory, state: State, sync: _Sync) -> tuple[Self, Book]:
        """Open the log that *state* names; return it and the book after its records."""
        path, book, spool = log_path(directory.path, state.generation), Book(state), Spool()
        sizes: dict[bytes, int] = {}

        def visit(frame: Frame) -> None:
            if frame.kind == Record.CONTENT:
                spool.add(content_of(frame.payload)[0], frame.offset, len(frame.payload))
                return
            book.replay(frame.kind, frame.payload, f"{path} at byte {frame.offset}")
            if frame.kind == Record.DRAFT:
                sizes[book.pending[-1].write_id] = len(frame.payload)

        try:
            wal = Wal.open(path, visit, sync=sync)
        except FileNotFoundError as error:
            raise IntegrityError(f"{path}: {STATE_NAME!r} names it, but it is absent. {remedy(path)}") from error
        if wal.generation != state.generation or wal.size < state.log_size:
            wal.close()
            found = f"generation {wal.generation} with {wal.size} bytes"
            expected = f"generation {state.generation} with at least {state.log_size}"
            raise IntegrityError(f"{path}: {found}, expected {expected}. {remedy(path)}")
        for draft in book.pending:
            spool.pend(draft, sizes[draft.write_id])
        for draft in book.intents.values():
            spool.retain(draft)
        return cls(wal, spool, state.log_size), book

    @property
    def grown(self) -> bool:
        """Whether anything was appended since it was written."""
        return self.wal.size > self.checkpoint_size

    def append_draft(
        self, draft: Draft, encoded: bytes, contents: Iterable[tuple[bytes, bytes]], *, hashed: bool
    ) -> int:
        """Append *draft* behind those of *contents* that are not held yet, all or nothing; return where it begins.

        *encoded* is its record. Raise ``ValueError`` if its write id is pending
        already, or a content does not have its hash, which is looked at unless it was *hashed* for this.
        """
        if self.spool.pends(draft.write_id):
            raise ValueError(f"a draft with the write id {draft.write_id.hex()} is pending already")
        sizes: dict[bytes, int] = {}

        def frames() -> Iterator[tuple[int, bytes]]:
            for digest, content in contents:
                if not hashed and content_hash(content) != digest:
                    raise ValueError(f"a content of {len(content)} bytes does not have the hash {digest.hex()}")
                if digest not in sizes and self.spool.find(digest) is None:
                    sizes[digest] = HASH_SIZE + len(content)
                    yield Record.CONTENT, content_payload(digest, content)
            yield Record.DRAFT, encoded

        *starts, offset = self.wal.append_all(frames())
        for (digest, size), start in zip(sizes.items(), starts, strict=True):
            self.spool.add(digest, start, size)
        self.spool.pend(draft, len(encoded))
        if draft.intent:
            self.spool.retain(draft)
        return offset


def _copy_contents(old: Generation, book: Book, wal: Wal, spool: Spool) -> None:
    needed = {digest for draft in (*book.pending, *book.intents.values()) for digest in draft.hashes}
    held = ((offset, digest) for digest in needed if (offset := old.spool.find(digest)) is not None)
    for offset, digest in sorted(held):
        payload = old.wal.read(offset)
        spool.add(digest, wal.append(Record.CONTENT, payload), len(payload))


def _write_drafts(book: Book, wal: Wal, spool: Spool) -> None:
    # All intents, and in front, so that they come back in their order whatever became of their drafts.
    for draft in book.intents.values():
        wal.append(Record.INTENT, encode_draft(draft))
        spool.retain(draft)
    for draft in book.pending:
        encoded = encode_draft(draft)
        wal.append(Record.DRAFT, encoded)
        spool.pend(draft, len(encoded))
        if draft.intent and draft.write_id not in book.intents:
            wal.append(Record.APPLIED, draft.write_id)


def _is_log(name: str) -> bool:
    return name.startswith(_PREFIX) and name.removeprefix(_PREFIX).isdecimal()
