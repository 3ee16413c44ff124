"""An unfinished restore is finished before anything else happens (P3).

Without the replica, as long as what was staged is whole. What was lost of it
is fetched again from the very revision that the marker names.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from confstream import durable
from confstream.checkout import Finished, Marker, finish, state_owner, unfinished
from confstream.checkout.finish import halted, vanished
from confstream.checkout.marker import Staged, encode
from confstream.checkout.state import MARKER, STAGING, is_marked, make_private, opened_state
from confstream.errors import IntegrityError
from confstream.history import History
from confstream.restorer import note
from confstream.tree import Entry, Kind

_BLOCK_BYTES = 1 << 20
Opened = Callable[[], contextlib.AbstractContextManager[History]]
Refetch = Callable[[Marker, Sequence[Entry]], Iterable[tuple[Entry, bytes]]]
"""Called with a marker and the entries of which the staged content is lost; gives the contents again, verified."""


def discard_damaged(root: Path) -> bool:
    """Remove the marker in *root* if it says nothing any more; return whether it did.

    Only right where everything is going to be replaced anyway.
    """
    try:
        unfinished(root)
    except IntegrityError:
        with durable.opened_root(root) as top, opened_state(top, None, make=False) as state:
            os.unlink(MARKER, dir_fd=state)
            durable.sync_directory(state)
        return True
    return False


def check_note(root: Path, marker: Marker) -> None:
    """Raise ``IntegrityError`` if what *marker* notes about its restore is nothing that a restore notes."""
    types: dict[str, tuple[type, ...]] = {
        "revision": (int,),
        "hash": (bytes,),
        "time_ns": (int,),
        "replica": (str,),
        "fork": (str, type(None)),
        "restored": (dict, type(None)),
    }
    for name, allowed in types.items():
        if name in marker.note and type(marker.note[name]) not in allowed:
            raise IntegrityError(
                f"{root / '.confstream' / os.fsdecode(MARKER)} is damaged: its {name} is {marker.note[name]!r:.40}. "
                f"Remove that file and restore again with --force"
            )


def switch(root: Path, checkpoint: Callable[[str], None], staged: Marker | None = None) -> Finished | None:
    """Do what the marker in *root* says, the note for the next writer first; ``None`` without a marker.

    *staged* is that marker if this process has just made it.
    """
    marker = staged or unfinished(root)
    if marker is None:
        return None
    if staged is not None and not is_marked(root):
        raise vanished(root, "Nothing was changed")
    if "restored" in marker.note:
        with _halting(root):
            try:
                note.leave(root, marker.note["restored"])
            except (FileNotFoundError, NotADirectoryError) as error:
                # With the state directory the marker is gone that is in it.
                raise vanished(root, "Nothing was changed") from error
        checkpoint("noted")
    return finish(root, checkpoint=checkpoint, staged=staged)


def resume(
    root: Path,
    refetch: Refetch,
    report: Callable[[str], None],
    checkpoint: Callable[[str], None],
    staged: Marker | None = None,
) -> Finished:
    """Finish the restore of *root*; *refetch* is called only if a staged content is lost.

    *staged* is its marker if this process has just made it.
    """
    marker = staged or unfinished(root)
    try:
        finished = switch(root, checkpoint, staged)
    except IntegrityError as error:
        if marker is None or "revision" not in marker.note:
            raise
        report(f"{error.args[0].partition(',')[0]}; it is fetched again")
        if not _restage(root, marker, refetch):
            raise
        finished = switch(root, checkpoint)
    if finished is None:
        raise IntegrityError(f"{root}: the marker of the unfinished restore vanished; another restore is running")
    return finished


def fetched_again(opened: Opened, marker: Marker, lost: Sequence[Entry]) -> Iterator[tuple[Entry, bytes]]:
    """Yield the contents of *lost* from the revision that *marker* names, in the replica that *opened* opens."""
    paths, number, fork = {entry.path for entry in lost}, int(marker.note["revision"]), marker.note.get("fork")
    with opened() as history:
        found = history.checkout(f"{fork}/{number}" if fork else number, paths.__contains__)
        try:
            if found.position.hash != marker.note["hash"]:
                raise IntegrityError(
                    f"revision {number} of {history.url} is another one than the interrupted restore was of; "
                    "give the same replica as then"
                )
            for entry in lost:
                content = found.content(entry.hash)
                if hashlib.sha256(content).digest() != entry.hash:
                    raise IntegrityError(
                        f"{os.fsdecode(entry.path)}: the replica has another content than its hash says"
                    )
                yield entry, content
        finally:
            found.close()


def _restage(root: Path, marker: Marker, refetch: Refetch) -> bool:
    """Stage again what is damaged or gone; return whether anything was."""
    owner = state_owner(root)
    entries = {action.path: action.entry for action in marker.actions if action.path in marker.staged}
    with _halting(root), durable.opened_root(root) as top, opened_state(top, owner) as state:
        make_private(state, STAGING, owner)
        with durable.opened(state, STAGING) as staging:
            lost = [
                entry
                for path, entry in entries.items()
                if entry is not None and entry.kind is Kind.FILE
                if not _is_safe(top, staging, entry, marker.staged[path])
            ]
            if not lost:
                return False
            staged = dict(marker.staged)
            for entry, content in refetch(marker, lost):
                name = staged[entry.path].name
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=staging)
                durable.create(staging, name, content)
                staged[entry.path] = Staged(name, os.stat(name, dir_fd=staging, follow_symlinks=False).st_ino)
            durable.sync_directory(staging)
        durable.sync_directory(state)
        durable.replace(state, MARKER, encode(replace(marker, staged=staged)), owner=owner)
    return True


@contextlib.contextmanager
def _halting(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise halted(root, error) from error


def _is_safe(top: int, staging: int, entry: Entry, staged: Staged) -> bool:
    """Return whether the content of *entry* is whole in staging, or has been put in its place."""
    try:
        return _hash(staging, staged.name) == entry.hash
    except FileNotFoundError:
        pass
    except OSError:
        return False
    try:
        with durable.opened_parent(top, entry.path) as (parent, name):
            inode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_ino
            return inode == staged.ino or _hash(parent, name) == entry.hash
    except OSError:
        return False


def _hash(directory: int, name: bytes) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=directory)
    hasher = hashlib.sha256()
    try:
        while block := os.read(descriptor, _BLOCK_BYTES):
            hasher.update(block)
    finally:
        os.close(descriptor)
    return hasher.digest()
