"""For how long packs are known of: what they cover may go only after the grace period.

What counts is time that passed, and nothing that a wall clock says: neither
that of this machine, which jumps, nor any time on the replica, which this very
writer may have left there after the jump (P5). A restart goes on counting.
Time in which nobody ran counts, too, unless the machine was started anew.
"""

import contextlib
import json
import secrets
import threading
from collections.abc import Callable, Iterator

from confstream.clock import Clock
from confstream.errors import ConfstreamError, IntegrityError
from confstream.journal import notes
from confstream.journal.ledger import Ledger

_NOTE = "grace"
_NOTED_EVERY_NS = 600 * 10**9
"""How much of the time that passed may be forgotten when the machine is started anew."""


class Grace:
    """What a journal knows of packs on its replica. Any thread may call any method."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        """Go on counting where the journal's last process was."""
        self._ledger = ledger
        self._clock = clock
        # Where nothing names it, this start of the machine is over when the process is.
        self._boot = clock.boot() or secrets.token_hex(8)
        self._lock = threading.Lock()
        self._began_ns = self._elapsed_ns()
        self._before_ns, self._stream, self._packs = self._remembered()
        self._noted_ns = self._before_ns

    def turn(self) -> None:
        """Remember the time that passed, where something waits for it; to be called now and then."""
        with self._lock:
            if self._packs and self._passed_ns() - self._noted_ns >= _NOTED_EVERY_NS:
                # On a disk that does not take it, what waits only waits for longer.
                with contextlib.suppress(ConfstreamError):
                    self._note()

    @contextlib.contextmanager
    def looking(self) -> Iterator[Callable[[int, int], float]]:
        """Give what tells for how many seconds a pack is known; those that nobody asked for are forgotten."""
        with self._lock:
            # Another replica's packs may bear the same names.
            packs = self._packs if self._stream == self._ledger.stream else {}
        asked: dict[str, int] = {}

        def known_seconds(first: int, last: int) -> float:
            name, passed_ns = f"{first}-{last}", self._passed_ns()
            return (passed_ns - asked.setdefault(name, packs.get(name, passed_ns))) / 1e9

        yield known_seconds
        with self._lock:
            if asked or self._packs:
                self._stream, self._packs = self._ledger.stream, asked
                self._note()

    def _remembered(self) -> tuple[int, str | None, dict[str, int]]:
        """Return how much time had passed, and since when packs were known on which replica."""
        text = self._ledger.notes.get(_NOTE)
        # What cannot be understood is nothing to stop for: it is counted anew.
        with contextlib.suppress(IntegrityError), notes.understood(_NOTE):
            boot, then_ns, passed_ns, stream, packs = json.loads(text or "")
            then_ns, passed_ns = notes.number(then_ns), notes.number(passed_ns)
            packs = {notes.text(name): notes.number(since_ns) for name, since_ns in packs.items()}
            if boot == self._boot:
                passed_ns += max(0, self._began_ns - then_ns)
            return passed_ns, stream, packs
        return 0, None, {}

    def _note(self) -> None:
        self._noted_ns = self._passed_ns()
        note = (self._boot, self._elapsed_ns(), self._noted_ns, self._stream, self._packs)
        self._ledger.note(_NOTE, json.dumps(note))

    def _passed_ns(self) -> int:
        return self._before_ns + self._elapsed_ns() - self._began_ns

    def _elapsed_ns(self) -> int:
        return round(self._clock.elapsed_seconds() * 1e9)
