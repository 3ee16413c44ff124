"""msgpack for the values of the log: entries, changes, revision records.

Everything is an array in the order that FORMAT.md gives. Decoding never holds
more than a few times the bytes it is given, whatever counts they announce.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, TypeVar, overload

from confstream.errors import IntegrityError
from confstream.naming import Mention
from confstream.revision import Authorship, Revision, Status, Verdict, checked_order
from confstream.tree import Change, Entry, Kind, Meta, Op

PATH_SIZE_MAX = 4096
TEXT_SIZE_MAX = 1 << 16
ENTRIES_MAX = 1 << 20
"""Of one tree, one revision and one pack: what an object may cost a reader who holds its metadata."""

LABELS_MAX = 64
REASONS_MAX = 1 << 10
NUMBER_MAX = (1 << 63) - 1
OWNER_MAX = (1 << 32) - 2
"""The number above it means "leave the owner alone" to chown."""

_ARRAY_SIZE_MAX = 16
_FIXARRAY = 0x90
_ARRAY_HEADERS = {0xDC: 2, 0xDD: 4}
_KINDS = [Kind.FILE, Kind.SYMLINK, Kind.DIRECTORY]
_FILE_TYPES = [bytes, int, int, int, int, int, int, bytes]
_NESTED = frozenset([tuple, dict])
_OPS = [Op.PUT, Op.DELETE, Op.META]
_MENTIONED = dict(enumerate(_OPS))
_IS_DIRECTORY = (_KINDS.index(Kind.DIRECTORY),)
_T = TypeVar("_T")


def pack(*values: object) -> bytes:
    """Return the msgpack of *values*, one after the other."""
    import msgpack  # noqa: PLC0415 - not needed by a command that only looks at the disk

    return b"".join(msgpack.packb(value, use_bin_type=True) for value in values)


def pack_array(encoded: Iterable[bytes], count: int) -> bytes:
    """Return an array of *count* values that are encoded already."""
    import msgpack  # noqa: PLC0415

    return bytes(msgpack.Packer().pack_array_header(count)) + b"".join(encoded)


class Reader:
    """Values out of msgpack bytes, one by one, with every length limited."""

    def __init__(self, encoded: bytes, key: str) -> None:
        import msgpack  # noqa: PLC0415

        self.key = key
        self._failures = (ValueError, TypeError, msgpack.OutOfData, msgpack.StackError, RecursionError)
        self._encoded = encoded
        self._size = len(encoded)
        # Values nest one level at most: containers of containers could cost a hundred times their bytes.
        self._unpacker = msgpack.Unpacker(
            max_buffer_size=max(len(encoded), 1),
            max_array_len=_ARRAY_SIZE_MAX,
            max_map_len=LABELS_MAX,
            max_ext_len=0,
            use_list=False,
            list_hook=_flat,
            object_hook=_flat_map,
        )
        self._unpacker.feed(encoded)

    def value(self) -> Any:  # noqa: ANN401 - whatever the bytes hold; callers check
        """Return the next value."""
        try:
            return self._unpacker.unpack()
        except self._failures as error:
            raise self._malformed(error) from error

    def fields(self) -> tuple[Any, ...]:
        """Return the next value, which must be a short array."""
        found = self.value()
        if type(found) is not tuple:
            raise IntegrityError(f"{self.key}: the metadata has a {type(found).__name__} where an array is expected")
        return found

    def array(self, decode: Callable[[Any], _T], count_max: int = ENTRIES_MAX) -> Iterator[_T]:
        """Yield the elements of the next array, at most *count_max*, each through *decode*."""
        yield from self.elements(decode, self.count(count_max))

    def count(self, count_max: int = ENTRIES_MAX) -> int:
        """Return how many elements the next array has, which are at most *count_max*; they are next."""
        try:
            count = self._array_header()
        except self._failures as error:
            raise self._malformed(error) from error
        if count > min(count_max, self._size):
            raise IntegrityError(
                f"{self.key}: an array of {count} elements in {self._size} bytes, at most {count_max} are possible"
            )
        return count

    def elements(self, decode: Callable[[Any], _T], count: int) -> Iterator[_T]:
        """Yield the next *count* values, each through *decode*."""
        unpack, failures = self._unpacker.unpack, self._failures
        for _ in range(count):
            try:
                raw = unpack()
            except failures as error:
                raise self._malformed(error) from error
            try:
                yield decode(raw)
            except (ValueError, TypeError, LookupError) as error:
                raise IntegrityError(f"{self.key}: {error}") from error

    def values(self, count: int) -> list[Any]:
        """Return the next *count* values."""
        unpack = self._unpacker.unpack
        try:
            return [unpack() for _ in range(count)]
        except self._failures as error:
            raise self._malformed(error) from error

    def rest(self) -> bytes:
        """Return the bytes of all that was not read yet."""
        return self._encoded[self._unpacker.tell() :]

    def end(self) -> None:
        """Raise ``IntegrityError`` unless everything was read."""
        if self._unpacker.tell() != self._size:
            raise IntegrityError(f"{self.key}: {self._size - self._unpacker.tell()} bytes follow the last field")

    def _array_header(self) -> int:
        # By hand: msgpack without its C extension holds read_array_header to max_array_len.
        head = self._unpacker.read_bytes(1)
        if not head:
            raise ValueError("it ends early")
        if head[0] & 0xF0 == _FIXARRAY:
            return int(head[0] & 0x0F)
        if head[0] not in _ARRAY_HEADERS:
            raise ValueError(f"{head[0]:#04x} where an array is expected")
        size = _ARRAY_HEADERS[head[0]]
        count = self._unpacker.read_bytes(size)
        if len(count) < size:
            raise ValueError("it ends early")
        return int.from_bytes(count, "big")

    def _malformed(self, error: BaseException) -> IntegrityError:
        return IntegrityError(f"{self.key}: the metadata is not what the format says: {str(error) or 'it ends early'}")


def entry_fields(entry: Entry) -> tuple[object, ...]:
    """Return *entry* as the fields of FORMAT.md, "Entry"; raise ``ValueError`` if a reader would refuse them."""
    _check_sizes(entry.path, entry.target, entry.uid, entry.gid)
    if entry.kind is Kind.FILE:
        # A time past 2262 is no reason to lose the file (P6).
        mtime_ns = max(-NUMBER_MAX, min(entry.mtime_ns, NUMBER_MAX))
        return (entry.path, 0, entry.mode, entry.uid, entry.gid, mtime_ns, entry.size, entry.hash)
    if entry.kind is Kind.SYMLINK:
        return (entry.path, 1, entry.uid, entry.gid, entry.target)
    return (entry.path, 2, entry.mode, entry.uid, entry.gid)


def entry_from(fields: Any) -> Entry:  # noqa: ANN401 - unchecked input
    """Return the entry that *fields* describe; raise ``ValueError`` or ``TypeError`` if they cannot."""
    if [*map(type, checked(fields, tuple, "entry"))] == _FILE_TYPES and fields[1] == 0:
        # Nearly every entry is a file as it should be; what is not is told below.
        path, _, mode, uid, gid, mtime_ns, size, digest = fields
        is_possible = -NUMBER_MAX <= mtime_ns <= NUMBER_MAX and 0 <= size <= NUMBER_MAX and mode >= 0
        if is_possible and 0 <= uid <= OWNER_MAX and 0 <= gid <= OWNER_MAX and len(path) <= PATH_SIZE_MAX:
            return Entry(path, Kind.FILE, mode, uid, gid, mtime_ns, size, digest)
    path, number, *rest = fields
    checked(path, bytes, "path")
    kind = _KINDS[natural(number, "kind")]
    if kind is Kind.SYMLINK:
        uid, gid, target = rest
        _check_sizes(path, checked(target, bytes, "target"), natural(uid, "uid"), natural(gid, "gid"))
        return Entry.symlink(path, target, uid=uid, gid=gid)
    mode, uid, gid = (natural(value, "mode or owner") for value in rest[:3])
    _check_sizes(path, b"", uid, gid)
    if kind is Kind.DIRECTORY:
        if len(rest) > 3:  # noqa: PLR2004 - mode, uid, gid
            raise ValueError(f"a directory {path!r} with {len(rest) - 3} more fields")
        return Entry.directory(path, mode, uid=uid, gid=gid)
    mtime_ns, size, digest = rest[3:]
    if abs(checked(mtime_ns, int, "mtime")) > NUMBER_MAX:
        raise ValueError(f"{path!r} has the time {mtime_ns}")
    return Entry(path, kind, mode, uid, gid, mtime_ns, natural(size, "size"), checked(digest, bytes, "hash"))


def change_fields(change: Change) -> tuple[object, ...]:
    """Return *change* as the fields of FORMAT.md, "Change"; raise ``ValueError`` if a reader would refuse them."""
    if change.entry is not None:
        return (0, *entry_fields(change.entry))
    if change.meta is not None:
        _check_sizes(change.path, b"", change.meta.uid, change.meta.gid)
        return (2, change.path, change.meta.mode, change.meta.uid, change.meta.gid)
    _check_sizes(change.path)
    return (1, change.path)


def change_from(fields: Any) -> Change:  # noqa: ANN401 - unchecked input
    """Return the change that *fields* describe; raise ``ValueError`` or ``TypeError`` if they cannot."""
    number, *rest = checked(fields, tuple, "change")
    if type(number) is int and number == 0:
        entry = entry_from(fields[1:])
        return Change(Op.PUT, entry.path, entry)
    op = _OPS[natural(number, "op")]
    path, *meta = rest
    _check_sizes(checked(path, bytes, "path"))
    if op is Op.DELETE:
        if meta:
            raise ValueError(f"a delete of {path!r} with {len(meta)} more fields")
        return Change(op, path)
    mode, uid, gid = (natural(value, "mode or owner") for value in meta)
    _check_sizes(path, b"", uid, gid)
    return Change(op, path, meta=Meta(mode, uid, gid))


def encode_record(revision: Revision) -> bytes:
    """Return the record of *revision*; its SHA-256 is the revision's hash, wherever the record is stored.

    Raise ``ValueError`` if a reader would refuse it.
    """
    made, reasons = revision.authorship, revision.verdict.reasons
    for line in (revision.writer, revision.host, made.source, made.author, made.message, *reasons):
        text(line)
    for name, value in made.labels.items():
        text(name), text(value)
    if len(made.labels) > LABELS_MAX or len(reasons) > REASONS_MAX or len(revision.changes) > ENTRIES_MAX:
        raise ValueError(
            f"revision {revision.number} has {len(made.labels)} labels, {len(reasons)} reasons and "
            f"{len(revision.changes)} changes; at most {LABELS_MAX}, {REASONS_MAX} and {ENTRIES_MAX} are possible"
        )
    head = pack(
        revision.number,
        (revision.epoch, revision.epoch_high),
        (revision.writer, revision.host, revision.write_id),
        revision.previous,
        revision.time_ns,
        (made.source, made.author, made.message),
        dict(sorted(made.labels.items())),
        revision.supersedes or (),
        revision.verdict.status.value,
    )
    why = pack_array((pack(reason) for reason in reasons), len(reasons))
    changes = pack_array((pack(change_fields(change)) for change in revision.changes), len(revision.changes))
    return head + why + pack(revision.tree_hash) + changes


class Changes(Sequence[Change]):
    """The changes of a record, decoded when somebody looks at one: then ``IntegrityError`` is raised if that cannot be.

    Equal to a tuple of the same changes.
    """

    def __init__(self, encoded: bytes, count: int, key: str) -> None:
        self._encoded = encoded
        self._count = count
        self._key = key

    @cached_property
    def decoded(self) -> tuple[Change, ...]:
        """Return all of them."""
        reader = Reader(self._encoded, self._key)
        found = tuple(reader.elements(change_from, self._count))
        reader.end()
        try:
            return checked_order(found)
        except ValueError as error:
            raise IntegrityError(f"{self._key}: {error}") from error

    def mentions(self) -> list[Mention]:
        """Return what is to be said of each, without decoding the rest of it."""
        reader = Reader(self._encoded, self._key)
        raws = reader.values(self._count)
        reader.end()
        try:
            return list(map(_mention, raws))
        except (ValueError, TypeError, LookupError) as error:
            raise IntegrityError(f"{self._key}: {error}") from error

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> Change: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Change, ...]: ...
    def __getitem__(self, at: int | slice) -> Change | tuple[Change, ...]:
        return self.decoded[at]

    def __iter__(self) -> Iterator[Change]:
        return iter(self.decoded)

    def __eq__(self, other: object) -> bool:
        return self.decoded == (other.decoded if isinstance(other, Changes) else other)

    def __hash__(self) -> int:
        return hash(self.decoded)


def _mention(fields: Any) -> Mention:  # noqa: ANN401 - unchecked input
    if type(fields) is tuple and len(fields) > 1 and type(fields[0]) is int and type(fields[1]) is bytes:
        op, path = fields[0], fields[1]
        return _MENTIONED[op], path, op == 0 and fields[2:3] == _IS_DIRECTORY
    raise TypeError("a change without op and path")


def decode_record(record: bytes, key: str, *, outline: bool = False) -> Revision:
    """Return the revision of *record*, or raise ``IntegrityError``; with *outline*, its changes are decoded later."""
    reader = Reader(record, key)
    try:
        number = natural(reader.value(), "number")
        epoch, epoch_high = (natural(value, "epoch") for value in reader.fields())
        writer, host, write_id = reader.fields()
        previous, time_ns = reader.value(), reader.value()
        source, author, message = (text(value) for value in reader.fields())
        labels = {text(name): text(value) for name, value in checked(reader.value(), dict, "labels").items()}
        supersedes = tuple(natural(value, "superseded revision") for value in reader.fields())
        if len(supersedes) not in {0, 2}:
            raise ValueError(f"a range of {len(supersedes)} numbers")  # noqa: TRY301
        status = Status(reader.value())
        reasons = tuple(reader.array(text, REASONS_MAX))
        tree_hash = reader.value()
        if outline:
            count = reader.count()
            changes: Sequence[Change] = Changes(reader.rest(), count, key)
        else:
            changes = tuple(reader.array(change_from))
            reader.end()
        return Revision(
            number=number,
            epoch=epoch,
            epoch_high=epoch_high,
            writer=text(writer),
            host=text(host),
            write_id=checked(write_id, bytes, "write id"),
            previous=checked(previous, bytes, "hash of the predecessor"),
            time_ns=natural(time_ns, "time"),
            authorship=Authorship(source, author, message, labels),
            changes=changes,
            verdict=Verdict(status, reasons),
            tree_hash=checked(tree_hash, bytes, "tree hash"),
            supersedes=(supersedes[0], supersedes[1]) if supersedes else None,
        )
    except (ValueError, TypeError) as error:
        raise IntegrityError(f"{key}: the record of a revision is not what the format says: {error}") from error


def natural(value: Any, name: str) -> int:  # noqa: ANN401
    """Return *value*, or raise unless it is a number from 0 to ``NUMBER_MAX``."""
    number = checked(value, int, name)
    if not 0 <= number <= NUMBER_MAX:
        raise ValueError(f"the {name} is {number}")
    return number


def text(value: Any) -> str:  # noqa: ANN401
    """Return *value*, or raise unless it is a text of at most ``TEXT_SIZE_MAX`` characters."""
    found = checked(value, str, "text")
    if len(found) > TEXT_SIZE_MAX:
        raise ValueError(f"a text of {len(found)} characters, at most {TEXT_SIZE_MAX} are possible")
    return found


def checked(value: Any, expected: type[_T], name: str) -> _T:  # noqa: ANN401
    """Return *value*, or raise ``TypeError`` unless it is exactly of the type *expected*."""
    if type(value) is not expected:
        raise TypeError(f"the {name} is a {type(value).__name__}, expected {expected.__name__}")
    return value


def _check_sizes(path: bytes, target: bytes = b"", uid: int = 0, gid: int = 0) -> None:
    if len(path) > PATH_SIZE_MAX or len(target) > PATH_SIZE_MAX:
        size = max(len(path), len(target))
        raise ValueError(f"{path[:40]!r} has a path or target of {size} bytes, at most {PATH_SIZE_MAX} are possible")
    if max(uid, gid) > OWNER_MAX:
        raise ValueError(f"{path!r} has the owner {uid}:{gid}, at most {OWNER_MAX} is possible")


def _flat(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not _NESTED.isdisjoint(map(type, values)):
        raise ValueError("arrays or maps inside of one another")
    return values


def _flat_map(values: dict[Any, Any]) -> dict[Any, Any]:
    _flat(tuple(values.values()))
    return values
