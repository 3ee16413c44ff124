"""Objects as files of a local directory, created exclusively, atomically and durably.

An object is a temporary file, synced, and then linked to its name: ``link``
fails if the name is taken, so that exactly one writer wins (P5), and whoever
finds a name finds all of its bytes on the disk (P4).
"""

import ctypes
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

from confstream import durable
from confstream.clock import Clock, SystemClock
from confstream.errors import (
    AccessDeniedError,
    NoExclusiveCreateError,
    ObjectExistsError,
    ObjectMissingError,
    OutcomeUnknownError,
    UnavailableError,
    UsageError,
)
from confstream.store.keys import TEMPORARY, Keys, check_body, check_key, check_prefix, check_range, check_size, is_key

# A writer needs seconds; what is older than a day was left behind by a crash.
_LEFTOVER_AGE_NS = 24 * 3600 * 10**9
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES)
_REMEDIES: dict[int, tuple[type[UnavailableError], str]] = {
    errno.ENOSPC: (UnavailableError, "the disk is full: free some space"),
    errno.EDQUOT: (UnavailableError, "the quota is used up: free some space"),
    errno.EIO: (UnavailableError, "the disk reports an error: look at the kernel's log"),
    errno.ESTALE: (UnavailableError, "the network file system lost the directory: mount it again"),
    errno.EACCES: (AccessDeniedError, "permission denied: let this user read and write the directory"),
    errno.EPERM: (AccessDeniedError, "not permitted: let this user read and write the directory"),
    errno.EROFS: (AccessDeniedError, "the file system is read-only: mount it writable"),
    errno.ENOTDIR: (AccessDeniedError, "a file is where a directory should be: move it away, or choose another path"),
    errno.EISDIR: (AccessDeniedError, "a directory is where a file should be: move it away, or choose another path"),
    errno.ELOOP: (AccessDeniedError, "symbolic links run in a circle: mend them, or choose another path"),
}


class LocalStore:
    """The directory *root* as a store; it is created, 0700, when the first object is.

    What a crash leaves behind is never listed, and goes with a later delete
    once it is a day old. *link* is ``os.link``, or what a test puts in its place.
    """

    def __init__(self, root: Path, *, clock: Clock | None = None, link: Callable[[str, str], None] = os.link) -> None:
        self._root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow links and pin the target.
        self._clock = clock if clock is not None else SystemClock()
        self._link = link

    @property
    def url(self) -> str:
        """Return the absolute path of the directory."""
        return str(self._root)

    @property
    def absent(self) -> tuple[Path, ...]:
        """Return which directories the first object would create: this one and those above it."""
        return tuple(takewhile(lambda path: not path.is_dir(), (self._root, *self._root.parents)))

    def put(self, key: str, body: bytes) -> None:
        """Create *key* with *body*; both are on the disk when this returns."""
        check_key(key)
        check_body(key, body)
        path = self._root / key
        temporary = self._write_temporary(path, body)
        try:
            self._give_name(temporary, path)
        except OSError as error:
            if error.errno == errno.EEXIST:
                raise ObjectExistsError(f"{path} exists already") from error
            self._fail(f"cannot create {path}", error)
        finally:
            # Linked or not, only the name counts. What cannot be removed now is a leftover like any other.
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
        self._sync_new_name(path)

    def replace(self, key: str, body: bytes) -> None:
        """Set *key* to *body*: a reader sees the old or the new one, never a mixture."""
        check_key(key)
        check_body(key, body)
        path = self._root / key
        temporary = self._write_temporary(path, body)
        try:
            os.rename(temporary, path)  # noqa: PTH104
        except OSError as error:
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
            self._fail(f"cannot replace {path}", error)
        self._sync_new_name(path)

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        """Return a range of *key*; anything but a regular file is no object."""
        check_key(key)
        check_range(key, first, size)
        path = self._root / key
        try:
            # Without O_NONBLOCK a FIFO in the place of an object would hold us for ever.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise ObjectMissingError(f"{path} is no regular file")
                if size is None:
                    check_size(str(path), status.st_size)
                file.seek(first)
                return file.read(-1 if size is None else size)
        except FileNotFoundError as error:
            raise ObjectMissingError(f"{path} does not exist") from error
        except NotADirectoryError as error:
            if self._root.is_dir():
                raise ObjectMissingError(f"{path} does not exist") from error
            self._fail(f"cannot read {path}", error)
        except IsADirectoryError as error:
            raise ObjectMissingError(f"{path} is a directory") from error
        except OSError as error:
            self._fail(f"cannot read {path}", error)

    def list(self, prefix: str = "") -> Keys:
        """Return the keys that start with *prefix*; a directory that is not there holds none."""
        check_prefix(prefix)
        folder = prefix.rpartition("/")[0]
        start = self._root / folder if folder else self._root
        try:
            keys = [key for key in _walk(start, f"{folder}/" if folder else "") if key.startswith(prefix)]
        except NotADirectoryError as error:
            if self._root.is_dir():
                return []
            self._fail(f"cannot list {start}", error)
        except OSError as error:
            self._fail(f"cannot list {start}", error)
        return sorted(keys)

    def delete(self, keys: Keys) -> None:
        """Remove *keys* durably, and what crashed writers left beside them."""
        for key in keys:
            check_key(key)
        folders = dict.fromkeys((self._root / key).parent for key in keys)
        for key in keys:
            path = self._root / key
            try:
                os.unlink(path)  # noqa: PTH108
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                continue
            except OSError as error:
                self._fail(f"cannot delete {path}", error)
        for folder in folders:
            try:
                self._remove_leftovers(folder)
                _sync_directory(folder)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                self._fail(f"cannot delete in {folder}", error)

    def remove_directories(self, prefix: str, others: Iterable[Path] = ()) -> None:
        """Remove what is empty of the directories at and below *prefix*, which nobody else uses, and of *others*."""
        check_prefix(prefix)
        top = self._root / prefix
        for folder in (*(Path(found) for found, _, _ in os.walk(top, topdown=False)), *others):
            with suppress(OSError):
                folder.rmdir()

    def close(self) -> None:
        """Do nothing: there is nothing open."""

    def _write_temporary(self, path: Path, body: bytes) -> str:
        temporary = str(path.parent / f"{TEMPORARY}{secrets.token_hex(12)}")
        try:
            self._make_directory(path.parent)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self._fail(f"cannot create {path}", error)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(body)
                file.flush()
                durable.sync(descriptor)
        except OSError as error:
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
            self._fail(f"cannot create {path}", error)
        return temporary

    def _make_directory(self, path: Path) -> None:
        """Create *path* and what is missing above it, each name durable before the next one."""
        if path.is_dir():
            return
        if path.parent != path:
            self._make_directory(path.parent)
        try:
            path.mkdir(mode=0o700)
        except FileExistsError as error:
            # Another writer was quicker; or there is a file, and then nothing can ever be under it.
            if not path.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error
        _sync_directory(path.parent)

    def _give_name(self, temporary: str, path: Path) -> None:
        try:
            self._link(temporary, str(path))
        except OSError as error:
            # FAT, exFAT and some network shares have no hard links, but can refuse to replace.
            if error.errno not in _NO_HARD_LINKS:
                raise
            _rename_exclusively(temporary, str(path), error)

    def _sync_new_name(self, path: Path) -> None:
        try:
            _sync_directory(path.parent)
        except OSError as error:
            # It can be read, but perhaps not after a power failure: neither done nor undone (P4).
            raise OutcomeUnknownError(f"{path} was written, but its directory cannot be synced: {error}") from error

    def _remove_leftovers(self, folder: Path) -> None:
        oldest_ns = self._clock.now_ns() - _LEFTOVER_AGE_NS
        with os.scandir(folder) as entries:
            leftovers = [entry for entry in entries if entry.name.startswith(TEMPORARY)]
        for entry in leftovers:
            with suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime_ns < oldest_ns:
                    os.unlink(entry.path)  # noqa: PTH108

    def _fail(self, what: str, error: OSError) -> NoReturn:
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError(f"{what}: the path is too long for this file system") from error
        kind, remedy = _REMEDIES.get(error.errno or 0, (UnavailableError, error.strerror or str(error)))
        place = f" ({error.filename})" if isinstance(error.filename, str) and error.filename not in what else ""
        raise kind(f"{what}: {remedy}{place}") from error


def _walk(folder: Path, keys: str) -> Iterator[str]:
    """Yield the keys in and under *folder*, whose own key is *keys*."""
    try:
        with os.scandir(folder) as scan:
            entries = list(scan)
    except FileNotFoundError:
        return
    for entry in entries:
        key = keys + entry.name
        if entry.is_dir(follow_symlinks=False):
            # Below a name that no key has are no keys, however deep it goes.
            yield from () if not is_key(key) else _walk(Path(entry.path), f"{key}/")
        elif is_key(key) and entry.is_file():
            yield key


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        durable.sync_directory(descriptor)
    finally:
        os.close(descriptor)


def _rename_exclusively(source: str, target: str, cause: OSError) -> None:
    """Rename *source* to *target* unless that is taken, where the system can do so."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    number = errno.ENOSYS
    if rename is not None:
        if rename(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        raise NoExclusiveCreateError(
            f"{target}: this file system has neither hard links nor an exclusive rename ({cause.strerror}), so two "
            "writers could overwrite one another: keep the replica on another file system"
        ) from cause
    raise OSError(number, os.strerror(number), target) from cause
