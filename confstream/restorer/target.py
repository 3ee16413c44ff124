"""Which revision is meant, and what the replica says about it, its writers and the tree.

Everything here reads. The first failure of the storage is told at once, a
storage that is silent after a few seconds, and both are given up in time (P7).
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from confstream import moments
from confstream.clock import Clock
from confstream.errors import IntegrityError, NoReplicaError, UnavailableError
from confstream.history import History, LogEntry, Target
from confstream.log.outlines import outline
from confstream.moments import Pick
from confstream.restorer.decide import Replica
from confstream.restorer.options import RestoreOptions, Skipped
from confstream.revision import Status
from confstream.store import Store
from confstream.store.retry import Retry, RetryingStore

SILENCE_SECONDS = 4.0
"""How long a storage may say nothing before the person who waits is told."""

REQUEST_SECONDS_MAX = 30.0
_STALE_INTERVALS = 3
_STALE_SECONDS_MIN = 900.0
_DAY_SECONDS = 86_400
Report = Callable[[str], None]


class OpenStore(Protocol):
    """What turns a URL into a store: ``confstream.open_store``, or a test's own."""

    def __call__(
        self, url: str, /, *, storage_options: dict[str, Any] | None, timeout_seconds: float, clock: Clock
    ) -> Store:
        """Return the store at *url*, without contacting it."""


@contextlib.contextmanager
def opened(
    replica_url: str,
    *,
    timeout_seconds: float,
    clock: Clock,
    storage_options: Mapping[str, Any] | None,
    open_store: OpenStore | None,
    report: Report,
) -> Iterator[History]:
    """Open the replica for reading; whatever it does not answer is given up after *timeout_seconds*."""
    if open_store is None:
        from confstream.store.open import open_store as open_any  # noqa: PLC0415 - P2: only where one is contacted

        open_store = open_any
    request_seconds = min(REQUEST_SECONDS_MAX, timeout_seconds / 2)
    store = open_store(
        replica_url, storage_options=dict(storage_options or {}), timeout_seconds=request_seconds, clock=clock
    )
    told = threading.Event()

    def first_failure(retry: Retry) -> None:
        if not told.is_set():
            told.set()
            report(f"{retry.error}; trying again, giving up {timeout_seconds:g} s after the first attempt")

    # The last attempt may begin just before the deadline, and then has its own time left.
    patient = RetryingStore(store, clock, timeout_seconds - request_seconds, on_retry=first_failure)
    with contextlib.closing(History(patient, clock)) as history:
        yield history


@contextlib.contextmanager
def telling_silence(url: str, clock: Clock, report: Report) -> Iterator[None]:
    """Report it if what happens inside takes long."""
    done = threading.Event()

    def watch() -> None:
        if not clock.wait(done, SILENCE_SECONDS) and not done.is_set():
            report(f"{url} has not answered for {SILENCE_SECONDS:g} s; still waiting")

    threading.Thread(target=watch, name="confstream-silence", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def state_of(history: History) -> Replica:
    """Return what is there; raise ``IntegrityError`` if there was a log and it is gone.

    An empty log beside traces of a full one is not the truth (P10).
    """
    listing = history.reader.refresh()
    if listing.head:
        return Replica.REVISIONS
    traces = len(listing.snapshots) + len(listing.tags) + len(listing.blobs) + len(listing.forks)
    published = max((beat.number for beat in history.heartbeats()), default=0)
    if traces or published:
        found = f"a writer had published revision {published}" if published else f"{traces} objects of one are there"
        raise IntegrityError(f"{history.url}: the log is gone, but {found}; look for it before anything starts empty")
    return Replica.ABSENT


def absent(history: History) -> NoReplicaError:
    """Return the error that says where no replica is, and what is there instead."""
    listing = history.reader.listing
    if listing.described:
        found = "a replica is there, without any revision yet"
    elif listing.strange:
        found = f"the storage answered, and the {len(listing.strange)} objects there are not confstream's"
    else:
        found = "the storage answered, and nothing is there"
    return NoReplicaError(
        f"no replica at {history.url}: {found}; correct the URL, or allow it with --if-replica-exists"
    )


def foresee(history: History, options: RestoreOptions, *, index_only: bool) -> None:
    """Begin to read all that will be needed, as far as *options* tell what that is: everything in one round trip.

    *index_only* says that the contents may not be needed at all.
    """
    head = history.head
    number = head
    if options.timestamp is not None:
        number = history.at_time(options.timestamp).number
    elif options.revision is not None:
        spec = moments.parse_revision(options.revision)
        numbers = {Pick.NUMBER: spec.number, Pick.BACK: head - spec.number, Pick.TAG: 0, Pick.FORK: 0}
        number = numbers.get(spec.pick, head)
    found = 0 < number <= head
    history.reader.expect([number] if found else [], [head], index_only=index_only, beats=True)


def resolve(history: History, options: RestoreOptions) -> Target:
    """Return the revision that *options* name: without any, the newest that nobody doubts (P10)."""
    if options.timestamp is not None:
        return history.at_time(options.timestamp)
    spec = moments.parse_revision(options.revision or str(moments.LATEST_GOOD))
    if spec == moments.LATEST_GOOD and history.head:
        # P11: nearly always the newest is good, and no other has to be looked at.
        newest = outline(history.reader, history.head)
        if newest.revision.verdict.status is Status.OK:
            return Target(LogEntry.of(newest), str(spec))
    return history.revision(spec)


def skipped(target: Target) -> tuple[Skipped, ...]:
    """Return what the default choice left out, newest first."""
    return tuple(
        Skipped(entry.number, entry.time_ns, entry.verdict.status.value, entry.verdict.reasons)
        for entry in target.skipped
    )


def describe(target: Target, url: str) -> str:
    """Return the line that says which instant and revision were chosen (P8)."""
    made = target.entry
    when = f"{moments.format_utc(made.time_ns)}, local {moments.format_local(made.time_ns)}"
    return f"revision {made.number} of {when}, from {url} ({target.meaning})"


def name_of(target: Target) -> str:
    """Return the number of *target*, and the fork that it is of."""
    fork = target.entry.fork
    return f"{target.number} of the fork {fork.name}" if fork else str(target.number)


def doubts(entry: LogEntry) -> list[str]:
    """Return what speaks against a revision that was asked for by name."""
    if entry.verdict.status is Status.OK:
        return []
    reasons = f" ({'; '.join(entry.verdict.reasons)})" if entry.verdict.reasons else ""
    return [f"revision {entry.number} is {entry.verdict.status.value}{reasons}"]


def silence_of_writers(history: History, now_ns: int) -> list[str]:
    """Return a warning if no writer has been seen for long; that it cannot be told is one, too."""
    try:
        beats = history.heartbeats()
    except (IntegrityError, UnavailableError) as error:
        return [f"when a writer was last seen cannot be told: {error}"]
    if not beats:
        return []
    beat = beats[0]
    age_seconds = (now_ns - beat.time_ns) / 1e9
    if age_seconds <= max(_STALE_INTERVALS * beat.interval_seconds, _STALE_SECONDS_MIN):
        return []
    stopped = ", when it stopped on purpose" if beat.released else ""
    warning = (
        f"the last writer was seen {_length(age_seconds)} ago{stopped} ({beat.host}, at revision {beat.number}): "
        "what was changed since is not in the replica"
    )
    return [warning]


def recorded_as(history: History, digests: frozenset[bytes]) -> int:
    """Return the newest revision whose tree has one of *digests* as its hash; 0 if there is none.

    Reads the history newest first, without contents, and no further than needed.
    """
    try:
        for made in history.reader.revisions(newest_first=True):
            if made.revision.tree_hash in digests:
                return made.revision.number
    except IntegrityError:
        # What lies behind a gap cannot be compared; "not in the history" is the safe answer (P1).
        return 0
    return 0


def _length(seconds: float) -> str:
    minutes = round(seconds / 60)
    for name, size in (("days", _DAY_SECONDS // 60), ("hours", 60)):
        if minutes >= 2 * size:
            return f"{minutes // size} {name}"
    return f"{minutes} minutes"
