"""The envelope of every object: what it is, where its two sections are, and its checksums.

FORMAT.md, "Envelope", is the byte-exact description. The metadata section can
be read and verified without the contents section.
"""

import hashlib
import struct
from enum import IntEnum

from confstream.errors import IntegrityError
from confstream.values import dataclass

MAGIC = b"\x89cfs\r\n\x1a\n"
FORMAT_VERSION = 1
_FIXED = struct.Struct("<8sBBHIQ")
_CHECKSUM_SIZE = 32
HEADER_SIZE = _FIXED.size + _CHECKSUM_SIZE
METADATA_SIZE_MAX = 1 << 26
CONTENTS_SIZE_MAX = 1 << 30
"""Of one section as stored: a header that announces more is not believed."""

OBJECT_SIZE_MAX = HEADER_SIZE + METADATA_SIZE_MAX + CONTENTS_SIZE_MAX + _CHECKSUM_SIZE
"""What no object is larger than, and no store reads more of."""


class ObjectKind(IntEnum):
    """What an object is, as its header says."""

    REVISION = 1
    PACK = 2
    SNAPSHOT = 3
    BLOB = 4
    TAG = 5
    HEARTBEAT = 6


@dataclass(frozen=True, slots=True)
class Header:
    """The first bytes of an object: enough to know how much to read."""

    kind: ObjectKind
    metadata_size: int
    contents_size: int
    checksum: bytes

    @property
    def contents_offset(self) -> int:
        """Return where the contents section begins."""
        return HEADER_SIZE + self.metadata_size

    @property
    def object_size(self) -> int:
        """Return the size of the whole object."""
        return self.contents_offset + self.contents_size + _CHECKSUM_SIZE


def seal(kind: ObjectKind, metadata: bytes, contents: bytes = b"") -> bytes:
    """Return an object of *kind* around its two sections; raise ``ValueError`` if a reader would refuse it."""
    if len(metadata) > METADATA_SIZE_MAX or len(contents) > CONTENTS_SIZE_MAX:
        raise ValueError(
            f"a {kind.name.lower()} with sections of {len(metadata)} and {len(contents)} bytes is too large"
        )
    fixed = _FIXED.pack(MAGIC, FORMAT_VERSION, kind, 0, len(metadata), len(contents))
    head = fixed + hashlib.sha256(fixed + metadata).digest() + metadata
    digest = hashlib.sha256(head)
    digest.update(contents)
    return b"".join((head, contents, digest.digest()))


def unseal(body: bytes, kind: ObjectKind, key: str) -> tuple[bytes, bytes]:
    """Return metadata and contents of a whole object of *kind*, or raise ``IntegrityError``."""
    header = read_header(body, kind, key)
    if len(body) != header.object_size:
        raise IntegrityError(f"{key}: {len(body)} bytes, expected {header.object_size}; it was cut or appended to")
    if hashlib.sha256(memoryview(body)[:-_CHECKSUM_SIZE]).digest() != body[-_CHECKSUM_SIZE:]:
        raise IntegrityError(f"{key}: the checksum does not match, the object is damaged")
    offset = header.contents_offset
    return read_metadata(body, header, key), body[offset : offset + header.contents_size]


def read_header(head: bytes, kind: ObjectKind, key: str) -> Header:
    """Return the header of an object of *kind*, of which *head* is the beginning."""
    if len(head) < HEADER_SIZE:
        raise IntegrityError(f"{key}: only {len(head)} bytes, a header has {HEADER_SIZE}")
    magic, version, found, flags, metadata_size, contents_size = _FIXED.unpack_from(head)
    if magic != MAGIC:
        raise IntegrityError(f"{key}: not an object of confstream (it starts with {magic!r})")
    if version != FORMAT_VERSION:
        raise IntegrityError(
            f"{key}: format version {version}, this confstream reads version {FORMAT_VERSION}; use a newer confstream"
        )
    if flags:
        raise IntegrityError(f"{key}: flags {flags:#06x} ask for something this confstream cannot do; use a newer one")
    if found != kind:
        raise IntegrityError(f"{key}: an object of kind {found}, expected {kind.name.lower()} ({int(kind)})")
    if metadata_size > METADATA_SIZE_MAX or contents_size > CONTENTS_SIZE_MAX:
        raise IntegrityError(
            f"{key}: announces sections of {metadata_size} and {contents_size} bytes, which is too much"
        )
    return Header(kind, metadata_size, contents_size, head[_FIXED.size : HEADER_SIZE])


def read_metadata(head: bytes, header: Header, key: str) -> bytes:
    """Return the metadata section out of *head*, which must reach to its end, checked."""
    metadata = head[HEADER_SIZE : header.contents_offset]
    if len(metadata) != header.metadata_size:
        raise IntegrityError(f"{key}: {len(metadata)} bytes of metadata, expected {header.metadata_size}")
    if hashlib.sha256(head[: _FIXED.size] + metadata).digest() != header.checksum:
        raise IntegrityError(f"{key}: the checksum of the metadata does not match, the object is damaged")
    return metadata
