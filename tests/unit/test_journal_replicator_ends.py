"""A replicator's end: by a signal, with a child, after one turn, or because it must."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from confstream.errors import FencedError, UnavailableError, UsageError
from confstream.journal import journal as journal_module
from confstream.replicator import ReplicateOptions, ReplicateReport, Replicator
from confstream.store import Store
from confstream.testing import fail_on
from confstream.watch import Events
from tests.journals import PATIENCE_SECONDS, Replica, eventually, files_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


class Running:
    """A replicator in a thread."""

    def __init__(self, root: Path, replica: Replica, selection: Any = None, **options: Any) -> None:
        quick = {
            "settle_seconds": 0.2, "close_seconds": 0.01, "settle_seconds_max": 2.0, "quiet_seconds": 0.1,
            "scan_seconds": 30.0, "poll_seconds": 0.05, "shutdown_seconds": 5.0, "heartbeat_seconds": 0.0,
        }  # fmt: skip
        self.replica = replica
        self.replicator = Replicator(root, replica.url, ReplicateOptions(**{**quick, **options}), selection=selection)
        self.report: ReplicateReport | None = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.report = self.replicator.run()
        except BaseException as error:  # noqa: BLE001 - told to the test.
            self.error = error

    def until(self, files: dict[str, bytes]) -> None:
        eventually(
            lambda: self.error is not None or (self.replica.head > 0 and self.replica.files() == files),
            f"{sorted(files)} on the replica",
        )
        assert self.error is None, self.error

    def watching(self) -> "Running":
        """Wait until it has taken its first look."""
        eventually(lambda: self.error is not None or self.replicator._scan_at > 0, "the first look")
        return self

    def join(self) -> None:
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive(), "it does not end"

    def stop(self) -> ReplicateReport:
        self.replicator.signal(signal.SIGTERM)
        self.join()
        assert self.report is not None, self.error
        return self.report


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "tree"
    directory.mkdir()
    return directory


@pytest.fixture
def replica(monkeypatch: pytest.MonkeyPatch) -> Replica:
    made = Replica()

    def store_of(_url: str, **_options: Any) -> Store:
        return made.store()

    monkeypatch.setattr(journal_module, "open_store", store_of)
    return made


@pytest.fixture
def run(root: Path, replica: Replica) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(**options: Any) -> Running:
        started.append(Running(options.pop("root", root), replica, **options))
        return started[-1]

    yield start
    for running in started:
        running.replicator.signal(signal.SIGTERM)
        running.replicator.signal(signal.SIGTERM)
        running.thread.join(PATIENCE_SECONDS)


Run = Callable[..., Running]


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
