"""A replicator's end: by a signal, with a child, after one turn, or because it must."""

import signal
import sys
from pathlib import Path

import pytest

from confstream.errors import FencedError, UnavailableError, UsageError
from confstream.replicator import ReplicateOptions, Replicator
from confstream.testing import fail_on
from confstream.watch import Events
from tests.journals import Replica, eventually, files_of
from tests.replicating import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


def test_once_captures_what_is_there_publishes_and_ends(root: Path, replica: Replica, run: Run) -> None:
    (root / "a").write_text("1")

    running = run(once=True)
    running.join()

    assert running.error is None
    assert running.report is not None
    assert running.report.status.position.number == 1
    assert replica.files() == {"a": b"1"}


def test_p7_once_without_a_replica_is_an_error(root: Path, replica: Replica, run: Run) -> None:
    replica.plan.append(fail_on("put", times=10**6))
    (root / "a").write_text("1")

    running = run(once=True, timeout_seconds=0.5)
    running.join()

    assert isinstance(running.error, UnavailableError)


def test_p7_a_last_flush_that_failed_is_an_error_that_says_what_is_missing(
    root: Path, replica: Replica, run: Run
) -> None:
    (root / "a").write_text("1")
    running = run(shutdown_seconds=0.6)
    running.until({"a": b"1"})
    replica.plan.append(fail_on("put", times=10**6))
    (root / "a").write_text("2")
    running.replicator.signal(signal.SIGTERM)
    running.join()

    assert isinstance(running.error, UnavailableError)
    assert "1 revision(s) are not on the replica" in str(running.error)


def test_what_is_written_right_before_the_end_is_on_the_replica(root: Path, replica: Replica, run: Run) -> None:
    (root / "a").write_text("1")
    running = run()
    running.until({"a": b"1"})
    (root / "a").write_text("last words")
    (root / "b").write_text("and more")

    running.stop()

    assert replica.files() == {"a": b"last words", "b": b"and more"}


def test_a_second_signal_ends_a_flush_that_waits(root: Path, replica: Replica, run: Run) -> None:
    (root / "a").write_text("1")
    running = run(shutdown_seconds=600.0)
    running.until({"a": b"1"})
    replica.plan.append(fail_on("put", times=10**6))
    (root / "a").write_text("2")
    running.replicator.signal(signal.SIGTERM)
    journal = running.replicator._journal
    assert journal is not None
    eventually(lambda: journal._closed, "the flush to begin")

    running.replicator.signal(signal.SIGTERM)
    running.join()

    assert isinstance(running.error, UnavailableError)


@pytest.mark.parametrize("code", [0, 7])
def test_a_child_ends_it_with_its_code_and_what_it_wrote_last_is_flushed(
    root: Path, replica: Replica, run: Run, code: int
) -> None:
    program = (
        "import sys, pathlib; pathlib.Path(sys.argv[1], 'a').write_text('by the child'); sys.exit(int(sys.argv[2]))"
    )

    running = run(command=[sys.executable, "-c", program, str(root), str(code)])
    running.join()

    assert running.error is None
    assert running.report is not None
    assert (running.report.child, running.report.signal) == (code, 0)
    assert replica.files() == {"a": b"by the child"}


_OBEDIENT = """
import pathlib, signal, sys, threading
ended = threading.Event()
def end(number, _frame):
    pathlib.Path(sys.argv[1], "last").write_text(str(number))
    ended.set()
signal.signal(signal.SIGTERM, end)
pathlib.Path(sys.argv[1], "ready").write_text("")
ended.wait()
sys.exit(3)
"""


def test_a_signal_goes_to_the_child_and_its_last_write_is_flushed(root: Path, replica: Replica, run: Run) -> None:
    running = run(command=[sys.executable, "-c", _OBEDIENT, str(root)])
    eventually((root / "ready").exists, "the child")

    report = running.stop()

    assert (report.child, report.signal) == (3, signal.SIGTERM)
    assert replica.files() == {"ready": b"", "last": b"15"}


def test_a_command_that_does_not_exist_is_a_usage_error(run: Run) -> None:
    running = run(command=["/no/such/program"])
    running.join()

    assert isinstance(running.error, UsageError)


def test_p5_being_fenced_ends_it(root: Path, replica: Replica, run: Run) -> None:
    (root / "a").write_text("1")
    running = run()
    running.until({"a": b"1"})
    replica.edit({"a": b"theirs"})
    (root / "a").write_text("2")
    running.join()

    assert isinstance(running.error, FencedError)
    assert replica.files() == {"a": b"theirs"}
    assert len(replica.history().forks()) == 1
    assert files_of(root) == {"a": b"2"}


def test_a_tree_that_is_not_there_is_a_usage_error(root: Path, replica: Replica) -> None:
    with pytest.raises(UsageError, match="not a directory"):
        Replicator(root / "none", replica.url, ReplicateOptions()).run()


def test_p11_an_idle_replicator_asks_nothing_and_does_not_wake_up(root: Path, replica: Replica, run: Run) -> None:
    (root / "a").write_text("1")
    running = run()
    running.until({"a": b"1"})
    watcher = running.replicator._watcher
    assert watcher is not None
    turns: list[float | None] = []
    wait = watcher.wait

    def counted(timeout_seconds: float | None = None) -> Events:
        turns.append(timeout_seconds)
        return wait(timeout_seconds)

    watcher.wait = counted  # type: ignore[method-assign]
    watcher.wake()
    replica.metered.reset()

    # One wait until the next scan, half a minute away, and nothing before it.
    eventually(lambda: bool(turns) and (turns[-1] or 0) > 20, "a long wait")
    assert replica.metered.calls == {}
    assert len(turns) <= 3
