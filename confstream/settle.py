"""When is a changed file finished? A state machine over events, stamps and seconds.

Pure. Applications truncate and rewrite in place, and most prefixes of a
configuration are valid, so neither content nor a single look can tell. A
writer's close or rename can; without one, only that nothing happened for long.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from confstream.stamp import Stamp
from confstream.tree import Kind

_OPEN_FACTOR = 5
"""How many times as long a file is waited for that a writer is known to have open."""


class Mark(StrEnum):
    """What was seen to happen to a path."""

    MODIFIED = "modified"
    """A writer changed its content and has not closed it since."""
    CREATED = "created"
    """It came into being; a writer may still have it open."""
    CLOSED = "closed"
    """A writer closed it."""
    RENAMED = "renamed"
    """It was moved to this name."""
    DELETED = "deleted"
    """It was removed, or moved away from this name."""
    ATTRIB = "attrib"
    """Its mode, owner or times changed."""
    SEEN = "seen"
    """A scan found it different; what happened to it is not known."""


class Ready(NamedTuple):
    """A path to capture now; not *settled* if it never came to rest."""

    path: bytes
    settled: bool


@dataclass(slots=True)
class _Pending:
    """A path that changed and was not captured yet."""

    first: float
    sure: bool
    stamp: Stamp | None = None
    # Since when the stamp is known to be this one, with no event; unknown until the first look.
    since: float | None = None
    looked: float = 0.0
    partners: set[bytes] = field(default_factory=set)


class Settler:
    """The paths that changed, each until it is finished.

    Tell it events (``note``, ``note_move``, ``lose_closes``), look at what is
    ``due``, tell it what you saw (``observe``), capture what you ``take``, and
    come back at ``next_look``. Times are seconds of one clock that never goes
    backwards.

    After a close, a rename or a deletion, a path is ready once its stamp was
    the same for *close_seconds*; otherwise for *seconds*, and for five times as
    long while somebody who writes it is known not to have closed it: on a busy
    machine a writer may get no turn for that long. After *max_seconds* it is
    ready anyway, as not settled. Without *close_events* every event means only
    that something happened.

    What belongs together becomes ready together: both names of a rename; a
    directory with what is still being written below it; a link or a deletion
    with the files that began to change before it, because programs write the
    new before they lead to it and remove the old. Nothing but the partner of a
    rename waits longer for another than twice *seconds*.
    """

    def __init__(
        self,
        *,
        close_events: bool,
        close_seconds: float = 0.01,
        seconds: float = 2.0,
        max_seconds: float = 60.0,
    ) -> None:
        if not 0 <= close_seconds <= seconds <= max_seconds:
            raise ValueError(f"settle times {close_seconds}, {seconds}, {max_seconds} do not rise from zero")
        self.close_events = close_events
        self._close_seconds = close_seconds
        self._seconds = seconds
        self._max_seconds = max_seconds
        self._pending: dict[bytes, _Pending] = {}
        # Who was seen to write and not to close, remembered beyond a capture.
        self._open: set[bytes] = set()
        # Those of them whose writer was seen at work.
        self._written: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, path: bytes) -> bool:
        return path in self._pending

    def note(self, path: bytes, mark: Mark, now: float) -> None:
        """Take in that *mark* happened to *path*."""
        if mark is Mark.SEEN and path in self._pending:
            # The scan saw the change that is waited for.
            return
        if mark in {Mark.MODIFIED, Mark.CREATED}:
            self._open.add(path)
        elif mark in {Mark.CLOSED, Mark.RENAMED, Mark.DELETED}:
            self._open.discard(path)
            self._written.discard(path)
        if mark is Mark.MODIFIED:
            self._written.add(path)
        told = self.close_events and path not in self._open
        pending = self._pending.get(path)
        if pending is None:
            pending = self._pending[path] = _Pending(now, sure=told and mark is not Mark.SEEN)
        elif mark is not Mark.ATTRIB:
            pending.sure = told
        pending.since = None

    def note_all(self, changed: Mapping[bytes, Mark], moved: Iterable[tuple[bytes, bytes]], now: float) -> None:
        """Take in what one wait of a watcher told: the last mark of each path, and old and new names."""
        pairs = list(moved)
        for source, target in pairs:
            self.note_move(source, target, now)
        done = {(source, Mark.DELETED) for source, _ in pairs} | {(target, Mark.RENAMED) for _, target in pairs}
        for path, mark in changed.items():
            if (path, mark) not in done:
                self.note(path, mark, now)

    def note_move(self, source: bytes, target: bytes, now: float) -> None:
        """Take in that *source* was renamed to *target*; both become ready together."""
        # A writer goes on writing under the new name, also below a directory that was renamed.
        still_open = [path for path in self._open if path == source or path.startswith(source + b"/")]
        self.note(source, Mark.DELETED, now)
        self.note(target, Mark.RENAMED, now)
        for path in still_open:
            self._open.discard(path)
            self.note(target + path[len(source) :], Mark.MODIFIED, now)
        self._pending[source].partners.add(target)
        self._pending[target].partners.add(source)

    def is_open(self, path: bytes) -> bool:
        """Return whether somebody was seen to write *path*, and not to close it."""
        return self.close_events and path in self._open

    def lose_closes(self) -> None:
        """Take in that events were lost: no close that was seen counts any more, and none is waited for."""
        self._written.clear()
        for path, pending in self._pending.items():
            pending.sure = False
            pending.since = None
            self._open.add(path)

    def forget(self, path: bytes) -> None:
        """Take in that *path* is of no interest any more."""
        self._pending.pop(path, None)
        self._open.discard(path)
        self._written.discard(path)

    def due(self, now: float) -> list[bytes]:
        """Return the paths to look at now, in the order in which they first changed."""
        return [path for path, pending in self._pending.items() if self._look_at(path, pending) <= now]

    def observe(self, path: bytes, stamp: Stamp | None, now: float) -> None:
        """Take in that *path* has *stamp* now; ``None`` if it is not there."""
        pending = self._pending.get(path)
        if pending is None:
            return
        if pending.since is None or stamp != pending.stamp:
            pending.stamp, pending.since = stamp, now
        pending.looked = now

    def take(self, now: float) -> list[Ready]:
        """Return what is ready, and stop waiting for it."""
        late = {path for path, pending in self._pending.items() if now - pending.first >= self._max_seconds}
        ready = late | {path for path, pending in self._pending.items() if self._is_settled(path, pending)}
        ready -= self._belonging(ready - late, now)
        while held := {path for path in ready - late if self._pending[path].partners & self._pending.keys() - ready}:
            ready -= held
        taken = [(path, self._pending.pop(path)) for path in [*self._pending] if path in ready]
        for path, pending in taken:
            if pending.since is not None and (pending.stamp is None or pending.stamp.kind is not Kind.FILE):
                self._open.discard(path)
                self._written.discard(path)
        return [Ready(path, self._is_settled(path, pending)) for path, pending in taken]

    def _belonging(self, ready: set[bytes], now: float) -> set[bytes]:
        """Return what of *ready* belongs to something that is not finished."""
        patience = 2 * self._seconds
        waiting = [(path, one) for path, one in self._pending.items() if not self._is_settled(path, one)]
        candidates = [path for path in ready if not _is_file(one := self._pending[path]) and now - one.first < patience]
        if not waiting or not candidates:
            return set()
        above = {parent for path, _ in waiting for parent in _parents(path)}
        first = min((one.first for _, one in waiting if _is_file(one)), default=now)
        return {path for path in candidates if self._belongs(path, self._pending[path], above, first)}

    def _belongs(self, path: bytes, pending: _Pending, above: Container[bytes], first: float) -> bool:
        if pending.stamp is None:
            # The old name of a rename waits for the new one, and for nothing else.
            return first <= pending.first and not pending.partners
        return path in above if pending.stamp.kind is Kind.DIRECTORY else first <= pending.first

    def next_look(self) -> float | None:
        """Return the time at which something is due or ready at the earliest; ``None`` if nothing is pending."""
        return min((self._look_at(path, pending) for path, pending in self._pending.items()), default=None)

    def _look_at(self, path: bytes, pending: _Pending) -> float:
        latest = pending.first + self._max_seconds
        if pending.since is None:
            return pending.first
        if self._is_settled(path, pending):
            # Ready by itself, but held by its partner: look again as often as at any other.
            return min(latest, pending.looked + self._quiet(path, pending))
        return min(latest, pending.since + self._quiet(path, pending))

    def _is_settled(self, path: bytes, pending: _Pending) -> bool:
        return pending.since is not None and pending.looked >= pending.since + self._quiet(path, pending)

    def _quiet(self, path: bytes, pending: _Pending) -> float:
        """Return for how many seconds nothing must happen."""
        # Nobody writes to what is not there, to a directory or to a symlink.
        closed = pending.stamp is None or pending.stamp.kind is not Kind.FILE
        if closed or pending.sure:
            return self._close_seconds
        patient = self.close_events and path in self._written
        return min(_OPEN_FACTOR * self._seconds, self._max_seconds) if patient else self._seconds


def _is_file(pending: _Pending) -> bool:
    return pending.stamp is not None and pending.stamp.kind is Kind.FILE


def _parents(path: bytes) -> Iterator[bytes]:
    while (at := path.rfind(b"/")) >= 0:
        path = path[:at]
        yield path
