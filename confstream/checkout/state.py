"""The directory ``.confstream/`` inside a tree: made, owned and emptied.

Nobody but its owner may look into it (P12), and whoever runs next must be
able to use it: when root makes it, it belongs to the owner of the tree's root.
"""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from confstream import durable
from confstream.errors import RefusedError, UnavailableError

STATE = b".confstream"
STAGING = b"staging"
MARKER = b"restoring"
ASIDE = b"aside"
PRIVATE = 0o700


def state_owner(root: Path) -> tuple[int, int] | None:
    """Return whose everything in the state directory of *root* has to be; ``None`` if there is no choice."""
    if os.geteuid() != 0:
        return None
    status = root.stat()
    return status.st_uid, status.st_gid


def prepare_state_dir(root: Path, state_dir: Path | None = None) -> Path:
    """Return the state directory of the tree *root*, made if necessary: ``.confstream/`` or *state_dir*.

    Its mode is 0700. Raise ``RefusedError`` if something else has its name, or if
    it belongs to somebody whose files this process may not use.
    """
    path = root / os.fsdecode(STATE) if state_dir is None else state_dir
    with _refusing(path):
        if state_dir is not None:
            durable.make_directories(state_dir.parent)
        with durable.opened_root(path.parent) as parent:
            make_private(parent, os.fsencode(path.name), state_owner(root))
    return path


@contextlib.contextmanager
def opened_state(root: int, owner: tuple[int, int] | None, *, make: bool = True) -> Iterator[int]:
    """Open ``.confstream/`` in the open directory *root*; raise ``FileNotFoundError`` if it is not to be made."""
    if make:
        with _refusing(Path(os.fsdecode(STATE))):
            make_private(root, STATE, owner)
    with durable.opened(root, STATE) as state:
        yield state


def make_private(parent: int, name: bytes, owner: tuple[int, int] | None) -> None:
    """Make *name* in *parent* a directory of mode 0700 that belongs to *owner*."""
    try:
        os.mkdir(name, PRIVATE, dir_fd=parent)
        made = True
    except FileExistsError:
        made = False
    with durable.opened(parent, name) as descriptor:
        status = os.fstat(descriptor)
        if owner is not None and (status.st_uid, status.st_gid) != owner:
            # Root without the right to give files away still may keep its state, for itself.
            with contextlib.suppress(PermissionError):
                os.fchown(descriptor, *owner)
        if stat.S_IMODE(status.st_mode) != PRIVATE:
            os.fchmod(descriptor, PRIVATE)
    if made:
        durable.sync_directory(parent)


def is_marked(root: Path) -> bool:
    """Return whether the tree *root* is told to be unfinished, by a marker that nobody reads for this."""
    return os.path.lexists(root / os.fsdecode(STATE) / os.fsdecode(MARKER))


@contextlib.contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Keep other restores out of *root*, whose state directory exists; ``RefusedError`` if one is running."""
    with durable.opened_root(root) as top, durable.opened(top, STATE) as descriptor:
        if not _lock(descriptor):
            raise RefusedError(f"{root}: another restore is running; wait for it, then look again")
        yield


def discard_staging(root: Path) -> None:
    """Empty the staging directory of *root*, unless a restore is filling it; only right when there is no marker."""
    with (
        contextlib.suppress(FileNotFoundError),
        durable.opened_root(root) as descriptor,
        opened_state(descriptor, None, make=False) as state,
    ):
        if _lock(state):
            remove_below(state, STAGING)


def remove_below(parent: int, name: bytes) -> None:
    """Remove the directory *name* in *parent* and everything in it, following nothing."""
    try:
        with durable.opened(parent, name) as descriptor:
            # All names first: removing while listing may skip some.
            with os.scandir(descriptor) as found:
                entries = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in found]
            for child, is_dir in entries:
                if is_dir:
                    remove_below(descriptor, child)
                else:
                    os.unlink(child, dir_fd=descriptor)
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        pass


def _lock(state: int) -> bool:
    """Lock the open state directory until it is closed; return whether nobody else has."""
    try:
        fcntl.flock(state, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some network file systems lock no directories: then it is as it would be without this.
        return error.errno not in {errno.EWOULDBLOCK, errno.EACCES}
    return True


@contextlib.contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except NotADirectoryError as error:
        raise RefusedError(f"{path} is not a directory; move it away, confstream keeps its state there") from error
    except PermissionError as error:
        raise RefusedError(
            f"{path}{_owned(path)} cannot be used by uid {os.geteuid()} ({error.strerror}); give it to that user, "
            "or run as its owner"
        ) from error
    except OSError as error:
        if error.errno not in {errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO}:
            raise
        raise UnavailableError(
            f"{path} cannot be written ({error.strerror}); make room, or mount the volume writable"
        ) from error


def _owned(path: Path) -> str:
    try:
        return f" belongs to uid {path.lstat().st_uid} and"
    except OSError:
        return ""
