"""The state directory of one journal, held by one process at a time.

The lock is the kernel's: it ends with the process, however that ends.
"""

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from confstream import durable
from confstream.errors import ConfstreamError, UnavailableError

_LOCK = "lock"


def owner_for(directory: Path) -> tuple[int, int] | None:
    """Return who must own a new file in *directory*: its owner when run as root, else nobody in particular.

    What a root init container wrote must be usable by a sidecar with another uid.
    """
    if os.geteuid() != 0:
        return None
    status = directory.stat()
    return status.st_uid, status.st_gid


def holder(path: Path) -> int | None:
    """Return the pid that opened the state directory *path* last and did not close it, as its own container counts."""
    try:
        with (path / _LOCK).open("rb") as file:
            return int(file.read(32))
    except (OSError, ValueError):
        return None


class StateDirectory:
    """A locked state directory; its files belong to *owner* and are readable by nobody else (P12)."""

    def __init__(self, path: Path, owner: tuple[int, int] | None = None) -> None:
        """Lock *path*, which is created with mode 0700 and given to *owner* if it is absent.

        Without *owner*, it takes the owner of its parent when run as root.
        Raise ``ConfstreamError`` if another process holds it.
        """
        self.path = path
        self._lock = -1
        try:
            self._create(owner)
            self.owner = owner_for(path)
            self._take_lock()
            self._descriptor = durable.open_root(path)
        except OSError as error:
            self._release()
            remedy = f"it must be a directory that uid {os.geteuid()} may write to"
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                remedy = "free some space on that file system"
            kind = ConfstreamError
            if error.errno == errno.EROFS:
                kind, remedy = UnavailableError, "mount the volume writable"
            raise kind(
                f"{path}: the journal's directory cannot be used: {error.strerror}; {remedy}, or choose another one "
                "with --state-dir"
            ) from error

    def replace(self, name: str, content: bytes) -> None:
        """Make the file *name* hold *content*, whole or not at all, durably; raise ``OSError`` if that fails."""
        durable.replace(self._descriptor, os.fsencode(name), content, 0o600, self.owner)

    def sync(self) -> None:
        """Return once the names in the directory survive a power loss; raise ``OSError`` if that fails."""
        durable.sync_directory(self._descriptor)

    def read(self, name: str) -> bytes | None:
        """Return what the file *name* holds, or None if there is none."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        """Return the names in the directory."""
        return sorted(path.name for path in self.path.iterdir())

    def remove(self, name: str) -> None:
        """Remove the file *name*, if it can be: what is removed here is only in the way."""
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self._descriptor)

    def close(self) -> None:
        """Let another process have the directory."""
        os.close(self._descriptor)
        with contextlib.suppress(OSError):
            os.ftruncate(self._lock, 0)
        self._release()

    def _create(self, owner: tuple[int, int] | None) -> None:
        try:
            self.path.mkdir(0o700, parents=False)
        except FileExistsError:
            return
        owner = owner or owner_for(self.path.parent)
        if owner is not None and os.geteuid() == 0:
            os.chown(self.path, *owner)
        with durable.opened_root(self.path.parent) as parent:
            durable.sync_directory(parent)

    def _take_lock(self) -> None:
        # The file is never removed: a lock on a file without a name would keep nobody out.
        self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise
            self._release()
            pid = holder(self.path)
            raise ConfstreamError(
                f"{self.path}: the journal is in use by {f'process {pid}' if pid else 'another process'}; end that one "
                f"first (in a pod it may be in another container), or use another --state-dir for another tree"
            ) from error
        if self.owner is not None:
            os.fchown(self._lock, *self.owner)
        os.ftruncate(self._lock, 0)
        # Who holds it is for messages only: on a full disk the lock itself keeps others out all the same.
        with contextlib.suppress(OSError):
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
