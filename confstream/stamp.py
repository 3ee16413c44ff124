"""What lstat says about a path, as a value.

Two equal stamps mean that nothing happened to the path in between, as far as
the file system can tell. Pure: nothing here touches a disk.
"""

import os
import stat
from typing import NamedTuple

from confstream.tree import Kind

_KINDS = {stat.S_IFREG: Kind.FILE, stat.S_IFLNK: Kind.SYMLINK, stat.S_IFDIR: Kind.DIRECTORY}
_SPECIAL = {stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
_SECOND_NS = 1_000_000_000
# Two writes within one tick of the kernel's clock leave the same times; the slowest tick is 10 ms.
_TICK_NS = 50_000_000
_COARSE_TICK_NS = 2 * _SECOND_NS
_UNSURE = -1
_make = tuple.__new__
# A member of an enumeration takes longer to look up than a file's stamp to make.
_FILE, _SYMLINK = Kind.FILE, Kind.SYMLINK


class Stamp(NamedTuple):
    """What lstat says about a file, a symlink or a directory.

    A directory has no size and no times here, because they change with every
    file in it. A named tuple, not a dataclass: a survey makes one per file,
    and this is five times as fast.
    """

    kind: Kind
    ino: int
    dev: int
    size: int
    mtime_ns: int
    ctime_ns: int
    mode: int
    uid: int
    gid: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp | None":
        """Return the stamp of *status*, or ``None`` for a socket, FIFO or device."""
        # By position where there is one: twice as fast as by name.
        mode, ino, dev, _, uid, gid, size, _, _, _ = status
        kind = _KINDS.get(mode & 0o170000)
        if kind is _FILE or kind is _SYMLINK:
            return _make(cls, (kind, ino, dev, size, status.st_mtime_ns, status.st_ctime_ns, mode & 0o7777, uid, gid))
        if kind is None:
            return None
        return _make(cls, (kind, ino, dev, 0, 0, 0, mode & 0o7777, uid, gid))


def special(status: os.stat_result) -> str:
    """Return what a person calls the thing of *status* that no tree can hold."""
    return _SPECIAL.get(stat.S_IFMT(status.st_mode), "special file")


def remembered(stamp: Stamp, now_ns: int) -> Stamp:
    """Return what to remember of a path that was read at *now_ns*, when it had *stamp*.

    That is *stamp*, unless the path changed so short a time ago that another
    write could hide in the same tick of the clock: then one that equals no
    real stamp, so that the next comparison reads the path once more.
    """
    if stamp.kind is Kind.DIRECTORY:
        return stamp
    coarse = stamp.mtime_ns % _SECOND_NS == 0 and stamp.ctime_ns % _SECOND_NS == 0
    if now_ns - stamp.ctime_ns > (_COARSE_TICK_NS if coarse else _TICK_NS):
        return stamp
    return stamp._replace(ctime_ns=_UNSURE)


def is_as_remembered(found: Stamp | None, known: Stamp) -> bool:
    """Return whether *found* may be the unchanged path of which *known* was ``remembered``."""
    return found is not None and found == (
        known._replace(ctime_ns=found.ctime_ns) if known.ctime_ns == _UNSURE else known
    )
