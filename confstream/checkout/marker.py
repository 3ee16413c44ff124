"""The marker ``.confstream/restoring``: staging is complete, and this is what is left to do.

While it exists, the tree is a mixture of old and new and counts as missing
(P2, P3). It carries its own checksum: a damaged one is told, never obeyed.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from confstream import durable
from confstream.checkout.plan import Action, Verb
from confstream.checkout.state import MARKER, STATE
from confstream.errors import IntegrityError, RefusedError
from confstream.tree import Entry, Kind, check_path
from confstream.values import dataclass

_MAGIC = b"confstream restoring 1\n"
_DIGEST_BYTES = 32
_SIZE_BYTES_MAX = 1 << 28
_OWNERS = (1 << 32) - 1
_NUMBER_MAX = (1 << 63) - 1
_KINDS = {Verb.WRITE: Kind.FILE, Verb.REPLACE: Kind.FILE, Verb.LINK: Kind.SYMLINK, Verb.MKDIR: Kind.DIRECTORY}


@dataclass(frozen=True, slots=True)
class Staged:
    """A verified content in staging: its file's *name* there and inode number."""

    name: bytes
    ino: int


@dataclass(frozen=True, slots=True)
class Marker:
    """A restore whose switch has begun.

    *staged* has the content of each path to be written; *aside* is the
    directory below ``.confstream/aside/`` for what is set aside; *note* is the
    caller's own (msgpack's types): which revision, of which replica.
    """

    actions: tuple[Action, ...]
    staged: Mapping[bytes, Staged]
    aside: bytes
    note: Mapping[str, Any] = field(default_factory=dict)


def unfinished(root: Path) -> Marker | None:
    """Return the marker of a restore of *root* that did not end, or ``None``.

    Raise ``IntegrityError`` if the marker is damaged.
    """
    try:
        with durable.opened_root(root) as descriptor:
            return read_marker(descriptor, root)
    except FileNotFoundError:
        return None


def read_marker(root: int, shown_root: Path) -> Marker | None:
    """Return the marker in the open directory *root*; *shown_root* is its name in errors."""
    where = shown_root / os.fsdecode(STATE) / os.fsdecode(MARKER)
    try:
        with durable.opened(root, STATE, listable=False) as state:
            descriptor = os.open(MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=state)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RefusedError(f"{where}: {error.strerror}; whether a restore is unfinished cannot be told") from error
    with os.fdopen(descriptor, "rb") as file:
        # By its own size: a buffer is made for as much as is asked for.
        stored = file.read(min(os.fstat(descriptor).st_size, _SIZE_BYTES_MAX) + 1)
    try:
        return decode(stored)
    except ValueError as error:
        raise IntegrityError(
            f"{where} is damaged: {error}. A restore was interrupted, and what is left of it cannot be known. "
            f"Remove that file and restore again with --force"
        ) from error


def encode(marker: Marker) -> bytes:
    """Return *marker* as the bytes of its file."""
    import msgpack  # noqa: PLC0415 - only where something is restored.

    body = msgpack.packb(
        {
            "version": 1,
            "actions": [_packed(action) for action in marker.actions],
            "staged": [[path, staged.name, staged.ino] for path, staged in marker.staged.items()],
            "aside": marker.aside,
            "note": dict(marker.note),
        }
    )
    return _MAGIC + hashlib.sha256(body).digest() + bytes(body)


def decode(stored: bytes) -> Marker:
    """Return the marker in *stored*; raise ``ValueError`` if that is not a whole one."""
    import msgpack  # noqa: PLC0415 - only where something is restored.

    body = stored[len(_MAGIC) + _DIGEST_BYTES :]
    if not stored.startswith(_MAGIC):
        raise ValueError("it does not begin as a marker of version 1")
    if hashlib.sha256(body).digest() != stored[len(_MAGIC) : len(_MAGIC) + _DIGEST_BYTES]:
        raise ValueError("its checksum is wrong")
    try:
        fields = msgpack.unpackb(body)
        staged = {_path(path): Staged(_plain(name), int(ino)) for path, name, ino in fields["staged"]}
        actions = tuple(_unpacked(*action) for action in fields["actions"])
        for action in actions:
            _check_possible(action, staged)
        return Marker(actions, staged, _plain(fields["aside"]), _mapping(fields["note"]))
    except (LookupError, TypeError, ValueError, msgpack.UnpackException) as error:
        raise ValueError(f"it does not hold a plan ({error})") from error


def _packed(action: Action) -> list[Any]:
    entry = action.entry
    fields = entry and [
        str(entry.kind), entry.mode, entry.uid, entry.gid, entry.mtime_ns, entry.size, entry.hash, entry.target
    ]  # fmt: skip
    return [str(action.verb), action.path, action.detail, fields, action.owner]


def _unpacked(verb: str, path: bytes, detail: str, fields: list[Any] | None, owner: list[int] | None) -> Action:
    entry = None
    if fields is not None:
        kind, mode, uid, gid, mtime_ns, size, digest, target = fields
        numbers = (mode, uid, gid, mtime_ns, size)
        if set(map(type, numbers)) != {int} or {type(digest), type(target)} != {bytes}:
            raise TypeError(f"{path!r} with the fields {fields}")
        if max(map(abs, numbers)) > _NUMBER_MAX:
            raise ValueError(f"{path!r} with the numbers {numbers}")
        entry = Entry(_path(path), Kind(kind), mode, uid, gid, mtime_ns, size, digest, target)
    uid_and_gid = None if owner is None else (int(owner[0]), int(owner[1]))
    if type(detail) is not str or (uid_and_gid and not 0 <= min(uid_and_gid) <= max(uid_and_gid) < _OWNERS):
        raise ValueError(f"{path!r} with the detail {detail!r} and the owner {owner}")
    return Action(Verb(verb), _path(path), detail, entry, uid_and_gid)


def _check_possible(action: Action, staged: Mapping[bytes, Staged]) -> None:
    """Raise ``ValueError`` unless *action* has all that it takes to do it."""
    wanted = _KINDS.get(action.verb)
    if wanted is not None and (action.entry is None or action.entry.kind is not wanted):
        raise ValueError(f"{action.verb} of {action.path!r} without its {wanted}")
    if wanted is Kind.FILE and action.path not in staged:
        raise ValueError(f"{action.verb} of {action.path!r} without a staged content")


def _mapping(note: Any) -> Mapping[str, Any]:  # noqa: ANN401 - unchecked input
    if type(note) is not dict or not all(type(name) is str for name in note):
        raise ValueError("its note is no mapping")
    return note


def _path(path: Any) -> bytes:  # noqa: ANN401 - unchecked input
    if type(path) is not bytes:
        raise TypeError(f"a {type(path).__name__}, expected a path")
    return check_path(path)


def _plain(name: Any) -> bytes:  # noqa: ANN401 - unchecked input
    if b"/" in _path(name):
        raise ValueError(f"{name!r} is not a plain name")
    return bytes(name)
