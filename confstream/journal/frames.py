"""The bytes of a write-ahead log: a header, then frames, each with its own checksum.

A frame is bound to the file's generation and to its own place, so that stale
bytes, or a content that looks like a frame, are never taken for one. What a
crash cut short ends the log; damage is an error that names the place.
"""

import hashlib
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from confstream.errors import IntegrityError

PAYLOAD_SIZE_MAX = 1 << 30
"""The largest payload of one frame, in bytes."""

_MAGIC = b"cfstrwal"
_VERSION = 1
_HEADER = struct.Struct("<8sIQ")
_FRAME_MAGIC = b"\xc5\x1f\x9a\xe7"
# Mark, payload length, kind, how much of the file was known to be synced before this frame.
_FRAME = struct.Struct("<4sIBQ")
_PLACE = struct.Struct("<QQ")
_CRC = struct.Struct("<I")
_CHECKSUM_SIZE = 8
_FRAME_HEAD = _FRAME.size + _CRC.size
_OVERHEAD = _FRAME_HEAD + _CHECKSUM_SIZE
_CHUNK = 1 << 20
_SECTOR = 512

HEADER_SIZE = _HEADER.size + _CHECKSUM_SIZE
"""The size of a log without frames, in bytes."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One record of a log and where it begins; *synced* is how much of the log was known to be synced before it."""

    offset: int
    kind: int
    payload: bytes
    synced: int = 0

    @property
    def end(self) -> int:
        """Where the next frame begins."""
        return self.offset + frame_size(len(self.payload))


def frame_size(payload_size: int) -> int:
    """Return the bytes that a payload of *payload_size* bytes takes in the file."""
    return _OVERHEAD + payload_size


def encode_header(generation: int) -> bytes:
    """Return the first bytes of the log *generation*."""
    head = _HEADER.pack(_MAGIC, _VERSION, generation)
    return head + hashlib.sha256(head).digest()[:_CHECKSUM_SIZE]


def encode_frame(generation: int, offset: int, kind: int, payload: bytes, synced: int) -> bytes:
    """Return the frame that is to stand at *offset* of the log *generation*."""
    head = _frame_head(generation, offset, _FRAME.pack(_FRAME_MAGIC, len(payload), kind, synced))
    return b"".join((head, payload, _checksum(head, payload)))


def read_frame(descriptor: int, generation: int, offset: int, size: int) -> Frame | None:
    """Return the frame at *offset*, or None if there is no whole one."""
    head = os.pread(descriptor, _FRAME_HEAD, offset)
    if len(head) < _FRAME_HEAD or _frame_head(generation, offset, head[: _FRAME.size]) != head:
        return None
    magic, length, kind, synced = _FRAME.unpack(head[: _FRAME.size])
    if magic != _FRAME_MAGIC or length > PAYLOAD_SIZE_MAX or offset + frame_size(length) > size:
        return None
    rest = _read_exactly(descriptor, length + _CHECKSUM_SIZE, offset + _FRAME_HEAD)
    payload = rest[:length]
    if len(rest) != length + _CHECKSUM_SIZE or _checksum(head, payload) != rest[length:]:
        return None
    return Frame(offset, kind, payload, synced)


def replay(descriptor: int, path: Path, visit: Callable[[Frame], None]) -> tuple[int, int]:
    """Show *visit* every frame of the log *path*; return its generation and where the last whole frame ends.

    Raise ``IntegrityError`` if what follows that frame is no trace of a crash.
    """
    size = os.fstat(descriptor).st_size
    header = os.pread(descriptor, HEADER_SIZE, 0)
    fields = header[: _HEADER.size]
    if len(header) < HEADER_SIZE or hashlib.sha256(fields).digest()[:_CHECKSUM_SIZE] != header[_HEADER.size :]:
        raise IntegrityError(f"{path}: the first {HEADER_SIZE} bytes are not the header of a log. {remedy(path)}")
    magic, version, generation = _HEADER.unpack(fields)
    if (magic, version) != (_MAGIC, _VERSION):
        found = f"version {version} of {magic!r}"
        raise IntegrityError(f"{path}: {found}, but this confstream reads version {_VERSION}. Use a newer one")
    offset = HEADER_SIZE
    while offset < size:
        frame = read_frame(descriptor, generation, offset, size)
        if frame is None:
            _check_torn(descriptor, path, generation, offset, size)
            break
        visit(frame)
        offset = frame.end
    return generation, offset


def remedy(path: Path) -> str:
    """Return what to do about the damaged log *path*."""
    return (
        f"Keep a copy of {path.parent}, then remove 'state' and 'wal-*' from it: confstream starts anew from the tree "
        f"and the replica, and only what was never published is missing from the history"
    )


def _frame_head(generation: int, offset: int, fields: bytes) -> bytes:
    return fields + _CRC.pack(zlib.crc32(_PLACE.pack(generation, offset) + fields))


def _checksum(head: bytes, payload: bytes) -> bytes:
    # SHA-256 cut to 64 bits, and no CRC-32: a spool that was filled for days holds enough frames for one damage in
    # four billion to matter, contents are hashed with it anyway, and it costs a tenth of the sync that follows.
    hasher = hashlib.sha256(head)
    hasher.update(payload)
    return hasher.digest()[:_CHECKSUM_SIZE]


def _read_exactly(descriptor: int, size: int, offset: int) -> bytes:
    chunk = os.pread(descriptor, size, offset)
    if len(chunk) == size or not chunk:
        return chunk
    chunks = [chunk]
    # One call returns at most 2 GiB, and less after a signal.
    while chunk and (size := size - len(chunk)):
        offset += len(chunk)
        chunk = os.pread(descriptor, size, offset)
        chunks.append(chunk)
    return b"".join(chunks)


def _check_torn(descriptor: int, path: Path, generation: int, offset: int, size: int) -> None:
    """Return if a crash explains the bad frame at *offset*; raise ``IntegrityError`` if only damage does.

    The kernel may write the pages of a batch in any order, so whole frames
    may follow the hole of one that a power loss swallowed. But then none of
    them knows it as synced, and what is missing reads as zeros.
    """
    followers = _frames_after(descriptor, generation, offset, size)
    first = next(followers, None)
    if first is None:
        return
    known = first.synced > offset or any(frame.synced > offset for frame in followers)
    if known or not _has_hole(descriptor, offset, first.offset):
        raise IntegrityError(
            f"{path}: the record at byte {offset} is damaged, while the one at byte {first.offset} is whole, so this "
            f"is no trace of a crash. {remedy(path)}"
        )


def _frames_after(descriptor: int, generation: int, offset: int, size: int) -> Iterator[Frame]:
    position = offset + 1
    while position < size:
        chunk = os.pread(descriptor, _CHUNK, position)
        found = chunk.find(_FRAME_MAGIC)
        if found < 0:
            # The mark may lie across the end of this chunk.
            position += max(len(chunk) - len(_FRAME_MAGIC) + 1, 1)
            continue
        frame = read_frame(descriptor, generation, position + found, size)
        position += found + 1
        if frame is not None:
            yield frame
            position = frame.end


def _has_hole(descriptor: int, first: int, end: int) -> bool:
    position = first
    while position < end:
        sector_end = (position // _SECTOR + 1) * _SECTOR
        if sector_end > end:
            return False
        if not any(os.pread(descriptor, sector_end - position, position)):
            return True
        position = sector_end
    return False
