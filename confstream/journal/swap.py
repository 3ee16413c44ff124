"""A file put into place, or taken away, without losing what somebody wrote there a moment before (P1).

What is in the way comes out under another name and is looked at: if it is not
what was expected, it goes back, as if it had been written right after. What a
program writes later through a file that it had opened before is beyond that,
as it is for every program that replaces files. Where the file system cannot
exchange two names, the window between a look and the rename stays.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Collection

from confstream import durable

Numbers = tuple[int, ...]
"""Inode, size and time of the last write: what a rename leaves as it is."""


def numbers_at(parent: int, name: bytes) -> Numbers | None:
    """Return the numbers of *name* in *parent*, ``None`` if nothing is there."""
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def put(
    parent: int, name: bytes, new: bytes, expected: Collection[Numbers | None], replaced: Callable[[bytes], None]
) -> bool:
    """Give *new* the name *name*; return False, with *name* as it was, if what is there is none of *expected*.

    ``None`` among *expected* is nothing. *replaced* is told under which name
    what was there is now, for the caller to remove: a disk may take its time.
    """
    try:
        if any(expected):
            return _exchange(parent, name, new, expected, replaced)
    except FileNotFoundError:
        # It is not there any more: somebody deleted it, unless that was expected as well.
        pass
    if None in expected:
        with contextlib.suppress(FileExistsError):
            return durable.rename_new(parent, new, name)
    _refuse_directory(parent, name)
    return False


def take_away(
    parent: int, name: bytes, expected: Collection[Numbers | None], aside: bytes, replaced: Callable[[bytes], None]
) -> bool:
    """Delete *name*; return False, with *name* as it was, if what is there is none of *expected*.

    *aside* is the temporary name under which it is looked at, and then told to *replaced*, as by ``put``.
    """
    try:
        os.rename(name, aside, src_dir_fd=parent, dst_dir_fd=parent)
    except FileNotFoundError:
        return True
    if numbers_at(parent, aside) in expected:
        replaced(aside)
        return True
    try:
        durable.rename_new(parent, aside, name)
    except FileExistsError:
        # Written anew in between: the newest one counts.
        os.unlink(aside, dir_fd=parent)
    _refuse_directory(parent, name)
    return False


def _exchange(
    parent: int, name: bytes, new: bytes, expected: Collection[Numbers | None], replaced: Callable[[bytes], None]
) -> bool:
    if not durable.exchange(parent, new, name):
        if (found := numbers_at(parent, name)) is None:
            raise FileNotFoundError
        if found not in expected:
            _refuse_directory(parent, name)
            return False
        os.rename(new, name, src_dir_fd=parent, dst_dir_fd=parent)
        return True
    if numbers_at(parent, new) in expected:
        replaced(new)
        return True
    durable.exchange(parent, new, name)
    _refuse_directory(parent, name)
    return False


def _refuse_directory(parent: int, name: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fsdecode(name))
