"""What it holds: files read whole and at rest, and a directory as a tree."""

import errno
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path

from confstream import durable
from confstream.clock import SystemClock
from confstream.scan.survey import GONE, Selection, Walk, open_root, reason_of, root_stamp, stamp_at
from confstream.selection import database_of, is_sqlite
from confstream.stamp import Stamp, remembered
from confstream.tree import Entry, Kind, Tree
from confstream.values import dataclass

FILE_SIZE_MAX = 1 << 26
"""Larger files are no configuration: they are left out, counted and reported."""

_ATTEMPTS = 3
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CHUNK_BYTES = 1 << 20
_MAGIC_BYTES = 16
DATABASE = "SQLite database"
COMPANION = "part of a SQLite database"


class UnstableError(Exception):
    """A file changed while it was read. Internal: an engine tries again later."""


class TooLargeError(Exception):
    """A file is larger than allowed. Internal: an engine reports it and goes on (P6)."""


class DatabaseError(Exception):
    """A file is a SQLite database, and those are left out. Internal: an engine counts it and goes on."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A directory as a tree, and how far that can be trusted.

    *stamps* says what to remember for the next comparison. *changed* are the
    paths whose entry is new or another than the known one. What is in
    *unreadable* (with its reason) or *unstable* keeps its known entry and
    stamp, or is not in the tree if there was none. *too_large* are those of
    *unreadable* that only their size keeps out. *databases* were left out.
    """

    tree: Tree
    stamps: dict[bytes, Stamp]
    changed: tuple[bytes, ...]
    unreadable: dict[bytes, str]
    unstable: tuple[bytes, ...]
    skipped: dict[bytes, str]
    excluded: int
    root: Stamp
    too_large: frozenset[bytes] = frozenset()
    databases: Mapping[bytes, Stamp] = field(default_factory=dict)


def read_entry(
    root: Path, path: bytes, expected: Stamp, size_bytes_max: int | None = None, *, databases: bool = True
) -> tuple[Entry, bytes | None]:
    """Return the entry of *path* and, for a file, its content, if it still has the stamp *expected*.

    Raise ``UnstableError`` if anything happened to it, now or while reading;
    ``TooLargeError`` above *size_bytes_max*; without *databases*
    ``DatabaseError`` for one of SQLite's; ``OSError`` if it cannot be read.
    """
    descriptor = open_root(root)
    try:
        with durable.opened_parent(descriptor, path) as (parent, _):
            return _read(parent, path, expected, size_bytes_max, databases=databases)
    finally:
        os.close(descriptor)


def holds_database(root: Path, path: bytes) -> bool:
    """Return whether the file *path* is a SQLite database; reads its first bytes, and not through a symlink."""
    try:
        with durable.opened_root(root) as descriptor, durable.opened_parent(descriptor, path) as (parent, name):
            return _is_database(parent, name)
    except OSError:
        return False


def load(
    root: Path,
    selection: Selection | None = None,
    known: Mapping[bytes, tuple[Stamp, Entry]] | None = None,
    *,
    on_content: Callable[[Entry, bytes], None] | None = None,
    size_bytes_max: int | None = None,
    databases: Mapping[bytes, Stamp] | None = None,
) -> Loaded:
    """Return *root* as a tree, reading only files whose stamp is not the *known* one.

    Contents go to *on_content* one by one and are not kept. A file that cannot
    be read is not a deleted file: its known entry stays. With *databases*, of
    which those have the given stamps, SQLite databases and the files that go
    with them are left out. Raise ``RootGoneError`` if *root* is not there or
    is no directory.
    """
    descriptor = open_root(root)
    try:
        walk = Walk(root_stamp(descriptor), selection)
        walk.start(descriptor, b"")
        reading = _Reading(descriptor, known or {}, on_content, size_bytes_max, databases)
        reading.unreadable.update(walk.unreadable)
        try:
            reading.take_all(walk.found)
        finally:
            reading.close()
    finally:
        os.close(descriptor)
    reading.keep_below(walk.unreadable)
    return Loaded(
        Tree(reading.entries.values()),
        reading.stamps,
        tuple(sorted(path for path, entry in reading.entries.items() if reading.differs(path, entry))),
        reading.unreadable,
        tuple(sorted(reading.unstable)),
        walk.skipped | reading.skipped,
        walk.excluded,
        walk.root,
        frozenset(reading.too_large),
        reading.databases,
    )


class _Reading:
    """The entries of a directory, as far as they could be read."""

    def __init__(
        self,
        root: int,
        known: Mapping[bytes, tuple[Stamp, Entry]],
        on_content: Callable[[Entry, bytes], None] | None,
        size_bytes_max: int | None,
        databases: Mapping[bytes, Stamp] | None,
    ) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.stamps: dict[bytes, Stamp] = {}
        self.unreadable: dict[bytes, str] = {}
        self.unstable: set[bytes] = set()
        self.too_large: set[bytes] = set()
        self.databases: dict[bytes, Stamp] = {}
        self.skipped: dict[bytes, str] = {}
        self._known_databases = databases
        self._root = root
        self._known = known
        self._on_content = on_content
        self._size_bytes_max = size_bytes_max
        # File systems stamp with the machine's own clock: no other can be compared with theirs.
        self._clock = SystemClock()
        # The files of one directory come one after the other, and so do those below it.
        self._parent = durable.Parent(root)

    def take_all(self, found: Mapping[bytes, Stamp]) -> None:
        """Add everything that was found; what may go with a database after the database itself."""
        if self._known_databases is None:
            for path, seen in found.items():
                self.take(path, seen)
            return
        later = []
        for path, seen in found.items():
            if (database := database_of(path)) is not None and database in found:
                later.append((path, database, seen))
            else:
                self.take(path, seen)
        for path, database, seen in later:
            if database in self.databases:
                self.skipped[path] = COMPANION
            else:
                self.take(path, seen)

    def take(self, path: bytes, found: Stamp) -> None:
        """Add *path*, read anew unless its stamp is the known one."""
        if self._known_databases and self._known_databases.get(path) == found:
            self._leave_out(path, found)
            return
        if not self._has_parent(path):
            self.unstable.add(path)
            return
        before = self._known.get(path)
        if before is not None and before[0] == found:
            self.stamps[path], self.entries[path] = before
            return
        try:
            self._read(path, found)
        except UnstableError:
            self.unstable.add(path)
            self._keep(path)
        except DatabaseError:
            self._leave_out(path, found)
        except TooLargeError as error:
            self.unreadable[path] = str(error)
            self.too_large.add(path)
            self._keep(path)
        except OSError as error:
            if error.errno not in GONE:
                self.unreadable[path] = reason_of(error)
                self._keep(path)

    def _leave_out(self, path: bytes, found: Stamp) -> None:
        self.databases[path] = remembered(found, self._clock.now_ns())
        self.skipped[path] = DATABASE

    def keep_below(self, directories: Mapping[bytes, str]) -> None:
        """Keep every known entry at or below *directories*, of which the system would not tell."""
        if not directories:
            return
        for path in sorted(self._known):
            parts = path.split(b"/")
            if any(b"/".join(parts[:count]) in directories for count in range(len(parts) + 1)):
                self._keep(path)

    def differs(self, path: bytes, entry: Entry) -> bool:
        """Return whether *entry* is not what was known of *path*."""
        before = self._known.get(path)
        return before is None or before[1] != entry

    def close(self) -> None:
        """Release the directories that are open."""
        self._parent.close()

    def _has_parent(self, path: bytes) -> bool:
        """Return whether the directory around *path* is there still, and still one."""
        parent = self.entries.get(path.rpartition(b"/")[0])
        return b"/" not in path or (parent is not None and parent.kind is Kind.DIRECTORY)

    def _keep(self, path: bytes) -> None:
        if path in self._known and path not in self.entries and self._has_parent(path):
            self.stamps[path], self.entries[path] = self._known[path]

    def _read(self, path: bytes, found: Stamp) -> None:
        for attempt in range(_ATTEMPTS):
            now_ns = self._clock.now_ns()
            try:
                entry, content = _read(
                    self._parent.of(path), path, found, self._size_bytes_max, databases=self._known_databases is None
                )
            except UnstableError:
                # By its path from the root again: what is open may have been moved.
                self._parent.close()
                again = stamp_at(self._parent, path)
                if again is None:
                    return
                if attempt == _ATTEMPTS - 1 or again.kind is not found.kind:
                    raise
                found = again
                continue
            self.entries[path] = entry
            self.stamps[path] = remembered(found, now_ns)
            if content is not None and self._on_content is not None:
                self._on_content(entry, content)
            return


def _read(
    parent: int, path: bytes, expected: Stamp, size_bytes_max: int | None, *, databases: bool
) -> tuple[Entry, bytes | None]:
    """Return what *path* is and holds; *parent* is its directory, opened."""
    name = path.rpartition(b"/")[2]
    owner = {"uid": expected.uid, "gid": expected.gid}
    content = None
    if expected.kind is Kind.FILE:
        if size_bytes_max is not None and expected.size > size_bytes_max:
            if not databases and _is_database(parent, name):
                raise DatabaseError
            raise TooLargeError(f"{expected.size} bytes, at most {size_bytes_max} are allowed")
        content = _read_file(parent, name, expected, databases=databases)
        entry = Entry.file(path, content, expected.mode, mtime_ns=expected.mtime_ns, **owner)
    elif expected.kind is Kind.SYMLINK:
        entry = Entry.symlink(path, _read_link(parent, name), **owner)
    else:
        entry = Entry.directory(path, expected.mode, **owner)
    if Stamp.of(os.stat(name, dir_fd=parent, follow_symlinks=False)) != expected:
        raise UnstableError(f"{path!r} changed while it was read")
    return entry, content


def _read_link(parent: int, name: bytes) -> bytes:
    try:
        return os.readlink(name, dir_fd=parent)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise UnstableError(f"{name!r} is no longer a symlink") from error
        raise


def _is_database(parent: int, name: bytes) -> bool:
    """Return whether *name* in the directory *parent* is a file that begins as a SQLite database does."""
    descriptor = os.open(name, _READ, dir_fd=parent)
    try:
        # Without the look, reading from a FIFO that took its place would take somebody's bytes away.
        return stat.S_ISREG(os.fstat(descriptor).st_mode) and is_sqlite(os.read(descriptor, _MAGIC_BYTES))
    finally:
        os.close(descriptor)


def _read_file(parent: int, name: bytes, expected: Stamp, *, databases: bool) -> bytes:
    """Return the content of *name*; the stamp of what was opened is *expected* before and after."""
    try:
        descriptor = os.open(name, _READ, dir_fd=parent)
    except OSError as error:
        # A symlink or socket has taken the file's place.
        if error.errno in {errno.ELOOP, errno.EMLINK, errno.ENXIO}:
            raise UnstableError(f"{name!r} is no longer a file") from error
        raise
    try:
        if Stamp.of(os.fstat(descriptor)) != expected:
            # A busy database may never be found at rest, and need not be.
            if not databases and is_sqlite(os.read(descriptor, _MAGIC_BYTES)):
                raise DatabaseError
            raise UnstableError(f"{name!r} changed before it was read")
        parts: list[bytes] = []
        left = expected.size + 1
        while left and (part := os.read(descriptor, min(left, _CHUNK_BYTES))):
            if not parts and not databases and is_sqlite(part):
                raise DatabaseError
            parts.append(part)
            left -= len(part)
        if left != 1 or Stamp.of(os.fstat(descriptor)) != expected:
            raise UnstableError(f"{name!r} changed while it was read")
    finally:
        os.close(descriptor)
    return b"".join(parts)
