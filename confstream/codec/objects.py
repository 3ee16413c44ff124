"""The objects of a replica as values and as bytes: revisions, packs, snapshots, blobs.

A content is stored once. Where it is not in the object, it is *referenced*: a
file of the tree before, or earlier in the same pack, holds the same bytes.
"""

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice

from confstream.codec import frames
from confstream.codec.envelope import METADATA_SIZE_MAX, ObjectKind, read_header, read_metadata, seal, unseal
from confstream.codec.fields import (
    ENTRIES_MAX,
    REASONS_MAX,
    Reader,
    checked,
    decode_record,
    encode_record,
    entry_fields,
    entry_from,
    natural,
    pack,
    pack_array,
    text,
)
from confstream.codec.frames import Effort
from confstream.codec.positions import dump, load
from confstream.errors import IntegrityError
from confstream.revision import Position, Revision, Snapshot, Status, Verdict
from confstream.tree import HASH_SIZE, Entry, Kind, Tree, content_hash
from confstream.values import dataclass

# A sidecar makes snapshots beside all else (P14): 8 MiB.
_METADATA, _REVISION, _SNAPSHOT, PACKING = Effort(), Effort(6), Effort(6, 23), Effort(10, frames.WINDOW_LOG_MAX)
CONTENT_SIZE_MAX = 1 << 28
"""256 MiB: the largest file that a replica holds."""

PACK_REVISIONS_MAX = 1 << 16
_Parts = Iterator[tuple[bytes, bytes]]
_Wanted = Container[bytes] | None


@dataclass(frozen=True)
class Contents:
    """Which of an object's files lie in its contents section, and which in a blob.

    *entries* are all files that the object sets, in its order; *inline* and
    *blobs* are positions among them, one for each distinct content.
    """

    entries: tuple[Entry | None, ...]
    inline: tuple[int, ...]
    blobs: tuple[int, ...]

    @cached_property
    def inline_entries(self) -> list[Entry]:
        """Return the entries whose contents are in the object, in order."""
        return [self._file(position) for position in self.inline]

    @cached_property
    def blob_hashes(self) -> frozenset[bytes]:
        """Return the hashes of the contents that are blobs of their own."""
        return frozenset(self._file(position).hash for position in self.blobs)

    def _file(self, position: int) -> Entry:
        entry = self.entries[position]
        if entry is None or entry.kind is not Kind.FILE:
            raise ValueError(f"position {position} is not a file")
        return entry


@dataclass(frozen=True)
class RevisionObject:
    """A revision with its record, its hash and what it stores of contents.

    *prefix* are the positions of changes whose path's *previous* content the
    frame was compressed against.
    """

    revision: Revision
    record: bytes
    contents: Contents
    prefix: tuple[int, ...] = ()
    frame: bytes = b""

    @cached_property
    def hash(self) -> bytes:
        """Return the revision's hash, which its successor names."""
        return content_hash(self.record)

    @property
    def position(self) -> Position:
        """Return where a log is that ends with this revision."""
        made = self.revision
        return Position(made.number, self.hash, made.epoch_high, made.time_ns)

    @property
    def prefix_paths(self) -> list[bytes]:
        """Return the paths whose content before this revision is needed to read it."""
        return [self.revision.changes[position].path for position in self.prefix]

    def read(self, previous: Callable[[bytes], bytes], key: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield hash and content of every file in the object, verified; *previous* gives a path's old content."""
        entries = self.contents.inline_entries
        prefix = (previous(path) for path in self.prefix_paths)
        parts = frames.split(self.frame, key, [entry.size for entry in entries], prefix=prefix)
        yield from _verified(parts, entries, key)


def encode_revision(
    revision: Revision, contents: Mapping[bytes, bytes], previous: Mapping[bytes, bytes], blobs: Collection[bytes] = ()
) -> bytes:
    """Return the object of *revision*.

    *contents* holds by hash what goes into it, *previous* by path what the
    reader has already; hashes in *blobs* lie in blobs. All else is referenced.
    Raise ``ValueError`` if a reader would refuse it.
    """
    entries = tuple(change.entry for change in revision.changes)
    inline = _positions(entries, contents)
    prefix = [position for position in inline if revision.changes[position].path in previous]
    known = [previous[revision.changes[position].path] for position in prefix]
    parts = [_sized(contents[entry.hash], entry) for position in inline if (entry := entries[position])]
    frame = frames.compress(parts, sum(map(len, parts)), prefix=known, effort=_REVISION)
    metadata = pack(encode_record(revision), dump(inline), dump(prefix), dump(_positions(entries, blobs)))
    return seal(ObjectKind.REVISION, _metadata_frame(metadata), frame)


def decode_revision(body: bytes, key: str) -> RevisionObject:
    """Return the revision in *body*, or raise ``IntegrityError``."""
    metadata, frame = unseal(body, ObjectKind.REVISION, key)
    reader = Reader(frames.decompress(metadata, key, METADATA_SIZE_MAX), key)
    record, inline, prefix, blobs = (_bytes(reader.value(), key) for _ in range(4))
    reader.end()
    revision = decode_record(record, key)
    entries = tuple(change.entry for change in revision.changes)
    contents, compared = _contents(entries, inline, blobs, key), load(prefix, len(entries), key)
    if not set(compared) <= set(contents.inline):
        raise IntegrityError(f"{key}: names a prefix for a change whose content is not in the object")
    return RevisionObject(revision, record, contents, compared, frame)


@dataclass(frozen=True)
class Pack:
    """Consecutive revisions in one object; *frame* is empty where only the index was read."""

    created_ns: int
    revisions: tuple[RevisionObject, ...]
    frame: bytes = b""

    @property
    def first(self) -> int:
        """Return the number of the first revision."""
        return self.revisions[0].revision.number

    @property
    def last(self) -> int:
        """Return the number of the last revision, inclusive."""
        return self.revisions[-1].revision.number

    def read(self, key: str, last: int | None = None, wanted: _Wanted = None) -> _Parts:
        """Yield hash and content of every file in the pack, verified, up to revision *last*; only those *wanted*."""
        entries = [entry for made in self.revisions for entry in made.contents.inline_entries]
        parts = frames.split(self.frame, key, [entry.size for entry in entries])
        if last is not None and last < self.last:
            count = sum(len(made.contents.inline) for made in self.revisions if made.revision.number <= last)
            parts, entries = islice(parts, count), entries[:count]
        yield from _verified(parts, entries, key, wanted)


def encode_pack(
    revisions: Sequence[RevisionObject], contents: Callable[[bytes], bytes], created_ns: int, effort: Effort = PACKING
) -> bytes:
    """Return the pack of *revisions*, in order; *contents* gives what their ``inline`` names.

    Raise ``ValueError`` if a reader would refuse it.
    """
    changes = sum(len(made.revision.changes) for made in revisions)
    if len(revisions) > PACK_REVISIONS_MAX or changes > ENTRIES_MAX:
        raise ValueError(
            f"a pack of {len(revisions)} revisions with {changes} changes, "
            f"at most {PACK_REVISIONS_MAX} and {ENTRIES_MAX} are possible"
        )
    head = pack((revisions[0].revision.number, revisions[-1].revision.number, created_ns))
    rows = (pack((made.record, dump(made.contents.inline), dump(made.contents.blobs))) for made in revisions)
    metadata = head + pack_array(rows, len(revisions))
    entries = [entry for made in revisions for entry in made.contents.inline_entries]
    parts = (_sized(contents(entry.hash), entry) for entry in entries)
    frame = frames.compress(parts, sum(entry.size for entry in entries), effort=effort)
    return seal(ObjectKind.PACK, _metadata_frame(metadata, effort), frame)


def decode_pack(body: bytes, key: str) -> Pack:
    """Return the pack in *body*, or raise ``IntegrityError``."""
    metadata, frame = unseal(body, ObjectKind.PACK, key)
    return _pack(metadata, key, frame)


def decode_pack_index(head: bytes, key: str) -> Pack:
    """Return the pack that *head* is the beginning of, without contents; *head* must hold its metadata."""
    return _pack(read_metadata(head, read_header(head, ObjectKind.PACK, key), key), key)


def complete_pack(body: bytes, key: str, index: Pack) -> Pack:
    """Return the pack in *body*, whose *index* was decoded before: it never changes, and that takes long."""
    return replace(index, frame=unseal(body, ObjectKind.PACK, key)[1])


@dataclass(frozen=True)
class SnapshotObject:
    """A snapshot and where the contents of its files are; *frame* is empty where only the index was read."""

    snapshot: Snapshot
    contents: Contents
    frame: bytes = b""

    def read(self, key: str, wanted: _Wanted = None) -> _Parts:
        """Yield hash and content of every file in the snapshot, verified; only those *wanted*."""
        entries = self.contents.inline_entries
        yield from _verified(frames.split(self.frame, key, [entry.size for entry in entries]), entries, key, wanted)


def encode_snapshot(snapshot: Snapshot, contents: Callable[[bytes], bytes], blobs: Collection[bytes] = ()) -> bytes:
    """Return the object of *snapshot*; *contents* gives every content by hash that is not in *blobs*.

    Raise ``ValueError`` if a reader would refuse it.
    """
    entries = tuple(snapshot.tree.values())
    if len(entries) > ENTRIES_MAX:
        raise ValueError(f"a snapshot of {len(entries)} entries, at most {ENTRIES_MAX} are possible")
    inline = _positions(entries, {entry.hash for entry in entries if entry.kind is Kind.FILE} - set(blobs))
    where, verdict = snapshot.position, snapshot.verdict
    metadata = (
        pack((where.number, where.hash, where.epoch_high, where.time_ns), verdict.status.value)
        + pack_array((pack(reason) for reason in verdict.reasons), len(verdict.reasons))
        + pack(snapshot.tree.digest)
        + pack_array((pack(entry_fields(entry)) for entry in entries), len(entries))
        + pack(dump(inline), dump(_positions(entries, blobs)))
    )
    parts = (_sized(contents(entries[position].hash), entries[position]) for position in inline)
    frame = frames.compress(parts, sum(entries[position].size for position in inline), effort=_SNAPSHOT)
    return seal(ObjectKind.SNAPSHOT, _metadata_frame(metadata, _SNAPSHOT), frame)


def decode_snapshot(body: bytes, key: str) -> SnapshotObject:
    """Return the snapshot in *body*, or raise ``IntegrityError``."""
    metadata, frame = unseal(body, ObjectKind.SNAPSHOT, key)
    return _snapshot(metadata, key, frame)


def decode_snapshot_index(head: bytes, key: str) -> SnapshotObject:
    """Return the snapshot that *head* is the beginning of, without contents; *head* must hold its metadata."""
    return _snapshot(read_metadata(head, read_header(head, ObjectKind.SNAPSHOT, key), key), key)


def decode_snapshot_position(head: bytes, key: str) -> Position:
    """Return where in the log the snapshot is that *head* is the beginning of; *head* must hold its metadata."""
    metadata = read_metadata(head, read_header(head, ObjectKind.SNAPSHOT, key), key)
    reader = Reader(frames.decompress(metadata, key, METADATA_SIZE_MAX), key)
    try:
        return _position(reader.fields())
    except (TypeError, ValueError) as error:
        raise IntegrityError(f"{key}: a snapshot that is not what the format says: {error}") from error


def encode_blob(content: bytes) -> bytes:
    """Return the object of one large *content*; raise ``ValueError`` if it is too large for any replica."""
    if len(content) > CONTENT_SIZE_MAX:
        raise ValueError(f"a content of {len(content)} bytes, at most {CONTENT_SIZE_MAX} are possible")
    metadata = pack((content_hash(content), len(content)))
    return seal(ObjectKind.BLOB, frames.compress([metadata], len(metadata)), frames.compress([content], len(content)))


def decode_blob(body: bytes, key: str, expected: bytes) -> bytes:
    """Return the content of the blob in *body*, whose hash must be *expected*."""
    metadata, frame = unseal(body, ObjectKind.BLOB, key)
    reader = Reader(frames.decompress(metadata, key, 1 << 10), key)
    named = reader.fields()
    reader.end()
    if named != (expected, frames.frame_size(frame, key)):
        raise IntegrityError(f"{key}: hash and size are not those of the content that its name says")
    content = frames.decompress(frame, key, CONTENT_SIZE_MAX)
    if content_hash(content) != expected:
        raise IntegrityError(f"{key}: the content is not the one that its name says")
    return content


def _verified(parts: Iterable[bytes], entries: Sequence[Entry], key: str, wanted: _Wanted = None) -> _Parts:
    # A frame decoded against the wrong prefix gives wrong bytes without an error: only the hash tells (P9).
    for entry, content in zip(entries, parts, strict=True):
        if wanted is not None and entry.hash not in wanted:
            continue
        if content_hash(content) != entry.hash:
            raise IntegrityError(f"{key}: the content of {entry.path!r} does not match its hash")
        yield entry.hash, content


def _pack(metadata: bytes, key: str, frame: bytes = b"") -> Pack:
    reader = Reader(frames.decompress(metadata, key, METADATA_SIZE_MAX), key)
    try:
        first, last, created_ns = (natural(value, "range or time") for value in reader.fields())
    except (TypeError, ValueError) as error:
        raise IntegrityError(f"{key}: a pack without a range: {error}") from error
    revisions: list[RevisionObject] = []
    changes = 0
    for record, inline, blobs in reader.array(_row, PACK_REVISIONS_MAX):
        revision = decode_record(record, key)
        changes += len(revision.changes)
        if changes > ENTRIES_MAX:
            raise IntegrityError(f"{key}: more than {ENTRIES_MAX} changes")
        entries = tuple(change.entry for change in revision.changes)
        revisions.append(RevisionObject(revision, record, _contents(entries, inline, blobs, key)))
    reader.end()
    numbers = [made.revision.number for made in revisions]
    if not numbers or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise IntegrityError(f"{key}: its revisions are not consecutive")
    if (first, last) != (numbers[0], numbers[-1]):
        raise IntegrityError(f"{key}: announces revisions {first} to {last}, holds {numbers[0]} to {numbers[-1]}")
    return Pack(created_ns, tuple(revisions), frame)


def _snapshot(metadata: bytes, key: str, frame: bytes = b"") -> SnapshotObject:
    reader = Reader(frames.decompress(metadata, key, METADATA_SIZE_MAX), key)
    try:
        where = _position(reader.fields())
        verdict = Verdict(Status(reader.value()), tuple(reader.array(text, REASONS_MAX)))
        tree_hash = reader.value()
        entries = tuple(reader.array(entry_from))
        tree = Tree(entries)
    except (TypeError, ValueError) as error:
        raise IntegrityError(f"{key}: a snapshot that is not what the format says: {error}") from error
    if where.number < 1 or where.epoch_high < 1 or len(where.hash) != HASH_SIZE:
        raise IntegrityError(f"{key}: a snapshot of revision {where.number}, which cannot be one")
    if tree.digest != tree_hash or tuple(tree.values()) != entries:
        raise IntegrityError(f"{key}: the tree does not match its hash")
    inline, blobs = (_bytes(reader.value(), key) for _ in range(2))
    reader.end()
    contents = _contents(entries, inline, blobs, key)
    stored = contents.blob_hashes.union(entry.hash for entry in contents.inline_entries)
    if not stored.issuperset(entry.hash for entry in tree.files):
        raise IntegrityError(f"{key}: a snapshot without all of its contents")
    return SnapshotObject(Snapshot(where, verdict, tree), contents, frame)


def _position(fields: tuple[object, ...]) -> Position:
    number, digest, epoch_high, time_ns = fields
    return Position(
        natural(number, "number"),
        checked(digest, bytes, "hash"),
        natural(epoch_high, "epoch"),
        natural(time_ns, "time"),
    )


def _contents(entries: tuple[Entry | None, ...], inline: bytes, blobs: bytes, key: str) -> Contents:
    contents = Contents(entries, load(inline, len(entries), key), load(blobs, len(entries), key))
    try:
        if any(entry.size > CONTENT_SIZE_MAX for entry in contents.inline_entries):
            raise IntegrityError(f"{key}: announces a file of more than {CONTENT_SIZE_MAX} bytes")
        _ = contents.blob_hashes
        if len({entry.hash for entry in contents.inline_entries}) != len(contents.inline):
            raise IntegrityError(f"{key}: holds one content twice")
    except ValueError as error:
        raise IntegrityError(f"{key}: {error}") from error
    return contents


def _metadata_frame(metadata: bytes, effort: Effort = _METADATA) -> bytes:
    if len(metadata) > METADATA_SIZE_MAX:
        raise ValueError(f"{len(metadata)} bytes of metadata, at most {METADATA_SIZE_MAX} are possible")
    return frames.compress([metadata], len(metadata), effort=effort)


def _sized(content: bytes, entry: Entry) -> bytes:
    if len(content) != entry.size or entry.size > CONTENT_SIZE_MAX:
        raise ValueError(f"{entry.path!r} has {len(content)} bytes, expected {entry.size}, at most {CONTENT_SIZE_MAX}")
    return content


def _row(fields: tuple[object, ...]) -> tuple[bytes, ...]:
    record, inline, blobs = (checked(each, bytes, "a part") for each in checked(fields, tuple, "revision in a pack"))
    return record, inline, blobs


def _positions(entries: Iterable[Entry | None], wanted: Collection[bytes]) -> list[int]:
    """Return where each of the *wanted* contents occurs first among *entries*."""
    positions, seen = [], set()
    for position, entry in enumerate(entries):
        if entry is not None and entry.kind is Kind.FILE and entry.hash in wanted and entry.hash not in seen:
            seen.add(entry.hash)
            positions.append(position)
    return positions


def _bytes(value: object, key: str) -> bytes:
    if type(value) is not bytes:
        raise IntegrityError(f"{key}: {type(value).__name__} where bytes are expected")
    return value
