"""Put a tree together: a beginning, then steps, each verified against the chain.

Only contents that the target needs are decoded, and those that deltas on the
way to it were made against.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from functools import partial

from confstream.codec.objects import Pack, RevisionObject, SnapshotObject
from confstream.errors import IntegrityError
from confstream.log.spool import Spool
from confstream.revision import OK, Position, Verdict
from confstream.tree import Entry, Tree, apply, apply_to
from confstream.values import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One object on the way: some revisions, and the pack that holds them if one does."""

    key: str
    revisions: tuple[RevisionObject, ...]
    pack: Pack | None = None


@dataclass
class Checkout:
    """A tree at one position of the log, and its contents by hash.

    ``content`` reads one; blobs are fetched when they are asked for. Close it
    when done.
    """

    position: Position
    tree: Tree
    verdict: Verdict = OK
    contents: Spool = field(default_factory=Spool)
    blobs: frozenset[bytes] = frozenset()
    fetch_blob: Callable[[bytes], bytes] | None = None
    source: tuple[SnapshotObject, str] | None = None

    @classmethod
    def of(cls, snapshot: SnapshotObject, key: str) -> "Checkout":
        """Return the tree of *snapshot*, whose contents are decoded only when a step asks for them."""
        whole = snapshot.snapshot
        return cls(
            whole.position, whole.tree, whole.verdict, blobs=snapshot.contents.blob_hashes, source=(snapshot, key)
        )

    def content(self, digest: bytes) -> bytes:
        """Return the content whose SHA-256 is *digest*; ``IntegrityError`` if the replica lacks it."""
        if digest in self.contents:
            return self.contents[digest]
        if digest in self.blobs and self.fetch_blob is not None:
            return self.fetch_blob(digest)
        name = next((entry.path for entry in self.tree.values() if entry.hash == digest), b"?")
        raise IntegrityError(f"revision {self.position.number}: the content of {name!r} is nowhere on the replica")

    def close(self) -> None:
        """Let go of the contents."""
        self.contents.close()


def assemble(
    base: Checkout,
    steps: Sequence[Step],
    wanted: Callable[[bytes], bool] | None,
    fetch_blob: Callable[[bytes], bytes],
    *,
    passing: frozenset[bytes] = frozenset(),
) -> Checkout:
    """Return *base* after *steps*, with the contents of the paths that *wanted* accepts.

    *passing* are hashes of contents that it also has, though files on the way held them only for a while.
    Raise ``IntegrityError`` if a step does not follow the one before, or if
    the resulting tree is not the one that the last revision names.
    """
    entries, walk = _replay(base, steps)
    try:
        tree = Tree(entries.values())
    except ValueError as error:
        where = walk[-1].made.position.number if walk else base.position.number
        raise IntegrityError(f"revision {where}: what the log leads to is no tree: {error}") from error
    last = walk[-1].made.revision if walk else None
    if last is not None and tree.digest != last.tree_hash:
        raise IntegrityError(f"revision {last.number}: the tree does not match the hash that the revision names")
    position = walk[-1].made.position if walk else base.position
    blobs = base.blobs.union(*(visit.made.contents.blob_hashes for visit in walk))
    needed = {entry.hash for entry in tree.files if wanted is None or wanted(entry.path)} | passing
    chosen = _choose(walk, needed)
    contents = base.contents
    for digest, content in _decode(base, steps, chosen, needed, contents):
        contents.add(digest, content)
    return Checkout(position, tree, last.verdict if last else base.verdict, contents, blobs, fetch_blob)


def follow(tree: Tree, made: RevisionObject, key: str) -> Tree:
    """Return the tree that *made*, which lies at *key*, makes of *tree*; ``IntegrityError`` if it does not fit."""
    try:
        return apply(tree, made.revision.changes)
    except ValueError as error:
        raise IntegrityError(f"{key}: revision {made.revision.number} does not fit the tree: {error}") from error


@dataclass(frozen=True, slots=True)
class _Visit:
    made: RevisionObject
    previous: dict[bytes, bytes]
    """The hashes of the contents that the paths of the prefix had before."""

    packed: bool


def _replay(base: Checkout, steps: Sequence[Step]) -> tuple[dict[bytes, Entry], list[_Visit]]:
    entries, walk, position = dict(base.tree), [], base.position
    for step in steps:
        for made in step.revisions:
            revision = made.revision
            if revision.number <= position.number:
                continue
            if revision.number != position.number + 1 or revision.previous != position.hash:
                raise IntegrityError(
                    f"{step.key}: revision {revision.number} does not follow revision {position.number}"
                )
            try:
                before = {path: entries[path].hash for path in made.prefix_paths}
                apply_to(entries, revision.changes)
            except (KeyError, ValueError) as error:
                raise IntegrityError(
                    f"{step.key}: revision {revision.number} does not fit the tree: {error}"
                ) from error
            walk.append(_Visit(made, before, step.pack is not None))
            position = made.position
    return entries, walk


def _choose(walk: Sequence[_Visit], needed: set[bytes]) -> set[int]:
    """Return the unpacked revisions to decode; add what their prefixes need to *needed*."""
    chosen = set()
    for visit in reversed(walk):
        if not visit.packed and not needed.isdisjoint(entry.hash for entry in visit.made.contents.inline_entries):
            chosen.add(visit.made.revision.number)
            needed.update(visit.previous.values())
    return chosen


def _decode(
    base: Checkout, steps: Sequence[Step], chosen: set[int], needed: set[bytes], contents: Spool
) -> Iterator[tuple[bytes, bytes]]:
    if not needed:
        return
    if base.source is not None:
        yield from base.source[0].read(base.source[1], needed)
    entries, number = dict(base.tree), base.position.number
    for step in steps:
        if step.pack is not None:
            last = step.revisions[-1].revision.number if step.revisions else 0
            yield from step.pack.read(step.key, last, needed)
        for made in step.revisions:
            if made.revision.number <= number:
                continue
            number = made.revision.number
            if made.revision.number in chosen:
                found = made.read(partial(_before, entries, contents, step.key), step.key)
                yield from ((digest, content) for digest, content in found if digest in needed)
            apply_to(entries, made.revision.changes)


def _before(entries: dict[bytes, Entry], contents: Spool, key: str, path: bytes) -> bytes:
    try:
        return contents[entries[path].hash]
    except KeyError as error:
        raise IntegrityError(f"{key}: the version that it was stored against is nowhere on the replica") from error
