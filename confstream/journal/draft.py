"""What the journal writes down, as values: drafts, fences, checkpoints; and their bytes.

Pure. The bytes are local to one journal: versioned and checked, but no part
of the format on the replica.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from confstream.codec.fields import (
    Reader,
    change_fields,
    change_from,
    checked,
    entry_fields,
    entry_from,
    natural,
    pack,
    pack_array,
)
from confstream.errors import IntegrityError
from confstream.revision import OK, WRITE_ID_SIZE, Authorship, Position, Status, Verdict
from confstream.tree import EMPTY, HASH_SIZE, Change, Entry, Kind, Tree, apply, diff

STATE_VERSION = 1
_STATE_MAGIC = b"cfstrjnl"
_CHECKSUM_SIZE = 32
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Draft:
    """A change of the tree that has no number yet: a revision to be.

    *changes* are relative to the state before it. An *intent* was written
    down before the files were changed: after a crash it must be redone,
    unless it was applied. *before* is what the caller knew of each file then,
    as numbers that only the caller understands; None is an absent file.
    """

    write_id: bytes
    time_ns: int
    authorship: Authorship
    changes: tuple[Change, ...]
    verdict: Verdict = OK
    intent: bool = False
    before: Mapping[bytes, tuple[int, ...] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a write id that no revision can have."""
        if len(self.write_id) != WRITE_ID_SIZE:
            raise ValueError(f"a write id of {len(self.write_id)} bytes, expected {WRITE_ID_SIZE}")

    @property
    def hashes(self) -> set[bytes]:
        """The hashes of the contents that it puts into files."""
        return {
            change.entry.hash for change in self.changes if change.entry is not None and change.entry.kind is Kind.FILE
        }


@dataclass(frozen=True, slots=True)
class FencedBy:
    """The writer with a higher epoch that this journal must not publish against (P5)."""

    writer: str
    epoch: int


@dataclass(frozen=True, slots=True)
class State:
    """What a journal knows apart from its drafts.

    *base* is the last revision of the log that it knows, with *base_tree*;
    *settled* is the tree before the oldest pending draft, which differs from
    *base_tree* when others published or a draft became a fork. *generation*
    names the log that holds the drafts, *log_size* is what it had then.
    """

    writer: str
    generation: int
    log_size: int
    saved_ns: int
    stream: str | None = None
    base: Position = field(default_factory=Position)
    base_tree: Tree = EMPTY
    settled: Mapping[bytes, Entry] = EMPTY
    fenced: FencedBy | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


def exact_diff(old: Mapping[bytes, Entry], new: Mapping[bytes, Entry]) -> tuple[Change, ...]:
    """Return changes that turn *old* into exactly *new*, times included, ordered by path."""
    changes = {change.path: change for change in diff(old, new)}
    for path in old.keys() & new.keys():
        entry = new[path]
        # A meta change keeps the old time, and a touched file is no change at all to ``diff``.
        if (path not in changes or changes[path].meta is not None) and entry.mtime_ns != old[path].mtime_ns:
            changes[path] = Change.put(entry)
    return tuple(changes[path] for path in sorted(changes))


def encode_draft(draft: Draft) -> bytes:
    """Return the bytes of *draft*; raise ``ValueError`` if they could not be decoded again."""
    made = draft.authorship
    try:
        encoded = b"".join(
            (
                pack(draft.write_id, draft.time_ns, draft.intent),
                pack((made.source, made.author, made.message), dict(made.labels), draft.verdict.status.value),
                _array(draft.verdict.reasons),
                _array(change_fields(change) for change in draft.changes),
                _array((path, *(stamp or ())) for path, stamp in sorted(draft.before.items())),
            )
        )
        # Whatever gets into the log must come out: a draft that does not would take the whole journal with it.
        comes_back = _checked(lambda: _comes_back(Reader(encoded, "the draft"), draft), "the draft")
    except (IntegrityError, OverflowError, UnicodeEncodeError) as error:
        raise ValueError(f"the change cannot be recorded: {error}") from error
    if not comes_back:
        raise ValueError("the change cannot be recorded: it would come back as another one")
    return encoded


def decode_draft(encoded: bytes, key: str) -> Draft:
    """Return the draft of *encoded*, or raise ``IntegrityError`` that names *key*."""
    reader = Reader(encoded, key)

    def decode() -> Draft:
        head = _head(reader)
        changes, before = tuple(reader.array(change_from)), dict(reader.array(_stamp_from))
        reader.end()
        return replace(head, changes=changes, before=before)

    return _checked(decode, key)


def encode_state(state: State) -> bytes:
    """Return the content of the state file: a magic, the fields, and the SHA-256 of both."""
    fenced = state.fenced
    encoded = b"".join(
        (
            _STATE_MAGIC,
            pack(STATE_VERSION, state.writer, state.generation, state.log_size, state.saved_ns, state.stream),
            pack(position_fields(state.base), (fenced.writer, fenced.epoch) if fenced else None),
            _array(sorted(state.notes.items())),
            _array(entry_fields(entry) for entry in state.base_tree.values()),
            _array(change_fields(change) for change in exact_diff(state.base_tree, state.settled)),
        )
    )
    return encoded + hashlib.sha256(encoded).digest()


def decode_state(encoded: bytes, key: str) -> State:
    """Return the state of *encoded*, or raise ``IntegrityError`` that names *key*."""
    body, checksum = encoded[:-_CHECKSUM_SIZE], encoded[-_CHECKSUM_SIZE:]
    if not body.startswith(_STATE_MAGIC) or hashlib.sha256(body).digest() != checksum:
        raise IntegrityError(f"{key}: {len(encoded)} bytes that are not the state of a journal")
    reader = Reader(body[len(_STATE_MAGIC) :], key)

    def decode() -> State:
        if (version := reader.value()) != STATE_VERSION:
            raise ValueError(f"version {version}; this confstream reads version {STATE_VERSION}, use a newer one")
        writer = _text(reader.value())
        generation, log_size = natural(reader.value(), "generation"), natural(reader.value(), "size of the log")
        saved_ns, stream = checked(reader.value(), int, "time"), reader.value()
        base, fenced = position_from(reader.value()), reader.value()
        if stream is not None:
            _text(stream)
        notes = dict(reader.array(_pair))
        base_tree = Tree(reader.array(entry_from))
        settled = apply(base_tree, reader.array(change_from))
        reader.end()
        fence = fenced_by_from(fenced) if fenced else None
        return State(writer, generation, log_size, saved_ns, stream, base, base_tree, settled, fence, notes)

    return _checked(decode, key)


def position_fields(position: Position) -> tuple[object, ...]:
    """Return *position* as fields."""
    return (position.number, position.hash, position.epoch_high, position.time_ns)


def position_from(fields: Any) -> Position:  # noqa: ANN401 - unchecked input
    """Return the position that *fields* describe."""
    number, digest, epoch_high, time_ns = fields
    if len(checked(digest, bytes, "hash")) != HASH_SIZE:
        raise ValueError(f"a hash of {len(digest)} bytes")
    return Position(natural(number, "number"), digest, natural(epoch_high, "epoch"), natural(time_ns, "time"))


def fenced_by_from(fields: Any) -> FencedBy:  # noqa: ANN401 - unchecked input
    """Return the writer that *fields* describe."""
    writer, epoch = fields
    return FencedBy(_text(writer), natural(epoch, "epoch"))


def _head(reader: Reader) -> Draft:
    """Return a draft up to its changes, without them."""
    write_id, time_ns = checked(reader.value(), bytes, "write id"), checked(reader.value(), int, "time")
    intent = checked(reader.value(), bool, "intent")
    source, author, message = map(_text, reader.fields())
    labels = dict(map(_pair, checked(reader.value(), dict, "labels").items()))
    verdict = Verdict(Status(reader.value()), tuple(reader.array(_text)))
    return Draft(write_id, time_ns, Authorship(source, author, message, labels), (), verdict, intent)


def _comes_back(reader: Reader, draft: Draft) -> bool:
    """Return whether *reader* has *draft*; what is read is let go at once, for a tree can be large (P14)."""
    found = _head(reader) == replace(draft, changes=(), before={})
    stamps = sorted(draft.before.items())
    for kept, read in ((draft.changes, reader.array(change_from)), (stamps, reader.array(_stamp_from))):
        found = found and all(one == other for one, other in zip(read, kept, strict=True))
    if found:
        reader.end()
    return found


def _array(values: Iterable[object]) -> bytes:
    encoded = [pack(value) for value in values]
    return pack_array(encoded, len(encoded))


def _text(value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__}, expected a text")
    return value


def _pair(fields: Any) -> tuple[str, str]:  # noqa: ANN401
    key, value = fields
    return _text(key), _text(value)


def _stamp_from(fields: Any) -> tuple[bytes, tuple[int, ...] | None]:  # noqa: ANN401
    path, *stamp = checked(fields, tuple, "stamp")
    return checked(path, bytes, "path"), tuple(checked(number, int, "stamp") for number in stamp) or None


def _checked(decode: Callable[[], _T], key: str) -> _T:
    try:
        return decode()
    except (ValueError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{key}: {error}") from error
