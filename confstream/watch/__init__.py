"""Something may have changed: wake-ups, as exact as the system gives them.

With inotify an idle watcher never wakes up, and a close is told as one. Where
inotify cannot work, or reaches its limits, the watcher polls and says why. It
is a hint either way: the truth is a scan.
"""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

from confstream.clock import Clock
from confstream.errors import ConfstreamError
from confstream.events import about
from confstream.scan import Selection
from confstream.watch.events import Events, WatchLimitError
from confstream.watch.filesystem import polling_reason
from confstream.watch.inotify import Inotify, open_inotify
from confstream.watch.poll import Poll

__all__ = ["Events", "Watcher", "open_watcher"]

_log = logging.getLogger("confstream.watch")
_INTERVAL_SECONDS = 2.0
_RETRY_SECONDS, _RETRY_SECONDS_MAX = 5.0, 3600.0


class _Source(Protocol):
    def wait(self, timeout_seconds: float | None) -> Events: ...

    def wake(self) -> None: ...

    def close(self) -> None: ...


class Watcher:
    """What watches one directory. ``wake`` may be called from any thread, the rest from one.

    Where a limit keeps it from watching, it polls, and looks now and then
    whether there is room again; ``close_events`` may change at every ``wait``.
    """

    def __init__(
        self,
        source: _Source,
        fallback: Poll,
        clock: Clock,
        reason: str | None = None,
        reopen: Callable[[], Inotify] | None = None,
    ) -> None:
        """Watch by *source*, or poll for *reason*; *reopen*, if there is any hope, makes a better source."""
        self._source = source
        self._fallback = fallback
        self._clock = clock
        self._reopen = reopen
        self._pause_seconds = _RETRY_SECONDS
        self._retry_at = clock.elapsed_seconds() + _RETRY_SECONDS
        self.reason = reason
        """Why it polls; ``None`` if it does not."""

    @property
    def close_events(self) -> bool:
        """Return whether a writer's close is told."""
        return self.reason is None

    @property
    def mode(self) -> str:
        """Return how it watches: ``inotify`` or ``polling``."""
        return "inotify" if self.close_events else "polling"

    def wait(self, timeout_seconds: float | None = None) -> Events:
        """Return what happened, after *timeout_seconds* at the latest; then the events may be empty."""
        if self.reason is not None and self._is_back():
            return Events(rescan=True)
        try:
            return self._source.wait(timeout_seconds)
        except WatchLimitError as error:
            limited, self._source, self.reason = self._source, self._fallback, str(error)
            limited.close()
            self._pause_seconds = _RETRY_SECONDS
            self._retry_at = self._clock.elapsed_seconds() + self._pause_seconds
            _log.warning("polling every %g s: %s", self._fallback.interval_seconds, self.reason, extra=_polling(error))
            return Events(overflow=True)

    def _is_back(self) -> bool:
        """Return whether it can watch again, having tried to if it is time for that."""
        if self._reopen is None or self._clock.elapsed_seconds() < self._retry_at:
            return False
        try:
            self._source = self._reopen()
        except (WatchLimitError, OSError):
            # Every attempt takes what is left of the watches for a moment: not too often.
            self._pause_seconds = min(2 * self._pause_seconds, _RETRY_SECONDS_MAX)
            self._retry_at = self._clock.elapsed_seconds() + self._pause_seconds
            return False
        self.reason = None
        _log.info("recovered: changes are told by inotify again", extra=about("recovered", what="watching"))
        return True

    def wake(self) -> None:
        """Let ``wait`` return at once, now or the next time."""
        # Both: a fallback may take place at this very moment.
        self._fallback.wake()
        self._source.wake()

    def close(self) -> None:
        """Release the watches."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_watcher(
    root: Path,
    selection: Selection | None,
    clock: Clock,
    *,
    polling: bool | None = None,
    interval_seconds: float = _INTERVAL_SECONDS,
) -> Watcher:
    """Watch *root*; whatever happens from now on is told, so open it before the first scan.

    *polling* forces or forbids polling; by default the file system decides.
    Where inotify reaches a limit, it polls in any case: every *interval_seconds*
    by *clock*. Raise ``ConfstreamError`` if *root* is not there.
    """
    fallback, reopen = Poll(clock, interval_seconds), partial(open_inotify, root, selection)
    reason = "polling was asked for" if polling else None
    if polling is None:
        reason = polling_reason(root)
    hopeless = reason is not None
    source: Inotify | Poll = fallback
    if reason is None:
        try:
            source = reopen()
        except WatchLimitError as error:
            reason = str(error)
        except OSError as error:
            raise ConfstreamError(f"{root} cannot be watched: {error.strerror}") from error
    if reason is not None:
        _log.warning("%s: polling every %g s: %s", root, interval_seconds, reason, extra=_polling(reason))
    return Watcher(source, fallback, clock, reason, None if hopeless else reopen)


def _polling(reason: str | WatchLimitError) -> dict[str, Any]:
    return about("polling", error=reason)
