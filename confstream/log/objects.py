"""Fetch one object of history, decode it, and check that it is what its key says.

An object that was renamed to another slot is damage, however sound it is (P9).
Damage is what was read twice: an answer can be garbled on its way.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from confstream import layout
from confstream.codec.envelope import HEADER_SIZE, ObjectKind, read_header
from confstream.codec.objects import (
    Pack,
    RevisionObject,
    SnapshotObject,
    complete_pack,
    decode_blob,
    decode_pack,
    decode_pack_index,
    decode_revision,
    decode_snapshot,
    decode_snapshot_index,
    decode_snapshot_position,
)
from confstream.codec.outline import Outline, decode_outline, decode_outlines
from confstream.errors import IntegrityError, ObjectMissingError
from confstream.layout import Fork
from confstream.plan import Unit
from confstream.store import Store

INDEX_GUESS = 1 << 17
"""How much of a pack or snapshot to ask for at first when only its index is wanted."""

RECORD_GUESS = 1 << 13
"""The same of a single revision."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _read_twice(read: Callable[Concatenate[Store, _P], _T]) -> Callable[Concatenate[Store, _P], _T]:
    """Return *read*, which asks the storage itself once more where what came is damaged."""

    @wraps(read)
    def reading(store: Store, /, *arguments: _P.args, **named: _P.kwargs) -> _T:
        try:
            return read(store, *arguments, **named)
        except IntegrityError:
            return read(getattr(store, "behind", store), *arguments, **named)

    return reading


@_read_twice
def get_revision(store: Store, number: int, fork: Fork | None = None) -> RevisionObject:
    """Return revision *number* of the log, or of *fork*; ``ObjectMissingError`` if its slot is empty."""
    key = (fork.prefix if fork else "") + layout.log_key(number)
    found = decode_revision(store.get(key), key)
    if found.revision.number != number:
        raise IntegrityError(f"{key}: holds revision {found.revision.number}, expected {number}")
    return found


def get_outlines(store: Store, unit: Unit) -> tuple[Outline, ...]:
    """Return the revisions of *unit* without what they hold; ``ObjectMissingError`` if it is not there."""
    if unit.packed:
        found = decode_outlines(_index(store, unit.key, ObjectKind.PACK), unit.key)
    else:
        found = (decode_outline(_index(store, unit.key, ObjectKind.REVISION, RECORD_GUESS), unit.key),)
    if (found[0].revision.number, found[-1].revision.number) != (unit.first, unit.last):
        raise IntegrityError(f"{unit.key}: holds other revisions than its name says")
    return found


@_read_twice
def get_pack(store: Store, first: int, last: int, *, index_only: bool = False, known: Pack | None = None) -> Pack:
    """Return the pack of revisions *first* to *last*; *known* is what was read of it already."""
    key = layout.pack_key(first, last)
    if known is not None:
        return known if index_only or known.frame else complete_pack(store.get(key), key, known)
    if index_only:
        found = decode_pack_index(_index(store, key, ObjectKind.PACK), key)
    else:
        found = decode_pack(store.get(key), key)
    if (found.first, found.last) != (first, last):
        raise IntegrityError(f"{key}: holds revisions {found.first} to {found.last}, expected {first} to {last}")
    return found


@_read_twice
def get_snapshot(store: Store, number: int, *, index_only: bool = False) -> SnapshotObject:
    """Return the snapshot of revision *number*."""
    key = layout.snapshot_key(number)
    if index_only:
        found = decode_snapshot_index(_index(store, key, ObjectKind.SNAPSHOT), key)
    else:
        found = decode_snapshot(store.get(key), key)
    if found.snapshot.position.number != number:
        raise IntegrityError(f"{key}: holds the snapshot of revision {found.snapshot.position.number}")
    return found


@_read_twice
def get_snapshot_time(store: Store, number: int) -> int:
    """Return the time of revision *number* by its snapshot, whose tree is not looked at."""
    key = layout.snapshot_key(number)
    where = decode_snapshot_position(_index(store, key, ObjectKind.SNAPSHOT), key)
    if where.number != number:
        raise IntegrityError(f"{key}: holds the snapshot of revision {where.number}")
    return where.time_ns


@_read_twice
def get_blob(store: Store, digest: bytes) -> bytes:
    """Return the content that is a blob of its own; ``IntegrityError`` if it is not there."""
    key = layout.blob_key(digest)
    try:
        return decode_blob(store.get(key), key, digest)
    except ObjectMissingError as error:
        raise IntegrityError(f"{key}: is nowhere on the replica, and a revision refers to it") from error


def _index(store: Store, key: str, kind: ObjectKind, guess: int = INDEX_GUESS) -> bytes:
    head = store.get(key, 0, guess)
    end = read_header(head, kind, key).contents_offset
    if HEADER_SIZE <= len(head) < end:
        head += store.get(key, len(head), end - len(head))
    return head
