"""While a replica does not take revisions: since when, how long until the next attempt, and what is said about it.

Patience has no bound unless one is asked for; the pauses have (P7).
"""

import logging
import random
import threading
from enum import IntEnum

from confstream.clock import Clock
from confstream.complaint import Complaint
from confstream.errors import ConfstreamError, OutcomeUnknownError, UnavailableError
from confstream.events import about

PAUSE_SECONDS_FIRST = 0.5
PAUSE_SECONDS_MAX = 30.0
"""A replica that is back is noticed within this time, however long it was away."""

_PASSING = (UnavailableError, OutcomeUnknownError)


class Stage(IntEnum):
    """How far a turn of the uplink came."""

    CONNECT = 1
    PUBLISH = 2
    UPKEEP = 3


class Outage:
    """One for each uplink, used by its thread alone."""

    def __init__(self, logger: logging.Logger, clock: Clock, fail_after_seconds: float = 0.0) -> None:
        """Be patient for *fail_after_seconds*, or for ever if that is 0."""
        self._clock = clock
        self._fail_after_seconds = fail_after_seconds
        self._random = random.Random()  # noqa: S311 - jitter, no secret
        self._complaint = Complaint(logger, clock)
        self._pause_seconds = PAUSE_SECONDS_FIRST
        self._stage: Stage | None = None
        self._nothing_since = 0.0

    @property
    def is_exhausted(self) -> bool:
        """Return whether the replica took nothing for longer than was to be borne."""
        return self._stage is not None and self._patience_seconds() <= 0

    def failed(self, error: ConfstreamError, stage: Stage, pending: int) -> None:
        """Note, and say unless it was said lately, that a turn ended in *stage* with *error*."""
        if self._stage is None:
            self._nothing_since = self._clock.elapsed_seconds()
        self._stage = stage
        is_passing = type(error) in _PASSING
        self._complaint.say(
            f"the replica does not take revisions, {pending} wait in the journal: {error}",
            level=logging.WARNING if is_passing else logging.ERROR,
            extra=about("replica_unreachable" if is_passing else "replica_refused", pending=pending, error=error),
        )

    def took(self, stage: Stage, pending: int) -> bool:
        """Note that the replica did what *stage* asked for; return whether nothing stands in the way any more.

        What failed later than that may fail again: to have connected is no
        proof that a revision would be taken.
        """
        if self._stage is not None and stage >= Stage.PUBLISH:
            self._nothing_since = self._clock.elapsed_seconds()
        if self._stage is not None and self._stage > stage:
            return False
        self._stage = None
        seconds = self._complaint.lasts_seconds or 0.0
        self._complaint.over(
            f"recovered: the replica answers again after {seconds:.0f} s, {pending} to publish",
            extra=about("recovered", what="replica", duration_s=seconds, pending=pending),
        )
        return True

    def finished(self) -> None:
        """Note that a turn came to its end: the next pause is a short one again."""
        self._pause_seconds = PAUSE_SECONDS_FIRST

    def pause(self, stop: threading.Event, hurry: threading.Event) -> None:
        """Wait until it is time for the next attempt, each time longer; *stop* ends it.

        *hurry* cuts it short, for somebody waits for the outcome, but never
        below the first pause: whatever is asked for how often, it makes no storm.
        """
        # Writers that failed together do not come back together.
        seconds = self._pause_seconds * self._random.uniform(0.7, 1.0)
        self._pause_seconds = min(self._pause_seconds * 2, PAUSE_SECONDS_MAX)
        if self._fail_after_seconds:
            seconds = max(0.0, min(seconds, self._patience_seconds()))
        first = min(seconds, PAUSE_SECONDS_FIRST)
        if self._clock.wait(stop, first):
            return
        if seconds > first and self._clock.wait(hurry, seconds - first):
            self._pause_seconds = PAUSE_SECONDS_FIRST

    def give_up(self, error: ConfstreamError, pending: int) -> ConfstreamError:
        """Return what to end with, of the kind of *error*."""
        return type(error)(
            f"the replica took nothing for {self._fail_after_seconds:g} s (--fail-after): {error}; {pending} "
            "revision(s) are not on the replica, they are safe in the journal"
        )

    def _patience_seconds(self) -> float:
        if not self._fail_after_seconds:
            return float("inf")
        return self._nothing_since + self._fail_after_seconds - self._clock.elapsed_seconds()
