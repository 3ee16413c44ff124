"""Objects forged by hand, for tests of what a reader refuses: sealed correctly, wrong inside."""

import struct
from typing import Any

from confstream.codec import frames
from confstream.codec.envelope import ObjectKind, seal
from confstream.codec.fields import encode_record, pack, pack_array
from confstream.revision import Authorship, Revision, Status, Verdict
from confstream.tree import Change, Entry, Meta, Op, Tree

KINDS = {kind.name.lower(): kind for kind in ObjectKind}


def zstd_frame(announced: int, *runs: int) -> bytes:
    """Return a zstd frame by hand that announces a size and holds *runs* of zeros, 4 bytes each."""
    blocks = [
        struct.pack("<I", (run << 3) | 2 | (number == len(runs)))[:3] + b"\0" for number, run in enumerate(runs, 1)
    ]
    return b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", announced) + b"".join(blocks)


def compressed(metadata: bytes) -> bytes:
    return frames.compress([metadata], len(metadata), effort=frames.Effort(1))


def resealed(kind: str, metadata: bytes, contents: bytes = b"") -> bytes:
    return seal(KINDS[kind], compressed(metadata), contents)


def revision_of(record: bytes, *positions: bytes) -> bytes:
    return resealed("revision", pack(record, *(positions or (b"", b"", b""))))


def rich_record() -> bytes:
    changes = (
        Change(Op.DELETE, b"a"),
        Change(Op.META, b"b", meta=Meta(0o600, 1, 2)),
        Change.put(Entry.directory(b"c")),
        Change.put(Entry.file(b"c/f", b"x", mtime_ns=5)),
        Change.put(Entry.symlink(b"l", b"t")),
    )
    made = Authorship("api", "me", "why", {"k": "v"})
    verdict = Verdict(Status.INVALID, ("broken",))
    return encode_record(
        Revision(9, 2, 3, "w", "h", bytes(16), bytes(32), 7, made, changes, verdict, bytes(32), supersedes=(7, 8))
    )


def snapshot_of(
    entries: list[list[Any]], tree_hash: bytes = bytes(32), inline: bytes = b"", frame: bytes = b""
) -> bytes:
    metadata = pack((1, bytes(32), 1, 0), "ok") + pack_array([], 0) + pack(tree_hash)
    metadata += pack_array((pack(entry) for entry in entries), len(entries)) + pack(inline, b"")
    return resealed("snapshot", metadata, frame)


def positions_of(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


def zeros_of(size: int, frame: bytes) -> bytes:
    tree = Tree(
        [Entry(b"f", entry_kind, 0o644, size=size, hash=bytes(32)) for entry_kind in [Entry.file(b"f", b"").kind]]
    )
    return snapshot_of([[b"f", 0, 0o644, 0, 0, 0, size, bytes(32)]], tree.digest, positions_of(0), frame)
