"""Which file systems tell only half of what happens.

Changes that another machine makes on a network file system never reach
inotify here, so there the watcher polls.
"""

import os
import re
import sys
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = {
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "drvfs", "fuse", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs",
    "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "smb2", "smb3", "smbfs", "vboxsf", "virtiofs",
}  # fmt: skip
_OCTAL = re.compile(rb"\\([0-7]{3})")


def polling_reason(root: Path, mounts: bytes | None = None) -> str | None:
    """Return why *root* has to be polled, or ``None`` if inotify sees everything in it.

    *mounts* is the text of ``/proc/self/mountinfo``, read here if not given.
    """
    if mounts is None:
        if sys.platform != "linux":
            return "no inotify"
        try:
            mounts = _MOUNTS.read_bytes()
        except OSError:
            return None
    where = os.path.realpath(os.fsencode(root))
    around, below = filesystem_type(root, mounts), ""
    for point, kind in _parsed(mounts):
        if point.startswith(where.rstrip(b"/") + b"/") and _is_network(kind):
            below = f"network file system {kind} at {os.fsdecode(point[len(where.rstrip(b'/')) + 1 :])}"
    if _is_network(around):
        return f"network file system {around}"
    return below or None


def filesystem_type(root: Path, mounts: bytes | None = None) -> str:
    """Return what the kernel calls the file system that *root* is on; empty if that is not known."""
    try:
        mounts = _MOUNTS.read_bytes() if mounts is None else mounts
    except OSError:
        return ""
    where = os.path.realpath(os.fsencode(root))
    around = b"", ""
    for point, kind in _parsed(mounts):
        # The longest one counts, and of equal ones the last, which covers the others.
        if (where == point or where.startswith(point.rstrip(b"/") + b"/")) and len(point) >= len(around[0]):
            around = point, kind
    return around[1]


def mounted(root: bytes) -> tuple[object, ...]:
    """Return what changes when something is mounted over the directory *root*, or at something in it."""
    try:
        status = Path(os.fsdecode(root)).stat()
        found = [line for line in _MOUNTS.read_bytes().splitlines() if root in _OCTAL.sub(_unescaped, line)]
    except OSError:
        return ()
    return status.st_dev, status.st_ino, *found


def _parsed(mounts: bytes) -> list[tuple[bytes, str]]:
    found = []
    for line in mounts.splitlines():
        left, separator, right = line.partition(b" - ")
        fields = left.split(b" ")
        if separator and len(fields) > 4 and right:  # noqa: PLR2004 - the fifth field is the mount point.
            point = _OCTAL.sub(_unescaped, fields[4])
            found.append((point, right.split(b" ")[0].decode("ascii", "replace")))
    return found


def _unescaped(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 8)])


def _is_network(kind: str) -> bool:
    return kind in _NETWORK or kind.startswith("fuse.")
