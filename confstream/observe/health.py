"""From vitals to answers: is it alive, started, ready, and does it protect what it should? Pure.

``Health.document`` is the JSON of ``/healthz``, and stable::

    {"status": "failing", "time": "2026-02-27T08:30:00.000000000Z", "version": "1.2.3",
     "streams": [{"stream": "config", "status": "failing",
       "reasons": [{"reason": "replica-denied", "level": "failing", "what": "s3://…: access denied …",
                    "since": "2026-02-27T08:29:58.120000000Z", "do": "correct the credentials …"}],
       "tree": "/config", "replica": "s3://bucket/frigate", "phase": "publishing", "revision": 42,
       "pending": 1, "pending_bytes": 350, "lag_seconds": 2.1, "confirmed": "…", "changed": "…", "scanned": "…",
       "watching": "inotify", "files": 12, "unreadable": {}, "doubtful": {}, "validators": {"yaml": true}}]}

*status* is ``ok``, ``degraded`` (replication goes on, somebody has to look) or
``failing`` (something is not protected); the worst stream's is the whole's. A
*level* can also be ``info``, which changes no status. *reason* is a word for
programs, new ones may be added; *what* and *do* are for people. Times are UTC
or null. ``unreadable`` and ``doubtful`` name at most ``PATHS_MAX`` paths.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, TypeVar

from confstream.journal.phase import Phase
from confstream.journal.views import JournalStatus
from confstream.journal.vitals import Vitals
from confstream.masking import mask_line
from confstream.moments import format_utc
from confstream.revision import Status

LAG_SECONDS_DEGRADED = 60.0
LAG_SECONDS_FAILING = 600.0
"""How far behind the replica may be; a failed request is told long before."""

HEARTBEATS_MISSED = 2
PATHS_MAX = 20
_GRACE_SECONDS = 60.0
Value = TypeVar("Value")
_TEXT_LENGTH_MAX = 500


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    INFO = "info"
    DEGRADED = "degraded"
    FAILING = "failing"


_RANK = {Level.OK: 0, Level.INFO: 0, Level.DEGRADED: 1, Level.FAILING: 2}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a stream is not well: a word for programs, *what* was found, since when (UTC ns or 0), and what to *do*."""

    name: str
    level: Level
    what: str
    do: str
    since_ns: int = 0

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "reason": self.name,
            "level": self.level.value,
            "what": self.what,
            "since": _time(self.since_ns),
            "do": self.do,
        }


@dataclass(frozen=True, slots=True)
class StreamHealth:
    """How one stream is, and why."""

    vitals: Vitals
    reasons: tuple[Reason, ...]

    @property
    def status(self) -> Level:
        """Return the worst of the reasons, ``ok`` without any."""
        worst = max((reason.level for reason in self.reasons), key=_RANK.__getitem__, default=Level.OK)
        return worst if _RANK[worst] else Level.OK

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        vitals, status = self.vitals, self.vitals.status
        found: dict[str, Any] = {
            "stream": vitals.name,
            "status": self.status.value,
            "reasons": [reason.document() for reason in self.reasons],
            "scanned": _time(vitals.scanned_ns),
            "watching": vitals.watching,
            "validators": {name: not why for name, why in sorted(vitals.validators.items())},
        }
        if status is not None:
            found |= {
                "tree": status.tree,
                "replica": status.replica,
                "phase": status.phase.value,
                "revision": status.position.number,
                "pending": status.pending,
                "pending_bytes": status.pending_bytes,
                "lag_seconds": round(status.lag_seconds, 3),
                "confirmed": _time(status.confirmed_ns),
                "changed": _time(status.changed_ns),
                "files": status.files,
                "unreadable": _some(status.unreadable),
                "doubtful": {path: [*map(_text, why)] for path, why in _some(status.doubts).items()},
            }
        return found


@dataclass(frozen=True, slots=True)
class Health:
    """How a process is that protects *streams*."""

    streams: tuple[StreamHealth, ...]

    @property
    def status(self) -> Level:
        """Return the status of the worst stream."""
        return max((stream.status for stream in self.streams), key=_RANK.__getitem__, default=Level.OK)

    def document(self) -> dict[str, Any]:
        """Return it as ``/healthz`` does."""
        first = self.streams[0].vitals if self.streams else None
        return {
            "status": self.status.value,
            "time": _time(first.now_ns if first else 0),
            "version": first.version if first else "",
            "streams": [stream.document() for stream in self.streams],
        }


def health_of(streams: Iterable[Vitals]) -> Health:
    """Return how the *streams* of a process are."""
    return Health(tuple(StreamHealth(vitals, tuple(_reasons(vitals))) for vitals in streams))


def asleep(streams: Iterable[Vitals]) -> list[str]:
    """Return why the process is to be started anew: loops that do not turn. Empty if it is alive.

    A stream that ended and said why is none: a new start would disturb the others in vain.
    """
    return [f"{vitals.name}: {reason.what}" for vitals in streams if not vitals.ended for reason in _loops(vitals)]


def unstarted(streams: Iterable[Vitals]) -> list[str]:
    """Return which streams have not begun: no restore is unfinished, and everything was looked at once."""
    return [
        f"{vitals.name}: the journal is not open yet"
        if vitals.status is None
        else f"{vitals.name}: the first look at the whole directory is not done"
        for vitals in streams
        if not vitals.scanned_ns
    ]


def up_to_date(vitals: Vitals) -> bool:
    """Return whether the replica provably holds everything that is in the directory."""
    status = vitals.status
    if status is None or not vitals.scanned_ns:
        return False
    unwell = status.trouble or status.held or vitals.unrecorded or status.unreadable or vitals.replica.waiting_ns
    failing = {"read", "write"} & vitals.replica.failures.keys()
    publishing = status.phase in {Phase.PUBLISHING, Phase.BEHIND}
    return status.connected and publishing and not (status.pending or unwell or failing)


def _reasons(vitals: Vitals) -> Iterator[Reason]:
    yield from _loops(vitals)
    status = vitals.status
    if status is None:
        if not vitals.ended:
            yield Reason("starting", Level.DEGRADED, "the journal is not open yet", "wait", vitals.started_ns)
        return
    if not vitals.scanned_ns:
        what = "the first look at the whole directory is not done"
        yield Reason("starting", Level.DEGRADED, what, "wait", vitals.started_ns)
    for rule in _RULES:
        yield from rule(vitals, status)


def _loops(vitals: Vitals) -> Iterator[Reason]:
    again = "see the log; then start it again"
    if vitals.ended:
        yield Reason("ended", Level.FAILING, _text(f"it is not replicated any more: {vitals.ended}"), again)
        return
    for loop in vitals.loops:
        if not loop.turns:
            what = "does not come round" if loop.alive else "is dead"
            yield Reason("loop", Level.FAILING, f"the {loop.name} loop {what}", again, loop.late_ns)


def _replica(vitals: Vitals, status: JournalStatus) -> Iterator[Reason]:
    """Tell what stands between journal and replica, from the first failed request on (P7)."""
    replica = vitals.replica
    failure = replica.failures.get("write") or replica.failures.get("read")
    if status.phase in {Phase.FENCED, Phase.STANDBY}:
        do = "stop the other writer, or overrule it with --takeover; what this one had is in a fork or in the journal"
        yield Reason(status.phase.value, Level.FAILING, _text(status.error), do, status.failing_ns)
    elif status.trouble:
        name, do = _TROUBLES.get(status.trouble, _TROUBLES["error"])
        since_ns = min(failure.since_ns if failure else status.failing_ns, status.failing_ns)
        yield Reason(name, Level.FAILING, _text(status.error), do, since_ns)
    elif failure is not None:
        name, do = _TROUBLES.get(failure.outcome, _TROUBLES["error"])
        yield Reason(name, Level.FAILING, _text(failure.text), do, failure.since_ns)
    elif replica.waiting_ns:
        name, do = _TROUBLES["unavailable"]
        what = f"{status.replica}: a request has no answer yet"
        yield Reason(name, Level.FAILING, what, do, replica.waiting_ns)
    elif not status.connected:
        yield Reason("starting", Level.DEGRADED, "the replica has not answered yet", "wait", vitals.started_ns)
    if "delete" in replica.failures:
        failed = replica.failures["delete"]
        do = "allow this writer to delete below log/, or live with packed objects staying there"
        yield Reason("replica-delete", Level.DEGRADED, _text(failed.text), do, failed.since_ns)


def _silence(vitals: Vitals, status: JournalStatus) -> Iterator[Reason]:
    silent_seconds = vitals.replica.silent_seconds
    allowed_seconds = HEARTBEATS_MISSED * vitals.heartbeat_seconds + _GRACE_SECONDS
    if vitals.heartbeat_seconds and status.connected and not status.trouble and silent_seconds > allowed_seconds:
        what = f"the last round trip to the replica was {silent_seconds:.0f} s ago, allowed are {allowed_seconds:.0f}"
        yield Reason("heartbeat-late", Level.FAILING, what, "see the log; then start it again", status.confirmed_ns)


def _lag(vitals: Vitals, status: JournalStatus) -> Iterator[Reason]:
    if not status.pending or status.lag_seconds < LAG_SECONDS_DEGRADED:
        return
    level = Level.FAILING if status.lag_seconds >= LAG_SECONDS_FAILING else Level.DEGRADED
    since_ns = vitals.now_ns - int(status.lag_seconds * 1e9)
    what = f"{status.pending} revision(s) are not on the replica, the oldest since {status.lag_seconds:.0f} s"
    yield Reason("lag", level, what, "nothing is lost while this disk lives; see what else is wrong", since_ns)


def _standing(vitals: Vitals, status: JournalStatus) -> Iterator[Reason]:
    if status.phase in {Phase.BEHIND, Phase.HELD}:
        level = Level.FAILING if status.phase is Phase.HELD else Level.DEGRADED
        do = "restore with --fast-forward, or edit: the next change is published over what is there"
        yield Reason(status.phase.value, level, _text(status.detail or "the tree is not the newest one"), do)
    if status.held:
        do = "mount the volume or bring the files back; if it is meant, start with --no-guards"
        yield Reason(
            "held", Level.FAILING, _text(f"nothing is captured: {status.held}"), do, vitals.since.get("held", 0)
        )


def _disk(vitals: Vitals, status: JournalStatus) -> Iterator[Reason]:
    if vitals.unrecorded:
        what = _text(f"changes cannot be recorded: {vitals.unrecorded}")
        do = "make room on the disk with the journal; it goes on by itself"
        yield Reason("unrecorded", Level.FAILING, what, do, vitals.since.get("unrecorded", 0))
    if status.merged:
        what = (
            f"the journal reached its bound, {status.merged} waiting revision(s) were merged; the newest state is kept"
        )
        yield Reason("merged", Level.DEGRADED, what, "let the replica be reached again", status.failing_ns)


def _files(vitals: Vitals, status: JournalStatus) -> Iterator[Reason]:
    if status.unreadable:
        named = _listed([f"{path} ({why})" for path, why in sorted(status.unreadable.items())])
        what = f"{len(status.unreadable)} file(s) cannot be read and are not protected: {named}"
        do = "run as their owner, or exclude them"
        yield Reason("unreadable", Level.FAILING, _text(what), do, vitals.since.get("unreadable", 0))
    why = [
        # A verdict names the file itself.
        reasons[0] if reasons and reasons[0].startswith(path) else ": ".join((path, *reasons[:1]))
        for path, reasons in sorted(status.doubts.items())
    ]
    if not why and status.verdict.status is not Status.OK:
        why = list(status.verdict.reasons)
    if why:
        do = "mend them; until then restore takes the revision before"
        yield Reason("doubtful", Level.DEGRADED, _text(_listed(why)), do, vitals.since.get("doubtful", 0))


def _validators(vitals: Vitals, status: JournalStatus) -> Iterator[Reason]:
    del status
    for name, why in sorted(vitals.validators.items()):
        if why:
            what = _text(f"the validator {name} is broken, its files are not checked: {why}")
            do = "install what it needs; replication goes on meanwhile"
            yield Reason("validator-broken", Level.DEGRADED, what, do, vitals.since.get("validators", 0))


def _watching(vitals: Vitals, status: JournalStatus) -> Iterator[Reason]:
    del status
    if vitals.polling:
        do = "nothing, unless changes have to be seen at once"
        yield Reason("polling", Level.INFO, _text(vitals.polling), do, vitals.since.get("polling", 0))


_RULES: Sequence[Callable[[Vitals, JournalStatus], Iterator[Reason]]] = (
    _replica,
    _silence,
    _lag,
    _standing,
    _disk,
    _files,
    _validators,
    _watching,
)

_WAIT = "see that storage and network work; it goes on by itself, what waits is in the journal"
_TROUBLES: Mapping[str, tuple[str, str]] = {
    "denied": (
        "replica-denied",
        "correct the credentials, the bucket's name or its policy, or the clock, whichever it names",
    ),
    "refused": ("replica-refused", "use storage that can create exclusively, or --unsafe-single-writer"),
    "unavailable": ("replica-unreachable", _WAIT),
    "unknown": ("replica-unreachable", _WAIT),
    "integrity": ("replica-damaged", "run confstream verify"),
    "usage": ("replica-address", "correct the replica's address or options"),
    "error": ("replica-error", "see the log"),
}


def _listed(texts: Sequence[str], most: int = 3) -> str:
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _some(found: Mapping[str, Value]) -> dict[str, Value]:
    return dict(islice(sorted(found.items()), PATHS_MAX))


def _text(text: str) -> str:
    """Return *text* on one line of bounded length, without secrets (P12)."""
    line = mask_line(" ".join(text.split()))
    return line if len(line) <= _TEXT_LENGTH_MAX else line[: _TEXT_LENGTH_MAX - 1] + "…"


def _time(time_ns: int) -> str | None:
    return format_utc(time_ns) if time_ns else None
