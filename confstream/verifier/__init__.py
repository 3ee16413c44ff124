"""Prove a replica whole, or name everything that is damaged, missing or foreign, and what can still be restored.

One pass over history, which never stops at a problem (P8, P9). Memory holds
one tree and the packs at one revision; contents beyond that lie in a file.
"""

from collections import defaultdict
from functools import partial

from confstream import layout
from confstream.codec.notes import Descriptor, decode_descriptor, decode_heartbeat, decode_tag
from confstream.errors import IntegrityError
from confstream.layout import Fork, Listing
from confstream.log.reader import LogReader
from confstream.revision import Heartbeat, Tag
from confstream.store import Store
from confstream.tree import Tree
from confstream.verifier.report import Flaw, Problem, VerifyReport
from confstream.verifier.source import Progress, Source
from confstream.verifier.state import Contents, State
from confstream.verifier.walk import Walk

__all__ = ["Flaw", "Problem", "Progress", "VerifyReport", "verify"]

_PASSES_MAX = 3


def verify(store: Store, *, quick: bool = False, progress: Progress | None = None) -> VerifyReport:
    """Read everything on the replica, and report what is wrong with it.

    *quick* leaves the contents of packs, snapshots and blobs unread: chain,
    trees and references are proven, bytes are not. *progress* is told how many
    objects were read of how many. Raise ``NoReplicaError`` where there is none;
    problems are never raised, see ``VerifyReport.ok``. What is found while
    others write or pack is looked at again before it is reported.
    """
    reader = LogReader(store)
    reader.require()
    passes = 0
    while True:
        listing = reader.listing
        found = _Verification(store, listing, quick=quick, progress=progress).run()
        passes += 1
        if found.ok or passes == _PASSES_MAX or _history(reader.refresh()) == _history(listing):
            return found


def _history(listing: Listing) -> tuple[object, ...]:
    return listing.log, listing.packs, listing.snapshots, listing.forks, listing.described


class _Verification:
    """One pass."""

    def __init__(self, store: Store, listing: Listing, *, quick: bool, progress: Progress | None) -> None:
        total = 1 + len(listing.log) + len(listing.packs) + len(listing.snapshots) + len(listing.blobs)
        total += len(listing.tags) + len(listing.heartbeats) + sum(map(len, listing.forks.values()))
        self._source = Source(store, listing, total, quick=quick, progress=progress)
        self._walk = Walk(self._source, self._visit)
        self._listing = listing
        self._claimed = 0
        self._tags: dict[int, list[Tag]] = defaultdict(list)
        self._beats: dict[int, list[Heartbeat]] = defaultdict(list)
        self._forks: dict[int, list[Fork]] = defaultdict(list)

    def run(self) -> VerifyReport:
        source, listing = self._source, self._listing
        try:
            self._notes()
            walk = self._walk
            walk.run(self._claimed)
            self._left_over()
        finally:
            source.close()
            self._walk.state.contents.spool.close()
        head = max(listing.head, *listing.snapshots[-1:], self._claimed)
        first = min([*listing.log[:1], *(first for first, _ in listing.packs[:1]), *listing.snapshots[:1]], default=0)
        return VerifyReport(
            url=source.store.url,
            problems=tuple(source.problems),
            first=first,
            head=head,
            revisions=sum(end - start + 1 for start, end in walk.restorable),
            restorable=tuple(walk.restorable),
            objects=source.done,
            bytes=source.size_bytes,
            quick=source.quick,
        )

    def _notes(self) -> None:
        """Read what lies beside the log, to be compared with it on the way."""
        source, listing = self._source, self._listing
        if listing.described:
            key = layout.DESCRIPTOR
            source.read(key, lambda: _descriptor(source.store, key), "the descriptor of the replica")
        else:
            source.note(Flaw.MISSING, layout.DESCRIPTOR, "nothing", "the descriptor of the replica")
        for name in listing.tags:
            key = layout.tag_key(name)
            tag = source.read(key, partial(_tag, source.store, key), f"the tag {name}")
            if tag is not None and tag.name != name:
                source.note(Flaw.DAMAGED, key, f"the tag {tag.name}", f"the tag {name}")
            elif tag is not None:
                self._tags[tag.number].append(tag)
        for writer in listing.heartbeats:
            key = layout.heartbeat_key(writer)
            beat = source.read(key, partial(_heartbeat, source.store, key), f"the heartbeat of {writer}")
            if beat is not None and beat.writer != writer:
                source.note(Flaw.DAMAGED, key, f"the heartbeat of {beat.writer}", f"that of {writer}")
            elif beat is not None:
                self._beats[beat.number].append(beat)
        self._claimed = max(self._beats, default=0)
        for fork, numbers in listing.forks.items():
            self._forks[numbers[0] - 1].append(fork)

    def _visit(self, number: int, state: State) -> None:
        """Compare what names revision *number* with it."""
        if state.position is None or state.position.number != number:
            return
        for tag in self._tags.pop(number, ()):
            if tag.revision_hash != state.position.hash:
                key = layout.tag_key(tag.name)
                self._source.note(Flaw.DAMAGED, key, f"the hash of another revision {number}", "the one in the log")
        if number in self._beats and state.known:
            digest = Tree(state.entries.values()).digest
            for beat in self._beats[number]:
                if beat.tree_hash != digest:
                    key = layout.heartbeat_key(beat.writer)
                    self._source.note(Flaw.DAMAGED, key, f"another tree at revision {number}", "the one in the log")
        for fork in self._forks.pop(number, ()):
            self._walk.fork(fork, state.copy())

    def _left_over(self) -> None:
        """Report what nothing in the log answers to."""
        source = self._source
        for number, tags in sorted(self._tags.items()):
            for tag in tags:
                source.note(
                    Flaw.MISSING, layout.tag_key(tag.name), f"no revision {number}", "the revision that it names"
                )
        for number, forks in sorted(self._forks.items()):
            for fork in forks:
                source.note(Flaw.MISSING, fork.prefix, f"no revision {number}", "the revision that the fork left from")
                contents = Contents()
                self._walk.fork(fork, State(contents, None, known=False))
                contents.spool.close()
        for digest in sorted(self._listing.blobs):
            source.has_blob(digest)
        for key in self._listing.strange:
            source.note(Flaw.FOREIGN, key, "an object that is not confstream's", "none")


def _descriptor(store: Store, key: str) -> Descriptor:
    body = store.get(key)
    if not body.endswith(b"}\n"):
        raise IntegrityError(f"{key}: its end is missing")
    return decode_descriptor(body, key)


def _tag(store: Store, key: str) -> Tag:
    return decode_tag(store.get(key), key)


def _heartbeat(store: Store, key: str) -> Heartbeat:
    return decode_heartbeat(store.get(key), key)
