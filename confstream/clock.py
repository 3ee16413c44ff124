"""The only reader of time and the only sleeper.

Everything else takes a ``Clock``, so that tests decide what time it is and
nothing has to wait for it.
"""

import threading
import time
from typing import Protocol

# On macOS the monotonic clock of the system counts suspended time, and that of Python does not.
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC", None)
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Clock(Protocol):
    """What the rest of confstream may know about time."""

    def now_ns(self) -> int:
        """Return the wall clock: nanoseconds since 1970 in UTC. It may jump."""

    def elapsed_seconds(self) -> float:
        """Return seconds since an arbitrary start; never backwards, counting suspended time."""

    def boot(self) -> str:
        """Return what names that start, as long as ``elapsed_seconds`` counts from it; empty if nothing does."""

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

    def boot(self) -> str:
        """Return the name that the kernel gave to this start of the machine; empty where it gives none."""
        try:
            from pathlib import Path  # noqa: PLC0415 - few ask

            return Path(_BOOT_ID).read_text("ascii").strip()
        except (OSError, ValueError):
            return ""

    def wait(self, event: threading.Event, timeout_seconds: float) -> bool:
        """Wait for *event* in real time."""
        return event.wait(timeout_seconds)
