"""How much may wait in a journal: past that, the oldest unpublished revisions become fewer, loudly (P14).

The newest state is never lost, and neither is what waits within the bound.
"""

import logging
from collections.abc import Callable

from confstream.clock import Clock
from confstream.complaint import Complaint
from confstream.errors import UnavailableError
from confstream.events import about
from confstream.journal.ledger import Ledger
from confstream.meter import Meter

logger = logging.getLogger("confstream.journal")

PENDING_COUNT_MAX = 20_000
"""How many revisions may wait, for each takes some memory however small it is: two weeks of one a minute."""

_KEPT = (16, 4, 1, 0)
"""How many of the newest stay as they are: as many as leave half of the room free."""


class Bound:
    """Keeps what waits in *ledger* within *size_bytes_max*; *coalesce* merges all but so many newest revisions.

    A tree that takes more than that by itself is kept all the same, once.
    """

    def __init__(
        self,
        ledger: Ledger,
        coalesce: Callable[[int], int],
        meter: Meter,
        *,
        clock: Clock,
        size_bytes_max: int,
        count_max: int = PENDING_COUNT_MAX,
    ) -> None:
        self.merged = 0
        """How many revisions became fewer since nothing waited."""
        self._ledger = ledger
        self._coalesce = coalesce
        self._meter = meter
        self._size_bytes_max = self._merge_from = size_bytes_max
        self._count_max = count_max
        self._complaint = Complaint(logger, clock)

    def keep(self) -> None:
        """Merge what is too much, after something was recorded."""
        count = len(self._ledger.pending)
        if count <= 1:
            self.merged, self._merge_from = 0, self._size_bytes_max
        if self._ledger.pending_bytes <= self._merge_from and count <= self._count_max:
            return
        fewer = 0
        try:
            for kept in _KEPT:
                fewer += self._coalesce(kept)
                if self._ledger.pending_bytes <= self._size_bytes_max / 2:
                    break
        except UnavailableError as error:
            # What was recorded is durable all the same: that is for the next revision to try again.
            self._complaint.say(
                f"the journal was not made smaller: {error}", extra=about("journal_behind", error=error)
            )
        else:
            self._complaint.over("recovered: the journal is smaller again", extra=about("recovered", what="journal"))
        # To merge is to write the log anew: not for every revision, however large the newest state is.
        self._merge_from = max(self._size_bytes_max, self._ledger.pending_bytes * 3 // 2)
        if fewer:
            self.merged += fewer
            self._meter.count("coalesced_revisions_total", fewer)
            logger.error(
                "%d revisions wait for the replica, more than the journal may hold (%d MiB): %d of them were merged "
                "into others; the newest state is kept",
                count,
                self._size_bytes_max >> 20,
                fewer,
                extra=about("coalesced", fewer=fewer),
            )
