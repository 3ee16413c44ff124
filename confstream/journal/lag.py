"""How late the replica is: the age of the oldest change that it does not hold."""

from confstream.clock import Clock
from confstream.journal.ledger import Ledger


class Lag:
    """One for each uplink; any thread may ask."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._oldest: tuple[bytes, float] | None = None

    @property
    def seconds(self) -> float:
        """Return the age of the oldest draft; 0 if there is none."""
        oldest, now = next(iter(self._ledger.pending), None), self._clock.elapsed_seconds()
        if oldest is None:
            self._oldest = None
            return 0.0
        seen = self._oldest
        if seen is None or seen[0] != oldest.write_id:
            # The wall clock may jump: it is asked once, as soon as there is something to be late with.
            age_seconds = max(0.0, (self._clock.now_ns() - oldest.time_ns) / 1e9)
            self._oldest = seen = (oldest.write_id, now - age_seconds)
        return now - seen[1]

    def merged(self) -> None:
        """Note that drafts were merged: what the oldest was merged into is as late as that was."""
        seen, oldest = self._oldest, next(iter(self._ledger.pending), None)
        if seen is not None and oldest is not None:
            self._oldest = (oldest.write_id, seen[1])
