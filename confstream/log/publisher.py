"""Publish to a replica's log. The sole owner of the order of writes on it.

The slot is the fence: creating ``log/N+1`` exclusively decides who writes
revision N+1, without lock, lease or clock. FORMAT.md, "Publishing", has the
rules and invariants that comments here cite.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from confstream import layout
from confstream.clock import Clock
from confstream.codec.notes import encode_heartbeat, encode_tag
from confstream.codec.objects import RevisionObject, decode_revision, encode_blob, encode_snapshot
from confstream.errors import (
    FencedError,
    IntegrityError,
    ObjectExistsError,
    ObjectMissingError,
    OutcomeUnknownError,
    UnavailableError,
)
from confstream.events import about
from confstream.layout import Fork
from confstream.log.checkout import follow
from confstream.log.encoding import encode_against
from confstream.log.intent import Head, Intent, Published, Writer
from confstream.log.reader import LogReader
from confstream.revision import Heartbeat, Revision, Snapshot, Tag
from confstream.store import Store
from confstream.tree import Change, Tree, diff

logger = logging.getLogger("confstream.log")

GRACE_SECONDS = 86_400.0
"""How long log objects outlive the pack that covers them."""

_UNKNOWN_RETRIES = 4
_UNKNOWN_PAUSE_SECONDS = 0.5


class Publisher:
    """One writer of one log, in one epoch.

    Not for several threads at once. Made by ``Publisher.start``, which reads
    the end of the log; every later revision costs one PUT.
    """

    def __init__(
        self, reader: LogReader, writer: Writer, clock: Clock, stop: threading.Event, *, grace_seconds: float
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.head = Head()
        self.epoch = 1
        self.size = 0
        """How many bytes the revisions take that this writer published."""
        self.snapshot_size = 0
        """The same of the last snapshot that it made."""
        self.supersedes: tuple[int, int] | None = None
        self.fenced_by: RevisionObject | None = None
        self._clock = clock
        self._stop = stop
        self._grace_seconds = grace_seconds
        self._listed_at = (0.0, 0)
        self._store: Store = reader.store
        self._in_doubt: tuple[Revision, bytes] | None = None

    @classmethod
    def start(
        cls,
        reader: LogReader,
        writer: Writer,
        clock: Clock,
        stop: threading.Event | None = None,
        *,
        grace_seconds: float = GRACE_SECONDS,
    ) -> "Publisher":
        """Read the end of the log and take an epoch above every one that was found.

        *stop* ends waits between attempts. *grace_seconds* is how long packed
        log objects are kept, which all writers and packers must agree on.
        """
        publisher = cls(reader, writer, clock, stop or threading.Event(), grace_seconds=grace_seconds)
        publisher.catch_up()
        beats, end = reader.heartbeats(), publisher.head.position
        publisher.epoch = max(end.epoch_high, *(beat.epoch for beat in beats), 0) + 1
        return publisher

    @property
    def in_doubt(self) -> bytes | None:
        """Return the write id of the intent whose outcome is unknown, if there is one."""
        return self._in_doubt[0].write_id if self._in_doubt else None

    def catch_up(self) -> None:
        """List the replica and move the head to what is there now."""
        self._relist()
        head = self.reader.listing.head
        if head == self.head.position.number:
            return
        self.head = self.head_at(head)

    def head_at(self, number: int) -> Head:
        """Return what the end of the log was when it was revision *number*."""
        found = self.reader.checkout(number, index_only=True)
        return Head(found.position, found.tree, found.verdict, found.blobs)

    def publish(
        self,
        intent: Intent,
        contents: Callable[[bytes], bytes],
        previous: Callable[[bytes], bytes | None],
    ) -> Published:
        """Publish *intent* as the next revision and return once the replica holds it (P4).

        *contents* gives by hash what the tree holds, *previous* what the log's
        tree holds, or None where it is not at hand. Revisions of lower epochs
        that took the slot are adopted (rule 2). Raise ``FencedError`` when one
        of a higher epoch did, ``OutcomeUnknownError`` when the storage cannot
        be asked any more: then call again with the same *intent*.
        """
        adopted: list[int] = []
        if self._in_doubt is not None and self.in_doubt != intent.write_id:
            raise AssertionError("an outcome is unknown; the same intent must be published again first")
        while True:
            if self._in_doubt is not None:
                revision, body = self._in_doubt
            else:
                changes = tuple(diff(self.head.tree, intent.tree))
                if not changes and not intent.keep:
                    self.supersedes = None
                    return Published(self.head.position, None, tuple(adopted))
                revision = self._next(intent, changes)
                body = self._encode(revision, contents, previous)
            taken = self._create(revision, body)
            self._in_doubt = None
            if taken is None or _same(taken.revision, revision):
                made = taken or decode_revision(body, layout.log_key(revision.number))
                self._advance(made, intent.tree)
                self.size += len(body)
                self.supersedes = None
                return Published(made.position, made.revision, tuple(adopted))
            self._yield_to(taken)
            adopted.append(taken.revision.number)

    def publish_fork(
        self,
        fork: Fork,
        head: Head,
        intents: Sequence[Intent],
        contents: Callable[[bytes], bytes],
        previous: Callable[[bytes], bytes | None],
    ) -> None:
        """Keep what a fenced writer had not published, as a log of its own that leaves the main one at *head* (P5).

        Calling it again after a failure completes it.
        """
        self.reader.refresh()
        done = {made.revision.write_id: made for made in self.reader.fork(fork)}
        for made in done.values():
            tree = follow(head.tree, made, fork.name)
            head = Head(made.position, tree, made.revision.verdict, head.blobs | made.contents.blob_hashes)
        for intent in intents:
            if intent.write_id in done:
                continue
            changes = tuple(diff(head.tree, intent.tree))
            epoch_high = max(head.position.epoch_high, fork.epoch)
            revision = replace(
                self._next(intent, changes, head), epoch=fork.epoch, epoch_high=epoch_high, supersedes=None
            )
            key = fork.prefix + layout.log_key(revision.number)
            body = self._encode(revision, contents, previous, head)
            made = decode_revision(body, key)
            try:
                self._store.put(key, body)
            except ObjectExistsError:
                made = decode_revision(self._store.get(key), key)
                if not _same(made.revision, revision):
                    raise IntegrityError(f"{key}: holds something else than what this writer left there") from None
            head = Head(made.position, intent.tree, intent.verdict, head.blobs | made.contents.blob_hashes)

    def snapshot(self, contents: Callable[[bytes], bytes]) -> bool:
        """Store the whole tree at the head; return whether this call created it."""
        head = self.head
        kept = Snapshot(head.position, head.verdict, head.tree)
        held = {entry.hash for entry in head.tree.files}
        body = encode_snapshot(kept, contents, head.blobs & held)
        self.snapshot_size = len(body)
        try:
            self._store.put(layout.snapshot_key(head.position.number), body)
        except ObjectExistsError:
            return False
        return True

    def beat(self, interval_seconds: float, lag_seconds: float, version: str, *, released: bool = False) -> Heartbeat:
        """Write this writer's sign of life by a real PUT (P7), and return it."""
        where = self.head.position
        beat = Heartbeat(
            self.writer.id,
            self.writer.host,
            self.epoch,
            where.number,
            tree_hash=self.head.tree.digest,
            time_ns=self._clock.now_ns(),
            interval_seconds=interval_seconds,
            lag_seconds=lag_seconds,
            version=version,
            released=released,
        )
        self._store.replace(layout.heartbeat_key(self.writer.id), encode_heartbeat(beat))
        return beat

    def tag(self, name: str, made: RevisionObject) -> Tag:
        """Name a revision; raise ``ObjectExistsError`` if the name is taken, except by this very revision."""
        tag = Tag(name, made.revision.number, made.hash, self._clock.now_ns())
        try:
            self._store.put(layout.tag_key(name), encode_tag(tag))
        except ObjectExistsError:
            # It may be our own, whose acknowledgement got lost.
            found = self.reader.tag(name)
            if (found.number, found.revision_hash) != (tag.number, tag.revision_hash):
                raise
            return found
        return tag

    def _next(self, intent: Intent, changes: tuple[Change, ...], head: Head | None = None) -> Revision:
        head = head or self.head
        return Revision(
            number=head.position.number + 1,
            epoch=self.epoch,
            epoch_high=max(head.position.epoch_high, self.epoch),
            writer=self.writer.id,
            host=self.writer.host,
            write_id=intent.write_id,
            previous=head.position.hash,
            time_ns=max(intent.time_ns, head.position.time_ns),
            authorship=intent.authorship,
            changes=changes,
            verdict=intent.verdict,
            tree_hash=intent.tree.digest,
            supersedes=self.supersedes,
        )

    def _encode(
        self,
        revision: Revision,
        contents: Callable[[bytes], bytes],
        previous: Callable[[bytes], bytes | None],
        head: Head | None = None,
    ) -> bytes:
        head = head or self.head
        return encode_against(revision, head.tree, head.blobs, contents, previous, put_blob=self._put_blob)

    def _put_blob(self, digest: bytes, content: bytes) -> None:
        key, body = layout.blob_key(digest), encode_blob(content)
        for attempt in range(_UNKNOWN_RETRIES):
            try:
                self._store.put(key, body)
            except ObjectExistsError:
                return
            except OutcomeUnknownError:
                if self._clock.wait(self._stop, _UNKNOWN_PAUSE_SECONDS * 2**attempt):
                    break
            else:
                return
        raise UnavailableError(f"{self._store.url}: {key} could not be stored; no answer came")

    def _create(self, revision: Revision, body: bytes) -> RevisionObject | None:
        """Create the slot; return None if we did, else what took it. Unknown is resolved, never assumed (P4)."""
        taken = self._already(revision.number)
        if taken is not None:
            return taken
        for attempt in range(_UNKNOWN_RETRIES):
            try:
                self._store.put(layout.log_key(revision.number), body)
            except ObjectExistsError as error:
                taken = self._taken(revision)
                if taken is not None:
                    return taken
                # The store names an object that it does not have: nothing is known yet.
                unknown = OutcomeUnknownError(f"{self._store.url}: {error}, and yet it cannot be read")
            except OutcomeUnknownError as error:
                unknown = error
            else:
                self._in_doubt = (revision, body)
                return self._created(revision)
            # I5: the same bytes to the same slot until it is known what the slot holds.
            self._in_doubt = (revision, body)
            if attempt == _UNKNOWN_RETRIES - 1 or self._clock.wait(self._stop, _UNKNOWN_PAUSE_SECONDS * 2**attempt):
                raise unknown
        raise AssertionError("unreachable")

    def _taken(self, revision: Revision) -> RevisionObject | None:
        """Return what holds the slot that was there already; None if that cannot be told.

        Rule 4 here, too: it may be a slot of the past that an attempt of this
        writer, whose answer got lost, created once more.
        """
        if not self._is_listing_old():
            with contextlib.suppress(ObjectMissingError):
                return self.reader.log_object(revision.number)
        # It was packed and deleted since, or may have been: only a listing tells what took the slot.
        return self._looked_up(revision)

    def _already(self, number: int) -> RevisionObject | None:
        """Return what holds revision *number* already, listing again only if the last listing is old.

        Rule 4: packed slots are deleted after the grace period, and a writer
        that slept could create one again. A listing younger than a quarter of
        it cannot have missed that. What a listing shows is never tried.
        """
        if self._is_listing_old():
            self._relist()
        return self._published(number)

    def _created(self, revision: Revision) -> RevisionObject | None:
        """Return what the log has in the slot that was just created, or None where that is certain to be *revision*.

        Rule 4 for a writer that slept after its look: what it created may be a
        slot that was packed and deleted meanwhile.
        """
        return self._looked_up(revision) if self._is_listing_old() else None

    def _looked_up(self, revision: Revision) -> RevisionObject | None:
        """Return what the log has instead of *revision*, by a new listing, and remove what was created in vain."""
        self._relist()
        found = self._published(revision.number)
        if found is not None and not _same(found.revision, revision):
            # Its own is part of no history; without the permission it stays, and verify names it.
            with contextlib.suppress(UnavailableError, ObjectMissingError, IntegrityError):
                if _same(self.reader.log_object(revision.number).revision, revision):
                    self._store.delete([layout.log_key(revision.number)])
        return found

    def _is_listing_old(self) -> bool:
        # By either clock: one jumps, and the other may not count the time that a machine was paused.
        elapsed_seconds = self._clock.elapsed_seconds() - self._listed_at[0]
        passed_seconds = (self._clock.now_ns() - self._listed_at[1]) / 1e9
        return max(elapsed_seconds, passed_seconds) > self._grace_seconds / 4

    def _relist(self) -> None:
        listed_at = (self._clock.elapsed_seconds(), self._clock.now_ns())
        listing = self.reader.refresh()
        self._listed_at = listed_at
        if listing.head < self.head.position.number:
            raise IntegrityError(
                f"{self._store.url}: revision {self.head.position.number} was confirmed, but the log ends with "
                f"revision {listing.head}; somebody removed history"
            )

    def _published(self, number: int) -> RevisionObject | None:
        """Return revision *number* if the last listing has it."""
        listing = self.reader.listing
        if listing.head < number:
            return None
        if number >= self.reader.oldest():
            return self.reader.revision(number)
        # Others wrote for so long that retention dropped what followed this writer's last revision.
        self.fenced_by = self.reader.revision(listing.head)
        raise FencedError(
            f"{self._store.url}: the log went on to revision {listing.head} without this writer, and what followed its "
            f"revision {self.head.position.number} is no longer kept"
        )

    def _yield_to(self, taken: RevisionObject) -> None:
        other = taken.revision
        if other.epoch > self.epoch:
            self.fenced_by = taken
            raise FencedError(
                f"writer {other.writer} on {other.host} published revision {other.number} with epoch {other.epoch}, "
                f"above this writer's {self.epoch}: it owns the log now"
            )
        said = "revision %d by writer %s on %s (epoch %d) was there first; this tree follows as the next one"
        extra = about("adopted", position=other.number, writer=other.writer, epoch=other.epoch)
        logger.warning(said, other.number, other.writer, other.host, other.epoch, extra=extra)
        if other.epoch == self.epoch:
            self.epoch = max(other.epoch_high, self.epoch) + 1
        self._advance(taken)
        first = self.supersedes[0] if self.supersedes else other.number
        self.supersedes = (first, other.number)

    def _advance(self, made: RevisionObject, tree: Tree | None = None) -> None:
        """Move the head to *made*, which leads to *tree* if that is known."""
        revision, head, key = made.revision, self.head, layout.log_key(made.revision.number)
        if revision.previous != head.position.hash:
            known = head.position.number
            raise IntegrityError(f"{key} does not follow revision {known} as this writer knows it; run verify")
        tree = follow(head.tree, made, key) if tree is None else tree
        if tree.digest != revision.tree_hash:
            raise IntegrityError(f"{key}: the tree does not match the hash it names")
        self.head = Head(made.position, tree, revision.verdict, head.blobs | made.contents.blob_hashes)


def _same(found: Revision, sent: Revision) -> bool:
    return found.write_id == sent.write_id and found.tree_hash == sent.tree_hash
