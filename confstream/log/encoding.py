"""What a revision stores of contents: inline, as a difference, in a blob, or not at all.

A content is written once; an edited file costs what the edit does. Pure but
for *put_blob*, which makes a blob durable before the revision that names it (I2).
"""

from collections.abc import Callable, Collection, Mapping

from confstream.codec.frames import PREFIX_SIZE_MAX
from confstream.codec.objects import encode_revision
from confstream.revision import Revision
from confstream.tree import Entry, Kind, Tree

BLOB_SIZE_MIN = 1 << 20
INLINE_SIZE_MAX = 1 << 26
"""What one revision's object holds of contents at most; what is beyond goes into blobs."""


def encode_against(
    revision: Revision,
    tree: Tree,
    blobs: Collection[bytes],
    contents: Callable[[bytes], bytes],
    previous: Callable[[bytes], bytes | None],
    *,
    put_blob: Callable[[bytes, bytes], None],
) -> bytes:
    """Return the object of *revision*, which changes *tree*, whose contents in *blobs* are blobs.

    *contents* gives by hash what is new, *previous* what *tree* holds, or None
    where it is not at hand.
    """
    known = {entry.hash for entry in tree.files}
    new: dict[bytes, Entry] = {}
    for change in revision.changes:
        if change.entry is not None and change.entry.kind is Kind.FILE and change.entry.hash not in known:
            new.setdefault(change.entry.hash, change.entry)
    inline, large, size = {}, set(), 0
    for digest, entry in sorted(new.items(), key=lambda pair: pair[1].size):
        size += entry.size
        if entry.size > BLOB_SIZE_MIN or size > INLINE_SIZE_MAX:
            large.add(digest)
            if digest not in blobs:
                put_blob(digest, contents(digest))
        else:
            inline[digest] = contents(digest)
    return encode_revision(revision, inline, _prefixes(revision, tree, blobs, inline, previous), large)


def _prefixes(
    revision: Revision,
    tree: Tree,
    blobs: Collection[bytes],
    inline: Mapping[bytes, bytes],
    previous: Callable[[bytes], bytes | None],
) -> dict[bytes, bytes]:
    """Return by path the contents that the new ones are stored against."""
    found: dict[bytes, bytes] = {}
    size = 0
    for change in revision.changes:
        before = tree.get(change.path)
        if change.entry is None or change.entry.hash not in inline or before is None or before.kind is not Kind.FILE:
            continue
        if before.hash in blobs or before.size == 0 or size + before.size > PREFIX_SIZE_MAX:
            continue
        content = previous(before.hash)
        if content is not None:
            found[change.path] = content
            size += before.size
    return found
