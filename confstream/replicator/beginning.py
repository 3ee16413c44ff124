"""What differs when a run begins, once what is being written at that moment had time to be finished."""

import threading

from confstream.clock import Clock
from confstream.journal.journal import Journal
from confstream.stamp import Stamp

_SETTLES_MAX = 3


def first_differing(
    journal: Journal, settle_seconds: float, clock: Clock, stop: threading.Event
) -> tuple[dict[bytes, Stamp | None], set[bytes]]:
    """Return what differs, and which of it was changed so lately that it may not be finished.

    A journal that knows nothing yet waits for those a while: part of a tree
    must never look like all of it.
    """
    deadline = clock.elapsed_seconds() + _SETTLES_MAX * settle_seconds
    while True:
        differing, now_ns = journal.differing(), clock.now_ns()
        ages = {path: (now_ns - stamp.ctime_ns) / 1e9 for path, stamp in differing.items() if stamp is not None}
        young = {path for path, age in ages.items() if age < settle_seconds}
        waited = clock.elapsed_seconds() >= deadline or stop.is_set()
        if not young or waited or journal.status().files:
            return differing, young
        # One from the future, by a clock that was set back since, is not waited for any longer than a new one.
        youngest_seconds = max(0.0, min(ages[path] for path in young))
        clock.wait(stop, max(settle_seconds - youngest_seconds, 0.01))
