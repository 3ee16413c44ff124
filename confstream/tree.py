"""A directory as a value: what it holds, how two differ, and its hash.

Pure: nothing here touches a disk or a replica. Paths are bytes, relative to
the tree's root, parts joined by ``/``. The root itself has no entry.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType

from confstream.values import dataclass

HASH_SIZE = 32
NAME_SIZE_MAX = 255
EMPTY_HASH = hashlib.sha256(b"").digest()
_PERMISSIONS = 0o7777
_ROWS_MAX = 1 << 14


class Kind(StrEnum):
    """What a path is. Sockets, FIFOs and devices are never part of a tree."""

    FILE = "file"
    SYMLINK = "symlink"
    DIRECTORY = "directory"


def content_hash(content: bytes) -> bytes:
    """Return the SHA-256 of *content*, the name of a content everywhere."""
    return hashlib.sha256(content).digest()


def check_path(path: bytes) -> bytes:
    """Return *path*, or raise ``ValueError`` if it could lead out of a tree."""
    parts = path.split(b"/")
    # Nearly every path is a plain one, and every record has some: all of it is asked of C at once.
    if not (b"\0" in path or b"" in parts or b"." in parts or b".." in parts) and len(path) <= NAME_SIZE_MAX:
        return path
    if not path:
        raise ValueError("the path is empty")
    if b"\0" in path:
        raise ValueError(f"{path!r} contains a NUL byte")
    for part in parts:
        if part in {b"", b".", b".."}:
            raise ValueError(f"{path!r} is not a plain relative path")
        if len(part) > NAME_SIZE_MAX:
            raise ValueError(f"{path[:40]!r}… has a part of {len(part)} bytes; at most {NAME_SIZE_MAX} are possible")
    return path


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a tree.

    *hash* is the SHA-256 of a file's content, or of a symlink's target; a
    directory has 32 zero bytes. *target* is a symlink's target, else empty.
    *mode* holds permission bits only. *mtime_ns* is kept for files; zero for
    the rest, because a directory's changes with every file in it.
    """

    path: bytes
    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    hash: bytes = bytes(HASH_SIZE)
    target: bytes = b""

    def __post_init__(self) -> None:
        """Refuse what no tree can hold."""
        check_path(self.path)
        if self.mode & ~_PERMISSIONS:
            raise ValueError(f"{self.path!r} has mode {self.mode:o}; only permission bits are possible")
        if len(self.hash) != HASH_SIZE:
            raise ValueError(f"{self.path!r} has a hash of {len(self.hash)} bytes, expected {HASH_SIZE}")
        if self.size < 0 or self.uid < 0 or self.gid < 0:
            raise ValueError(f"{self.path!r} has a negative size or owner")
        if (self.kind is Kind.SYMLINK) != bool(self.target):
            raise ValueError(f"{self.path!r} is a {self.kind} with target {self.target!r}")
        if b"\0" in self.target:
            raise ValueError(f"{self.path!r} has a target with a NUL byte")

    @classmethod
    def file(
        cls, path: bytes, content: bytes, mode: int = 0o644, *, uid: int = 0, gid: int = 0, mtime_ns: int = 0
    ) -> "Entry":
        """Return the entry of a regular file that holds *content*."""
        return cls(path, Kind.FILE, mode, uid, gid, mtime_ns, len(content), content_hash(content))

    @classmethod
    def symlink(cls, path: bytes, target: bytes, *, uid: int = 0, gid: int = 0) -> "Entry":
        """Return the entry of a symbolic link; its mode is always 0777."""
        return cls(path, Kind.SYMLINK, 0o777, uid, gid, 0, len(target), content_hash(target), target)

    @classmethod
    def directory(cls, path: bytes, mode: int = 0o755, *, uid: int = 0, gid: int = 0) -> "Entry":
        """Return the entry of a directory."""
        return cls(path, Kind.DIRECTORY, mode, uid, gid)

    def matches(self, other: "Entry") -> bool:
        """Return whether both are the same thing to an application: kind, mode, content.

        Owners and times do not count: a restore may be unable to set them.
        """
        return (self.kind, self.mode, self.hash) == (other.kind, other.mode, other.hash)


class Tree(Mapping[bytes, Entry]):
    """An immutable set of entries by path, in order of path bytes.

    Every parent of an entry is itself an entry of kind directory, so that a
    checkout never has to guess a mode.
    """

    __slots__ = ("_digest", "_entries")

    def __init__(self, entries: Iterable[Entry] = (), *, in_order: dict[bytes, Entry] | None = None) -> None:
        """Make it of *entries*, or of what is known to be a tree and *in_order*, which nobody may change any more."""
        by_path = {} if in_order is None else in_order
        for entry in sorted(entries, key=lambda entry: entry.path):
            if entry.path in by_path:
                raise ValueError(f"{entry.path!r} occurs twice")
            parent, slash, _ = entry.path.rpartition(b"/")
            if slash and (parent not in by_path or by_path[parent].kind is not Kind.DIRECTORY):
                raise ValueError(f"{entry.path!r} is in {parent!r}, which is not a directory of the tree")
            by_path[entry.path] = entry
        self._entries = MappingProxyType(by_path)
        self._digest: bytes | None = None

    @property
    def by_path(self) -> Mapping[bytes, Entry]:
        """Return the entries as a plain mapping, in order."""
        return self._entries

    def after(self, changes: Sequence["Change"]) -> "Tree":
        """Return the tree after *changes*; ``ValueError`` if one of them does not fit it."""
        entries = dict(self._entries)
        apply_to(entries, changes)
        if all(map(self._keeps_its_place, changes)):
            # No path came, went, or became something else: the order is the same, and so is what is in what.
            return Tree(in_order=entries)
        return Tree(entries.values())

    def _keeps_its_place(self, change: "Change") -> bool:
        before = self._entries.get(change.path)
        if before is None or change.op is Op.DELETE:
            return False
        return change.entry is None or change.entry.kind is before.kind

    def __getitem__(self, path: bytes) -> Entry:
        return self._entries[path]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Tree({len(self)} entries, {self.digest.hex()[:12]})"

    @property
    def digest(self) -> bytes:
        """Return the tree's hash: SHA-256 over path, kind, mode and content hash of every entry.

        FORMAT.md, "Tree hash", has it byte by byte. Owners and times are left
        out: see ``Entry.matches``.
        """
        if self._digest is None:
            hasher = hashlib.sha256(b"confstream tree 1\n")
            rows: list[bytes] = []
            kinds: dict[tuple[str, int], bytes] = {}
            for path, entry in self._entries.items():
                letter, mode = entry.kind[0], entry.mode
                # Few modes occur, and a tree is hashed at every change.
                kind = kinds.get((letter, mode)) or kinds.setdefault((letter, mode), f"{letter}{mode:04o}".encode())
                rows += (len(path).to_bytes(4, "little"), path, kind, entry.hash)
                if len(rows) > _ROWS_MAX:
                    hasher.update(b"".join(rows))
                    rows.clear()
            hasher.update(b"".join(rows))
            self._digest = hasher.digest()
        return self._digest

    def matches(self, other: "Tree") -> bool:
        """Return whether both hold the same paths, kinds, modes and contents."""
        return self.digest == other.digest

    @property
    def files(self) -> Iterator[Entry]:
        """Yield the regular files, in order of path."""
        return (entry for entry in self._entries.values() if entry.kind is Kind.FILE)


EMPTY = Tree()


class Op(StrEnum):
    """What a change does to its path."""

    PUT = "put"
    DELETE = "delete"
    META = "meta"


@dataclass(frozen=True, slots=True)
class Meta:
    """Mode and owner of a path, without its content."""

    mode: int
    uid: int
    gid: int

    def __post_init__(self) -> None:
        """Refuse what no entry can have."""
        if self.mode & ~_PERMISSIONS or self.uid < 0 or self.gid < 0:
            raise ValueError(f"mode {self.mode:o}, owner {self.uid}:{self.gid} is not possible")


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs between two trees.

    ``put`` sets a whole *entry*; ``meta`` sets mode and owner of what is there
    and leaves its content alone; ``delete`` carries neither.
    """

    op: Op
    path: bytes
    entry: Entry | None = None
    meta: Meta | None = None

    def __post_init__(self) -> None:
        """Refuse a change that carries anything but what its op needs."""
        if (self.entry is not None) != (self.op is Op.PUT) or (self.meta is not None) != (self.op is Op.META):
            raise ValueError(f"a {self.op} of {self.path!r} with entry {self.entry!r} and meta {self.meta!r}")
        if self.entry is not None and self.entry.path != self.path:
            raise ValueError(f"a {self.op} of {self.path!r} with the entry of {self.entry.path!r}")
        if self.entry is None:
            check_path(self.path)

    @classmethod
    def put(cls, entry: Entry) -> "Change":
        """Return the change that sets *entry*."""
        return cls(Op.PUT, entry.path, entry)


def diff(old: Mapping[bytes, Entry], new: Mapping[bytes, Entry]) -> list[Change]:
    """Return the changes that turn *old* into *new*, ordered by path.

    ``apply(old, diff(old, new))`` equals *new* but for the times of files
    whose content did not change: a touched file is not a changed one.
    """
    changes = []
    # The views of a plain mapping are much quicker than a tree's own; and what is the very same entry does not differ.
    old, new = (tree.by_path if isinstance(tree, Tree) else tree for tree in (old, new))
    differing = [path for path, entry in new.items() if old.get(path) is not entry]
    for path in sorted([*differing, *(old.keys() - new.keys())]):
        before, after = old.get(path), new.get(path)
        if after is None:
            changes.append(Change(Op.DELETE, path))
        elif before is None or (before.kind, before.hash) != (after.kind, after.hash):
            changes.append(Change.put(after))
        elif (before.mode, before.uid, before.gid) != (after.mode, after.uid, after.gid):
            changes.append(Change(Op.META, path, meta=Meta(after.mode, after.uid, after.gid)))
    return changes


def apply(tree: Mapping[bytes, Entry], changes: Iterable[Change]) -> Tree:
    """Return *tree* after *changes*; raise ``ValueError`` if one of them does not fit it."""
    if isinstance(tree, Tree):
        return tree.after(tuple(changes))
    entries = dict(tree)
    apply_to(entries, changes)
    return Tree(entries.values())


def apply_to(entries: dict[bytes, Entry], changes: Iterable[Change]) -> None:
    """Change *entries* in place; raise ``ValueError`` if one of *changes* names what is not there."""
    for change in changes:
        if change.entry is not None:
            entries[change.path] = change.entry
        elif change.path not in entries:
            raise ValueError(f"a {change.op} of {change.path!r}, which is not there")
        elif change.meta is not None:
            meta = change.meta
            entries[change.path] = replace(entries[change.path], mode=meta.mode, uid=meta.uid, gid=meta.gid)
        else:
            del entries[change.path]
