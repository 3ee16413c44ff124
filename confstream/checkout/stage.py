"""The first half of a restore: everything verified and durable on the same file system, nothing changed yet.

The write order is: contents in staging, each synced; the names of staging
synced; then the marker, by rename, synced. Killed before the marker, the tree
is as it was; from the marker on, ``finish`` can end the work without anybody's help.
"""

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confstream import durable
from confstream.checkout.marker import Marker, Staged, encode
from confstream.checkout.plan import Action, Verb, shown
from confstream.checkout.state import ASIDE, MARKER, STAGING, make_private, opened_state, remove_below, state_owner
from confstream.clock import Clock
from confstream.errors import ConfstreamError, IntegrityError, RefusedError, UnavailableError
from confstream.stamp import Stamp, is_as_remembered
from confstream.tree import Entry, Kind

_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLEARED = {Verb.SET_ASIDE, Verb.DELETE}
_FILLED = {Verb.WRITE, Verb.REPLACE}


def stage(
    root: Path,
    actions: Sequence[Action],
    content: Callable[[bytes], bytes],
    *,
    clock: Clock,
    note: Mapping[str, Any] | None = None,
    expected: Mapping[bytes, Stamp] | None = None,
    checkpoint: Callable[[str], None] = lambda _: None,
) -> Marker:
    """Prepare *actions* on *root*, up to and including the marker; ``finish`` does the rest.

    *content* returns the content of a hash. What an action would replace, move
    or remove must still have its stamp of *expected*, where that has one.
    *checkpoint* is told before each step. Whatever is raised, the tree is
    unchanged: ``IntegrityError`` for a content that is not what its hash says,
    ``RefusedError`` for an unfinished restore, for something in the way that
    *actions* do not know of, and for names that this file system cannot tell apart.
    """
    owner = state_owner(root)
    with (
        _leaving_unchanged(root, actions),
        durable.opened_root(root) as descriptor,
        opened_state(descriptor, owner) as state,
    ):
        if owner is not None:
            status = os.fstat(state)
            owner = status.st_uid, status.st_gid
        if _exists(state, MARKER):
            raise RefusedError(f"{root}: an unfinished restore has to be finished first")
        _check_ground(descriptor, actions, expected or {})
        remove_below(state, STAGING)
        make_private(state, STAGING, owner)
        try:
            with durable.opened(state, STAGING) as staging:
                _check_names(staging, actions)
                staged = _fill(staging, actions, content, owner, checkpoint)
                checkpoint("sync staging")
                durable.sync_directory(staging)
            durable.sync_directory(state)
            marker = Marker(tuple(actions), staged, _aside_name(state, clock), dict(note or {}))
            checkpoint("write the marker")
            durable.replace(state, MARKER, encode(marker), owner=owner)
            _check_again(descriptor, state, actions, expected or {})
        except BaseException:
            if not _exists(state, MARKER):
                remove_below(state, STAGING)
            raise
    checkpoint("staged")
    return marker


@contextlib.contextmanager
def _leaving_unchanged(root: Path, actions: Sequence[Action]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL_DISK:
            # As where there is no state directory yet: the volume is what is out of reach.
            kind = UnavailableError if error.errno == errno.EROFS else ConfstreamError
            raise kind(
                f"{root} cannot be written: {error.strerror}; nothing was changed. Make it writable for uid "
                f"{os.geteuid()}, or restore to another directory"
            ) from error
        size = sum(action.entry.size for action in actions if action.verb in _FILLED and action.entry is not None)
        raise ConfstreamError(
            f"{root}: {error.strerror}; the restore needs {size} bytes there. Nothing was changed"
        ) from error


def _fill(
    staging: int,
    actions: Sequence[Action],
    content: Callable[[bytes], bytes],
    owner: tuple[int, int] | None,
    checkpoint: Callable[[str], None],
) -> dict[bytes, Staged]:
    staged: dict[bytes, Staged] = {}
    with durable.syncing() as files:
        for action in actions:
            if action.verb not in _FILLED or action.entry is None:
                continue
            checkpoint(f"stage {shown(action.path)}")
            name = b"%08d" % len(staged)
            descriptor = durable.create_open(staging, name, _verified(content(action.entry.hash), action.entry))
            files.add(descriptor)
            status = os.fstat(descriptor)
            staged[action.path] = Staged(name, status.st_ino)
            if owner is not None and owner != (status.st_uid, status.st_gid):
                os.fchown(descriptor, *owner)
            _dress(descriptor, action, action.entry, owner)
    return staged


def _dress(descriptor: int, action: Action, entry: Entry, owner: tuple[int, int] | None) -> None:
    """Give a staged file what it has to have in the end, so that it is synced once; what cannot be is tried again then.

    Until it is in place it belongs to *owner*, that of the state: another process may have to go on with it.
    """
    with contextlib.suppress(PermissionError):
        os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
        if action.owner is None or owner is None or action.owner == owner:
            os.fchmod(descriptor, entry.mode)


def _verified(content: bytes, entry: Entry) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if found != entry.hash.hex():
        raise IntegrityError(
            f"{shown(entry.path)}: the content has the hash {found[:16]}…, expected {entry.hash.hex()[:16]}…; "
            f"nothing was changed. Restore an earlier revision"
        )
    if len(content) != entry.size:
        raise IntegrityError(
            f"{shown(entry.path)}: the content has {len(content)} bytes, expected {entry.size}; nothing was changed"
        )
    return content


def _check_ground(root: int, actions: Sequence[Action], expected: Mapping[bytes, Stamp]) -> None:
    """Refuse if what is on the disk is not what the plan was made for (P1)."""
    with contextlib.closing(durable.Parent(root)) as parents:
        _check_paths(parents, os.fstat(root).st_dev, actions, expected)


def _check_paths(
    parents: durable.Parent, device: int, actions: Sequence[Action], expected: Mapping[bytes, Stamp]
) -> None:
    cleared = {action.path for action in actions if action.verb in _CLEARED}
    absent: set[bytes] = set()
    for action in actions:
        path = action.path
        # Below what is not there, nothing is.
        found = None if path.rpartition(b"/")[0] in absent else _look(parents, path, cleared)
        if found is None:
            absent.add(path)
        if action.verb in {Verb.MKDIR, Verb.WRITE} and path not in cleared and found is not None:
            if action.verb is Verb.MKDIR and found.kind is Kind.DIRECTORY:
                continue
            raise RefusedError(f"{shown(path)} is in the way: it is there, and not part of the tree; move it away")
        if path in expected and not action.of_directory and not is_as_remembered(found, expected[path]):
            raise RefusedError(f"{shown(path)} changed while the restore was prepared; nothing was changed, try again")
        if action.verb is Verb.SET_ASIDE and found and found.kind is Kind.DIRECTORY and found.dev != device:
            raise RefusedError(f"{shown(path)} is on another file system and cannot be set aside; move it away")


def _check_again(root: int, state: int, actions: Sequence[Action], expected: Mapping[bytes, Stamp]) -> None:
    """Take the marker back if the ground is another one by now: nothing was changed yet.

    What is edited from here on is younger than the marker, and will be set aside.
    """
    try:
        _check_ground(root, actions, expected)
    except BaseException:
        os.unlink(MARKER, dir_fd=state)
        durable.sync_directory(state)
        raise


def _look(parents: durable.Parent, path: bytes, cleared: set[bytes]) -> Stamp | None:
    try:
        return Stamp.of(os.stat(path.rpartition(b"/")[2], dir_fd=parents.of(path), follow_symlinks=False))
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in _GONE:
            raise RefusedError(f"{shown(path)} cannot be reached: {error.strerror}") from error
        parts = path.split(b"/")
        if not any(b"/".join(parts[:count]) in cleared for count in range(1, len(parts))):
            raise RefusedError(f"{shown(path)} would be written through something that is no directory") from error
        return None


def _check_names(staging: int, actions: Sequence[Action]) -> None:
    """Refuse two paths that this file system takes for one, as some do with ``A`` and ``a``."""
    first: dict[str, bytes] = {}
    for action in actions:
        if action.entry is None:
            continue
        folded = _folded(os.fsdecode(action.path))
        other = first.setdefault(folded, action.path)
        if other != action.path and _same_name(staging, other, action.path):
            raise RefusedError(
                f"{shown(other)} and {shown(action.path)} are one name on this file system; nothing was changed. "
                f"Restore to another file system, or one of them with --path"
            )


def _folded(path: str) -> str:
    """Return what is the same for all paths that a file system may take for *path*."""
    if path.isascii():
        return path.lower()
    import unicodedata  # noqa: PLC0415 - a megabyte that hardly any path needs

    return unicodedata.normalize("NFKD", path.casefold()).casefold()


def _same_name(staging: int, one: bytes, other: bytes) -> bool:
    """Return whether the first parts in which two paths differ are one name, by trying it."""
    names = next(pair for pair in zip(one.split(b"/"), other.split(b"/"), strict=False) if pair[0] != pair[1])
    durable.create(staging, names[0], b"")
    try:
        durable.create(staging, names[1], b"")
    except FileExistsError:
        return True
    else:
        os.unlink(names[1], dir_fd=staging)
        return False
    finally:
        os.unlink(names[0], dir_fd=staging)


def _aside_name(state: int, clock: Clock) -> bytes:
    """Return a name by the time that nothing in ``aside/`` has yet."""
    moment = datetime.fromtimestamp(clock.now_ns() // 1_000_000_000, UTC).strftime("%Y%m%dT%H%M%SZ").encode()
    name, number = moment, 1
    while _exists(state, ASIDE + b"/" + name):
        number += 1
        name = moment + b"-%d" % number
    return name


def _exists(directory: int, path: bytes) -> bool:
    try:
        os.stat(path, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
