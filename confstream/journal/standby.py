"""When a fenced writer may go on: once the one that fenced it is gone, or a person says so (P5)."""

import logging

from confstream.clock import Clock
from confstream.events import about
from confstream.journal.draft import FencedBy
from confstream.journal.phase import HEARTBEAT_SECONDS
from confstream.log.reader import LogReader
from confstream.revision import Heartbeat

logger = logging.getLogger("confstream.uplink")

STALE_INTERVALS = 3
"""How many heartbeats have to be missing before a writer counts as gone."""

LOOK_SECONDS_MAX = 30.0
"""How often to look at least: one request, so that a writer that leaves is followed soon."""

_SLACK = 1.2


class Standby:
    """Watches for signs of life of the writer that owns the log: its heartbeat, or without one its revisions.

    Only this process's own, steady time decides; what the wall clocks of two
    machines say of one another may be wrong by days.
    """

    def __init__(self, clock: Clock, *, takeover: bool, heartbeat_seconds: float) -> None:
        """Look as often as a heartbeat would be written every *heartbeat_seconds*, or every half minute."""
        self.look_seconds = min(heartbeat_seconds or LOOK_SECONDS_MAX, LOOK_SECONDS_MAX)
        self._clock = clock
        self._takeover = takeover
        self._seen: tuple[Heartbeat | int | None, float] | None = None
        self._successor: FencedBy | None = None

    def may_go_on(self, reader: LogReader, owner: FencedBy) -> bool:
        """Return whether *owner*, or who took over from it since, released the log, fell silent, or was overruled."""
        owner = self._successor or owner
        beat = reader.heartbeat(owner.writer)
        if beat is not None and beat.epoch < owner.epoch:
            # From before it took the log over: that it was released then says nothing about now.
            beat = None
        interval_seconds = beat.interval_seconds if beat else 0.0
        # Who writes no heartbeats is only known by what it publishes.
        sign = beat if interval_seconds else reader.refresh().head
        now = self._clock.elapsed_seconds()
        if self._seen is None or self._seen[0] != sign:
            self._seen = (sign, now)
        silent_seconds = now - self._seen[1]
        released = beat is not None and beat.released
        if not (self._takeover or released or silent_seconds > self._patience_seconds(beat)):
            return False
        if not self._takeover and (successor := _successor(reader, owner)) is not None:
            self._successor, self._seen = successor, None
            return self.may_go_on(reader, successor)
        why = "as asked" if self._takeover else "it released the log" if released else "it gives no sign of life"
        said = about("takeover", writer=owner.writer, epoch=owner.epoch, why=why)
        logger.warning("taking over from writer %s: %s", owner.writer, why, extra=said)
        self._takeover = False
        return True

    def _patience_seconds(self, beat: Heartbeat | None) -> float:
        """Return how long the last sign of life has to stay the last one."""
        if beat is None or not beat.interval_seconds:
            return STALE_INTERVALS * HEARTBEAT_SECONDS
        age_seconds = (self._clock.now_ns() - beat.time_ns) / 1e9
        if age_seconds > STALE_INTERVALS * beat.interval_seconds:
            # Old, if both clocks are right: one that lives writes the next one within an interval.
            return _SLACK * beat.interval_seconds
        return STALE_INTERVALS * beat.interval_seconds


def _successor(reader: LogReader, owner: FencedBy) -> FencedBy | None:
    """Return the writer that took the log over from *owner*, if one did."""
    head = reader.refresh().head
    claims = [(beat.epoch, beat.writer) for beat in reader.heartbeats()]
    if head:
        newest = reader.revision(head).revision
        claims.append((newest.epoch, newest.writer))
    epoch, writer = max(claims, default=(0, ""))
    return FencedBy(writer, epoch) if epoch > owner.epoch else None
