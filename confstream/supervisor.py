"""Several directories in one process: a thread for each, and none of them ends the others.

A stream that another writer fenced is started again, so that it stands by and
goes on when it may. Any other end is final, said, and stays visible; the rest
goes on until the process is told to end, and the first failure is the answer.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from confstream.clock import Clock, SystemClock
from confstream.errors import ConfstreamError, FencedError
from confstream.events import about, in_stream
from confstream.journal.vitals import Vitals
from confstream.meter import Meter
from confstream.replicator import ReplicateReport, Replicator

logger = logging.getLogger("confstream.replicate")

AGAIN_SECONDS = 5.0
"""How long a fenced stream waits before it is started again."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How the stream *name* ended: with a *report*, or by an *error*."""

    name: str
    report: ReplicateReport | None = None
    error: Exception | None = None


class Supervised:
    """One stream, whichever replicator is at work for it; it may be asked from any thread."""

    def __init__(self, name: str, make: Callable[[Meter], Replicator]) -> None:
        self.name = name
        self.meter = Meter()
        self._make = make
        self._replicator = make(self.meter)
        # A signal handler may interrupt itself, but must not meet a replicator that is just being replaced.
        self._replacing = threading.RLock()
        self._told = 0

    def vitals(self) -> Vitals:
        """Return how it is at this moment."""
        return self._replicator.vitals()

    def signal(self, number: int) -> None:
        """Begin to end."""
        with self._replacing:
            self._told = self._told or number
            self._replicator.signal(number)

    def run(self, stop: threading.Event, clock: Clock) -> Ending:
        """Replicate until *stop* is set and everything is published, or until nothing can go on."""
        while True:
            try:
                return Ending(self.name, self._replicator.run())
            except FencedError as error:
                if clock.wait(stop, AGAIN_SECONDS):
                    return Ending(self.name, error=error)
                with self._replacing:
                    self._replicator = self._make(self.meter)
                    if self._told:
                        self._replicator.signal(self._told)


class Supervisor:
    """Runs the streams that *makers* make by name. ``signal`` may be called from a signal handler."""

    def __init__(self, makers: Mapping[str, Callable[[Meter], Replicator]], clock: Clock | None = None) -> None:
        self.streams = tuple(Supervised(name, make) for name, make in makers.items())
        self._clock = clock or SystemClock()
        self._stop = threading.Event()
        self._over = threading.Event()
        self._endings: list[Ending] = []
        self.first_signal = 0

    def signal(self, number: int) -> None:
        """Have every stream begin to end; the second call gives up what is not published yet."""
        self.first_signal = self.first_signal or number
        self._stop.set()
        for stream in self.streams:
            stream.signal(number)

    def run(self) -> tuple[Ending, ...]:
        """Replicate all until ``signal``, or until none can go on; return how each ended, the first one first."""
        threads = [
            threading.Thread(target=self._run, args=(stream,), name=f"confstream-{stream.name}", daemon=True)
            for stream in self.streams
        ]
        for thread in threads:
            thread.start()
        # Not join(): a signal handler has to get its turn.
        while any(thread.is_alive() for thread in threads):
            self._clock.wait(self._over, 1.0)
            self._over.clear()
        return tuple(self._endings)

    def _run(self, stream: Supervised) -> None:
        try:
            self._endings.append(stream.run(self._stop, self._clock))
        except Exception as error:  # noqa: BLE001 - one stream's end must not be silent, nor that of the others
            self._endings.append(Ending(stream.name, error=error))
            with in_stream(stream.name):
                what = str(error) if isinstance(error, ConfstreamError) else f"{type(error).__name__}: {error}"
                logger.error("%s ended, the others go on: %s", stream.name, what, extra=about("stopped", error=error))  # noqa: TRY400
        finally:
            self._over.set()
