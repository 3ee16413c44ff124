"""The journal's directory: whether it can be used, what is in it, and what waits there."""

import os
import stat
from pathlib import Path

from confstream.check import Check
from confstream.clock import Clock
from confstream.doctor.ground import may_write
from confstream.doctor.looking import fine, length, plural, size, skipped, wrong
from confstream.errors import FencedError, NotFoundError
from confstream.journal.peek import Glance, peek

_WAITED_SECONDS_MAX = 600.0
"""What waits longer than that is not on its way any more."""


class Notebook:
    """The journal in *place*, looked at without a lock and without a change."""

    def __init__(self, place: Path, clock: Clock) -> None:
        self.place = place
        self._clock = clock
        self.glance: Glance | None = None

    def directory(self) -> Check:
        """Return whether this user can use the directory, or make it."""
        name, uid = "state directory", os.geteuid()
        if not self.place.is_dir():
            above = self.place.parent
            if not above.is_dir() or not may_write(above):
                advice = (
                    "choose a writable place with --state-dir (an emptyDir survives the container, a volume the pod)"
                )
                return wrong(name, f"{self.place} is not there, and uid {uid} cannot make it", advice)
            return fine(name, f"{self.place} is not there yet; the first replicate makes it")
        status = self.place.stat()
        owned = f"of uid {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}"
        try:
            theirs = sorted({path.name for path in self.place.iterdir() if not _usable(path)})
        except PermissionError:
            theirs = ["everything in it"]
        if theirs or not may_write(self.place):
            what = f": {', '.join(theirs[:5])}" if theirs else ""
            return wrong(
                name,
                f"{self.place} ({owned}) cannot be used by uid {uid}{what}",
                f"run as uid {status.st_uid}, give it to uid {uid} (chown -R), or choose another with --state-dir",
            )
        return fine(name, f"{self.place}, {owned}, usable")

    def journal(self) -> list[Check]:
        """Return what the journal holds, and what of it has not been published."""
        name = "journal"
        try:
            self.glance = seen = peek(self.place)
        except NotFoundError:
            return [skipped(name, "there is none yet")]
        except PermissionError:
            return [skipped(name, "it cannot be read by this user")]
        running = f"process {seen.pid} has it open" if seen.pid else "no process has it open"
        found = [fine(name, f"writer {seen.writer[:8]}, revision {seen.base.number} confirmed, {running}")]
        if seen.fenced is not None:
            advice = (
                "end the other writer, or run replicate --takeover here; log shows the fork with what was not published"
            )
            found.append(
                wrong("fencing", f"writer {seen.fenced.writer[:8]} took over from this one", advice, FencedError)
            )
        if seen.pending:
            found.append(self._pending(seen))
        return found

    def _pending(self, seen: Glance) -> Check:
        now_ns = self._clock.now_ns()
        age = max(0.0, (now_ns - min(draft.time_ns for draft in seen.pending)) / 1e9)
        held = f"{plural(len(seen.pending), 'revision')} ({size(seen.pending_bytes)}) unpublished since {length(age)}"
        if not seen.pid:
            return wrong("pending", f"{held}, and no process to publish them", "start replicate")
        if age > _WAITED_SECONDS_MAX:
            return wrong("pending", held, "look at the process's log, and at what is said of the replica here")
        return fine("pending", held)


def _usable(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids)
