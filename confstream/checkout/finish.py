"""The second half of a restore: what the marker says, done, however often it was begun (P3).

Every step looks first whether it was done already, so that being killed
anywhere and started again leads to the same end. Nothing here needs a replica.
"""

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from confstream import durable
from confstream.checkout.marker import Marker, Staged, read_marker
from confstream.checkout.place import Place, is_dressed, set_mode
from confstream.checkout.plan import Action, Verb, shown
from confstream.checkout.state import MARKER, STAGING, STATE, discard_staging, opened_state, remove_below, state_owner
from confstream.errors import IntegrityError, PartialError
from confstream.tree import Entry, Kind
from confstream.values import dataclass

_GONE = {errno.ENOENT, errno.ENOTDIR}
_CHUNK_BYTES = 1 << 20
_FILLED = {Verb.WRITE, Verb.REPLACE}


@dataclass(frozen=True, slots=True)
class Finished:
    """What a finished restore did, and what it could not do.

    *aside* is where things were set aside, below the root. *not_owned* and
    *not_moded* are the paths whose owner or mode this process may not set,
    *left* the directories that were to go and still hold something.
    """

    written: int
    removed: int
    aside: bytes | None
    not_owned: tuple[bytes, ...]
    not_moded: tuple[bytes, ...]
    left: tuple[bytes, ...]
    note: Mapping[str, Any] = field(default_factory=dict)


def finish(
    root: Path, *, checkpoint: Callable[[str], None] = lambda _: None, staged: Marker | None = None
) -> Finished | None:
    """Do what the marker in *root* says and remove it; return ``None``, and empty staging, if there is none.

    *checkpoint* is told before each step. *staged* is the marker that ``stage`` has just returned to the same
    process, which has kept other restores out since: neither that nor what it has checked, written and synced is
    read again. Raise ``IntegrityError``, before
    anything is touched, if the marker is damaged or a staged content is missing;
    ``PartialError`` if the system refuses a step: the marker stays, the next call goes on; and if the marker
    vanished meanwhile.
    """
    try:
        with durable.opened_root(root) as descriptor:
            marker = staged or read_marker(descriptor, root)
            if marker is None:
                # Killed before there was a marker, or after it was removed: what is staged is garbage.
                discard_staging(root)
                return None
            with opened_state(descriptor, state_owner(root), make=False) as state:
                return _Switch(root, descriptor, state, marker, checkpoint, is_fresh=staged is not None).run()
    except FileNotFoundError as error:
        if error.filename in {root, str(root)}:
            return None
        raise halted(root, error) from error
    except OSError as error:
        raise halted(root, error) from error


def halted(root: Path, error: OSError) -> PartialError:
    """Return what to raise where *error* ends what the marker in *root* asks for."""
    return PartialError(f"{root}: the restore stopped half-way: {error}. Mend that, and the next start finishes it")


def vanished(root: Path, outcome: str) -> PartialError:
    """Return what to raise where the marker of the restore of *root* is gone that this process has written."""
    marker = root / os.fsdecode(STATE) / os.fsdecode(MARKER)
    return PartialError(f"{marker}: the marker vanished, something else removed it. {outcome}; restore again")


class _Switch:
    """One run through the plan of a marker."""

    def __init__(
        self,
        root: Path,
        descriptor: int,
        state: int,
        marker: Marker,
        checkpoint: Callable[[str], None],
        *,
        is_fresh: bool = False,
    ) -> None:
        self._shown_root = root
        self._is_fresh = is_fresh
        self._root = descriptor
        self._state = state
        self._marker = marker
        self._checkpoint = checkpoint
        self._touched: set[bytes] = set()
        self._dressed: set[bytes] = set()
        self._removed = 0
        self._left: list[bytes] = []
        self._place = Place(descriptor, state, marker, state_owner(root))

    def run(self) -> Finished:
        """Do everything; return what was done."""
        with contextlib.closing(self._place):
            with self._staging() as staging:
                self._verify(staging)
                self._open_directories()
                for action in self._marker.actions:
                    self._checkpoint(str(action))
                    self._do(action, staging)
                self._place.leave()
            with durable.syncing(durable.sync_directory) as syncing:
                self._close_directories(syncing)
                self._checkpoint("sync directories")
                self._sync(syncing)
        # The marker goes last: until then this tree is told to be unfinished.
        self._checkpoint("remove the marker")
        try:
            os.unlink(MARKER, dir_fd=self._state)
        except FileNotFoundError as error:
            raise vanished(self._shown_root, "Every file is in place, but it was not told to be unfinished") from error
        durable.sync_directory(self._state)
        self._checkpoint("empty staging")
        remove_below(self._state, STAGING)
        self._checkpoint("finished")
        return Finished(
            len(self._marker.staged) + sum(action.verb is Verb.LINK for action in self._marker.actions),
            self._removed,
            self._place.aside_used,
            tuple(sorted(self._place.not_owned)),
            tuple(sorted(self._place.not_moded)),
            tuple(self._left),
            self._marker.note,
        )

    @contextlib.contextmanager
    def _staging(self) -> Iterator[int]:
        try:
            with durable.opened(self._state, STAGING) as staging:
                yield staging
        except FileNotFoundError as error:
            if error.filename != STAGING:
                raise
            raise IntegrityError(self._advice("the staging directory is missing")) from error

    def _verify(self, staging: int) -> None:
        """Make sure that every content is staged still, or in its place already."""
        wanted = {action.path: action for action in self._marker.actions if action.path in self._marker.staged}
        for path, action in wanted.items():
            entry = action.entry
            if entry is None or entry.kind is not Kind.FILE:
                continue
            self._checkpoint(f"verify {shown(path)}")
            staged = self._marker.staged[path]
            if self._is_fresh and (status := _as_staged(staging, staged, entry)) is not None:
                if is_dressed(status, action):
                    # As it was staged, and synced then.
                    self._dressed.add(path)
                continue
            try:
                found = _hash_of(staging, staged.name)
            except FileNotFoundError as error:
                if not self._is_placed(path, entry):
                    raise IntegrityError(self._advice(f"the staged content of {shown(path)} is missing")) from error
                continue
            if found != entry.hash:
                raise IntegrityError(self._advice(f"the staged content of {shown(path)} is damaged"))

    def _is_placed(self, path: bytes, entry: Entry) -> bool:
        """Return whether *path* holds its new content, or did until somebody edited it."""
        try:
            with durable.opened_parent(self._root, path) as (parent, name):
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
                same = status.st_ino == self._marker.staged[path].ino
                return same or _hash_of(parent, name) == entry.hash
        except OSError:
            return False

    def _advice(self, found: str) -> str:
        marker = self._shown_root / ".confstream" / os.fsdecode(MARKER)
        return (
            f"{found}, so the interrupted restore cannot be finished; nothing more was changed. "
            f"Remove {marker} and restore again with --force"
        )

    def _open_directories(self) -> None:
        for action in self._marker.actions:
            if action.of_directory and action.verb in {Verb.CHMOD, Verb.CHOWN}:
                self._checkpoint(f"open {shown(action.path)}")
                self._place.open_directory(action.path)

    def _do(self, action: Action, staging: int) -> None:
        self._touched.add(action.path.rpartition(b"/")[0])
        # Before anything else: it may be one of the open directories that has to go, or has gone.
        self._place.leave(action.path)
        if action.verb in _FILLED:
            self._place.put_file(action, staging, is_dressed=action.path in self._dressed)
            return
        match action.verb:
            case Verb.SET_ASIDE:
                self._place.set_aside(action.path)
            case Verb.DELETE:
                self._removed += self._place.remove_file(action.path)
            case Verb.RMDIR:
                removed = self._place.remove_directory(action.path)
                self._removed += removed is True
                if removed is None:
                    self._left.append(action.path)
            case Verb.MKDIR:
                self._place.make_directory(action.path)
                self._touched.add(action.path)
            case Verb.LINK:
                self._place.put_link(action, staging)
            case Verb.CHMOD | Verb.CHOWN:
                if not action.of_directory:
                    self._place.put_meta(action)

    def _close_directories(self, syncing: durable.Syncing) -> None:
        """Give directories their owner and mode, deepest first: a closed one lets nobody in."""
        wanted: dict[bytes, Action] = {}
        for action in self._marker.actions:
            if action.of_directory:
                before = wanted.get(action.path)
                wanted[action.path] = action if before is None or before.owner is None else before
        for path in sorted(wanted, reverse=True):
            self._checkpoint(f"close {shown(path)}")
            self._touched.discard(path)
            self._place.put_directory_meta(wanted[path], syncing)

    def _sync(self, syncing: durable.Syncing) -> None:
        with contextlib.closing(durable.Parent(self._root)) as parents:
            for path in sorted(self._touched):
                try:
                    with durable.opened(parents.directory(path), b"") as descriptor:
                        syncing.add(os.dup(descriptor))
                except OSError as error:
                    # Removed by this plan, or closed to this process: then it was synced when it was closed.
                    if error.errno not in {*_GONE, errno.EACCES}:
                        raise


def _as_staged(staging: int, staged: Staged, entry: Entry) -> os.stat_result | None:
    """Return the status of the file that was staged if it is there still: it was synced, and nobody else writes it."""
    try:
        status = os.stat(staged.name, dir_fd=staging, follow_symlinks=False)
    except OSError:
        return None
    return status if (status.st_ino, status.st_size) == (staged.ino, entry.size) else None


def _hash_of(directory: int, name: bytes) -> bytes:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(name, flags, dir_fd=directory)
    except PermissionError:
        # Killed between the mode and the rename: what its owner may not read, its owner may open.
        set_mode(directory, name, 0o600)
        descriptor = os.open(name, flags, dir_fd=directory)
    hasher = hashlib.sha256()
    try:
        while part := os.read(descriptor, _CHUNK_BYTES):
            hasher.update(part)
    finally:
        os.close(descriptor)
    return hasher.digest()
