"""Files relative to directory descriptors: never through a symlink, and there after a power loss.

A path here is bytes below an open directory. Every component is opened with
``O_NOFOLLOW``, so that a symlink planted on the way, even while this runs,
leads to an error and never out of the directory.
"""

import contextlib
import errno
import fcntl
import functools
import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

_SEARCH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL_SYNC = getattr(fcntl, "F_FULLFSYNC", None)
_UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY}
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2
_TEMP_PREFIX = b".confstream-"
_TEMP_SUFFIX = b".tmp"
_SYNCED_TOGETHER, _SYNC_WORKERS = 128, 16
_LEVELS_MAX = 128
"""How many directories are kept open: no more than any system lets a process have."""


def open_root(root: Path) -> int:
    """Return a descriptor of *root*; a symlink to it is followed, for it is what the user named."""
    return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


@contextlib.contextmanager
def opened_root(root: Path) -> Iterator[int]:
    """Open *root* as ``open_root`` does, and close it afterwards."""
    descriptor = open_root(root)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def opened(root: int, path: bytes, *, listable: bool = True) -> Iterator[int]:
    """Open the directory *path* below *root*; an empty *path* is *root* itself.

    Raise ``NotADirectoryError`` if any component is a symlink or a file. A
    directory that is not *listable* need only be searched, and cannot be synced.
    """
    parts, descriptor = path.split(b"/") if path else [b"."] if listable else [], root
    try:
        for position, part in enumerate(parts, 1):
            flags = _LIST if listable and position == len(parts) else _SEARCH
            child = os.open(part, flags, dir_fd=descriptor)
            if descriptor != root:
                os.close(descriptor)
            descriptor = child
        yield descriptor
    finally:
        if descriptor != root:
            os.close(descriptor)


@contextlib.contextmanager
def opened_parent(root: int, path: bytes, *, listable: bool = False) -> Iterator[tuple[int, bytes]]:
    """Open the directory that holds *path* below *root*; yield it and the name in it."""
    parent, _, name = path.rpartition(b"/")
    with opened(root, parent, listable=listable) as descriptor:
        yield descriptor, name


class Parent:
    """The directories that hold paths below the open *root*, each kept open for what comes next in or below it.

    Paths that come in an order, those of one directory together, cost one
    ``open`` for every directory, however deep it is.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        # From the root to the innermost that is open; what is too deep for one descriptor each is the last level.
        self._levels: list[tuple[bytes, int]] = []

    def of(self, path: bytes) -> int:
        """Return the directory around *path*, as ``opened_parent`` opens it; it stays open until another is asked."""
        return self.directory(path.rpartition(b"/")[0])

    def directory(self, path: bytes) -> int:
        """Return the directory *path* itself, open for searching, as long as ``of`` keeps what it returns."""
        names = _names_of(path)
        self._drop(self._shared(names))
        for name in names[len(self._levels) :]:
            self._levels.append((name, _entered(self._innermost, name)))
        return self._innermost

    def leave(self, path: bytes | None = None) -> None:
        """Close those that do not hold *path*, all without one.

        Raise ``OSError`` if the name of one leads somewhere else by now, so that what was done was done there.
        """
        kept = 0 if path is None else self._shared(_names_of(path.rpartition(b"/")[0]))
        while len(self._levels) > kept:
            name, descriptor = self._levels.pop()
            try:
                found = _entered(self._innermost, name)
                try:
                    if not os.path.sameopenfile(found, descriptor):
                        raise FileNotFoundError(errno.ENOENT, "the directory was moved away", os.fsdecode(name))
                finally:
                    os.close(found)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Close what is open."""
        self._drop(0)

    @property
    def _innermost(self) -> int:
        return self._levels[-1][1] if self._levels else self._root

    def _shared(self, names: list[bytes]) -> int:
        """Return how many of what is open lead to *names*."""
        count = 0
        for (name, _), wanted in zip(self._levels, names, strict=False):
            if name != wanted:
                break
            count += 1
        return count

    def _drop(self, kept: int) -> None:
        while len(self._levels) > kept:
            os.close(self._levels.pop()[1])


def _names_of(path: bytes) -> list[bytes]:
    """Return what to open one after the other to get to the directory *path*."""
    names = path.split(b"/", _LEVELS_MAX - 1)
    return names if path else []


def _entered(above: int, path: bytes) -> int:
    """Return the directory *path* below the open directory *above*, open for searching."""
    descriptor = above
    try:
        for part in path.split(b"/"):
            child = os.open(part, _SEARCH, dir_fd=descriptor)
            if descriptor != above:
                os.close(descriptor)
            descriptor = child
    except BaseException:
        if descriptor != above:
            os.close(descriptor)
        raise
    return descriptor


def sync(descriptor: int, *, content_only: bool = False) -> None:
    """Return once what was written to *descriptor* survives a power loss (P4).

    With *content_only*, times and the like may be lost where the system can leave them out.
    """
    if _FULL_SYNC is not None:
        # There, fsync only hands the bytes to the drive, which may keep them in its cache.
        try:
            fcntl.fcntl(descriptor, _FULL_SYNC)
        except OSError as error:
            # After a failure of the disk, a second sync would succeed without having written anything.
            if error.errno not in _UNSUPPORTED:
                raise
        else:
            return
    if content_only and hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


def sync_directory(descriptor: int) -> None:
    """Return once the names in the directory of *descriptor* survive a power loss (P4)."""
    try:
        sync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a directory: their server decides, and there is no other way.
        if error.errno not in _UNSUPPORTED:
            raise


def make_directories(path: Path, mode: int = 0o777) -> None:
    """Make the directory *path* with *mode*, and what is missing above it; each name survives a power loss (P4)."""
    if path.is_dir():
        return
    if path.parent != path:
        make_directories(path.parent)
    path.mkdir(mode, exist_ok=True)
    # What nobody may list, nobody can sync either.
    with contextlib.suppress(PermissionError), opened_root(path.parent) as parent:
        sync_directory(parent)


def write_all(descriptor: int, content: bytes | bytearray) -> None:
    """Write the whole of *content*."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def create(
    directory: int,
    name: bytes,
    content: bytes,
    mode: int = 0o600,
    owner: tuple[int, int] | None = None,
    *,
    mtime_ns: int | None = None,
) -> None:
    """Create the file *name* in *directory* with *content*, synced with its times; *directory* itself is not.

    Raise ``FileExistsError`` if anything has that name.
    """
    descriptor = create_open(directory, name, content)
    try:
        if owner is not None:
            os.fchown(descriptor, *owner)
        # The mode comes after the owner, which takes the set-id bits away.
        os.fchmod(descriptor, mode)
        if mtime_ns is not None:
            os.utime(descriptor, ns=(mtime_ns, mtime_ns))
        sync(descriptor)
    finally:
        os.close(descriptor)


def create_open(directory: int, name: bytes, content: bytes) -> int:
    """Create the file *name* in *directory* with *content* and mode 0600; return it open, and not synced yet."""
    descriptor = os.open(name, _CREATE, 0o600, dir_fd=directory)
    try:
        write_all(descriptor, content)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class Syncing:
    """Files or directories that are synced many at a time: the disk then commits all of them together."""

    def __init__(self, sync: Callable[[int], None]) -> None:
        self._sync = sync
        self._open: list[int] = []
        self._pool: ThreadPoolExecutor | None = None

    def add(self, descriptor: int) -> None:
        """Take over the open *descriptor*: it is synced and closed when there are many, or at the end."""
        if len(self._open) >= _SYNCED_TOGETHER:
            self.finish()
        self._open.append(descriptor)

    def finish(self) -> None:
        """Return once all that were added survive a power loss (P4)."""
        waiting, self._open = self._open, []
        try:
            if len(waiting) > 1:
                if self._pool is None:
                    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only where much is written

                    self._pool = ThreadPoolExecutor(_SYNC_WORKERS, "confstream-sync")
                # Each takes the next one: a task for every file would cost more than the file.
                left = deque(waiting)
                workers = [self._pool.submit(self._sync_next, left) for _ in range(min(_SYNC_WORKERS, len(waiting)))]
                # None of the descriptors may be closed before the last is done with.
                errors = [error for worker in workers if (error := worker.exception()) is not None]
                if errors:
                    raise errors[0]
            elif waiting:
                self._sync(waiting[0])
        finally:
            for descriptor in waiting:
                os.close(descriptor)

    def _sync_next(self, left: deque[int]) -> None:
        while left:
            try:
                descriptor = left.popleft()
            except IndexError:
                return
            self._sync(descriptor)

    def close(self) -> None:
        """Let go of everything, synced or not."""
        if self._pool is not None:
            self._pool.shutdown()
        for descriptor in self._open:
            os.close(descriptor)
        self._open = []


@contextlib.contextmanager
def syncing(sync: Callable[[int], None] = sync) -> Iterator[Syncing]:
    """Have what is added inside durable, by *sync*, when the block ends without an error."""
    files = Syncing(sync)
    try:
        yield files
        files.finish()
    finally:
        files.close()


def replace(
    directory: int,
    name: bytes,
    content: bytes,
    mode: int = 0o600,
    owner: tuple[int, int] | None = None,
    *,
    mtime_ns: int | None = None,
    maker: str = "",
) -> None:
    """Make *name* in *directory* a file with *content*, whole or not at all, durably (P4).

    A symlink of that name is replaced, not followed. When this raises, what
    was there is there still. *maker* is told by the name that the file has before, as ``temporary_name`` does.
    """
    temporary = temporary_name(maker)
    try:
        create(directory, temporary, content, mode, owner, mtime_ns=mtime_ns)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=directory)
        raise
    sync_directory(directory)


def exchange(directory: int, one: bytes, other: bytes) -> bool:
    """Let *one* and *other* take each other's name at the same instant; return False if that cannot be done here."""
    return _rename_with(_RENAME_EXCHANGE, directory, one, other)


def rename_new(directory: int, source: bytes, target: bytes) -> bool:
    """Rename *source* to *target*, and return True; ``FileExistsError`` if anything has that name."""
    if not _rename_with(_RENAME_NOREPLACE, directory, source, target):
        with contextlib.suppress(FileNotFoundError):
            os.stat(target, dir_fd=directory, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(target))
        os.rename(source, target, src_dir_fd=directory, dst_dir_fd=directory)
    return True


def _rename_with(flag: int, directory: int, source: bytes, target: bytes) -> bool:
    import ctypes  # noqa: PLC0415 - only for who writes.

    call = _renameat2()
    if call is None:
        return False
    if call(directory, source, directory, target, flag) == 0:
        return True
    number = ctypes.get_errno()
    if number in {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}:
        return False
    raise OSError(number, os.strerror(number), os.fsdecode(target))


@functools.cache
def _renameat2() -> Any:  # noqa: ANN401 - a function of the system's library, None where it has none
    import ctypes  # noqa: PLC0415 - only for who writes.

    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def temporary_name(maker: str = "") -> bytes:
    """Return a name for a file that is about to be renamed; no tree ever holds one.

    *maker*, if given, is who alone may take it for a leftover as soon as it starts anew.
    """
    return _TEMP_PREFIX + f"{maker}-".encode() * bool(maker) + os.urandom(8).hex().encode() + _TEMP_SUFFIX


def is_temporary(name: bytes, maker: str = "") -> bool:
    """Return whether *name* is one of ``temporary_name`` (*maker*), left by a crash or about to be renamed."""
    return name.startswith(_TEMP_PREFIX + f"{maker}-".encode() * bool(maker)) and name.endswith(_TEMP_SUFFIX)
