"""What a restore leaves behind for the next writer: ``.confstream/restored``.

JSON, 0600, durable before the first file is switched, so that a rollback is
published as one and outlives the next restart. Keys: ``revision``, ``fork``
(null: of the log), ``hash`` (hex), ``time`` (RFC 3339), ``time_ns``, ``by``, ``host``, ``path`` (null: everything).
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confstream import durable, moments
from confstream.checkout import prepare_state_dir, state_owner
from confstream.history import LogEntry

NAME = b"restored"


def restored(entry: LogEntry, now_ns: int, actor: str, path: bytes | None) -> dict[str, Any]:
    """Return the note about a restore of *entry*, or of its *path* only, by *actor*."""
    import socket  # noqa: PLC0415 - most restores leave no note

    return {
        "revision": entry.number,
        "fork": entry.fork and entry.fork.name,
        "hash": entry.hash.hex(),
        "time": moments.format_utc(now_ns),
        "time_ns": now_ns,
        "by": actor,
        "host": socket.gethostname(),
        "path": None if path is None else os.fsdecode(path),
    }


def leave(root: Path, note: Mapping[str, Any] | None) -> None:
    """Write *note* into the state directory of *root*; without one, remove what an earlier restore left."""
    prepare_state_dir(root)
    with durable.opened_root(root) as top, durable.opened(top, b".confstream") as state:
        if note is not None:
            import json  # noqa: PLC0415 - as above

            content = json.dumps(dict(note), indent=1).encode() + b"\n"
            durable.replace(state, NAME, content, owner=state_owner(root))
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(NAME, dir_fd=state)
            durable.sync_directory(state)
