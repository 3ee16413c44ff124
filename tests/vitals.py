"""Vitals for tests: a stream that is well, and whatever a test says is wrong with it."""

from dataclasses import replace
from typing import Any

from confstream.journal.phase import Phase
from confstream.journal.views import JournalStatus
from confstream.journal.vitals import Loop, Vitals
from confstream.revision import Position
from confstream.store.contact import Answers

SECOND_NS = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND_NS
LOOPS = (Loop("capture", alive=True), Loop("uplink", alive=True))


def status(**changes: Any) -> JournalStatus:
    """Return the status of a journal whose replica holds everything, with *changes*."""
    well = JournalStatus(
        tree="/config",
        replica="s3://bucket/config",
        writer="writer",
        phase=Phase.PUBLISHING,
        position=Position(number=7, time_ns=NOW_NS - 100 * SECOND_NS),
        pending=0,
        pending_bytes=0,
        lag_seconds=0.0,
        confirmed_ns=NOW_NS - 5 * SECOND_NS,
        connected=True,
        files=3,
        tracked_bytes=300,
        changed_ns=NOW_NS - 100 * SECOND_NS,
    )
    return replace(well, **changes)


def vitals(of_status: JournalStatus | None = None, **changes: Any) -> Vitals:
    """Return the vitals of a stream that is well but for *of_status* and *changes*."""
    well = Vitals(
        "config",
        now_ns=NOW_NS,
        started_ns=NOW_NS - 900 * SECOND_NS,
        version="1.2.3",
        status=of_status or status(),
        replica=Answers(answered_ns=NOW_NS - 5 * SECOND_NS, took_seconds=0.1),
        loops=LOOPS,
        scanned_ns=NOW_NS - 30 * SECOND_NS,
        watching="inotify",
        heartbeat_seconds=300.0,
        validators={"json": "", "yaml": ""},
    )
    return replace(well, **changes)
