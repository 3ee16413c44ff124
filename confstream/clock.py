"""The only reader of time and the only sleeper.

Everything else takes a ``Clock``, so that tests decide what time it is and
nothing has to wait for it.
"""

import threading
import time
from typing import Protocol

# On macOS the monotonic clock of the system counts suspended time, and that of Python does not.
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC", None)


class Clock(Protocol):
    """What the rest of confstream may know about time."""

    def now_ns(self) -> int:
        """Return the wall clock: nanoseconds since 1970 in UTC. It may jump."""

    def elapsed_seconds(self) -> float:
        """Return seconds since an arbitrary start; never backwards, counting suspended time."""

    def wait(self, event: threading.Event, timeout_seconds: float) -> bool:
        """Wait until *event* is set, at most *timeout_seconds*; return whether it is."""


class SystemClock:
    """The machine's own time."""

    def now_ns(self) -> int:
        """Return the wall clock of this machine."""
        return time.time_ns()

    def elapsed_seconds(self) -> float:
        """Return seconds since boot, suspended time included where the system counts it."""
        # A laptop that slept through the grace period must know that it did.
        return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)

    def wait(self, event: threading.Event, timeout_seconds: float) -> bool:
        """Wait for *event* in real time."""
        return event.wait(timeout_seconds)


class CautiousClock:
    """A wall clock for who must not take a jump ahead of it for time that passed.

    ``now_ns`` is never later than the clock inside, nor than what that said
    at any time in the last *window_seconds* plus what has passed since: a jump
    ahead is believed when that much time has passed after it, twice as much
    at the latest. What was never asked for nobody knows. Any thread may ask.
    """

    def __init__(self, inner: Clock, window_seconds: float) -> None:
        self._inner = inner
        self._window_seconds = window_seconds
        self._lock = threading.Lock()
        self._is_witnessed = False
        # By how much the wall clock was ahead of the steady one, at least, in this window and in the one before.
        self._since_seconds, self._ahead_ns = self._look()
        self._ahead_before_ns = self._ahead_ns

    def witnessed(self, time_ns: int) -> None:
        """Take *time_ns*, the latest that anybody else wrote down, for now: whether more has passed nobody here saw.

        Only the first one counts, and 0 is none.
        """
        with self._lock:
            if time_ns and not self._is_witnessed:
                self._is_witnessed = True
                ahead_ns = time_ns - round(self._inner.elapsed_seconds() * 1e9)
                self._ahead_before_ns = min(self._ahead_before_ns, ahead_ns)

    def now_ns(self) -> int:
        """Return the time of the wall clock as far as time that passed confirms it."""
        with self._lock:
            elapsed_seconds, ahead_ns = self._look()
            if elapsed_seconds - self._since_seconds >= self._window_seconds:
                self._since_seconds, self._ahead_before_ns, self._ahead_ns = elapsed_seconds, self._ahead_ns, ahead_ns
            self._ahead_ns = min(self._ahead_ns, ahead_ns)
            return round(elapsed_seconds * 1e9) + min(self._ahead_before_ns, self._ahead_ns)

    def elapsed_seconds(self) -> float:
        """Return what the clock inside returns."""
        return self._inner.elapsed_seconds()

    def wait(self, event: threading.Event, timeout_seconds: float) -> bool:
        """Wait as the clock inside does."""
        return self._inner.wait(event, timeout_seconds)

    def _look(self) -> tuple[float, int]:
        elapsed_seconds = self._inner.elapsed_seconds()
        return elapsed_seconds, self._inner.now_ns() - round(elapsed_seconds * 1e9)
