"""Before anything is replaced: it is recorded, so that a restore can itself be undone (P1).

What the log holds already needs no recording. Else the journal records it;
where a running process has the journal, that process does, and is waited for.
"""

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from confstream.clock import Clock
from confstream.errors import RefusedError
from confstream.history import History
from confstream.journal.directory import holder
from confstream.tree import Entry, Tree

RecordBefore = Callable[[Path, str, str], str]
"""Called with root, replica URL and message; captures the present state and returns a line saying where it is."""

_POLL_SECONDS = 1.0
_BUSY = {errno.EWOULDBLOCK, errno.EACCES}


def unrecorded(replaced: Sequence[bytes], present: Tree, head: Mapping[bytes, Entry]) -> tuple[bytes, ...]:
    """Return which of *replaced* the newest revision does not hold as they are."""
    return tuple(path for path in replaced if path not in head or not head[path].matches(present[path]))


def is_locked(state_dir: Path) -> bool:
    """Return whether a process has the journal in *state_dir* open."""
    try:
        descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _BUSY
    finally:
        os.close(descriptor)
    return False


def wait_until_published(
    history: History, paths: Sequence[bytes], present: Tree, state_dir: Path, *, clock: Clock, timeout_seconds: float
) -> str:
    """Return once the newest revision holds *paths* as they are in *present*, and say which one it is.

    Raise ``RefusedError`` that names the process with the journal if it takes
    longer than *timeout_seconds*.
    """
    deadline, never = clock.elapsed_seconds() + timeout_seconds, threading.Event()
    seen, left = -1, tuple(paths)
    while True:
        number = history.reader.refresh().head
        if number != seen:
            left = unrecorded(paths, present, history.reader.checkout(number, index_only=True).tree)
            seen = number
        if not left:
            return f"what is replaced is in revision {number}"
        if clock.elapsed_seconds() >= deadline:
            pid = holder(state_dir)
            raise RefusedError(
                f"{os.fsdecode(left[0])} and what else would be replaced is not in the replica after "
                f"{timeout_seconds:g} s, and {f'process {pid}' if pid else 'another process'} has the journal; "
                "nothing was changed. See whether it is healthy, or end it, and restore again"
            )
        clock.wait(never, _POLL_SECONDS)
