"""How a replica answers at this moment, from real round trips alone (P7).

An answer is whatever the storage decided itself, "there is no such object"
included. A failure counts from the first attempt on, whoever retries above.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from confstream.clock import Clock
from confstream.errors import (
    AccessDeniedError,
    ConfstreamError,
    NoExclusiveCreateError,
    ObjectExistsError,
    ObjectMissingError,
    OutcomeUnknownError,
    UnavailableError,
)

PATIENCE_SECONDS = 5.0
"""How long a small request may take before it counts as not answered, while it still waits."""

_BYTES_PER_SECOND_MIN = 100_000
"""A large object is given time to go over a slow line."""

SIZE_UNKNOWN = 3_000_000
"""What a large object has for that, where its size is not known before it is there."""

_OUTCOMES: tuple[tuple[type[Exception], str], ...] = (
    (ObjectExistsError, "exists"),
    (ObjectMissingError, "missing"),
    (AccessDeniedError, "denied"),
    (OutcomeUnknownError, "unknown"),
    (UnavailableError, "unavailable"),
    (NoExclusiveCreateError, "refused"),
)
_ANSWERS = {"ok", "exists", "missing"}
OUTCOMES = ("ok", *(name for _, name in _OUTCOMES), "error")
"""How a call can end, in one word each."""

_KINDS = {"put": "write", "replace": "write", "delete": "delete"}


@dataclass(frozen=True, slots=True)
class Failure:
    """What failed, since when (UTC ns), how (one of ``OUTCOMES``), and in which words."""

    outcome: str
    since_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class Answers:
    """How a replica answers.

    *answered_ns* is when it last did (UTC ns, 0 if never), *silent_seconds* how
    long ago that is, whatever happens to the wall clock, *took_seconds* how long
    it took. *failures* has what fails now: ``read``, ``write``, ``delete``.
    *waiting_ns* is since when a request is overdue that still waits, 0 if none is.
    """

    answered_ns: int = 0
    silent_seconds: float = 0.0
    took_seconds: float = 0.0
    failures: Mapping[str, Failure] = field(default_factory=dict)
    waiting_ns: int = 0


class Contact:
    """Notes how every call of every connection to one replica ends. Safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: dict[int, tuple[float, int, float]] = {}
        self._count = 0
        self._answered_ns = 0
        self._answered_at = 0.0
        self._took_seconds = 0.0
        self._failures: dict[str, Failure] = {}

    def begin(self, size_bytes: int = 0) -> int:
        """Note that a request goes out; return what ``end`` is to be given."""
        allowed_seconds = PATIENCE_SECONDS + size_bytes / _BYTES_PER_SECOND_MIN
        with self._lock:
            self._count += 1
            self._calls[self._count] = (self._clock.elapsed_seconds(), self._clock.now_ns(), allowed_seconds)
            return self._count

    def end(self, call: int, operation: str, error: BaseException | None) -> None:
        """Note how the request *call* of *operation* ended."""
        kind, outcome, now_ns = _KINDS.get(operation, "read"), outcome_of(error), self._clock.now_ns()
        with self._lock:
            began, _, _ = self._calls.pop(call)
            if outcome in _ANSWERS:
                self._answered_ns, self._answered_at = now_ns, self._clock.elapsed_seconds()
                self._took_seconds = self._answered_at - began
                self._failures.pop(kind, None)
                if kind == "write":
                    # Who may write may read; a read that failed need not be tried again soon.
                    self._failures.pop("read", None)
            else:
                since_ns = self._failures[kind].since_ns if kind in self._failures else now_ns
                # What is none of ours may quote anything (P12).
                text = str(error) if isinstance(error, ConfstreamError) else type(error).__name__
                self._failures[kind] = Failure(outcome, since_ns, text)

    def read(self) -> Answers:
        """Return how the replica answers now."""
        with self._lock:
            now = self._clock.elapsed_seconds()
            overdue = [since_ns for began, since_ns, allowed in self._calls.values() if now - began > allowed]
            silent_seconds = now - self._answered_at if self._answered_ns else 0.0
            waiting_ns = min(overdue, default=0)
            return Answers(self._answered_ns, silent_seconds, self._took_seconds, dict(self._failures), waiting_ns)


def outcome_of(error: BaseException | None) -> str:
    """Return the one of ``OUTCOMES`` that *error* is; "ok" without one."""
    if error is None:
        return "ok"
    return next((name for kind, name in _OUTCOMES if isinstance(error, kind)), "error")
