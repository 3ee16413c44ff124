"""The objects of a replica for one verification: each read, counted, and what is wrong with it noted."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from confstream import layout
from confstream.codec.objects import Pack, RevisionObject, SnapshotObject
from confstream.errors import IntegrityError, ObjectMissingError
from confstream.layout import Fork, Listing
from confstream.log.objects import get_blob, get_pack, get_revision, get_snapshot
from confstream.store import Store
from confstream.store.metered import MeteredStore
from confstream.verifier.report import Flaw, Problem

Progress = Callable[[int, int], None]
"""Called with how many objects were read, and how many there are."""

_T = TypeVar("_T")
_WORKERS = 8
_AHEAD = 16
"""Log objects that are read at once, and so held at once."""


class Source:
    """What *listing* says is on *store*. Close it when done."""

    def __init__(self, store: Store, listing: Listing, total: int, *, quick: bool, progress: Progress | None) -> None:
        self.store = MeteredStore(store)
        self.listing = listing
        self.quick = quick
        self.problems: list[Problem] = []
        self.done = 0
        self._total = total
        self._progress = progress
        self._ahead: dict[int, RevisionObject | IntegrityError | ObjectMissingError] = {}
        self._blobs: dict[bytes, bool] = {}
        self._pool = ThreadPoolExecutor(_WORKERS)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    @property
    def size_bytes(self) -> int:
        """Return how many bytes were read."""
        return self.store.sizes_bytes.get("get", 0)

    def note(self, flaw: Flaw, key: str, found: str, expected: str) -> None:
        """Remember a problem."""
        self.problems.append(Problem(flaw, key, found, expected))

    def read(self, key: str, read: Callable[[], _T], expected: str) -> _T | None:
        """Return what *read* makes of the object *key*; None, and a problem, if it cannot."""
        try:
            found = read()
        except (IntegrityError, ObjectMissingError) as error:
            self._fault(key, error, expected)
            found = None
        self._tell()
        return found

    def revision(self, number: int) -> RevisionObject | None:
        """Return the log object *number*, having read those after it as well."""
        if number not in self._ahead:
            self._ahead.clear()
            log = self.listing.log
            start = bisect_left(log, number)
            todo = log[start : start + _AHEAD]
            self._ahead.update(zip(todo, self._pool.map(self._try_revision, todo), strict=True))
        found = self._ahead.pop(number)
        self._tell()
        if isinstance(found, RevisionObject):
            return found
        self._fault(layout.log_key(number), found, f"revision {number}")
        return None

    def fork_revision(self, fork: Fork, number: int) -> RevisionObject | None:
        """Return revision *number* of *fork*."""
        key = fork.prefix + layout.log_key(number)
        return self.read(key, lambda: get_revision(self.store, number, fork), f"revision {number} of the fork")

    def pack(self, first: int, last: int) -> Pack | None:
        """Return a pack; only its index when this is to be quick."""
        key = layout.pack_key(first, last)
        expected = f"revisions {first} to {last}"
        return self.read(key, lambda: get_pack(self.store, first, last, index_only=self.quick), expected)

    def snapshot(self, number: int) -> SnapshotObject | None:
        """Return a snapshot; only its index when this is to be quick."""
        key = layout.snapshot_key(number)
        expected = f"the tree at revision {number}"
        return self.read(key, lambda: get_snapshot(self.store, number, index_only=self.quick), expected)

    def has_blob(self, digest: bytes) -> bool:
        """Return whether the blob *digest* is there and sound, having read it at most once."""
        if digest not in self._blobs:
            self._blobs[digest] = self._check_blob(digest)
        return self._blobs[digest]

    def blob(self, digest: bytes) -> bytes:
        """Return the content of the blob *digest*."""
        return get_blob(self.store, digest)

    def _check_blob(self, digest: bytes) -> bool:
        key, expected = layout.blob_key(digest), "a content that a revision refers to"
        if digest not in self.listing.blobs:
            self.note(Flaw.MISSING, key, "nothing", expected)
            return False
        if self.quick:
            return True
        return self.read(key, lambda: get_blob(self.store, digest), expected) is not None

    def _try_revision(self, number: int) -> RevisionObject | IntegrityError | ObjectMissingError:
        try:
            return get_revision(self.store, number)
        except (IntegrityError, ObjectMissingError) as error:
            return error

    def _fault(self, key: str, error: IntegrityError | ObjectMissingError, expected: str) -> None:
        if isinstance(error, ObjectMissingError):
            self.note(Flaw.MISSING, key, "it is listed, but cannot be read", expected)
        else:
            self.note(Flaw.DAMAGED, key, str(error).removeprefix(f"{key}: "), expected)

    def _tell(self) -> None:
        self.done += 1
        if self._progress is not None:
            self._progress(self.done, max(self.done, self._total))


class OpenPack:
    """A pack of which the contents are read along with the revisions."""

    def __init__(self, pack: Pack, key: str, *, quick: bool) -> None:
        self.key = key
        self.first, self.last = pack.first, pack.last
        self.seen: set[bytes] = set()
        self.sound = True
        self._rows = pack.revisions
        self._stream: Iterator[tuple[bytes, bytes]] | None = None if quick else pack.read(key)

    def made(self, number: int) -> RevisionObject:
        """Return revision *number*."""
        return self._rows[number - self.first]

    def take(self, number: int, keep: Callable[[bytes, bytes], None]) -> None:
        """Read the contents of revision *number*, which comes after the last one that was taken."""
        entries = self.made(number).contents.inline_entries
        for entry in entries:
            if self._stream is not None:
                keep(*next(self._stream))
            self.seen.add(entry.hash)

    def end(self) -> None:
        """Read to the end, where the frame is checked to be over."""
        for _ in self._stream or ():
            pass
