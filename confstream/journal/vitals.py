"""Everything that health and metrics need of one stream at a moment, as a value, and what notes it meanwhile."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from confstream.clock import Clock
from confstream.journal.views import JournalStatus
from confstream.store.contact import Answers


@dataclass(frozen=True, slots=True)
class Loop:
    """A thread that has to come round: whether it is *alive*, and since when its turn takes too long (UTC ns, 0: not).

    One that was *finished* on purpose need not be alive.
    """

    name: str
    alive: bool
    late_ns: int = 0
    finished: bool = False

    @property
    def turns(self) -> bool:
        """Return whether nothing is wrong with it."""
        return self.finished or (self.alive and not self.late_ns)


@dataclass(frozen=True, slots=True)
class Vitals:
    """How one stream is. Times are UTC ns, 0 is never.

    *status* is None before the journal is open. *scanned_ns* is when the whole
    directory was compared last. *watching* is ``inotify`` or ``polling``,
    *polling* why the latter. *validators* says by name why one is broken, and
    nothing of one that works. *unrecorded* is why changes cannot be recorded;
    *since* has when conditions began, by name. *ended* is why the stream is
    over, if it is.
    """

    name: str
    now_ns: int
    started_ns: int
    version: str = ""
    status: JournalStatus | None = None
    replica: Answers = field(default_factory=Answers)
    loops: tuple[Loop, ...] = ()
    scanned_ns: int = 0
    watching: str = ""
    polling: str = ""
    heartbeat_seconds: float = 0.0
    validators: Mapping[str, str] = field(default_factory=dict)
    unrecorded: str = ""
    since: Mapping[str, int] = field(default_factory=dict)
    ended: str = ""


class Pulse:
    """What a loop notes of itself while it turns: by one thread, for any to read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._due_seconds: float | None = None
        self._since: dict[str, int] = {}
        self.started_ns = clock.now_ns()
        self.scanned_ns = 0

    def turn(self, allowed_seconds: float) -> None:
        """Note that a turn begins, and that the next one has to within *allowed_seconds*."""
        self._due_seconds = self._clock.elapsed_seconds() + allowed_seconds

    def scanned(self) -> None:
        """Note that the whole directory has just been compared."""
        self.scanned_ns = self._clock.now_ns()

    def note(self, **conditions: object) -> None:
        """Note which of *conditions* hold now: a true value does."""
        now_ns = self._clock.now_ns()
        with self._lock:
            for name, holds in conditions.items():
                if holds:
                    self._since.setdefault(name, now_ns)
                else:
                    self._since.pop(name, None)

    @property
    def since(self) -> dict[str, int]:
        """Return since when each condition holds that does."""
        with self._lock:
            return dict(self._since)

    @property
    def late_ns(self) -> int:
        """Return since when the next turn is due, 0 if it is not."""
        due_seconds = self._due_seconds
        late_seconds = 0.0 if due_seconds is None else self._clock.elapsed_seconds() - due_seconds
        return self._clock.now_ns() - int(late_seconds * 1e9) if late_seconds > 0 else 0
