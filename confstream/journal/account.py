"""How a journal is, put together from its parts."""

import os
from pathlib import Path

from confstream.errors import FencedError, IntegrityError, UsageError
from confstream.journal.ledger import Ledger
from confstream.journal.phase import Phase
from confstream.journal.recorder import Recorder
from confstream.journal.uplink import TURN_SECONDS_MAX, Uplink
from confstream.journal.views import JournalStatus
from confstream.journal.vitals import Loop
from confstream.store.contact import Answers, outcome_of
from confstream.store.open import mask_url
from confstream.tree import Kind

_TROUBLES: tuple[tuple[type[Exception], str], ...] = (
    (FencedError, "fenced"),
    (IntegrityError, "integrity"),
    (UsageError, "usage"),
)


def status_of(
    root: Path, replica: str, ledger: Ledger, recorder: Recorder, uplink: Uplink, *, merged: int
) -> JournalStatus:
    """Return how the journal of *root* is; *merged* revisions became fewer since nothing waited."""
    state, pending, current = uplink.state, ledger.pending, ledger.current
    position = state.position if state.position.number else ledger.base
    return JournalStatus(
        tree=str(root),
        replica=mask_url(replica),
        writer=ledger.writer,
        phase=state.phase,
        position=position,
        pending=len(pending),
        pending_bytes=ledger.pending_bytes,
        lag_seconds=uplink.lag_seconds,
        confirmed_ns=state.confirmed_ns,
        epoch=state.epoch,
        error=str(state.error or ""),
        detail=state.detail,
        held=recorder.held,
        files=sum(entry.kind is not Kind.DIRECTORY for entry in current.values()),
        unreadable={os.fsdecode(path): why for path, why in recorder.unreadable.items()},
        skipped={os.fsdecode(path): why for path, why in recorder.skipped.items()},
        trouble="" if state.error is None else _trouble(state.error),
        failing_ns=state.failing_ns,
        connected=state.connected,
        tracked_bytes=sum(entry.size for entry in current.values()),
        changed_ns=recorder.changed_ns or (pending[-1].time_ns if pending else position.time_ns),
        doubts=recorder.doubts,
        verdict=recorder.verdict,
        merged=merged if pending else 0,
    )


def loop_of(uplink: Uplink, answers: Answers) -> Loop:
    """Return whether the thread that publishes goes on, or was ended on purpose.

    A turn may take as long as it likes while the replica, whose *answers* are
    given, goes on answering: much may have to be read, or to be sent.
    """
    finished = uplink.thread.ident is None or uplink.state.phase in {Phase.FENCED, Phase.STOPPED}
    late_ns = uplink.pulse.late_ns
    if answers.answered_ns and answers.silent_seconds < TURN_SECONDS_MAX:
        late_ns = 0
    return Loop("uplink", uplink.thread.is_alive(), late_ns, finished=finished)


def _trouble(error: Exception) -> str:
    return next((name for kind, name in _TROUBLES if isinstance(error, kind)), outcome_of(error))
