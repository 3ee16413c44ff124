"""What must always be so: an account of the log, kept from the outside, that objects on the storage are held against.

It reads what is stored with the product's decoders and believes nothing else:
what became a revision once is one for ever (P4, P5, P9).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from confstream import layout, plan
from confstream.codec.objects import RevisionObject, decode_pack, decode_revision, decode_snapshot
from confstream.revision import GENESIS
from confstream.tree import Entry, Tree

Content = tuple[bytes, bytes]
"""A path and the hash of what it holds."""


class Node(NamedTuple):
    """What a revision says of one path."""

    kind: str
    mode: int
    hash: bytes


Files = dict[bytes, Node]


@dataclass(slots=True)
class Link:
    """One revision, as it was when it was created."""

    hash: bytes
    epoch: int
    writer: str
    time_ns: int
    write_id: bytes
    tree: Files


def nodes(tree: Mapping[bytes, Entry]) -> Files:
    """Return *tree* as values to compare."""
    return {path: Node(entry.kind.value, entry.mode, entry.hash) for path, entry in tree.items()}


@dataclass
class Oracle:
    """The log as it was made, and what is expected of every object."""

    chain: list[Link] = field(default_factory=list)
    strays: set[int] = field(default_factory=set)
    kept: set[Content] = field(default_factory=set)
    forked: set[Content] = field(default_factory=set)
    is_checked: bool = True

    @property
    def head(self) -> int:
        return len(self.chain)

    def changed(self, objects: Mapping[str, bytes], what: str, key: str, body: bytes) -> None:
        """Hold one change of the storage against what is known; *objects* are those after it."""
        if what == "create" and key.startswith(layout.LOG):
            self._created(objects, decode_revision(body, key), key)
        elif what == "create" and key.startswith(layout.PACK):
            self._packed(objects, body, key)
        elif what == "create" and key.startswith(layout.SNAPSHOT):
            found = decode_snapshot(body, key).snapshot
            number = found.position.number
            assert number <= self.head, f"{key}: a snapshot of what is no revision"
            assert found.position.hash == self.chain[number - 1].hash, f"{key}: a snapshot of another history"
            assert nodes(found.tree) == self.chain[number - 1].tree, f"{key}: a snapshot of another tree"
        elif what == "create" and key.startswith(layout.FORK):
            made = decode_revision(body, key)
            self.forked |= _contents(made)
        elif what == "delete":
            self._deleted(objects, key)

    def check_kept(self, contents: Iterable[Content], who: str) -> None:
        """Raise unless all of *contents*, which were acknowledged, are in some revision."""
        lost = [path for path, digest in contents if (path, digest) not in self.kept]
        assert not lost, f"{who} was told that the replica holds {lost[0]!r}, and no revision does"

    def _created(self, objects: Mapping[str, bytes], made: RevisionObject, key: str) -> None:
        revision = made.revision
        number = revision.number
        assert key == layout.log_key(number), f"{key}: holds revision {number}"
        assert number <= self.head + 1, f"{key}: revision {self.head + 1} was skipped"
        if number <= self.head:
            if self.chain[number - 1].hash != made.hash:
                packs = [pair for pair in layout.parse(objects).packs if pair[0] <= number <= pair[1]]
                assert packs, f"{key}: was revision {number} before, is another one now, and no pack says what it was"
                self.strays.add(number)
            return
        before = self.chain[-1] if self.chain else None
        assert revision.previous == (before.hash if before else GENESIS), f"{key}: does not follow the one before"
        if before is not None:
            assert revision.time_ns >= before.time_ns, f"{key}: is older than the one before"
            assert revision.epoch >= before.epoch, f"{key}: epoch {revision.epoch} after {before.epoch}"
            same = revision.epoch != before.epoch or revision.writer == before.writer
            assert same, f"{key}: two writers in epoch {revision.epoch}"
        assert all(link.write_id != revision.write_id for link in self.chain), f"{key}: a draft published twice"
        tree = dict(before.tree) if before else {}
        for change in revision.changes:
            if change.entry is not None:
                tree[change.path] = Node(change.entry.kind.value, change.entry.mode, change.entry.hash)
            elif change.meta is not None:
                tree[change.path] = tree[change.path]._replace(mode=change.meta.mode)
            else:
                del tree[change.path]
        link = Link(made.hash, revision.epoch, revision.writer, revision.time_ns, revision.write_id, tree)
        self.chain.append(link)
        self.kept |= _contents(made)

    def _packed(self, objects: Mapping[str, bytes], body: bytes, key: str) -> None:
        pack = decode_pack(body, key)
        for made in pack.revisions:
            number = made.revision.number
            assert number <= self.head, f"{key}: revision {number} was never published"
            assert made.hash == self.chain[number - 1].hash, f"{key}: holds another revision {number} than the log had"
        assert layout.snapshot_key(pack.last) in objects, f"{key}: its snapshot is not there yet (I4)"

    def _deleted(self, objects: Mapping[str, bytes], key: str) -> None:
        if not key.startswith((layout.LOG, layout.PACK, layout.SNAPSHOT, layout.BLOB, layout.FORK, layout.TAG)):
            return
        listing = layout.parse(objects)
        reachable = plan.reachable(listing)
        whole = [(1, self.head)] if self.head else []
        assert reachable == whole, f"{key} was deleted, and now only {reachable} of {whole} can be restored"
        assert key.startswith((layout.LOG, layout.SNAPSHOT, layout.PACK)), f"{key} was deleted"
        first, _, last = key.rpartition("/")[2].partition("-")
        if not key.startswith(layout.SNAPSHOT) and int(first) not in self.strays:
            wanted = int(first), int(last or first)
            packs = [end for start, end in listing.packs if start <= wanted[0] and wanted[1] <= end]
            assert any(end in listing.snapshots for end in packs), f"{key} was deleted before pack and snapshot (I4)"


def tree_matches(tree: Tree, link: Link) -> bool:
    """Return whether *tree* is that of *link*."""
    return nodes(tree) == link.tree


def _contents(made: RevisionObject) -> set[Content]:
    return {(change.path, change.entry.hash) for change in made.revision.changes if change.entry is not None}
