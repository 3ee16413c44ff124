"""The single steps of a switch, each of which may be done twice.

Nothing is opened through a symlink, and nothing that a plan does not know of
is ever overwritten: it is set aside below ``.confstream/aside/`` (P1).
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from confstream import durable
from confstream.checkout.marker import Marker
from confstream.checkout.plan import Action, Verb, shown
from confstream.checkout.state import ASIDE, MARKER, PRIVATE, STATE, make_private
from confstream.errors import IntegrityError, RefusedError
from confstream.tree import Entry

_GONE = {errno.ENOENT, errno.ENOTDIR}
_NOT_ALLOWED = {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP, errno.EROFS}
_IN_THE_WAY = {errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}
_COPY_BYTES = 1 << 20
_PATH_ONLY = getattr(os, "O_PATH", None)


class Place:
    """The tree under the hands of one switch."""

    def __init__(self, root: int, state: int, marker: Marker, state_owner: tuple[int, int] | None) -> None:
        self.not_owned: set[bytes] = set()
        self.not_moded: set[bytes] = set()
        self.aside_used: bytes | None = None
        self._state = state
        self._marker = marker
        self._owner = state_owner
        self._placed = {staged.ino for staged in marker.staged.values()}
        # By the file system's own clock, which stamps the files as well.
        self._since_ns = os.stat(MARKER, dir_fd=state).st_mtime_ns
        self._parent = durable.Parent(root)

    def leave(self, path: bytes | None = None) -> None:
        """Be done with directories, but those that hold *path*; raise ``OSError`` if somebody moved one meanwhile."""
        self._parent.leave(path)

    def close(self) -> None:
        """Let go of all directories, wherever they are."""
        self._parent.close()

    def _opened(self, path: bytes) -> tuple[int, bytes]:
        """Return the directory that holds *path*, which stays open for the next one, and the name in it."""
        return self._parent.of(path), path.rpartition(b"/")[2]

    def set_aside(self, path: bytes, *, planned: bool = True) -> None:
        """Move *path* to the aside directory, under the same path; a planned move is done once."""
        parts = path.split(b"/")
        folder = b"/".join((ASIDE, self._marker.aside, *parts[:-1]))
        parent, name = self._opened(path)
        with durable.opened(parent, b"") as listing:
            status = _status(parent, name)
            if status is None:
                return
            steps = folder.split(b"/")
            for count in range(1, len(steps) + 1):
                with durable.opened(self._state, b"/".join(steps[: count - 1])) as above:
                    make_private(above, steps[count - 1], self._owner)
            with durable.opened(self._state, folder) as target:
                free, number = parts[-1], 1
                while _status(target, free) is not None:
                    if planned:
                        return
                    number += 1
                    free = parts[-1][:240] + b".%d" % number
                closed = stat.S_ISDIR(status.st_mode) and status.st_mode & PRIVATE != PRIVATE
                if closed:
                    # A directory that changes its parent is itself written to.
                    set_mode(parent, name, PRIVATE)
                _move(parent, name, target, free)
                if closed:
                    set_mode(target, free, stat.S_IMODE(status.st_mode))
                self.aside_used = b"/".join((STATE, ASIDE, self._marker.aside))
                durable.sync_directory(target)
            durable.sync_directory(listing)

    def remove_file(self, path: bytes) -> bool:
        """Remove the file or symlink *path*; return whether it was there. A directory stays."""
        try:
            parent, name = self._opened(path)
            status = _status(parent, name)
            if status is None or stat.S_ISDIR(status.st_mode):
                return False
            if self._is_edited(status):
                self.set_aside(path, planned=False)
                return True
            os.unlink(name, dir_fd=parent)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            return False
        return True

    def remove_directory(self, path: bytes) -> bool | None:
        """Remove the directory *path*; return whether it was there, ``None`` if it holds something."""
        try:
            parent, name = self._opened(path)
            os.rmdir(name, dir_fd=parent)
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY}:
                return None
            if error.errno not in _GONE:
                raise
            return False
        return True

    def make_directory(self, path: bytes) -> None:
        """Make the directory *path*, open to its owner only; its mode comes at the end."""
        parent, name = self._opened(path)
        try:
            os.mkdir(name, PRIVATE, dir_fd=parent)
        except FileExistsError:
            status = _status(parent, name)
            if status is None or not stat.S_ISDIR(status.st_mode):
                self.set_aside(path, planned=False)
                os.mkdir(name, PRIVATE, dir_fd=parent)
            else:
                self.open_directory(path)

    def open_directory(self, path: bytes) -> None:
        """Let the owner of the directory *path* write in it until its mode is set at the end."""
        try:
            parent, name = self._opened(path)
            status = _status(parent, name)
            if status is not None and stat.S_ISDIR(status.st_mode) and status.st_mode & PRIVATE != PRIVATE:
                set_mode(parent, name, stat.S_IMODE(status.st_mode) | PRIVATE)
        except OSError as error:
            # If it really cannot be written in, the write says so.
            if error.errno not in {*_GONE, *_NOT_ALLOWED}:
                raise

    def put_file(self, action: Action, staging: int, *, is_dressed: bool = False) -> None:
        """Move what is staged for *action* to its path, with owner, mode and time; it has them if it *is_dressed*."""
        entry, staged = action.entry, self._marker.staged[action.path].name
        if entry is None or not (is_dressed or _status(staging, staged)):
            return
        parent, name = self._opened(action.path)
        status = _status(parent, name)
        if status is not None and stat.S_ISREG(status.st_mode) and status.st_ino in self._placed:
            raise IntegrityError(
                f"{shown(action.path)} and another path of this restore are one name on this file system; "
                f"the restore is not finished"
            )
        if status is not None and (
            action.verb is Verb.WRITE or stat.S_ISDIR(status.st_mode) or self._is_edited(status)
        ):
            self.set_aside(action.path, planned=False)
        if not is_dressed:
            self._dress(staging, staged, action, entry)
        try:
            os.rename(staged, name, src_dir_fd=staging, dst_dir_fd=parent)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._across(parent, name, lambda temporary: self._copy(staging, staged, parent, temporary, action))
            os.unlink(staged, dir_fd=staging)

    def put_link(self, action: Action, staging: int) -> None:
        """Make the path of *action* its symlink, in one step."""
        entry = action.entry
        if entry is None:
            return
        parent, name = self._opened(action.path)
        status = _status(parent, name)
        linked = status is not None and stat.S_ISLNK(status.st_mode)
        if linked and os.readlink(name, dir_fd=parent) == entry.target:
            self._give(parent, name, action)
            return
        if status is not None and (stat.S_ISDIR(status.st_mode) or self._is_edited(status)):
            self.set_aside(action.path, planned=False)

        def link(directory: int, temporary: bytes) -> None:
            os.symlink(entry.target, temporary, dir_fd=directory)
            self._give(directory, temporary, action)

        temporary = b"link"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=staging)
        link(staging, temporary)
        try:
            os.rename(temporary, name, src_dir_fd=staging, dst_dir_fd=parent)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._across(parent, name, lambda temporary: link(parent, temporary))

    def _is_edited(self, status: os.stat_result) -> bool:
        """Return whether somebody touched a file since the switch began: then nobody has recorded it (P1)."""
        return status.st_ctime_ns >= self._since_ns

    def put_meta(self, action: Action) -> None:
        """Give the file or symlink of *action* its owner and mode; its content is right."""
        parent, name = self._opened(action.path)
        status = _status(parent, name)
        if status is not None and action.entry is not None and not stat.S_ISDIR(status.st_mode):
            self._give(parent, name, action)
            if stat.S_ISREG(status.st_mode):
                self._set_mode(parent, name, action.path, action.entry.mode)

    def put_directory_meta(self, action: Action, syncing: durable.Syncing) -> None:
        """Give the directory of *action* its owner and mode, and leave it to *syncing*."""
        entry = action.entry
        if entry is None:
            return
        try:
            parent, name = self._opened(action.path)
            with durable.opened(parent, name) as descriptor:
                status = os.fstat(descriptor)
                if action.owner is not None and action.owner != (status.st_uid, status.st_gid):
                    with self._noting(self.not_owned, action.path):
                        os.fchown(descriptor, *action.owner)
                if stat.S_IMODE(os.fstat(descriptor).st_mode) != entry.mode:
                    with self._noting(self.not_moded, action.path):
                        os.fchmod(descriptor, entry.mode)
                syncing.add(os.dup(descriptor))
        except PermissionError:
            self.not_moded.add(action.path)
        except (FileNotFoundError, NotADirectoryError):
            # It was opened to be emptied, and has gone with what it held.
            return

    def _dress(self, directory: int, name: bytes, action: Action, entry: Entry) -> None:
        """Give a file that is about to be renamed everything that it has to have, durably."""
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            status = os.fstat(descriptor)
            if is_dressed(status, action):
                # As it was staged, and synced then.
                return
            if action.owner is not None and action.owner != (status.st_uid, status.st_gid):
                with self._noting(self.not_owned, action.path):
                    os.fchown(descriptor, *action.owner)
            # The mode comes after the owner, which takes set-id bits away.
            with contextlib.suppress(PermissionError):
                os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
            if stat.S_IMODE(os.fstat(descriptor).st_mode) != entry.mode:
                with self._noting(self.not_moded, action.path):
                    os.fchmod(descriptor, entry.mode)
            durable.sync(descriptor)
        finally:
            os.close(descriptor)

    def _copy(self, staging: int, staged: bytes, parent: int, temporary: bytes, action: Action) -> None:
        """Copy a staged content to another file system."""
        source = os.open(staged, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=staging)
        try:
            _write_copy(source, parent, temporary)
        finally:
            os.close(source)
        if action.entry is not None:
            self._dress(parent, temporary, action, action.entry)

    def _give(self, directory: int, name: bytes, action: Action) -> None:
        if action.owner is not None:
            with self._noting(self.not_owned, action.path):
                os.chown(name, *action.owner, dir_fd=directory, follow_symlinks=False)

    def _set_mode(self, directory: int, name: bytes, path: bytes, mode: int) -> None:
        status = _status(directory, name)
        if status is not None and stat.S_IMODE(status.st_mode) != mode:
            with self._noting(self.not_moded, path):
                set_mode(directory, name, mode)

    @contextlib.contextmanager
    def _noting(self, paths: set[bytes], path: bytes) -> Iterator[None]:
        """Note *path* in *paths* if this process may not do what follows (counted, not fatal)."""
        try:
            yield
        except OSError as error:
            if error.errno not in _NOT_ALLOWED:
                raise
            paths.add(path)

    def _across(self, parent: int, name: bytes, make: Callable[[bytes], None]) -> None:
        """Make a temporary in *parent*, which is on another file system, and rename it to *name*."""
        temporary = durable.temporary_name()
        try:
            make(temporary)
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=parent)
            raise


def is_dressed(status: os.stat_result, action: Action) -> bool:
    """Return whether a staged file of *status* has the owner, mode and time that *action* gives it."""
    is_owned = action.owner is None or action.owner == (status.st_uid, status.st_gid)
    wanted = action.entry and (action.entry.mode, action.entry.mtime_ns)
    return is_owned and (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == wanted


def set_mode(directory: int, name: bytes, mode: int) -> None:
    """Set the mode of the file or directory *name* itself; a symlink is never followed."""
    if _PATH_ONLY is None:
        os.chmod(name, mode, dir_fd=directory, follow_symlinks=False)
        return
    descriptor = os.open(name, _PATH_ONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        if stat.S_ISLNK(os.fstat(descriptor).st_mode):
            raise RefusedError(f"{shown(name)} has become a symlink while its mode was to be set")
        # Linux sets no mode on a descriptor that is good for the path only, but does so through its name in /proc.
        Path(f"/proc/self/fd/{descriptor}").chmod(mode)
    finally:
        os.close(descriptor)


def _status(directory: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _move(source: int, name: bytes, target: int, free: bytes) -> None:
    """Rename *name* to *free*, or copy it there from another file system."""
    try:
        os.rename(name, free, src_dir_fd=source, dst_dir_fd=target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    else:
        return
    if stat.S_ISLNK(os.stat(name, dir_fd=source, follow_symlinks=False).st_mode):
        os.symlink(os.readlink(name, dir_fd=source), free, dir_fd=target)
    else:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=source)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise RefusedError(f"{shown(name)} is on another file system and cannot be set aside; move it away")
            temporary = durable.temporary_name()
            _write_copy(descriptor, target, temporary)
            os.rename(temporary, free, src_dir_fd=target, dst_dir_fd=target)
        finally:
            os.close(descriptor)
    os.unlink(name, dir_fd=source)


def _write_copy(source: int, directory: int, name: bytes) -> None:
    """Create *name* in *directory* with the content of *source*, synced."""
    copy = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        while part := os.read(source, _COPY_BYTES):
            durable.write_all(copy, part)
        durable.sync(copy)
    finally:
        os.close(copy)
