"""The tree at one revision, with its contents: what a verification carries along the log.

It knows what it does not know: after a gap the tree, or some of its contents.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from confstream.codec.objects import RevisionObject, SnapshotObject
from confstream.errors import IntegrityError
from confstream.log.spool import Spool
from confstream.revision import Position, Revision
from confstream.tree import Change, Entry, Kind, Tree, apply_to

_SPOOL_SLACK_SIZE = 1 << 28
"""How much may lie in the spool that is no longer needed, before it is made anew (P14)."""


@dataclass
class Contents:
    """Contents by hash, of which only those are kept that something may still refer to."""

    spool: Spool = field(default_factory=Spool)
    _added_size: int = 0

    def add(self, digest: bytes, content: bytes) -> None:
        """Keep *content*."""
        self.spool.add(digest, content)
        self._added_size += len(content)

    @property
    def is_bulky(self) -> bool:
        """Return whether so much was added that a sweep is worth it."""
        return self._added_size >= _SPOOL_SLACK_SIZE

    def sweep(self, live: Iterable[bytes]) -> None:
        """Drop what is not in *live*."""
        old, self.spool, self._added_size = self.spool, Spool(), 0
        for digest in live:
            if digest in old:
                self.spool.add(digest, old[digest])
        old.close()


@dataclass
class State:
    """The log up to *position*, None where a gap lies before it; *known* says whether the tree is.

    *lost* are contents that the tree has and the replica lacks.
    """

    contents: Contents
    position: Position | None = field(default_factory=Position)
    known: bool = True
    entries: dict[bytes, Entry] = field(default_factory=dict)
    held: Counter[bytes] = field(default_factory=Counter)
    lost: set[bytes] = field(default_factory=set)

    @property
    def restorable(self) -> bool:
        """Return whether the tree and all of its contents can be had."""
        return self.known and not any(self.held[digest] for digest in self.lost)

    def copy(self) -> "State":
        """Return one that can go another way."""
        return State(self.contents, self.position, self.known, dict(self.entries), Counter(self.held), set(self.lost))

    def forget(self, position: Position | None) -> None:
        """Go on at *position* without knowing the tree."""
        self.position, self.known = position, False
        self.entries, self.held, self.lost = {}, Counter(), set()

    def rebase(self, found: SnapshotObject) -> None:
        """Go on with the tree of a snapshot."""
        self.position, self.known = found.snapshot.position, True
        self.entries = dict(found.snapshot.tree)
        self.held = Counter(entry.hash for entry in found.snapshot.tree.files)
        self.lost = set()

    def misfit(self, revision: Revision, previous: bytes) -> str | None:
        """Return why *revision*, which names *previous*, cannot come next; None if it can."""
        before = self.position
        if before is None:
            return None
        if previous != before.hash:
            return f"it does not follow revision {before.number}"
        if revision.time_ns < before.time_ns:
            return f"it is older than revision {before.number}"
        if revision.epoch_high != max(before.epoch_high, revision.epoch):
            return f"it says that {revision.epoch_high} is the highest epoch, after {before.epoch_high}"
        return None

    def read(self, made: RevisionObject, key: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield hash and content of what an unpacked revision stores, read against the tree before it."""

        def previous(path: bytes) -> bytes:
            try:
                return self.contents.spool[self.entries[path].hash]
            except KeyError as error:
                raise IntegrityError(f"{key}: the version that {path!r} was stored against cannot be had") from error

        yield from made.read(previous, key)

    def apply(self, made: RevisionObject) -> str | None:
        """Move on to *made*; return what is wrong with the tree then, which is unknown in that case."""
        revision = made.revision
        if self.known:
            try:
                self._count(revision.changes)
                apply_to(self.entries, revision.changes)
                wrong = Tree(self.entries.values()).digest != revision.tree_hash
                flaw = "the tree that it leads to does not match the hash that it names" if wrong else None
            except ValueError as error:
                flaw = f"it does not fit the tree before: {error}"
            if flaw:
                self.forget(made.position)
                return flaw
        self.position = made.position
        return None

    def _count(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if change.meta is not None:
                continue
            before = self.entries.get(change.path)
            if before is not None and before.kind is Kind.FILE:
                self.held[before.hash] -= 1
                if not self.held[before.hash]:
                    del self.held[before.hash]
            if change.entry is not None and change.entry.kind is Kind.FILE:
                self.held[change.entry.hash] += 1
