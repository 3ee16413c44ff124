"""The objects of a replica, fuzzed behind their checksums; and whole replicas of them, read in every way there is."""

import contextlib
import json
import struct
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import msgpack

from confstream.codec import frames, notes, objects
from confstream.codec.envelope import ObjectKind, unseal
from confstream.codec.fields import decode_record, encode_record, pack
from confstream.errors import IntegrityError, NoReplicaError, NotFoundError
from confstream.history import History, LogEntry
from confstream.layout import parse
from confstream.log.reader import LogReader
from confstream.recount import gists
from confstream.store.keys import is_key
from confstream.store.memory import MemoryStore
from confstream.testing import ManualClock
from confstream.tree import Tree, apply_to, content_hash
from confstream.verifier import verify
from tests.forgery import revision_of, rich_record
from tests.logs import grow
from tests.strategies import SAMPLE_CONTENT, SAMPLE_PREVIOUS, decoders, samples
from tests.torture.fuzz_opened import joined, opened, parted, sealed, sealed_json, values_of
from tests.torture.fuzz_target import Target

_KINDS = {kind.name.lower(): kind for kind in ObjectKind}
_READ_MAX = 12
_EXACT_SECONDS_MAX = 1e12


def targets() -> list[Target]:
    """Return all of them."""
    made = [_object(name, kind) for name, kind in _KINDS.items()]
    made.append(Target("envelope", lambda: [*samples().values()], _read_envelope))
    made.append(Target("descriptor", lambda: [samples()["descriptor"]], _read_descriptor))
    made.append(Target("frames", _frames, _read_frame, announced=lambda given: _announced(parted(given)[1])))
    # One after the other they would take a third of the inputs each.
    made += [
        Target(name, _replicas, partial(_read_replica, ways), by_fields=True, size_max=1 << 16)
        for name, ways in (("replica", _of_reader), ("replica_history", _of_history), ("replica_verify", _of_verifier))
    ]
    return made


def _object(name: str, kind: ObjectKind) -> Target:
    decode, again = decoders()[name], _AGAIN.get(name, lambda _found: None)

    def seeds() -> list[bytes]:
        found = [opened(kind, samples()[name])]
        if name == "revision":
            found.append(opened(kind, revision_of(rich_record())))
        return found

    def run(given: bytes) -> None:
        body = sealed(kind, given)
        try:
            found = decode(body)
        except IntegrityError as error:
            assert str(error).startswith("k: "), error  # noqa: PT017 - either outcome is fine.
            return
        again(found)

    return Target(name, seeds, run, by_fields=True, announced=lambda given: len(given) + _announced(parted(given)[1]))


def _announced(frame: bytes) -> int:
    with contextlib.suppress(IntegrityError):
        return min(frames.frame_size(frame, "k"), objects.CONTENT_SIZE_MAX)
    return len(frame)


def _revision_again(found: Any) -> None:
    """What a reader takes, a packer must be able to write: else one revision would end every compaction."""
    made = found[0]
    entry = LogEntry.of(made)
    json.dumps(entry.as_json())
    revision = decode_record(encode_record(made.revision), "k")
    assert revision == made.revision, (revision, made.revision)
    held = {content_hash(SAMPLE_CONTENT): SAMPLE_CONTENT} | dict(found[1])
    packed = objects.encode_pack([made], held.__getitem__, 1)
    assert [one.record for one in objects.decode_pack(packed, "k").revisions] == [made.record]


def _snapshot_again(found: Any) -> None:
    made, held = found[0], dict(found[1])
    blobs = made.contents.blob_hashes
    again = objects.decode_snapshot(objects.encode_snapshot(made.snapshot, held.__getitem__, blobs), "k")
    assert again.snapshot == made.snapshot, (again, made)


def _tag_again(found: Any) -> None:
    with contextlib.suppress(ValueError):
        assert notes.decode_tag(notes.encode_tag(found), "k") == found


def _heartbeat_again(found: Any) -> None:
    if max(found.interval_seconds, found.lag_seconds) > _EXACT_SECONDS_MAX:
        # A float no longer tells these milliseconds apart.
        return
    again = notes.decode_heartbeat(notes.encode_heartbeat(found), "k")
    assert (again.epoch, again.time_ns, again.host) == (found.epoch, found.time_ns, found.host)


_AGAIN: dict[str, Callable[[Any], None]] = {
    "revision": _revision_again,
    "snapshot": _snapshot_again,
    "tag": _tag_again,
    "heartbeat": _heartbeat_again,
}


def _read_envelope(given: bytes) -> None:
    for decode in decoders().values():
        with contextlib.suppress(IntegrityError):
            decode(given)


def _read_descriptor(given: bytes) -> None:
    for body in (given, sealed_json(given)):
        with contextlib.suppress(IntegrityError):
            found = notes.decode_descriptor(body, "k")
            assert notes.decode_descriptor(notes.encode_descriptor(found), "k") == found


def _frames() -> list[bytes]:
    sizes = struct.pack("<3H", 5, 0, 9)
    parts = [b"mqtt:", b"", b"broker: x"]
    return [
        joined(sizes, frames.compress(parts, 14)),
        joined(sizes, frames.compress(parts, 14, prefix=[SAMPLE_PREVIOUS])),
        joined(b"", b""),
    ]


def _read_frame(given: bytes) -> None:
    head, frame = parted(given)
    sizes = [*struct.unpack(f"<{len(head) // 2}H", head[: len(head) // 2 * 2])][:64]
    for prefix in ((), (SAMPLE_PREVIOUS,)):
        with contextlib.suppress(IntegrityError):
            found = [*frames.split(frame, "k", sizes, prefix=prefix)]
            assert [*map(len, found)] == sizes
    with contextlib.suppress(IntegrityError):
        assert len(frames.decompress(frame, "k", 1 << 16)) <= 1 << 16


@cache
def _replica() -> dict[str, bytes]:
    """Return the objects of a small replica that has everything in it: log, pack, snapshot, blob, tag, fork."""
    store = MemoryStore()
    scribe = grow(store, 5, snapshot_every=3)
    scribe.publisher.tag("v1", LogReader(store).revision(2))
    scribe.publisher.beat(300.0, 0.0, "0.1")
    scribe.fork(scribe.intent(scribe.files | {"mine.yml": b"a: 1\n"}))
    reader = LogReader(store)
    made = [reader.log_object(number) for number in (1, 2)]
    body = objects.encode_pack(made, scribe.contents.__getitem__, 1)
    found = dict(store.objects)
    found["pack/00000000000000000001-00000000000000000002"] = body
    return found


def _replicas() -> list[bytes]:
    rows: list[list[Any]] = []
    for key, body in _replica().items():
        kind = next(
            (kind for name, kind in _KINDS.items() if key.startswith((f"{name}/", f"{_FOLDERS.get(name)}/"))), None
        )
        if key.startswith("fork/"):
            kind = ObjectKind.REVISION
        if kind is None:
            continue
        metadata, contents = unseal(body, kind, key)
        rows.append([key, int(kind), frames.decompress(metadata, key, 1 << 20), contents])
    whole = b"".join(msgpack.packb(row, use_bin_type=True) for row in rows)
    few = b"".join(msgpack.packb(row, use_bin_type=True) for row in rows if row[0].startswith("log/"))
    return [joined(whole, b"\1"), joined(whole, b""), joined(few, b"\1")]


_FOLDERS = {"revision": "log"}


def _read_replica(ways: "Ways", given: bytes) -> None:
    metadata, relink = parted(given)
    rows = [row for row in values_of(metadata) or [] if isinstance(row, list) and len(row) == 4][:40]
    found = {"confstream.json": _replica()["confstream.json"]}
    for key, number, opened_metadata, contents in rows:
        if not (isinstance(key, str) and key.isascii() and key and isinstance(opened_metadata, bytes)):
            continue
        if not isinstance(contents, bytes) or number not in [*ObjectKind]:
            continue
        found[key] = sealed(ObjectKind(number), joined(opened_metadata, contents))
    if relink:
        relinked(found)
    store = MemoryStore()
    for key, body in found.items():
        if is_key(key) and body:
            store.put(key, body)
    _ask_all(ways(store))


def relinked(found: dict[str, bytes]) -> None:
    """Correct what a forger would: predecessors' hashes and tree hashes along the log, as far as it makes sense."""
    entries: dict[bytes, Any] = {}
    previous = bytes(32)
    for number in parse(found).log:
        key = f"log/{number:020d}"
        try:
            metadata, contents = unseal(found[key], ObjectKind.REVISION, key)
            parts = values_of(frames.decompress(metadata, key, 1 << 20)) or []
            fields = values_of(parts[0]) or []
            fields[3] = previous
            record = b"".join(pack(value) for value in fields)
            apply_to(entries, decode_record(record, key).changes)
            fields[10] = Tree(entries.values()).digest
            record = b"".join(pack(value) for value in fields)
        except (IntegrityError, ValueError, TypeError, LookupError):
            return
        opened_again = b"".join(pack(value) for value in (record, *parts[1:]))
        found[key] = sealed(ObjectKind.REVISION, joined(opened_again, contents))
        previous = content_hash(record)


def _ask_all(asked: Sequence[Callable[[], object]]) -> None:
    """Ask what a command asks of a replica; only what the API names may be raised."""
    allowed = (IntegrityError, NotFoundError, NoReplicaError)
    for ask in asked:
        try:
            ask()
        except allowed as error:
            # Exactly these: what a store answers never leaves the library.
            assert type(error) in allowed, error  # noqa: PT017 - likewise.


Ways = Callable[[MemoryStore], list[Callable[[], object]]]


def _of_reader(store: MemoryStore) -> list[Callable[[], object]]:
    reader = LogReader(store, workers=2)
    return [
        lambda: [made.revision.number for made in reader.revisions(newest_first=True)],
        lambda: [made.revision.number for made in reader.revisions()],
        reader.newest_good,
        lambda: reader.at_time(1_750_000_000 * 10**9),
        *(partial(reader.tag, name) for name in reader.listing.tags[:2]),
        *(partial(reader.fork, fork) for fork in reader.listing.forks),
    ]


def _of_history(store: MemoryStore) -> list[Callable[[], object]]:
    history = History(store, ManualClock())
    reader = history.reader
    return [
        lambda: [entry.as_json() for entry in history.log()],
        lambda: [entry.as_json() for entry in history.forks()],
        history.heartbeats,
        lambda: [*gists(reader, [*reader.listing.log][:3])],
    ]


def _of_verifier(store: MemoryStore) -> list[Callable[[], object]]:
    reader = LogReader(store, workers=2)
    listing = reader.listing
    numbers = sorted({1, 2, 3, listing.head, listing.head - 1, *listing.log[:_READ_MAX], *listing.snapshots[:2]})
    asked: list[Callable[[], object]] = [lambda: str(verify(store))]
    return asked + [partial(_contents, reader, number) for number in numbers if number > 0]


def _contents(reader: LogReader, number: int) -> Sequence[bytes]:
    found = reader.checkout(number)
    try:
        contents = [(entry, found.content(entry.hash)) for entry in found.tree.files]
        assert all(content_hash(content) == entry.hash for entry, content in contents)
        return [content for _, content in contents]
    finally:
        found.close()
