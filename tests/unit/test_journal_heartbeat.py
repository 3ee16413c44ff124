"""What a writer says of itself on the replica, and that it cannot say it when it cannot write (P7)."""

import socket
from pathlib import Path

from confstream.journal.surroundings import version
from confstream.testing import ManualClock
from tests.journals import PATIENCE_SECONDS, Open, Replica, eventually, outage


def test_p7_the_heartbeat_says_who_writes_where_up_to_what_and_how_far_behind(
    root: Path, replica: Replica, start: Open
) -> None:
    clock = ManualClock(auto=False)
    with start(root, clock=clock, heartbeat_seconds=60) as journal:
        journal.write("a", "1")
        journal.sync(PATIENCE_SECONDS)
        eventually(lambda: clock.sleepers > 0, "the uplink to rest")
        clock.advance(61)
        eventually(lambda: [beat.time_ns for beat in replica.beats()] == [clock.now_ns()], "the next heartbeat")

        (beat,) = replica.beats()
        status, (made,) = journal.status(), replica.revisions()
        assert (beat.writer, beat.epoch, beat.host) == (status.writer, status.epoch, socket.gethostname())
        assert (beat.number, beat.tree_hash) == (made.number, made.tree_hash)
        assert (beat.interval_seconds, beat.lag_seconds, beat.released) == (60, 0, False)
        assert beat.version == version()

    (beat,) = replica.beats()
    assert beat.released


def test_p7_an_idle_writer_that_cannot_write_grows_old_on_the_replica_and_says_so_here(
    root: Path, replica: Replica, start: Open
) -> None:
    clock = ManualClock(auto=False)
    journal = start(root, clock=clock, heartbeat_seconds=60)
    journal.write("a", "1")
    journal.sync(PATIENCE_SECONDS)
    eventually(lambda: len(replica.beats()) == 1, "the heartbeat")
    (before,) = replica.beats()
    replica.plan += outage()
    eventually(lambda: clock.sleepers > 0, "the uplink to rest")
    clock.advance(61)

    eventually(lambda: "write" in journal.answers.failures, "the heartbeat to fail")

    assert replica.beats() == [before]
    assert journal.vitals().status is not None
    eventually(lambda: journal.status().trouble == "unavailable", "the trouble")
    journal.abort()
