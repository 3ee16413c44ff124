"""A directory that other programs write, replicated: real files, real events, and every way to end."""

import logging
import random
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from confstream.clock import Clock
from confstream.journal.journal import Journal
from confstream.replicator import Replicator, engine
from confstream.replicator.beginning import first_differing
from confstream.revision import Status
from confstream.settle import Settler
from confstream.watch import Events
from tests.journals import PATIENCE_SECONDS, Replica, Tracks, eventually, files_of
from tests.replicating import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.mark.parametrize("polling", [False, True], ids=["inotify", "polling"])
def test_what_other_programs_do_arrives_on_the_replica(root: Path, replica: Replica, run: Run, polling: bool) -> None:
    (root / "a").write_text("1")
    running = run(polling=polling)
    running.until({"a": b"1"})
    (root / "b").write_text("2")
    running.until({"a": b"1", "b": b"2"})
    (root / "a").unlink()
    (root / "dir/sub").mkdir(parents=True)
    (root / "dir/sub/c").write_text("3")
    running.until({"b": b"2", "dir/sub/c": b"3"})
    (root / "dir").rename(root / "moved")
    running.until({"b": b"2", "moved/sub/c": b"3"})
    (root / "b.new").write_text("4")
    (root / "b.new").replace(root / "b")
    running.until({"b": b"4", "moved/sub/c": b"3"})

    report = running.stop()

    assert report.signal == signal.SIGTERM
    assert (report.status.pending, report.child) == (0, None)
    assert all(made.verdict.status is Status.OK for made in replica.revisions())


def test_a_directory_that_is_created_and_filled_at_once_is_seen_whole(root: Path, run: Run) -> None:
    (root / "a").write_text("1")
    running = run().watching()
    for number in range(20):
        (root / f"d{number}/e/f").mkdir(parents=True)
        for name in ("x", "y"):
            (root / f"d{number}/e/f/{name}").write_text(f"{number}{name}")

    running.until(files_of(root))


@pytest.mark.parametrize("polling", [False, True], ids=["inotify", "polling"])
def test_p9_a_torn_write_is_never_captured(root: Path, replica: Replica, run: Run, polling: bool) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    chosen = random.Random(seed)  # noqa: S311 - chances, no secret
    whole, wholes = b"", {b""}
    (root / "config.yml").write_bytes(b"")
    running = run(polling=polling).watching()
    pause = threading.Event()
    for number in range(4):
        whole = b"%d\n" % number * 8192
        wholes.add(whole)
        with (root / "config.yml").open("wb", buffering=0) as file:
            for first in range(0, len(whole), 4096):
                file.write(whole[first : first + 4096])
                pause.wait(chosen.uniform(0, 0.06))
        pause.wait(chosen.uniform(0, 0.1))
    running.until({"config.yml": whole})
    running.stop()

    states = [replica.files(number) for number in range(1, replica.head + 1)]
    assert {files["config.yml"] for files in states if files} <= wholes


def test_a_file_that_never_settles_is_captured_at_last_and_marked(root: Path, replica: Replica, run: Run) -> None:
    (root / "other").write_text("x")
    run(settle_seconds_max=0.5).until({"other": b"x"})
    stop = threading.Event()

    def write() -> None:
        with (root / "log").open("wb", buffering=0) as file:
            while not stop.wait(0.02):
                file.write(b"line\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        eventually(lambda: any(made.verdict.reasons for made in replica.revisions()), "a marked revision")
    finally:
        stop.set()
        writer.join()

    marked = [made for made in replica.revisions() if made.verdict.reasons]
    assert marked[0].verdict.reasons == ("log was captured while it was being written",)
    eventually(lambda: replica.files() == files_of(root), "the rest")


def test_a_file_that_is_open_when_nobody_watches_waits_for_the_settle_time(root: Path, run: Run) -> None:
    (root / "a").write_text("1")
    with (root / "b").open("wb", buffering=0) as file:
        file.write(b"half")
        running = run()
        running.until({"a": b"1", "b": b"half"})
    assert running.error is None


def test_p6_what_a_writer_without_a_turn_had_begun_was_recorded_at_the_start_as_if_it_were_whole(
    root: Path, replica: Replica, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (root / "config.yml").open("wb", buffering=0) as file:

        def begin(journal: Journal, _seconds: float, clock: Clock, stop: threading.Event) -> Any:
            # It is watched by now; and then time goes by without another byte.
            file.write(b"half of")
            return first_differing(journal, 0.0, clock, stop)

        monkeypatch.setattr(engine, "first_differing", begin)
        run().until({"config.yml": b"half of"})

    (first,) = replica.revisions()
    assert first.verdict.reasons == ("config.yml was captured while it was being written",)


def test_p6_what_a_writer_began_at_the_last_moment_was_recorded_at_the_end_as_if_it_were_whole(
    root: Path, replica: Replica, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    quieten = Replicator._quieten
    (root / "other").write_text("x")
    with (root / "config.yml").open("wb", buffering=0) as file:

        def begin(self: Replicator, journal: Journal, settler: Settler) -> None:
            quieten(self, journal, settler)
            file.write(b"half of")

        monkeypatch.setattr(Replicator, "_quieten", begin)
        running = run()
        running.until({"config.yml": b"", "other": b"x"})
        running.stop()

    assert replica.revisions()[-1].verdict.reasons == ("config.yml was captured while it was being written",)


def test_lost_events_are_made_up_for_by_a_scan(root: Path, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    (root / "a").write_text("1")
    running = run()
    running.until({"a": b"1"})
    watcher = running.replicator._watcher
    assert watcher is not None
    wait = watcher.wait

    listening = threading.Event()

    def lose(timeout_seconds: float | None = None) -> Events:
        listening.set()
        events = wait(timeout_seconds)
        if events.changed:
            watcher.wait = wait  # type: ignore[method-assign]
            return Events(overflow=True)
        return events

    watcher.wait = lose  # type: ignore[method-assign]
    watcher.wake()
    assert listening.wait(PATIENCE_SECONDS)
    (root / "b").write_text("2")

    running.until({"a": b"1", "b": b"2"})
    assert "events were lost" in caplog.text


def test_a_periodic_scan_finds_what_no_event_told(root: Path, run: Run) -> None:
    (root / "a").write_text("1")
    running = run(scan_seconds=0.2)
    running.until({"a": b"1"})
    watcher = running.replicator._watcher
    assert watcher is not None
    wait = watcher.wait

    listening = threading.Event()

    def deaf(timeout_seconds: float | None = None) -> Events:
        listening.set()
        wait(timeout_seconds)
        return Events()

    watcher.wait = deaf  # type: ignore[method-assign]
    watcher.wake()
    assert listening.wait(PATIENCE_SECONDS)
    (root / "b").write_text("2")

    running.until({"a": b"1", "b": b"2"})


@pytest.mark.parametrize("polling", [False, True], ids=["inotify", "polling"])
def test_p10_a_root_that_vanishes_is_held_and_goes_on_when_it_is_back(
    root: Path, replica: Replica, run: Run, polling: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "confstream")
    (root / "a").write_text("1")
    running = run(polling=polling, state_dir=root.parent / "state")
    running.until({"a": b"1"})
    root.rename(root.parent / "away")
    eventually(lambda: "nothing is captured" in caplog.text, "the hold to be said")
    (root.parent / "away/a").write_text("2")
    (root.parent / "away").rename(root)

    running.until({"a": b"2"})
    assert "recovered: the directory is back" in caplog.text
    (root / "b").write_text("3")
    running.until({"a": b"2", "b": b"3"})
    assert len(replica.files(1)) == 1
    assert all(replica.files(number) for number in range(1, replica.head + 1))


def test_p10_a_root_replaced_by_an_empty_directory_is_held_until_files_are_there(
    root: Path, replica: Replica, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "a").write_text("1")
    running = run(state_dir=root.parent / "state")
    running.until({"a": b"1"})
    root.rename(root.parent / "away")
    root.mkdir()
    eventually(lambda: "the directory is empty" in caplog.text or "not there" in caplog.text, "the hold to be said")
    (root / "a").write_text("new volume")

    running.until({"a": b"new volume"})
    assert all(replica.files(number) for number in range(1, replica.head + 1))


def test_p6_an_unreadable_file_stops_nothing(root: Path, run: Run) -> None:
    from tests.privileges import modes_count  # noqa: PLC0415

    (root / "bad").write_text("secret")
    (root / "bad").chmod(0)
    (root / "good").write_text("1")
    with modes_count():
        running = run()
        running.until({"good": b"1"})
        (root / "good").write_text("2")
        running.until({"good": b"2"})
        report = running.stop()
    assert report.unreadable == {"bad": "Permission denied"}


def test_a_selection_is_obeyed(root: Path, run: Run) -> None:
    (root / "cache").mkdir()
    running = run(selection=Tracks(lambda path: path.split(b"/")[0] != b"cache"))
    (root / "cache/x").write_text("x")
    (root / "a").write_text("1")

    running.until({"a": b"1"})
