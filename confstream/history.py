"""Read a replica without a tree: its log, its trees, and any file at any moment.

``History.open(url)`` is the public way in; the journal and the command line
use it too.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from confstream import moments
from confstream.clock import Clock, SystemClock
from confstream.codec.fields import Changes
from confstream.errors import IntegrityError, NotFoundError, UsageError
from confstream.layout import Fork
from confstream.log.outlines import outline, outlines
from confstream.log.reader import LogReader
from confstream.moments import Pick
from confstream.naming import Mention, mentions, path_fields, summary_of
from confstream.revision import OK, Authorship, Heartbeat, Status, Verdict
from confstream.tree import Change, Kind, Op, Tree
from confstream.tree import diff as tree_changes
from confstream.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from confstream.codec.objects import RevisionObject
    from confstream.codec.outline import Outline
    from confstream.log.checkout import Checkout
    from confstream.store import Store


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One revision as the history shows it.

    *published* is false for what only the local journal holds yet: then *hash*
    is empty and *number* is the one it will have if nobody else publishes.
    """

    number: int
    time_ns: int
    authorship: Authorship
    changes: Sequence[Change]
    verdict: Verdict = OK
    hash: bytes = b""
    epoch: int = 0
    writer: str = ""
    host: str = ""
    supersedes: tuple[int, int] | None = None
    published: bool = True
    fork: Fork | None = None

    @classmethod
    def of(cls, made: "RevisionObject | Outline", fork: Fork | None = None) -> "LogEntry":
        """Return the entry of a revision that the replica holds."""
        revision = made.revision
        return cls(
            number=revision.number,
            time_ns=revision.time_ns,
            authorship=revision.authorship,
            changes=revision.changes,
            verdict=revision.verdict,
            hash=made.hash,
            epoch=revision.epoch,
            writer=revision.writer,
            host=revision.host,
            supersedes=revision.supersedes,
            fork=fork,
        )

    @property
    def time(self) -> datetime:
        """Return when it was made, in UTC, to the microsecond."""
        return datetime.fromtimestamp(self.time_ns / 1e9, UTC)

    @property
    def summary(self) -> str:
        """Return what it changed in a few words."""
        return summary_of(self._mentions)

    def touches(self, path: str | bytes) -> bool:
        """Return whether it changed *path* or something below it."""
        wanted = _path(path)
        return any(_covers(wanted, changed) for _, changed, _ in self._mentions)

    @property
    def _mentions(self) -> list[Mention]:
        return self.changes.mentions() if isinstance(self.changes, Changes) else mentions(self.changes)

    def as_json(self) -> dict[str, Any]:
        """Return the documented, stable form that ``log --json`` prints."""
        made = self.authorship
        return {
            "revision": self.number,
            "time": moments.format_utc(self.time_ns),
            "author": made.author,
            "source": made.source,
            "message": made.message,
            "labels": dict(made.labels),
            "changes": [_change_json(change) for change in self.changes],
            "verdict": {"status": self.verdict.status.value, "reasons": list(self.verdict.reasons)},
            "hash": self.hash.hex(),
            "epoch": self.epoch,
            "writer": self.writer,
            "host": self.host,
            "supersedes": list(self.supersedes) if self.supersedes else None,
            "published": self.published,
            "fork": self.fork.name if self.fork else None,
        }


@dataclass(frozen=True, slots=True)
class Target:
    """A revision that a moment was resolved to, and what the resolution left out.

    *skipped* are newer revisions that are invalid or suspicious, newest first.
    """

    entry: LogEntry
    meaning: str = ""
    skipped: tuple[LogEntry, ...] = field(default=())

    @property
    def number(self) -> int:
        """Return the revision's number."""
        return self.entry.number


At = int | str | datetime | Target | None
"""A moment as callers give it: a number, what a person types, a time, what was resolved, or None for the newest."""


class History:
    """The history that one replica holds. Reads only; close it, or use it in a ``with``."""

    def __init__(self, store: "Store", clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self.reader = LogReader(store)

    @classmethod
    def open(
        cls,
        replica: str,
        *,
        storage_options: Mapping[str, Any] | None = None,
        timeout_seconds: float = 30.0,
        clock: Clock | None = None,
    ) -> Self:
        """Open the replica at the URL or path *replica*.

        *storage_options* go to the backend. Nothing is requested yet: the
        first question is, and raises ``NoReplicaError`` where there is none.
        """
        from confstream.store.open import open_store  # noqa: PLC0415 - imports no backend that is not used

        clock = clock or SystemClock()
        store = open_store(
            replica, storage_options=dict(storage_options or {}), timeout_seconds=timeout_seconds, clock=clock
        )
        return cls(store, clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the connections."""
        self._store.close()

    @property
    def url(self) -> str:
        """Return the replica's URL, secrets masked."""
        return self._store.url

    @property
    def head(self) -> int:
        """Return the number of the newest revision, 0 if there is none."""
        return self.reader.head()

    def refresh(self) -> None:
        """See what was published since the last question; to be called at least once a day by who stays (I4)."""
        self.reader.refresh()

    def log(
        self,
        *,
        first: int = 1,
        last: int | None = None,
        path: str | bytes | None = None,
        newest_first: bool = True,
        expected: int = 0,
    ) -> Iterator[LogEntry]:
        """Yield the revisions *first* to *last*, both included; with *path* only those that changed it or below it.

        Whoever will certainly look at *expected* of them waits less for saying so.
        """
        found = outlines(self.reader, first, last, newest_first=newest_first, expected=expected)
        entries = map(LogEntry.of, found)
        yield from entries if path is None else (entry for entry in entries if entry.touches(path))

    def forks(self) -> list[LogEntry]:
        """Return the revisions of fenced writers that are not part of the log, by fork and number."""
        return [LogEntry.of(made, fork) for fork in self.reader.require().forks for made in self.reader.fork(fork)]

    def heartbeats(self) -> list[Heartbeat]:
        """Return the last sign of life of every writer, newest first."""
        return self.reader.heartbeats()

    def resolve(self, at: At = None, *, default: str = "latest") -> Target:
        """Return the revision that *at* means.

        A number, ``latest``, ``latest-good``, ``-3``, a tag, ``WRITER-EPOCH/4``
        for one of a fork, or a time (the end of its unit): then the last one until it.
        Raise ``UsageError`` for what cannot be meant, ``NotFoundError`` for
        what the history does not have.
        """
        if isinstance(at, Target):
            return at
        if isinstance(at, datetime):
            if at.tzinfo is None:
                raise UsageError(f"the time {at.isoformat()} has no zone; give it one, such as UTC")
            time_ns = int(at.timestamp()) * 10**9 + at.microsecond * 1000
            return self._at_time(time_ns + 999, f"the last revision until {moments.format_utc(time_ns)}")
        if isinstance(at, int):
            at = str(at)
        text = default if at is None else at
        try:
            spec = moments.parse_revision(text)
        except UsageError:
            return self.at_time(text)
        if spec.pick is not Pick.TAG or spec.tag in self.reader.require().tags:
            return self.revision(spec)
        try:
            return self.at_time(text)
        except UsageError:
            # What begins like a time and is none was not meant as the name of a tag.
            if text[:1].isdigit():
                raise
            return self.revision(spec)

    def at_time(self, text: str) -> Target:
        """Return the last revision at or before the time that *text* means."""
        bound = moments.parse_time(text, self._clock.now_ns())
        return self._at_time(bound.time_ns, bound.describe())

    def revision(self, spec: moments.RevisionSpec) -> Target:
        """Return the revision that *spec* names."""
        head = self.reader.head()
        if spec.pick is Pick.TAG:
            tag = self.reader.tag(spec.tag)
            made = self.reader.revision(tag.number)
            if made.hash != tag.revision_hash:
                raise IntegrityError(f"tag {spec.tag} names another revision {tag.number} than the log has; run verify")
            return Target(LogEntry.of(made), f"tag {spec.tag}")
        if spec.pick is Pick.FORK:
            return self._of_fork(spec)
        if head == 0:
            raise NotFoundError(f"{self.url} has no revision yet")
        if spec.pick is Pick.LATEST_GOOD:
            return self._latest_good(head)
        if spec.pick is Pick.BACK and spec.number >= head:
            raise NotFoundError(f"there are only {head} revisions, so none is {spec.number} before the newest")
        number = head - spec.number if spec.pick is Pick.BACK else spec.number if spec.pick is Pick.NUMBER else head
        return Target(LogEntry.of(outline(self.reader, number)), str(spec))

    def _latest_good(self, head: int) -> Target:
        number, skipped = self.reader.newest_good()
        entries = tuple(map(LogEntry.of, skipped))
        if number:
            return Target(LogEntry.of(self.reader.revision(number)), str(moments.LATEST_GOOD), entries)
        # Some file was invalid from the first revision on, so nothing better ever was on that disk; what lost
        # something is another matter.
        for index, entry in enumerate(entries):
            if entry.verdict.status is Status.INVALID:
                return Target(entry, f"{moments.LATEST_GOOD}; none is without a doubt", entries[:index])
        raise NotFoundError(f"{self.url} has no revision without a doubt about it; name one of 1 to {head}, or latest")

    def tree(self, at: At = None) -> Tree:
        """Return the tree at *at*, without contents."""
        return self.checkout(at, index_only=True).tree

    def checkout(
        self,
        at: At = None,
        wanted: Callable[[bytes], bool] | None = None,
        *,
        index_only: bool = False,
        before: bool = False,
    ) -> "Checkout":
        """Return the tree at *at* with the contents of the paths that *wanted* accepts; close it afterwards.

        With *index_only*, without contents; with *before*, as it was just before that revision.
        """
        target = self.resolve(at)
        number, fork = target.number - before, target.entry.fork
        if fork is not None:
            return self.reader.fork_checkout(fork, number, wanted, index_only=index_only)
        return self.reader.checkout(number, wanted, index_only=index_only)

    def read(self, path: str | bytes, at: At = None) -> bytes:
        """Return the content of the file *path* at *at*; ``NotFoundError`` if there was none."""
        target, wanted = self.resolve(at), _path(path)
        found = self.checkout(target, lambda candidate: candidate == wanted)
        try:
            entry = found.tree.get(wanted)
            if entry is None:
                raise NotFoundError(f"revision {target.number} has no {_shown(wanted)}{_similar(wanted, found.tree)}")
            if entry.kind is Kind.DIRECTORY:
                raise NotFoundError(f"{_shown(wanted)} is a directory in revision {target.number}; name a file in it")
            return entry.target if entry.kind is Kind.SYMLINK else found.content(entry.hash)
        finally:
            found.close()

    def diff(self, old: At, new: At = None, path: str | bytes | None = None, *, mask: bool = True) -> Iterator[str]:
        """Yield one unified diff for each file that differs between two moments, secrets masked unless told not to."""
        from confstream.difference import tree_diff  # noqa: PLC0415 - it takes longer to import than a log to show

        self.expect(old, new)
        targets = self.resolve(old), self.resolve(new)
        self.expect(*targets)
        # Few files differ, and only their contents are decoded.
        paths = (change.path for change in tree_changes(*map(self.tree, targets)))
        changed = {one for one in paths if path is None or _covers(_path(path), one)}
        before, after = (self.checkout(target, changed.__contains__) for target in targets)
        try:
            yield from tree_diff(before, after, changed.__contains__, mask=mask)
        finally:
            before.close()
            after.close()
            self.reader.drop()

    def expect(self, *ats: At) -> None:
        """Begin to read what checkouts of *ats* take, all at once, as far as they tell which revisions are meant."""
        self.reader.expect([_foreseen(at, self.head) for at in ats])

    def _of_fork(self, spec: moments.RevisionSpec) -> Target:
        forks = {fork.name: fork for fork in self.reader.require().forks}
        if spec.tag not in forks:
            known = ", ".join(forks) or "none"
            raise NotFoundError(f"{self.url} has no fork {spec.tag}; it has {known}")
        made = {one.revision.number: one for one in self.reader.fork(forks[spec.tag])}
        if spec.number not in made:
            raise NotFoundError(
                f"the fork {spec.tag} of {self.url} has no revision {spec.number}; it has {min(made)} to {max(made)}"
            )
        return Target(LogEntry.of(made[spec.number], forks[spec.tag]), f"fork {spec.tag}")

    def _at_time(self, time_ns: int, meaning: str) -> Target:
        number = self.reader.at_time(time_ns)
        return Target(LogEntry.of(self.reader.revision(number)), meaning)


def _change_json(change: Change) -> dict[str, Any]:
    row: dict[str, Any] = {"op": change.op.value, **path_fields(change.path)}
    if change.op is Op.PUT and change.entry is not None:
        row |= {"kind": change.entry.kind.value, "mode": f"{change.entry.mode:04o}", "size": change.entry.size}
    elif change.meta is not None:
        row |= {"mode": f"{change.meta.mode:04o}", "uid": change.meta.uid, "gid": change.meta.gid}
    return row


def _path(path: "str | bytes | Path") -> bytes:
    import os  # noqa: PLC0415 - names, not files

    return os.fsencode(path).strip(b"/")


def _covers(wanted: bytes, path: bytes) -> bool:
    return path == wanted or path.startswith(wanted + b"/") or not wanted


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _foreseen(at: At, head: int) -> int:
    """Return the number of the revision that *at* means, 0 if that takes a request to tell."""
    if isinstance(at, Target):
        return 0 if at.entry.fork else at.number
    try:
        spec = moments.parse_revision(str(Pick.LATEST if at is None else at))
    except UsageError:
        return 0
    return {Pick.NUMBER: spec.number, Pick.BACK: head - spec.number, Pick.LATEST: head}.get(spec.pick, 0)


def _similar(path: bytes, among: Iterable[bytes]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only for a mistyped path

    near = get_close_matches(_shown(path), [_shown(one) for one in among], 1)
    return f"; is {near[0]} meant?" if near else ""
