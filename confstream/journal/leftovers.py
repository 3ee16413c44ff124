"""What a write that a crash cut short leaves in the tree: new files beside the places that they never got to."""

import contextlib
import os
from pathlib import Path

from confstream import durable
from confstream.codec.fields import PATH_SIZE_MAX
from confstream.journal.writes import STATE

_OLD_SECONDS = 3600.0
"""No write has its files beside their places for so long."""


def sweep(root: Path, writer: str, now_ns: int) -> None:
    """Remove the new files of writes that a crash cut short before they were recorded.

    Of others than *writer* only what is old: a journal with a state directory
    of its own may be writing to the same tree at this moment.
    """
    old_ns = now_ns - round(_OLD_SECONDS * 1e9)
    with durable.opened_root(root) as top:
        # One after the other: directories may be deeper than functions may call one another.
        waiting = [b""]
        while waiting:
            path = waiting.pop()
            with contextlib.suppress(OSError), durable.opened(top, path) as directory:
                with os.scandir(directory) as found:
                    entries = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in found]
                for name, is_dir in entries:
                    below = path + b"/" + name if path else name
                    if is_dir and below != STATE and len(below) <= PATH_SIZE_MAX:
                        waiting.append(below)
                    elif durable.is_temporary(name) and not is_dir and _is_left(directory, name, writer, old_ns):
                        os.unlink(name, dir_fd=directory)


def _is_left(directory: int, name: bytes, writer: str, old_ns: int) -> bool:
    """Return whether nobody is going to rename the temporary *name* any more."""
    if durable.is_temporary(name, writer):
        return True
    # Its time of modification is that of the write; this one is when it was made.
    return os.stat(name, dir_fd=directory, follow_symlinks=False).st_ctime_ns < old_ns
