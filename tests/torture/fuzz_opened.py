"""Objects as a fuzzer handles them: opened, changed field by field, and sealed again with checksums that fit.

A byte that is flipped in a sealed object meets its checksum and nothing else.
So the inputs are metadata and contents as they are inside, and every hash
that a forger would correct is corrected before the decoder sees the object.
"""

import hashlib
import json
import random
import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import msgpack

from confstream.codec.envelope import ObjectKind, seal, unseal
from confstream.codec.fields import entry_from, pack, pack_array
from confstream.codec.frames import Effort, compress, decompress
from confstream.errors import IntegrityError
from confstream.tree import Tree

_SIZE = struct.Struct("<I")
_OPENED_MAX = 1 << 26
_EDGES: tuple[int, ...] = (0, 1, -1, 2, 63, 64, 65, 255, 256, 0o7777, 0o10000, 2**16, 2**20, 2**20 + 1)
_EDGES += (2**31, 2**32 - 2, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -(2**31), -(2**63))
_TEXTS = ("", "ok", "invalid", "suspicious", "x" * 300, "\x1b[2J\x07", "a\nb", "\u202e", "..", "/", "\x9b31m")
_BYTES = (
    b"",
    b"a",
    b"a/b",
    b"..",
    b"/etc/passwd",
    b"a\0b",
    b"\xff\xfe",
    bytes(16),
    bytes(32),
    b"\x1b]0;x\x07",
    b"a/" * 40,
)
_KEYS = ("", "k", "password", "\x1b[31m")


def opened(kind: ObjectKind, body: bytes) -> bytes:
    """Return a sealed object as an input: the size of its metadata, its metadata, its contents section."""
    metadata, contents = unseal(body, kind, "k")
    return joined(decompress(metadata, "k", _OPENED_MAX), contents)


def joined(first: bytes, second: bytes) -> bytes:
    """Return two parts as one input."""
    return _SIZE.pack(len(first)) + first + second


def parted(given: bytes) -> tuple[bytes, bytes]:
    """Return the two parts of an input, whatever size it announces."""
    if len(given) < _SIZE.size:
        return given, b""
    end = _SIZE.size + min(_SIZE.unpack_from(given)[0], len(given) - _SIZE.size)
    return given[_SIZE.size : end], given[end:]


def sealed(kind: ObjectKind, given: bytes) -> bytes:
    """Return the object of an input, with checksums and hashes that fit it."""
    metadata, contents = parted(given)
    if kind is ObjectKind.SNAPSHOT:
        metadata = _with_tree_hash(metadata)
    return seal(kind, compress([metadata], len(metadata), effort=Effort(1)), contents)


def sealed_json(given: bytes) -> bytes:
    """Return a descriptor whose checksum fits its fields; *given* itself if that is no JSON object."""
    try:
        fields = json.loads(given)
        fields.pop("sha256", None)
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
        return json.dumps(fields | {"sha256": hashlib.sha256(canonical).hexdigest()}).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return given


def mutated(given: bytes, rng: random.Random, by_bytes: Callable[[bytes], bytes]) -> bytes:
    """Return *given* with some fields of its metadata changed; *by_bytes* changes what has no fields."""
    metadata, contents = parted(given)
    turn = rng.randrange(10)
    if turn == 0:
        return by_bytes(given)
    if turn == 1:
        return joined(metadata, by_bytes(contents))
    values = values_of(metadata)
    if turn == 2 or not values:
        return joined(by_bytes(metadata), contents)
    try:
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            values = _changed(values, rng)
        return joined(b"".join(map(_packed, values)), contents)
    except (ValueError, OverflowError, TypeError, RecursionError):
        return joined(by_bytes(metadata), contents)


def values_of(encoded: bytes) -> list[Any] | None:
    """Return the msgpack values that *encoded* holds one after the other; None if it is anything else."""
    unpacker = msgpack.Unpacker(BytesIO(encoded), strict_map_key=False, max_buffer_size=1 << 24)
    try:
        found = list(unpacker)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError):
        return None
    return found if unpacker.tell() == len(encoded) else None


def _packed(value: Any) -> bytes:
    return bytes(msgpack.packb(value, use_bin_type=True))


def _changed(values: list[Any], rng: random.Random) -> list[Any]:
    """Return a copy of *values* in which one place, however deep, is another."""
    places = list(_places(values))
    if not places:
        return values
    path = rng.choice(places)
    return list(_put(values, path, lambda old: _other(old, rng)))


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, list) and len(path) < 10:
        for index in range(min(len(value), 64)):
            yield from _places(value[index], (*path, index))
    elif isinstance(value, dict) and len(path) < 10:
        for key in list(value)[:64]:
            yield from _places(value[key], (*path, key))
    elif isinstance(value, bytes) and len(value) > 48 and (inner := values_of(value)) and len(inner) > 2:
        # Metadata of an object, or a record in it: the fields that matter most are inside of these bytes.
        for index in range(len(inner)):
            yield from _places(inner[index], (*path, "inside", index))


def _put(value: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(value)
    if isinstance(value, bytes):
        inner = _put(values_of(value) or [], path[1:], change)
        return b"".join(map(_packed, inner))
    step, *rest = path
    copy = value.copy()
    made = _put(value[step], tuple(rest), change)
    if isinstance(copy, list) and not rest and isinstance(made, _Several):
        copy[step : step + 1] = made
    elif isinstance(made, _Several):
        copy.pop(step)
    else:
        copy[step] = made
    return copy


class _Several(list[Any]):
    """What takes the place of one element: none, or more than one."""


def _other(old: Any, rng: random.Random) -> Any:  # noqa: C901, PLR0911 - one line for each kind of value.
    match rng.randrange(8):
        case 0:
            return _Several([old, old])
        case 1:
            return _Several([])
        case 2:
            return rng.choice((None, True, 1.5, "text", b"bytes", [], [[1]], {}, {"a": [1]}, *_EDGES))
        case 3 if isinstance(old, list):
            return rng.sample(old, len(old))
        case 4 if isinstance(old, list):
            return old * rng.choice((2, 16, 300))
    if isinstance(old, bool) or old is None:
        return not old
    if isinstance(old, int):
        return rng.choice((old + 1, old - 1, old * 2, -old, rng.choice(_EDGES), rng.choice(_EDGES)))
    if isinstance(old, bytes):
        return rng.choice(
            (rng.choice(_BYTES), old[:-1], old + b"\0", old + b"/x", b"../" + old, rng.randbytes(len(old)))
        )
    if isinstance(old, str):
        return rng.choice((rng.choice(_TEXTS), old + "\n", old * 3))
    if isinstance(old, dict):
        return old | {rng.choice(_KEYS): rng.choice(_TEXTS)}
    return rng.choice(_EDGES)


def _with_tree_hash(metadata: bytes) -> bytes:
    """Return the metadata of a snapshot with the hash that its entries have, if they are a tree."""
    values = values_of(metadata)
    if not values or len(values) != 7 or not isinstance(values[4], list):
        return metadata
    try:
        values[3] = Tree(entry_from(tuple(fields)) for fields in values[4]).digest
    except (ValueError, TypeError, LookupError, IntegrityError):
        return metadata
    rows = pack_array((pack(row) for row in values[4]), len(values[4]))
    return b"".join(map(_packed, values[:4])) + rows + b"".join(map(_packed, values[5:]))
