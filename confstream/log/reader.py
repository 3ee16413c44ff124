"""Read a replica: which revisions there are, and what the tree was at any of them.

What is read is verified: checksums, the chain of revision hashes, tree hashes
(P9). A packer may work at the same time; a gap is an error, never silence (P8).
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from confstream import layout, plan
from confstream.codec.notes import NOTE_OBJECT_SIZE_MAX, Descriptor, decode_descriptor, decode_heartbeat, decode_tag
from confstream.codec.objects import Pack, RevisionObject, SnapshotObject
from confstream.errors import IntegrityError, NoReplicaError, NotFoundError, ObjectMissingError
from confstream.events import about, carrying
from confstream.layout import Fork, Listing
from confstream.log.ahead import ReadAhead, requests
from confstream.log.chain import DamagedError, GapError, check_link, windows
from confstream.log.checkout import Checkout, Step, assemble
from confstream.log.objects import get_blob, get_pack, get_revision, get_snapshot, get_snapshot_time
from confstream.log.search import last_until
from confstream.plan import Unit
from confstream.revision import Heartbeat, Position, Status, Tag
from confstream.store import Store
from confstream.tree import EMPTY

logger = logging.getLogger("confstream.log")

_T = TypeVar("_T")
_K = TypeVar("_K")
WORKERS = 32
_RELIST_MAX = 4
_CACHED_MAX = 2048
PACKS_KEPT = 2
_NAMED_MAX = 3


class LogReader:
    """The log under one prefix of a replica, or one fork of it.

    Made cheaply; the first question lists the replica once, and later ones
    use that listing until ``refresh``.
    """

    def __init__(self, store: Store, *, workers: int = WORKERS) -> None:
        self.store = store
        self.ahead = ReadAhead(store, workers)
        self._workers = workers
        self._packs: OrderedDict[str, Pack] = OrderedDict()
        self._listing: Listing | None = None
        self._revisions: OrderedDict[int, RevisionObject] = OrderedDict()
        self._damaged: dict[str, str] = {}

    @property
    def listing(self) -> Listing:
        """Return what lies on the replica, as of the last ``refresh``."""
        return self._listing if self._listing is not None else self.refresh()

    def refresh(self) -> Listing:
        """List the replica again."""
        self._damaged.clear()
        self.drop()
        return self._relist()

    def expect(
        self, numbers: Iterable[int], records: Iterable[int] = (), *, index_only: bool = False, beats: bool = False
    ) -> None:
        """Begin to read what checkouts of *numbers* take, the *records* of others, and all heartbeats if *beats*."""
        listing = self.sound(self.listing)
        self.ahead.begin(requests(listing, numbers, records, index_only=index_only, beats=beats))

    def drop(self) -> None:
        """Forget what was read ahead and not asked for."""
        self.ahead.drop()
        self._packs.clear()

    def require(self) -> Listing:
        """Return the listing, or raise ``NoReplicaError`` if there provably is no replica."""
        listing = self.listing
        if listing.empty:
            raise NoReplicaError(
                f"no replica at {self.store.url}: the storage answered, and nothing of confstream is there"
            )
        return listing

    def descriptor(self) -> Descriptor:
        """Return the replica's identity; ``NoReplicaError`` if it has none."""
        try:
            return decode_descriptor(self.ahead.get(layout.DESCRIPTOR, 0, NOTE_OBJECT_SIZE_MAX), layout.DESCRIPTOR)
        except ObjectMissingError as error:
            if not self.listing.empty:
                raise IntegrityError(f"{self.store.url}: {layout.DESCRIPTOR} is missing beside a log") from error
            raise NoReplicaError(f"no replica at {self.store.url}: it has no {layout.DESCRIPTOR}") from error

    def head(self) -> int:
        """Return the number of the newest revision; 0 if there is none yet."""
        return self.require().head

    def checkout(
        self, number: int, wanted: Callable[[bytes], bool] | None = None, *, index_only: bool = False
    ) -> Checkout:
        """Return the tree at revision *number* with the contents of the paths that *wanted* accepts (default: all).

        With *index_only*, without contents and without reading those of packs
        and snapshots. Number 0 is the empty tree. Raise ``NotFoundError`` past
        the head, ``IntegrityError`` where something is missing or damaged,
        naming the nearest revisions that can be had.
        """
        if number == 0:
            return Checkout(Position(), EMPTY)
        return self.stable(number, lambda listing: self._checkout(listing, number, wanted, index_only=index_only))

    def passage(self, first: int, last: int, digests: frozenset[bytes], paths: Callable[[bytes], bool]) -> Checkout:
        """Return the tree at *last* with the contents *digests* that *paths* held from before *first* until then."""

        def walk(listing: Listing) -> Checkout:
            units = plan.units(self.sound(listing), first, last) or ()
            steps = list(self.each(lambda unit: self._step(unit, last, index_only=False), units))
            return assemble(self.checkout(first - 1, paths), steps, lambda _: False, self.blob, passing=digests)

        return self.stable(last, walk)

    def revisions(
        self, first: int = 1, last: int | None = None, *, newest_first: bool = False
    ) -> Iterator[RevisionObject]:
        """Yield revisions *first* to *last*, both included, without their contents' frames.

        Those before the oldest one that is kept are left out; a gap raises
        ``IntegrityError`` when it is reached. The chain is checked.
        """
        listing = self.require()
        last = listing.head if last is None else last
        successor: RevisionObject | None = None
        for start, end in windows(max(first, self.oldest()), last, newest_first=newest_first):
            for made in self._window(start, end, newest_first=newest_first):
                if successor is not None:
                    check_link(*((made, successor) if newest_first else (successor, made)))
                successor = made
                yield made

    def revision(self, number: int) -> RevisionObject:
        """Return revision *number*; ``NotFoundError`` if the log never had it or no longer has it."""
        listing = self.require()
        if not 1 <= number <= listing.head:
            raise NotFoundError(f"there is no revision {number}: {self.store.url} has {self._span()}")
        if number < self.oldest():
            raise NotFoundError(f"revision {number} is no longer kept: {self.store.url} has {self._span()}")
        return self.stable(number, lambda listing: self._range(listing, number, number))[0]

    def oldest(self) -> int:
        """Return the first revision whose record can be read; 1 unless history was pruned."""
        listing = self.listing
        if not listing.packs:
            return min(listing.log, default=1)
        # A log object before the packs that nothing connects to them is a stray.
        first, singles = listing.packs[0][0], set(listing.log)
        while first - 1 in singles:
            first -= 1
        return first

    def at_time(self, time_ns: int) -> int:
        """Return the number of the last revision that was made at or before *time_ns* (UTC).

        Raise ``NotFoundError`` before the first, naming its number.
        """
        low, high = self.oldest(), self.require().head
        found = last_until(self, self.sound(self.listing), low, high, time_ns)
        if not found:
            raise NotFoundError(f"{self.store.url} has no revision that old; the first is revision {low}")
        return found

    def newest_good(self) -> tuple[int, list[RevisionObject]]:
        """Return the newest revision whose verdict is ok, and the newer ones that are not, newest first.

        Without any good one, 0.
        """
        skipped: list[RevisionObject] = []
        for made in self.revisions(newest_first=True):
            if made.revision.verdict.status is Status.OK:
                return made.revision.number, skipped
            skipped.append(made)
        return 0, skipped

    def tag(self, name: str) -> Tag:
        """Return the tag *name*; ``NotFoundError`` if there is none."""
        try:
            key = layout.tag_key(name)
            return decode_tag(self.ahead.get(key, 0, NOTE_OBJECT_SIZE_MAX), key)
        except (ObjectMissingError, ValueError) as error:
            known = ", ".join(self.require().tags) or "none"
            raise NotFoundError(f"{self.store.url} has no tag {name!r}; it has {known}") from error

    def heartbeats(self) -> list[Heartbeat]:
        """Return the last sign of life of every writer, newest first."""
        found = self.each(self.heartbeat, self.listing.heartbeats)
        return sorted((beat for beat in found if beat), key=lambda beat: beat.time_ns, reverse=True)

    def heartbeat(self, writer: str) -> Heartbeat | None:
        """Return the last sign of life of *writer*, by one request; None if there is none, or none to be read."""
        key = layout.heartbeat_key(writer)
        try:
            return decode_heartbeat(self.ahead.get(key, 0, NOTE_OBJECT_SIZE_MAX), key)
        except ObjectMissingError:
            return None
        except IntegrityError as error:
            # It must keep nobody from reading or writing the log, which does not depend on it; verify names it.
            logger.warning("a heartbeat is left out: %s", error, extra=about("heartbeat_unreadable", error=error))
            return None

    def fork(self, fork: Fork) -> list[RevisionObject]:
        """Return the revisions of *fork*, in order."""

        def read(number: int) -> RevisionObject:
            try:
                return get_revision(self.store, number, fork)
            except ObjectMissingError as error:
                raise IntegrityError(f"{self.store.url}: {error}") from error

        return list(self.each(read, self.listing.forks.get(fork, ())))

    def fork_checkout(
        self, fork: Fork, number: int, wanted: Callable[[bytes], bool] | None = None, *, index_only: bool = False
    ) -> Checkout:
        """Return the tree at revision *number* of *fork*, as ``checkout`` does.

        A fork has the log's own revision just before it, and then its own.
        """
        own = [made for made in self.fork(fork) if made.revision.number <= number]
        if number + 1 in self.listing.forks.get(fork, ())[:1]:
            return self.checkout(number, wanted, index_only=index_only)
        if not own or own[-1].revision.number != number:
            raise NotFoundError(f"the fork {fork.name} has no revision {number}")
        before = self.checkout(own[0].revision.number - 1, index_only=index_only)
        steps = [Step(fork.prefix + layout.log_key(made.revision.number), (made,)) for made in own]
        return assemble(before, steps, (lambda _path: False) if index_only else wanted, self.blob)

    def blob(self, digest: bytes) -> bytes:
        """Return the content that is a blob of its own."""
        return get_blob(self.store, digest)

    def snapshot_object(self, number: int, *, index_only: bool = False) -> SnapshotObject:
        """Return the snapshot of revision *number*."""
        return get_snapshot(self.ahead, number, index_only=index_only)

    def snapshot_time(self, number: int) -> int | None:
        """Return the time of revision *number* by its snapshot; None if that is damaged or gone."""
        try:
            return get_snapshot_time(self.ahead, number)
        except (IntegrityError, ObjectMissingError):
            return None

    def pack(self, first: int, last: int, *, index_only: bool = False) -> Pack:
        """Return the pack of revisions *first* to *last*; two are remembered, for to decode one takes long."""
        key = layout.pack_key(first, last)
        found = get_pack(self.ahead, first, last, index_only=index_only, known=self._packs.pop(key, None))
        self._packs[key] = found
        if len(self._packs) > PACKS_KEPT:
            self._packs.popitem(last=False)
        return found

    def log_object(self, number: int) -> RevisionObject:
        """Return what lies in slot *number*, whatever packs say; ``ObjectMissingError`` if nothing does."""
        return get_revision(self.ahead, number)

    def _checkout(
        self, listing: Listing, number: int, wanted: Callable[[bytes], bool] | None, *, index_only: bool
    ) -> Checkout:
        if listing.empty:
            raise NoReplicaError(f"no replica at {self.store.url}: nothing of confstream is there")
        if number > listing.head:
            raise NotFoundError(f"there is no revision {number}: {self.store.url} has {self._span()}")
        route = plan.route(self.sound(listing), number)
        if route is None:
            raise GapError(f"no way to revision {number}")
        with ThreadPoolExecutor(1) as pool:
            begin = pool.submit(carrying(self._begin), route.snapshot, index_only=index_only)
            steps = list(self.each(lambda unit: self._step(unit, number, index_only=index_only), route.units))
            base = begin.result()
        for key, pack in [*self._packs.items()]:
            # Its contents are in the steps now, and as large as they are.
            self._packs[key] = replace(pack, frame=b"")
        self._check_beginning(base, steps)
        if index_only:
            return assemble(base, steps, lambda _path: False, self.blob)
        return assemble(base, steps, wanted, self.blob)

    def _begin(self, number: int, *, index_only: bool) -> Checkout:
        if number == 0:
            return Checkout(Position(), EMPTY)
        key = layout.snapshot_key(number)
        try:
            return Checkout.of(self.snapshot_object(number, index_only=index_only), key)
        except IntegrityError as error:
            raise DamagedError(key, str(error)) from error

    def _check_beginning(self, base: Checkout, steps: Sequence[Step]) -> None:
        """Leave a snapshot out that the log does not follow: it is only a shortcut."""
        number = base.position.number
        after = [made for step in steps[:1] for made in step.revisions if made.revision.number == number + 1]
        if number and after and after[0].revision.previous != base.position.hash:
            key = layout.snapshot_key(number)
            raise DamagedError(key, f"{key}: the log does not follow this snapshot")

    def _step(self, unit: Unit, last: int, *, index_only: bool) -> Step:
        try:
            if unit.packed:
                pack = self.pack(unit.first, unit.last, index_only=index_only)
                return Step(unit.key, tuple(made for made in pack.revisions if made.revision.number <= last), pack)
            return Step(unit.key, (self.log_object(unit.first),))
        except IntegrityError as error:
            raise DamagedError(unit.key, str(error)) from error

    def _bare(self, unit: Unit) -> list[RevisionObject]:
        # Without frames: many revisions are kept at hand, and any of them may be large (P14).
        found = self._step(unit, unit.last, index_only=True).revisions
        return [replace(made, frame=b"") if made.frame else made for made in found]

    def _window(self, first: int, last: int, *, newest_first: bool) -> Iterator[RevisionObject]:
        try:
            found = self.stable(last, lambda listing: self._range(listing, first, last))
        except IntegrityError:
            # One by one, so that what lies before the damage is still told.
            numbers = range(first, last + 1)
            for number in reversed(numbers) if newest_first else numbers:
                yield self.revision(number)
            return
        yield from reversed(found) if newest_first else found

    def _range(self, listing: Listing, first: int, last: int) -> list[RevisionObject]:
        missing = [number for number in range(first, last + 1) if number not in self._revisions]
        read: dict[int, RevisionObject] = {}
        if missing:
            units = plan.units(self.sound(listing), missing[0], missing[-1])
            if units is None:
                raise GapError(f"revisions {first} to {last}")
            for found in self.each(self._bare, units):
                read |= {made.revision.number: made for made in found}
        result = [read.get(number) or self._revisions[number] for number in range(first, last + 1)]
        self._revisions.update(read)
        while len(self._revisions) > _CACHED_MAX:
            self._revisions.popitem(last=False)
        return result

    def _relist(self) -> Listing:
        self._listing = layout.parse(self.store.list())
        return self._listing

    def stable(self, number: int, read: Callable[[Listing], _T]) -> _T:
        """Return what *read* makes of the listing, for revision *number*.

        List again when an object vanished under a packer (I4), and take another
        way when one is damaged.
        """
        listing, relisted = self.listing, 0
        while True:
            try:
                return read(listing)
            except DamagedError as error:
                self._damaged[error.key] = str(error)
            except (ObjectMissingError, GapError) as error:
                before, listing = listing, self._relist()
                relisted += 1
                if listing == before or relisted >= _RELIST_MAX:
                    why = "" if isinstance(error, GapError) else str(error)
                    raise self._broken(number, why) from error

    def each(self, work: Callable[[_K], _T], over: Iterable[_K]) -> Iterable[_T]:
        """Return what *work* makes of each of *over*, worked on at the same time."""
        todo = list(over)
        if len(todo) < 2:  # noqa: PLR2004 - a pool for one is only overhead
            return [work(one) for one in todo]
        with ThreadPoolExecutor(min(self._workers, len(todo))) as pool:
            return list(pool.map(carrying(work), todo))

    def _span(self) -> str:
        head = self.listing.head
        return f"revisions {self.oldest()} to {head}" if head else "no revision yet"

    def sound(self, listing: Listing) -> Listing:
        """Return *listing* without the objects that turned out to be damaged."""
        if not self._damaged:
            return listing
        return replace(
            listing,
            log=tuple(number for number in listing.log if layout.log_key(number) not in self._damaged),
            packs=tuple(pair for pair in listing.packs if layout.pack_key(*pair) not in self._damaged),
            snapshots=tuple(number for number in listing.snapshots if layout.snapshot_key(number) not in self._damaged),
        )

    def _broken(self, number: int, why: str) -> IntegrityError:
        ranges = plan.reachable(self.sound(self.listing))
        near = plan.nearest(ranges, number)
        absent = max((last for _, last in ranges if last < number), default=self.oldest() - 1) + 1
        hint = " and ".join(f"revision {one}" for one in near if one != number) or "none"
        why = "; ".join([*self._damaged.values()][:_NAMED_MAX]) or why or f"{layout.log_key(absent)} is missing"
        return IntegrityError(f"revision {number} cannot be read: {why}; the nearest that can be: {hint}")
