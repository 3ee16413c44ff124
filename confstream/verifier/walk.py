"""Follow the log from its first object to its last, with every object that tells of a revision beside the others.

What cannot be read is noted and gone around: the walk goes on with the next
snapshot, so that everything after the damage is checked as well.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from confstream import layout
from confstream.codec.objects import RevisionObject, SnapshotObject
from confstream.errors import IntegrityError
from confstream.layout import Fork
from confstream.tree import Kind
from confstream.verifier.report import Flaw
from confstream.verifier.source import OpenPack, Source
from confstream.verifier.state import Contents, State

Visit = Callable[[int, State], None]
"""Called with every revision and the state at it."""


@dataclass(frozen=True, slots=True)
class _Copy:
    """One object's telling of one revision."""

    key: str
    made: RevisionObject
    pack: OpenPack | None = None

    def holds(self, digest: bytes, state: State, source: Source) -> bool:
        """Return whether this object alone, after what is known, leads to a content."""
        contents = self.made.contents
        if digest in contents.blob_hashes:
            return source.has_blob(digest)
        if any(entry.hash == digest for entry in contents.inline_entries):
            return True
        before = bool(state.held[digest]) and digest not in state.lost
        return before or (self.pack is not None and digest in self.pack.seen)


class Walk:
    """One pass over history. *visit* is called after every revision, and once with 0 before the first."""

    def __init__(self, source: Source, visit: Visit) -> None:
        self.state = State(Contents())
        self.restorable: list[tuple[int, int]] = []
        self._source = source
        self._visit = visit
        self._pending = list(source.listing.packs)
        self._open: list[OpenPack] = []
        self._missing: tuple[int, int] | None = None

    def run(self, claimed: int) -> None:
        """Walk to the end; *claimed* is a revision that somebody says is there."""
        listing = self._source.listing
        number, before = self._next(1), 0
        if number == 1:
            self._visit(0, self.state)
        while number is not None:
            self._open_packs(number)
            copies = self._copies(number)
            alone = not copies and number in listing.snapshots
            # What begins with a snapshot was pruned; what begins with anything else lacks its beginning.
            if number > before + 1 and not (before == 0 and alone):
                self._gap(before + 1, number - 1)
            if copies:
                self.step(self.state, copies)
                self._sweep()
            elif alone and before:
                self._gap(number, number)
            else:
                self.state.forget(None)
            if number in listing.snapshots:
                self._snapshot(number)
            self._count(number)
            self._visit(number, self.state)
            before, number = number, self._next(number + 1)
        if claimed > before:
            self._gap(before + 1, claimed)
        self._end_gap()
        for pack in self._open:
            self._close(pack)

    def step(self, state: State, copies: list[_Copy]) -> None:
        """Move *state* on by the revision that *copies* tell of."""
        misfits = [state.misfit(copy.made.revision, copy.made.revision.previous) for copy in copies]
        at = misfits.index(None) if None in misfits else 0
        main, wrong = copies[at], misfits[at]
        number = main.made.revision.number
        if wrong is not None:
            self._source.note(Flaw.DAMAGED, main.key, f"revision {number}: {wrong}", "an unbroken chain")
            state.forget(None)
        for copy in copies:
            if copy.made.hash != main.made.hash:
                flaw = Flaw.DAMAGED if copy.pack else Flaw.STRAY
                self._source.note(
                    flaw,
                    copy.key,
                    f"another revision {number}, by writer {copy.made.revision.writer}",
                    f"that of {main.key}",
                )
        same = [copy for copy in copies if copy.made.hash == main.made.hash]
        sound = [copy for copy in same if self._read(state, copy)]
        for copy in copies:
            if copy not in same and copy.pack is not None:
                self._read(state, copy)
        self._refer(state, main, same, sound)
        wrong = state.apply(main.made)
        if wrong is not None:
            self._source.note(Flaw.DAMAGED, main.key, f"revision {number}: {wrong}", "the tree that was published")

    def fork(self, fork: Fork, state: State) -> None:
        """Check a fork that leaves the log at *state*."""
        wanted = state.position.number + 1 if state.position else 0
        for number in self._source.listing.forks[fork]:
            key = fork.prefix + layout.log_key(number)
            made = self._source.fork_revision(fork, number)
            if number != wanted:
                self._source.note(Flaw.MISSING, key, "nothing before it", f"revision {wanted} of the fork")
            if made is None or number != wanted:
                state.forget(None)
            wanted = number + 1
            if made is None:
                continue
            if (made.revision.writer, made.revision.epoch) != (fork.writer, fork.epoch):
                whose = f"a revision by {made.revision.writer} in epoch {made.revision.epoch}"
                self._source.note(Flaw.DAMAGED, key, whose, f"one by {fork.writer} in epoch {fork.epoch}")
            self.step(state, [_Copy(key, made)])

    def _next(self, number: int) -> int | None:
        """Return the first number from *number* on that any object tells of."""
        listing = self._source.listing
        found = [pack_first for pack_first, _ in self._pending[:1]]
        for numbers in (listing.log, listing.snapshots):
            found += numbers[(at := bisect_left(numbers, number)) : at + 1]
        if any(pack.last >= number for pack in self._open):
            found.append(number)
        return max(number, min(found)) if found else None

    def _open_packs(self, number: int) -> None:
        for pack in self._open:
            if pack.last < number:
                self._close(pack)
        self._open = [pack for pack in self._open if pack.last >= number]
        while self._pending and self._pending[0][0] <= number:
            first, last = self._pending.pop(0)
            found = self._source.pack(first, last)
            if found is None:
                continue
            self._open.append(OpenPack(found, layout.pack_key(first, last), quick=self._source.quick))
            if last not in self._source.listing.snapshots:
                expected = "the snapshot that every pack ends with; compact makes it again"
                self._source.note(Flaw.MISSING, layout.snapshot_key(last), "nothing", expected)
        # The longest first, as readers choose.
        self._open.sort(key=lambda pack: (-pack.last, pack.first))

    def _close(self, pack: OpenPack) -> None:
        if pack.sound:
            self._guard(pack, pack.end)

    def _guard(self, pack: OpenPack, read: Callable[[], None]) -> bool:
        try:
            read()
        except (IntegrityError, StopIteration) as error:
            pack.sound = False
            found = str(error).removeprefix(f"{pack.key}: ") or "its contents end early"
            self._source.note(Flaw.DAMAGED, pack.key, found, "the contents of its revisions")
        return pack.sound

    def _copies(self, number: int) -> list[_Copy]:
        copies = [_Copy(pack.key, pack.made(number), pack) for pack in self._open]
        log = self._source.listing.log
        at = bisect_left(log, number)
        if at < len(log) and log[at] == number and (made := self._source.revision(number)) is not None:
            copies.append(_Copy(layout.log_key(number), made))
        return copies

    def _read(self, state: State, copy: _Copy) -> bool:
        """Read the contents that *copy* stores; return whether they are sound."""
        pack, keep = copy.pack, state.contents.add
        if pack is not None:
            number = copy.made.revision.number
            return pack.sound and self._guard(pack, lambda: pack.take(number, keep))
        if self._source.quick or (not state.known and copy.made.prefix):
            return True
        try:
            for digest, content in state.read(copy.made, copy.key):
                keep(digest, content)
        except IntegrityError as error:
            found = str(error).removeprefix(f"{copy.key}: ")
            self._source.note(Flaw.DAMAGED, copy.key, found, "the contents of the revision")
            return False
        return True

    def _refer(self, state: State, main: _Copy, same: list[_Copy], sound: list[_Copy]) -> None:
        """Check that every file of a revision has its content somewhere, by each copy alone."""
        if not state.known:
            return
        for change in main.made.revision.changes:
            entry = change.entry
            if entry is None or entry.kind is not Kind.FILE:
                continue
            holders = [copy for copy in same if copy.holds(entry.hash, state, self._source)]
            for copy in same:
                if copy not in holders and entry.hash not in copy.made.contents.blob_hashes:
                    found = f"no content for {entry.path!r} of revision {main.made.revision.number}"
                    self._source.note(Flaw.MISSING, copy.key, found, "one stored here or a reference to one before")
            if any(copy in sound for copy in holders):
                state.lost.discard(entry.hash)
            else:
                state.lost.add(entry.hash)

    def _snapshot(self, number: int) -> None:
        found = self._source.snapshot(number)
        if found is None:
            return
        state, key = self.state, layout.snapshot_key(number)
        flaw = _snapshot_misfit(found, state)
        if flaw:
            self._source.note(Flaw.DAMAGED, key, flaw, f"the tree at revision {number}")
            return
        keep = state.contents.add if not state.restorable else None
        try:
            for digest, content in () if self._source.quick else found.read(key):
                if keep is not None:
                    keep(digest, content)
        except IntegrityError as error:
            self._source.note(Flaw.DAMAGED, key, str(error).removeprefix(f"{key}: "), "the contents of the tree")
            return
        blobs = found.contents.blob_hashes
        inside = {entry.hash for entry in found.contents.inline_entries} | blobs
        absent = [entry.path for entry in found.snapshot.tree.files if entry.hash not in inside]
        if absent:
            self._source.note(Flaw.MISSING, key, f"no content for {absent[0]!r}", "every content of the tree")
        unsound = {digest for digest in blobs if not self._source.has_blob(digest)}
        if not unsound and not absent and not state.restorable:
            state.rebase(found)

    def _sweep(self) -> None:
        if self.state.contents.is_bulky:
            live = [*self.state.held, *(digest for pack in self._open for digest in pack.seen)]
            self.state.contents.sweep(live)

    def _count(self, number: int) -> None:
        if not self.state.restorable or self.state.position is None or self.state.position.number != number:
            return
        if self.restorable and self.restorable[-1][1] == number - 1:
            self.restorable[-1] = (self.restorable[-1][0], number)
        else:
            self.restorable.append((number, number))

    def _gap(self, first: int, last: int) -> None:
        self.state.forget(None)
        if self._missing is not None and self._missing[1] == first - 1:
            first = self._missing[0]
        else:
            self._end_gap()
        self._missing = (first, last)

    def _end_gap(self) -> None:
        if self._missing is None:
            return
        first, last = self._missing
        self._missing = None
        if any(start <= first and last <= end for start, end in self._source.listing.packs):
            # It is the pack that is damaged, and that was said.
            return
        which = f"revision {first}" if first == last else f"revisions {first} to {last}"
        self._source.note(Flaw.MISSING, layout.log_key(first), "nothing", which)


def _snapshot_misfit(found: SnapshotObject, state: State) -> str | None:
    """Return why a snapshot is not that of *state*, as far as that is known."""
    snapshot = found.snapshot
    if state.position is not None and snapshot.position != state.position:
        return "a snapshot of another revision than the log has there"
    if not state.known:
        return None
    owners = {entry.path: (entry.uid, entry.gid) for entry in snapshot.tree.values()}
    if owners != {path: (entry.uid, entry.gid) for path, entry in state.entries.items()}:
        return "other paths or owners than those that the log leads to"
    if any(not entry.matches(state.entries[entry.path]) for entry in snapshot.tree.values()):
        return "another tree than the one that the log leads to"
    return None
