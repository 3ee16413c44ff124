"""Revisions as a list shows them: who, when and why at once, what each changed when somebody looks.

Pure. The hash of a record is that of all its bytes, whether or not they are decoded, so the chain holds (P9).
"""

from confstream.codec import frames
from confstream.codec.envelope import METADATA_SIZE_MAX, ObjectKind, read_header, read_metadata
from confstream.codec.fields import Reader, checked, decode_record
from confstream.codec.objects import PACK_REVISIONS_MAX
from confstream.errors import IntegrityError
from confstream.revision import Revision
from confstream.tree import content_hash
from confstream.values import dataclass


@dataclass(frozen=True, slots=True)
class Outline:
    """A revision with its hash; its changes are decoded at the first look at one, and its contents are elsewhere."""

    revision: Revision
    hash: bytes


def decode_outline(head: bytes, key: str) -> Outline:
    """Return the revision that *head* is the beginning of the object of; *head* must hold its metadata."""
    metadata = read_metadata(head, read_header(head, ObjectKind.REVISION, key), key)
    reader = Reader(frames.decompress(metadata, key, METADATA_SIZE_MAX), key)
    try:
        return _outline(checked(reader.value(), bytes, "record"), key)
    except TypeError as error:
        raise IntegrityError(f"{key}: {error}") from error


def decode_outlines(head: bytes, key: str) -> tuple[Outline, ...]:
    """Return the revisions of the pack that *head* is the beginning of; *head* must hold its metadata."""
    metadata = read_metadata(head, read_header(head, ObjectKind.PACK, key), key)
    reader = Reader(frames.decompress(metadata, key, METADATA_SIZE_MAX), key)
    first, *_ = reader.fields()
    found = tuple(_outline(record, key) for record in reader.array(_record, PACK_REVISIONS_MAX))
    numbers = [made.revision.number for made in found]
    if not numbers or numbers != list(range(numbers[0], numbers[0] + len(numbers))) or first != numbers[0]:
        raise IntegrityError(f"{key}: its revisions are not consecutive")
    return found


def _outline(record: bytes, key: str) -> Outline:
    return Outline(decode_record(record, key, outline=True), content_hash(record))


def _record(fields: tuple[object, ...]) -> bytes:
    record, _, _ = checked(fields, tuple, "revision in a pack")
    return checked(record, bytes, "record")
