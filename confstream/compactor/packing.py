"""Make packs and snapshots out of the log, and prove that they can be read.

A pack in the making holds one tree and the contents of one pack, whatever the
length of history (P14).
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice, pairwise

from confstream import layout
from confstream.codec.fields import ENTRIES_MAX
from confstream.codec.objects import (
    Contents,
    Pack,
    RevisionObject,
    decode_pack,
    decode_snapshot,
    encode_pack,
    encode_snapshot,
)
from confstream.compactor.manner import Manner
from confstream.errors import IntegrityError, ObjectExistsError, ObjectMissingError, OutcomeUnknownError
from confstream.log.checkout import Checkout
from confstream.log.reader import LogReader
from confstream.revision import Position, Snapshot
from confstream.store import Store
from confstream.tree import Tree, apply_to

WORKERS = 8
_Parts = Iterator[tuple[bytes, bytes]]
PACK_RECORDS_SIZE_MAX = 1 << 25
"""A pack ends early before its records outgrow what a small machine can hold of them."""

_UNKNOWN_RETRIES = 4
_PLAIN = Manner()


def pack_range(
    reader: LogReader, first: int, last: int, created_ns: Callable[[], int], *, manner: Manner = _PLAIN
) -> Iterator[tuple[int, int]]:
    """Pack revisions *first* to *last*, and yield the range of every pack once it is proven.

    They come out of the packs that begin at *first* and follow one another, and then out of their log objects.

    A snapshot at the end of each is durable before the pack is there.
    *created_ns* is asked when a pack is stored: from then on, however long it
    took to make, the grace period counts. Raise ``IntegrityError`` where an
    object is damaged.
    """
    while first <= last:
        base = reader.checkout(first - 1)
        try:
            draft = _Draft(base, manner.contents_size_max)
            for made, key, parts in _revisions(reader, first, last):
                if not draft.fill(made, key, parts):
                    break
            # I4: a pack that anybody can list has its snapshot already, so that what it covers may go one day.
            _store_snapshot(reader.store, draft.here, is_there=draft.here.position.number in reader.listing.snapshots)
            _store_pack(reader.store, draft, created_ns, manner)
        finally:
            base.close()
        yield first, draft.here.position.number
        first = draft.here.position.number + 1
        if first <= last:
            reader.refresh()


def snapshot_at(reader: LogReader, store: Store, number: int) -> bool:
    """Store the whole tree at revision *number*, out of the log; return whether this call created it."""
    found = reader.checkout(number)
    try:
        return _store_snapshot(store, found)
    finally:
        found.close()


def read_pack(store: Store, first: int, last: int) -> Pack:
    """Return a pack of which every byte was read and verified."""
    key = layout.pack_key(first, last)
    pack = decode_pack(store.get(key), key)
    if (pack.first, pack.last) != (first, last):
        raise IntegrityError(f"{key}: holds revisions {pack.first} to {pack.last}")
    for one, other in pairwise(pack.revisions):
        if other.revision.previous != one.hash:
            raise IntegrityError(f"{key}: revision {other.revision.number} does not follow the one before")
    for _ in pack.read(key):
        pass
    return pack


def check_snapshot(store: Store, position: Position, tree_hash: bytes) -> None:
    """Raise ``IntegrityError`` unless the whole snapshot at *position* can be read and is that of *tree_hash*."""
    key = layout.snapshot_key(position.number)
    found = decode_snapshot(store.get(key), key)
    if (found.snapshot.position, found.snapshot.tree.digest) != (position, tree_hash):
        raise IntegrityError(f"{key}: is not the tree that the log leads to; run verify")
    for _ in found.read(key):
        pass


class _Draft:
    """A pack in the making, and the tree at its end with all contents."""

    def __init__(self, base: Checkout, contents_size_max: int) -> None:
        self.here = base
        self._contents_size_max = contents_size_max
        self.rows: list[RevisionObject] = []
        self._entries = dict(base.tree)
        self._stored: set[bytes] = set()
        self._contents_size = 0
        self._records_size = 0
        self._changes = 0

    def fill(self, made: RevisionObject, key: str, parts: _Parts | None = None) -> bool:
        """Take in the next revision; return False, without it, once the pack is large enough.

        *parts* are its contents, verified, if another pack stores them.
        """
        held = made.contents
        # What is a reference already was in the tree just before, and what this pack stores is read with it. A
        # content that had only been in the tree some time earlier is stored again: packs may overlap, and a reader
        # may begin at a snapshot inside of one.
        new = [at for at, entry in zip(held.inline, held.inline_entries, strict=True) if entry.hash not in self._stored]
        row = replace(made, contents=Contents(held.entries, tuple(new), held.blobs), prefix=(), frame=b"")
        contents_size = self._contents_size + sum(entry.size for entry in row.contents.inline_entries)
        records_size = self._records_size + len(made.record)
        changes = self._changes + len(made.revision.changes)
        if self.rows and (
            contents_size > self._contents_size_max or records_size > PACK_RECORDS_SIZE_MAX or changes > ENTRIES_MAX
        ):
            return False
        self._follow(made, key, parts)
        self.rows.append(row)
        self._stored.update(entry.hash for entry in row.contents.inline_entries)
        self._contents_size, self._records_size, self._changes = contents_size, records_size, changes
        return True

    def take(self, digest: bytes) -> bytes:
        """Return a content for the last time, and let go of what memory it takes."""
        held = self.here.contents
        return held.pop(digest) if digest in held else self.here.content(digest)

    def _follow(self, made: RevisionObject, key: str, parts: _Parts | None) -> None:
        """Move on to *made*, verified, and keep its contents."""
        revision, before = made.revision, self.here
        if revision.number != before.position.number + 1 or revision.previous != before.position.hash:
            raise IntegrityError(f"{key}: revision {revision.number} does not follow revision {before.position.number}")
        entries, spool = self._entries, before.contents
        try:
            for digest, content in parts or made.read(lambda path: spool[entries[path].hash], key):
                spool.add(digest, content)
            apply_to(entries, revision.changes)
            tree = Tree(entries.values())
        except (KeyError, ValueError) as error:
            raise IntegrityError(f"{key}: revision {revision.number} does not fit the tree before: {error}") from error
        if tree.digest != revision.tree_hash:
            raise IntegrityError(f"{key}: the tree does not match the hash that the revision names")
        blobs = before.blobs | made.contents.blob_hashes
        self.here = replace(before, position=made.position, tree=tree, verdict=revision.verdict, blobs=blobs)


def _revisions(reader: LogReader, first: int, last: int) -> Iterator[tuple[RevisionObject, str, _Parts | None]]:
    """Yield revisions *first* to *last* with the keys that they are under; those of packs with their contents."""
    while ends := [end for start, end in reader.listing.packs if start == first and end <= last]:
        pack, key = reader.pack(first, ends[-1]), layout.pack_key(first, ends[-1])
        parts = pack.read(key)
        for made in pack.revisions:
            yield made, key, islice(parts, len(made.contents.inline))
        first = pack.last + 1
    for made in _log_objects(reader, first, last):
        yield made, layout.log_key(made.revision.number), None


def _log_objects(reader: LogReader, first: int, last: int) -> Iterator[RevisionObject]:
    def read(number: int) -> RevisionObject:
        try:
            return reader.log_object(number)
        except ObjectMissingError as error:
            raise IntegrityError(f"{reader.store.url}: {error}; run verify") from error

    with ThreadPoolExecutor(WORKERS) as pool:
        # By the dozen: what was read and not yet packed is bounded, too (P14).
        for start in range(first, last + 1, 2 * WORKERS):
            found = list(pool.map(read, range(min(start + 2 * WORKERS, last + 1) - 1, start - 1, -1)))
            while found:
                yield found.pop()


def _store_pack(store: Store, draft: _Draft, created_ns: Callable[[], int], manner: Manner) -> None:
    """Store the draft, and read it back."""
    first, last = draft.rows[0].revision.number, draft.rows[-1].revision.number
    key = layout.pack_key(first, last)
    _create(store, key, encode_pack(draft.rows, draft.take, created_ns(), manner.effort))
    found = read_pack(store, first, last)
    if [made.hash for made in found.revisions] != [made.hash for made in draft.rows]:
        raise IntegrityError(f"{key}: holds other revisions than the log; run verify")


def _store_snapshot(store: Store, here: Checkout, *, is_there: bool = False) -> bool:
    """Store the tree of *here* unless it *is_there*, and read it back; return whether this call created it."""
    created = False
    if not is_there:
        held = {entry.hash for entry in here.tree.files}
        body = encode_snapshot(Snapshot(here.position, here.verdict, here.tree), here.content, here.blobs & held)
        created = _create(store, layout.snapshot_key(here.position.number), body)
    check_snapshot(store, here.position, here.tree.digest)
    return created


def _create(store: Store, key: str, body: bytes) -> bool:
    """Create *key*, or leave what is there; return whether this call surely created it."""
    for attempt in range(_UNKNOWN_RETRIES):
        try:
            store.put(key, body)
        except ObjectExistsError:
            return False
        except OutcomeUnknownError:
            if attempt == _UNKNOWN_RETRIES - 1:
                raise
        else:
            return True
    raise AssertionError("unreachable")
