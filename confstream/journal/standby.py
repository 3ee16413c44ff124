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


class Standby:
    """Watches the heartbeat of the writer that owns the log."""

    def __init__(self, clock: Clock, *, takeover: bool) -> None:
        self._clock = clock
        self._takeover = takeover
        self._seen: tuple[Heartbeat | None, float] | None = None

    def may_go_on(self, reader: LogReader, owner: FencedBy) -> bool:
        """Return whether *owner* released the log, fell silent, or was overruled."""
        reader.refresh()
        now = self._clock.elapsed_seconds()
        beat = next((one for one in reader.heartbeats() if one.writer == owner.writer), None)
        if self._seen is None or self._seen[0] != beat:
            self._seen = (beat, now)
        patience = STALE_INTERVALS * ((beat.interval_seconds if beat else 0.0) or HEARTBEAT_SECONDS)
        # Either clock will do: theirs says how old the sign of life is, ours for how long it has not changed.
        silent = now - self._seen[1] > patience
        old = beat is not None and self._clock.now_ns() - beat.time_ns > patience * 1e9
        released = beat is not None and beat.released
        if not (self._takeover or silent or old or released):
            return False
        why = "as asked" if self._takeover else "it released the log" if released else "its heartbeat is old"
        said = about("takeover", writer=owner.writer, epoch=owner.epoch, why=why)
        logger.warning("taking over from writer %s: %s", owner.writer, why, extra=said)
        self._takeover = False
        return True
