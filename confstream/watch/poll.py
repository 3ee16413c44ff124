"""The watcher of last resort: every so often it says that it is time for a scan."""

import threading

from confstream.clock import Clock
from confstream.watch.events import Events


class Poll:
    """A tick every *interval_seconds* of *clock*."""

    def __init__(self, clock: Clock, interval_seconds: float) -> None:
        if interval_seconds <= 0:
            raise ValueError(f"a polling interval of {interval_seconds} s")
        self.interval_seconds = interval_seconds
        self._clock = clock
        self._event = threading.Event()
        self._last = clock.elapsed_seconds()

    def wait(self, timeout_seconds: float | None) -> Events:
        """Wait for the next tick, a wake-up or the timeout."""
        left = max(0.0, self._last + self.interval_seconds - self._clock.elapsed_seconds())
        woken = self._clock.wait(self._event, left if timeout_seconds is None else min(left, timeout_seconds))
        self._event.clear()
        now = self._clock.elapsed_seconds()
        if woken or now < self._last + self.interval_seconds:
            return Events()
        self._last = now
        return Events(rescan=True)

    def wake(self) -> None:
        """Let ``wait`` return."""
        self._event.set()

    def close(self) -> None:
        """Release nothing: there is nothing."""
