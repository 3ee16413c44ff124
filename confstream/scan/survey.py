"""What is there: one recursive look at a directory, by stamps alone."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import field
from pathlib import Path
from typing import Protocol

from confstream import durable
from confstream.stamp import Stamp, special
from confstream.tree import Kind
from confstream.values import dataclass

STATE_NAME = b".confstream"
GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()


class Selection(Protocol):
    """Which paths of a directory belong to the tree."""

    def tracks(self, path: bytes, is_dir: bool) -> bool:
        """Return whether *path* belongs to the tree; below a directory that does not, nothing does."""


def tracks_databases(selection: Selection | None) -> bool:
    """Return whether SQLite databases belong to the tree; a selection that knows only names believes every content."""
    return bool(getattr(selection, "sqlite", True))


class RootGoneError(Exception):
    """The directory itself is not there. Internal: an engine turns it into a verdict (P10)."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a directory holds, without contents.

    *skipped* has the sockets, FIFOs and devices, *unreadable* what the system
    would not tell, each with its reason; a directory in *unreadable* stands
    for everything below it. *excluded* counts what the selection left out.
    *root* is the directory's own stamp: its *dev* and *ino* tell a volume that
    was unmounted or replaced (P10).
    """

    root: Stamp
    found: dict[bytes, Stamp] = field(default_factory=dict)
    skipped: dict[bytes, str] = field(default_factory=dict)
    unreadable: dict[bytes, str] = field(default_factory=dict)
    excluded: int = 0


def survey(root: Path, selection: Selection | None = None, under: bytes = b"") -> Survey:
    """Return what is in *root*, or only *under* and what is below it.

    Without a *selection* that is everything but ``.confstream/``. Raise
    ``RootGoneError`` if *root* is not there or is no directory.
    """
    descriptor = open_root(root)
    try:
        walk = Walk(root_stamp(descriptor), selection)
        walk.start(descriptor, under)
    finally:
        os.close(descriptor)
    return Survey(walk.root, walk.found, walk.skipped, walk.unreadable, walk.excluded)


def stamp_of_root(root: Path) -> Stamp:
    """Return the stamp of the directory *root* itself; raise ``RootGoneError`` without it."""
    descriptor = open_root(root)
    try:
        return root_stamp(descriptor)
    finally:
        os.close(descriptor)


def stamp(root: Path, path: bytes) -> Stamp | None:
    """Return the stamp of *path* in *root*, or ``None`` if nothing is there that a tree can hold.

    Raise ``RootGoneError`` without *root*, ``OSError`` if the system will not tell.
    """
    if path and b"/" not in path:
        # One call instead of three, where nothing is on the way that could be a symlink.
        with contextlib.suppress(OSError):
            return Stamp.of(os.lstat(os.fsencode(root) + b"/" + path))
    descriptor = open_root(root)
    parents = durable.Parent(descriptor)
    try:
        return stamp_at(parents, path)
    finally:
        parents.close()
        os.close(descriptor)


def stamps(root: Path, paths: Iterable[bytes]) -> Iterator[tuple[bytes, Stamp | None]]:
    """Yield each of *paths* with its ``stamp``; a directory comes before what is below it."""
    descriptor = open_root(root)
    parents = durable.Parent(descriptor)
    absent: set[bytes] = set()
    try:
        for path in paths:
            # Below what is not there, nothing is.
            found = None if path.rpartition(b"/")[0] in absent else stamp_at(parents, path)
            if found is None:
                absent.add(path)
            yield path, found
    finally:
        parents.close()
        os.close(descriptor)


class Walk:
    """One recursive look at a directory. Holds one descriptor per level."""

    def __init__(self, root: Stamp, selection: Selection | None) -> None:
        self.root = root
        self.found: dict[bytes, Stamp] = {}
        self.skipped: dict[bytes, str] = {}
        self.unreadable: dict[bytes, str] = {}
        self.excluded = 0
        self._tracks = None if selection is None else selection.tracks

    def start(self, root: int, under: bytes) -> None:
        """Look at *under*; an empty one is the root itself."""
        if under and not self._admit(root, under):
            return
        self._descend(root, under)

    def _admit(self, root: int, under: bytes) -> bool:
        """Record *under* itself; return whether there is something below it to look at."""
        if under.partition(b"/")[0] == STATE_NAME:
            return False
        try:
            with durable.opened_parent(root, under) as (parent, name):
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            if error.errno not in GONE:
                self.unreadable[under] = reason_of(error)
            return False
        found = Stamp.of(status)
        if found is None:
            self.skipped[under] = special(status)
            return False
        if not self._tracked(under, found.kind is Kind.DIRECTORY):
            self.excluded += 1
            return False
        self.found[under] = found
        return found.kind is Kind.DIRECTORY

    def _tracked(self, path: bytes, is_dir: bool) -> bool:
        """Return whether *path* and every directory above it belong to the tree."""
        if self._tracks is None:
            return True
        parts = path.split(b"/")
        above = (b"/".join(parts[:count]) for count in range(1, len(parts)))
        return all(self._tracks(parent, is_dir=True) for parent in above) and self._tracks(path, is_dir)

    def _descend(self, root: int, under: bytes) -> None:
        # An explicit stack: depth is up to whoever made the directory, not to Python's recursion limit.
        levels: list[tuple[int, list[bytes]]] = []
        pending: list[bytes] = [under]
        above, at_root = root, True
        try:
            while True:
                if pending:
                    path = pending.pop()
                    opened = self._open(above, path, from_root=at_root)
                    if opened is not None:
                        levels.append((opened, pending))
                        above, pending, at_root = opened, self._list(opened, path), False
                elif levels:
                    finished, pending = levels.pop()
                    os.close(finished)
                    above, at_root = (levels[-1][0], False) if levels else (root, True)
                else:
                    return
        finally:
            for descriptor, _ in levels:
                os.close(descriptor)

    def _open(self, above: int, path: bytes, *, from_root: bool) -> int | None:
        try:
            if from_root:
                with durable.opened(above, path) as descriptor:
                    return os.dup(descriptor)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.open(path.rpartition(b"/")[2], flags, dir_fd=above)
        except OSError as error:
            if error.errno in GONE:
                self.found.pop(path, None)
            else:
                self.unreadable[path] = reason_of(error)
            return None

    def _list(self, descriptor: int, path: bytes) -> list[bytes]:
        """Record the entries of the directory *path*; return the directories among them."""
        prefix = path + b"/" if path else b""
        directories: list[bytes] = []
        found, tracks, stamp_of, is_directory = self.found, self._tracks, Stamp.of, Kind.DIRECTORY
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    # As os.fsencode does, without the call.
                    name = entry.name.encode(_ENCODING, _ERRORS)
                    if name[:11] == STATE_NAME and _is_own(path, name):
                        continue
                    child = prefix + name
                    if tracks is not None and not tracks(child, entry.is_dir(follow_symlinks=False)):
                        self.excluded += 1
                        continue
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError as error:
                        if error.errno not in GONE:
                            self.unreadable[child] = reason_of(error)
                        continue
                    seen = stamp_of(status)
                    if seen is None:
                        self.skipped[child] = special(status)
                        continue
                    found[child] = seen
                    if seen[0] is is_directory:
                        directories.append(child)
        except OSError as error:
            self.unreadable[path] = reason_of(error)
        return directories


def open_root(root: Path) -> int:
    """Return a descriptor of *root*, or raise ``RootGoneError``."""
    try:
        return durable.open_root(root)
    except OSError as error:
        if error.errno not in GONE:
            raise
        raise RootGoneError(f"{root}: {reason_of(error)}") from error


def identity(root: Path) -> tuple[int, int] | None:
    """Return what tells the directory *root* from any other that may take its place; ``None`` if there is none."""
    try:
        status = root.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def root_stamp(descriptor: int) -> Stamp:
    """Return the stamp of the open directory itself."""
    found = Stamp.of(os.fstat(descriptor))
    if found is None:
        raise RootGoneError("the root is no directory")
    return found


def stamp_at(parents: durable.Parent, path: bytes) -> Stamp | None:
    """Return the stamp of *path* in one of *parents*, or ``None``."""
    try:
        return Stamp.of(os.stat(path.rpartition(b"/")[2], dir_fd=parents.of(path), follow_symlinks=False))
    except OSError as error:
        if error.errno in GONE:
            return None
        raise


def reason_of(error: OSError) -> str:
    """Return what a person is told of *error*; never a path, which the caller names."""
    return error.strerror or type(error).__name__


def _is_own(directory: bytes, name: bytes) -> bool:
    """Return whether *name* in *directory* is confstream's own, and so never part of a tree."""
    return (not directory and name == STATE_NAME) or durable.is_temporary(name)
