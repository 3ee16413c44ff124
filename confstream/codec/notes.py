"""The small objects beside the log: descriptor, tags, heartbeats.

The descriptor is JSON, so that a person who looks into a bucket learns what
lies there; it carries its own checksum.
"""

import hashlib
from typing import Any

from confstream.codec import frames
from confstream.codec.envelope import FORMAT_VERSION, ObjectKind, seal, unseal
from confstream.codec.fields import NUMBER_MAX, Reader, checked, natural, pack, text
from confstream.errors import IntegrityError
from confstream.revision import Heartbeat, Tag
from confstream.tree import HASH_SIZE
from confstream.values import dataclass

_NOTE_SIZE_MAX = 1 << 16
NOTE_OBJECT_SIZE_MAX = 1 << 17
"""As much as has to be read of a descriptor, a tag or a heartbeat: no whole one is larger."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """The identity of a replica: created exclusively, once, never changed.

    *stream* is 32 hexadecimal digits. *exclusive_create* says that the backend
    was proven to refuse an overwrite when the replica was made.
    """

    stream: str
    created_ns: int
    version: str
    exclusive_create: bool


def encode_descriptor(descriptor: Descriptor) -> bytes:
    """Return ``confstream.json``."""
    fields = {
        "format": FORMAT_VERSION,
        "what": "a replica of a configuration directory, written by confstream",
        "stream": descriptor.stream,
        "created_ns": descriptor.created_ns,
        "version": descriptor.version,
        "exclusive_create": descriptor.exclusive_create,
    }
    import json  # noqa: PLC0415 - only for who makes or reads one

    return json.dumps(fields | {"sha256": _checksum(fields)}, indent=1).encode() + b"\n"


def decode_descriptor(body: bytes, key: str) -> Descriptor:
    """Return the descriptor in *body*; refuse other formats by name."""
    import json  # noqa: PLC0415 - likewise

    try:
        fields = json.loads(body[:_NOTE_SIZE_MAX])
        found = fields.pop("sha256")
        version = fields["format"]
        checksum = _checksum(fields)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"{key}: not the descriptor of a replica") from error
    if type(version) is not int or version != FORMAT_VERSION:
        raise IntegrityError(
            f"{key}: format {version!r:.40}, this confstream reads {FORMAT_VERSION}; use a newer confstream"
        )
    if found != checksum:
        raise IntegrityError(f"{key}: the checksum does not match, the descriptor is damaged")
    try:
        return Descriptor(
            stream=text(fields["stream"]),
            created_ns=natural(fields["created_ns"], "time of creation"),
            version=text(fields["version"]),
            exclusive_create=checked(fields["exclusive_create"], bool, "exclusive_create"),
        )
    except KeyError as error:
        raise IntegrityError(f"{key}: the descriptor lacks {error}") from error
    except (ValueError, TypeError) as error:
        raise IntegrityError(f"{key}: {error}") from error


def encode_tag(tag: Tag) -> bytes:
    """Return the object of *tag*."""
    return _seal(ObjectKind.TAG, tag.name, tag.number, tag.revision_hash, tag.time_ns)


def decode_tag(body: bytes, key: str) -> Tag:
    """Return the tag in *body*, or raise ``IntegrityError``."""
    name, number, digest, time_ns = _unseal(body, ObjectKind.TAG, key, (str, int, bytes, int))
    return Tag(name, number, digest, time_ns)


def encode_heartbeat(beat: Heartbeat) -> bytes:
    """Return the object of *beat*."""
    interval_ms, lag_ms = round(beat.interval_seconds * 1000), round(beat.lag_seconds * 1000)
    who = (beat.writer, beat.host, beat.epoch, beat.number, beat.tree_hash, beat.time_ns)
    return _seal(ObjectKind.HEARTBEAT, *who, interval_ms, lag_ms, beat.version, beat.released)


def decode_heartbeat(body: bytes, key: str) -> Heartbeat:
    """Return the heartbeat in *body*, or raise ``IntegrityError``."""
    types = (str, str, int, int, bytes, int, int, int, str, bool)
    found = _unseal(body, ObjectKind.HEARTBEAT, key, types)
    writer, host, epoch, number, tree_hash, time_ns, interval_ms, lag_ms, version, released = found
    lags = (interval_ms / 1000, lag_ms / 1000)
    return Heartbeat(writer, host, epoch, number, tree_hash, time_ns, *lags, version, released)


def _seal(kind: ObjectKind, *values: object) -> bytes:
    metadata = pack(values)
    if len(metadata) > _NOTE_SIZE_MAX:
        raise ValueError(f"a {kind.name.lower()} of {len(metadata)} bytes, at most {_NOTE_SIZE_MAX} are possible")
    return seal(kind, frames.compress([metadata], len(metadata)))


def _unseal(body: bytes, kind: ObjectKind, key: str, types: tuple[type, ...]) -> tuple[Any, ...]:
    metadata, contents = unseal(body, kind, key)
    reader = Reader(frames.decompress(metadata, key, _NOTE_SIZE_MAX), key)
    values = reader.value()
    reader.end()
    if contents or type(values) is not tuple or tuple(map(type, values)) != types:
        raise IntegrityError(f"{key}: the fields of a {kind.name.lower()} are not what the format says")
    for value in values:
        if (type(value) is int and not 0 <= value <= NUMBER_MAX) or (type(value) is bytes and len(value) != HASH_SIZE):
            raise IntegrityError(f"{key}: a {kind.name.lower()} with a number or a hash that cannot be one")
    return values


def _checksum(fields: dict[str, object]) -> str:
    import json  # noqa: PLC0415 - likewise

    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
