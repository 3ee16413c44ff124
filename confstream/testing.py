"""Doubles for tests, ours and those of programs that embed confstream.

A clock that a test turns, a store in memory, and stores that fail in the ways
in which networks and servers fail.
"""

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from confstream.errors import ObjectExistsError, OutcomeUnknownError, UnavailableError
from confstream.store import Keys, Store
from confstream.store.memory import MemoryStore

__all__ = ["Fault", "FaultyStore", "ManualClock", "MemoryStore", "damage", "delay_put", "fail_on"]

_POLL_SECONDS = 0.002
_START_NS = 1_750_000_000 * 10**9
_BOOTS = itertools.count(1)


class ManualClock:
    """A clock that stands still until a test moves it.

    With *auto*, ``wait`` moves it by its timeout and returns at once, so that
    loops with pauses run through; without, ``wait`` blocks its thread until
    ``advance`` has passed the timeout or the event is set.
    """

    def __init__(self, now_ns: int = _START_NS, *, auto: bool = True) -> None:
        self._now_ns = now_ns
        self._elapsed_ns = 0
        self._auto = auto
        self._lock = threading.Lock()
        self._waits: list[float] = []
        self._sleepers = 0
        self._boot = f"manual-{next(_BOOTS)}"

    @property
    def waits(self) -> list[float]:
        """Return the timeout, in seconds, of every wait so far."""
        with self._lock:
            return [*self._waits]

    @property
    def sleepers(self) -> int:
        """Return how many threads wait at this moment."""
        with self._lock:
            return self._sleepers

    def now_ns(self) -> int:
        """Return the wall clock as the test has set it."""
        with self._lock:
            return self._now_ns

    def elapsed_seconds(self) -> float:
        """Return by how much the test has moved the clock."""
        with self._lock:
            return self._elapsed_ns / 1e9

    def boot(self) -> str:
        """Return a name of this very clock."""
        return self._boot

    def advance(self, seconds: float) -> None:
        """Move the clock on by *seconds*."""
        with self._lock:
            self._now_ns += round(seconds * 1e9)
            self._elapsed_ns += round(seconds * 1e9)

    def jump(self, seconds: float) -> None:
        """Move the wall clock alone, forwards or backwards: somebody set it."""
        with self._lock:
            self._now_ns += round(seconds * 1e9)

    def wait(self, event: threading.Event, timeout_seconds: float) -> bool:
        """Wait for *event* in the time of the test."""
        with self._lock:
            self._waits.append(timeout_seconds)
        if event.is_set():
            return True
        if self._auto:
            self.advance(max(0.0, timeout_seconds))
            return event.is_set()
        end_seconds = self.elapsed_seconds() + timeout_seconds
        with self._lock:
            self._sleepers += 1
        try:
            while self.elapsed_seconds() < end_seconds:
                if event.wait(_POLL_SECONDS):
                    return True
        finally:
            with self._lock:
                self._sleepers -= 1
        return event.is_set()


@dataclass(slots=True)
class Fault:
    """One planned failure of a store; made by ``fail_on``, ``damage`` and ``delay_put``.

    Called with an operation and a key it fails them if they are meant, so it
    can be the ``before`` or ``after`` of a ``MemoryStore``.
    """

    operation: str
    prefix: str
    skip: int
    times: int
    error: Callable[[str], Exception]
    after_apply: bool = False
    spoil: Callable[[bytes], bytes] | None = None
    is_delayed: bool = False
    late: list[Callable[[], None]] = field(default_factory=list)
    hits: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, operation: str, key: str) -> None:
        """Raise if it is the turn of *operation* on *key*."""
        if self.is_due(operation, key):
            raise self.error(f"injected failure of {operation} {key}")

    def is_due(self, operation: str, key: str) -> bool:
        """Return whether *operation* on *key* is to fail now, and count it."""
        if operation != self.operation or not key.startswith(self.prefix):
            return False
        with self._lock:
            if self.skip > 0:
                self.skip -= 1
                return False
            if self.hits >= self.times:
                return False
            self.hits += 1
            return True

    def release(self) -> None:
        """Let every delayed put arrive at the store, as if the network had held it until now."""
        with self._lock:
            late, self.late = self.late, []
        for arrive in late:
            arrive()


def fail_on(
    operation: str,
    *,
    times: int = 1,
    skip: int = 0,
    prefix: str = "",
    error: Exception | type[Exception] | None = None,
    after_apply: bool = False,
) -> Fault:
    """Return a fault that fails *operation* on keys under *prefix*, *times* times after *skip* good ones.

    Nothing is applied and the error is ``UnavailableError``; with *after_apply*
    the operation is applied, and only its acknowledgement is lost:
    ``OutcomeUnknownError``. *error* replaces either.
    """
    default: type[Exception] = OutcomeUnknownError if after_apply and operation == "put" else UnavailableError
    chosen = default if error is None else error
    make = (lambda _text: chosen) if isinstance(chosen, Exception) else chosen
    return Fault(operation, prefix, skip, times, make, after_apply=after_apply)


def damage(
    *, times: int = 1, skip: int = 0, prefix: str = "", keep: int | None = None, flip: int | None = None
) -> Fault:
    """Return a fault that spoils what ``get`` returns: *keep* only so many bytes, or *flip* a bit of that byte."""

    def spoil(body: bytes) -> bytes:
        spoiled = bytearray(body if keep is None else body[:keep])
        if flip is not None and spoiled:
            spoiled[flip % len(spoiled)] ^= 1
        return bytes(spoiled)

    return Fault("get", prefix, skip, times, UnavailableError, spoil=spoil)


def delay_put(*, times: int = 1, skip: int = 0, prefix: str = "") -> Fault:
    """Return a fault whose puts end as ``OutcomeUnknownError``, and arrive only with ``release()``."""
    return Fault("put", prefix, skip, times, OutcomeUnknownError, is_delayed=True)


class FaultyStore:
    """*inner*, failing according to *plan*: for every call, the first fault that is due."""

    def __init__(self, inner: Store, plan: Sequence[Fault] = ()) -> None:
        self.inner = inner
        self.plan = list(plan)

    @property
    def url(self) -> str:
        """Return the URL of the store inside."""
        return self.inner.url

    def put(self, key: str, body: bytes) -> None:
        """Create *key*, or fail as planned."""
        fault = self._fault("put", key)
        if fault is not None and fault.is_delayed:
            fault.late.append(lambda: self._arrive(key, body))
        elif fault is None or fault.after_apply:
            self.inner.put(key, body)
        self._raise(fault, "put", key)

    def replace(self, key: str, body: bytes) -> None:
        """Set *key*, or fail as planned."""
        fault = self._fault("replace", key)
        if fault is None or fault.after_apply:
            self.inner.replace(key, body)
        self._raise(fault, "replace", key)

    def get(self, key: str, first: int = 0, size: int | None = None) -> bytes:
        """Read *key*, or fail or lie as planned."""
        fault = self._fault("get", key)
        if fault is not None and fault.spoil is not None:
            return fault.spoil(self.inner.get(key, first, size))
        self._raise(fault, "get", key)
        return self.inner.get(key, first, size)

    def list(self, prefix: str = "") -> Keys:
        """List *prefix*, or fail as planned."""
        self._raise(self._fault("list", prefix), "list", prefix)
        return self.inner.list(prefix)

    def delete(self, keys: Keys) -> None:
        """Remove *keys* one by one, failing at each as planned."""
        for key in keys:
            fault = self._fault("delete", key)
            if fault is None or fault.after_apply:
                self.inner.delete([key])
            self._raise(fault, "delete", key)

    def close(self) -> None:
        """Close the store inside."""
        self.inner.close()

    def _fault(self, operation: str, key: str) -> Fault | None:
        return next((fault for fault in self.plan if fault.is_due(operation, key)), None)

    def _raise(self, fault: Fault | None, operation: str, key: str) -> None:
        if fault is not None:
            raise fault.error(f"injected failure of {operation} {key}")

    def _arrive(self, key: str, body: bytes) -> None:
        try:
            self.inner.put(key, body)
        except ObjectExistsError:
            # It came too late, and nobody waits for its answer.
            return
