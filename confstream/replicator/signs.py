"""The signs of life of a replicator: what its loop notes while it turns, and what is asked of it from other threads."""

import logging
import threading
from dataclasses import replace

from confstream.clock import Clock
from confstream.events import about
from confstream.journal.journal import Journal
from confstream.journal.surroundings import version
from confstream.journal.vitals import Loop, Pulse, Vitals
from confstream.store.contact import PATIENCE_SECONDS
from confstream.validate import Validators
from confstream.watch import Watcher

logger = logging.getLogger("confstream.replicate")

START_SECONDS_MAX = 900.0
"""How long opening the journal and the first look may take: everything may have to be read."""

WORK_SECONDS_MAX = 600.0
"""How long a turn may take besides its waiting: many files may have changed, each judged by a slow program."""

_TEST_AGAIN_SECONDS = 300.0
"""How often a broken validator gets another chance."""


class Signs:
    """Notes how the loop of the stream *name* turns, and how its validators are."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._validators = Validators.default()
        self._clock = clock
        self._pulse = Pulse(clock)
        self._thread: threading.Thread | None = None
        self._test_at: float | None = None
        self._unrecorded = ""
        self._silent_ns = 0
        self._ended = ""

    def begin(self) -> None:
        """Note that the calling thread is the loop."""
        self._thread = threading.current_thread()
        self._pulse.turn(START_SECONDS_MAX)

    def test(self, validators: Validators) -> None:
        """Test *validators*, which judge from now on."""
        self._validators = validators
        self._test()

    def turn(self, seconds: float, journal: Journal | None) -> float:
        """Note that the loop begins a turn that would wait for *seconds*; return for how long it shall.

        While something is on its way to the replica, no longer than until a
        request without an answer has to be told.
        """
        self._pulse.turn(seconds + WORK_SECONDS_MAX)
        if journal is None:
            return seconds
        self._tell_silence(journal)
        return seconds if journal.is_settled and not self._silent_ns else min(seconds, PATIENCE_SECONDS)

    def scanned(self) -> None:
        """Note that the whole directory has just been compared, and give broken validators their chance."""
        self._pulse.scanned()
        if self._test_at is not None and self._clock.elapsed_seconds() >= self._test_at:
            self._test()

    def note(self, journal: Journal, watcher: Watcher | None, unrecorded: str) -> None:
        """Note since when what is wrong is wrong."""
        self._unrecorded = unrecorded
        self._pulse.note(
            held=journal.held,
            unreadable=journal.unreadable,
            doubtful=journal.is_doubtful,
            unrecorded=unrecorded,
            polling=watcher is not None and watcher.reason,
        )

    def end(self, why: str) -> None:
        """Note that the loop is over, and *why*."""
        self._ended = self._ended or why

    def vitals(self, journal: Journal | None, watcher: Watcher | None) -> Vitals:
        """Return how the stream is at this moment."""
        thread, pulse = self._thread, self._pulse
        started_ns = pulse.started_ns
        if journal is None:
            found = Vitals(self.name, self._clock.now_ns(), started_ns, version())
        else:
            found = replace(journal.vitals(self.name), started_ns=started_ns)
        alive = thread is None or thread.is_alive()
        loop = Loop("capture", alive, pulse.late_ns, finished=bool(self._ended))
        reason = None if watcher is None else watcher.reason
        return replace(
            found,
            loops=(loop, *found.loops),
            scanned_ns=pulse.scanned_ns,
            watching="" if watcher is None else "polling" if reason else "inotify",
            polling=reason or "",
            unrecorded=self._unrecorded,
            since=pulse.since,
            ended=self._ended,
        )

    def _tell_silence(self, journal: Journal) -> None:
        """Say once that a request waits for its answer too long, and once that it came; what failed is told elsewhere.

        It is seconds from the edit then, whatever time the request has (P7).
        """
        answers = journal.answers
        if answers.waiting_ns and not self._silent_ns:
            self._silent_ns = answers.waiting_ns
            error = f"a request has had no answer for {(self._clock.now_ns() - answers.waiting_ns) / 1e9:.0f} s"
            logger.warning("the replica is slow: %s", error, extra=about("replica_unreachable", error=error))
        elif self._silent_ns and not answers.waiting_ns:
            if journal.is_failing:
                # Whoever said so says when it is over, too.
                self._silent_ns = 0
            elif not answers.failures:
                self._silent_ns = 0
                said = about("recovered", what="replica")
                logger.info("recovered: the replica answers again", extra=said)

    def _test(self) -> None:
        broken = [name for name, test in self._validators.self_test().items() if not test.ok]
        self._pulse.note(validators=broken)
        if broken and self._test_at is not None:
            # That it broke was said by the validators themselves; that it lasts is said here (P7).
            names = ", ".join(broken)
            logger.error(
                "broken still, and what they check is not checked: %s",
                names,
                extra=about("validator_broken", validator=names),
            )
        self._test_at = self._clock.elapsed_seconds() + _TEST_AGAIN_SECONDS if broken else None
