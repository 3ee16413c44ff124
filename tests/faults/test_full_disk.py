"""Disks run full under a running replicator or a program that writes, and are emptied again."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from confstream.clock import SystemClock
from confstream.complaint import REPEAT_SECONDS
from confstream.errors import ConfstreamError, PartialError, UnavailableError
from confstream.history import History
from confstream.journal.journal import Journal
from confstream.journal.writes import Placer
from confstream.log.spool import Spool
from confstream.replicator import ReplicateOptions, Replicator
from confstream.restorer import RestoreOptions, restore
from confstream.testing import ManualClock
from confstream.tree import content_hash
from tests.disks import fill
from tests.restoring import URL, contents, replica_of
from tests.servers import wait_until


def _newest(replica: Path) -> bytes:
    try:
        with History.open(str(replica)) as history:
            return history.read("config.yml")
    except ConfstreamError:
        return b""


def _large() -> bytes:
    return b"".join(b"key%d: %s\n" % (number, os.urandom(16).hex().encode()) for number in range(2000))


@contextmanager
def _running(tree: Path, replica: Path, state: Path | None) -> Iterator[Replicator]:
    options = ReplicateOptions(
        settle_seconds=0.1, close_seconds=0.01, heartbeat_seconds=0, state_dir=state, quiet_seconds=0.1
    )
    replicator = Replicator(tree, str(replica), options)
    thread = threading.Thread(target=replicator.run)
    thread.start()
    try:
        yield replicator
        assert thread.is_alive()
    finally:
        replicator.signal(signal.SIGTERM)
        thread.join(30)
    assert not thread.is_alive()


def test_p6_p7_a_full_disk_under_the_journal_is_said_and_outlived(
    small_disk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tree, replica, filler = tmp_path / "tree", tmp_path / "replica", small_disk / "filler"
    tree.mkdir()
    (tree / "config.yml").write_text("a: 1\n")
    caplog.set_level("INFO")
    with _running(tree, replica, small_disk / "state") as replicator:
        wait_until(lambda: _newest(replica) == b"a: 1\n", 20, "the first revision")
        fill(filler)
        large = _large()
        (tree / "config.yml").write_bytes(large)
        wait_until(lambda: "changes cannot be recorded" in caplog.text, 20, "the error in the log")
        wait_until(lambda: "No space left" in replicator.vitals().unrecorded, 20, "the error in health")
        filler.unlink()
        wait_until(lambda: _newest(replica) == large, 20, "what was written meanwhile")
        wait_until(lambda: "changes are recorded again" in caplog.text, 20, "the recovery in the log")
        wait_until(lambda: replicator.vitals().unrecorded == "", 20, "the recovery in health")

    assert caplog.text.count("changes cannot be recorded") == 1


def test_p6_p7_a_disk_that_is_full_before_the_first_look_is_waited_for(
    small_disk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tree, replica, filler = tmp_path / "tree", tmp_path / "replica", small_disk / "filler"
    tree.mkdir()
    (tree / "config.yml").write_text("a: 1\n")
    caplog.set_level("INFO")
    with _running(tree, replica, small_disk / "state"):
        wait_until(lambda: _newest(replica) == b"a: 1\n", 20, "the first revision")
    large = _large()
    (tree / "config.yml").write_bytes(large)
    fill(filler)

    with _running(tree, replica, small_disk / "state") as replicator:
        wait_until(lambda: "changes cannot be recorded" in caplog.text, 20, "the error in the log")
        wait_until(lambda: "No space left" in replicator.vitals().unrecorded, 20, "the error in health")
        filler.unlink()
        wait_until(lambda: _newest(replica) == large, 20, "what was written meanwhile")


def test_p4_p6_a_full_volume_under_tree_and_journal_loses_and_tears_nothing(
    small_disk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tree, replica, filler = small_disk / "tree", tmp_path / "replica", small_disk / "filler"
    tree.mkdir()
    (tree / "config.yml").write_text("a: 1\n")
    caplog.set_level("INFO")
    with _running(tree, replica, None):
        wait_until(lambda: _newest(replica) == b"a: 1\n", 20, "the first revision")
        fill(filler)
        # What an application does on such a volume: it truncates, and cannot write.
        with pytest.raises(OSError, match="No space left"):
            (tree / "config.yml").write_bytes(_large() * 20)
        (tree / "config.yml").write_text("a: 2\n")
        filler.unlink()
        wait_until(lambda: _newest(replica) == b"a: 2\n", 20, "what was written last")

    with History.open(str(replica)) as history:
        assert history.read("config.yml", 1) == b"a: 1\n"


def test_p4_p6_what_a_full_disk_did_not_take_differs_until_it_is_recorded(small_disk: Path, tmp_path: Path) -> None:
    tree, filler = tmp_path / "tree", small_disk / "filler"
    tree.mkdir()
    (tree / "config.yml").write_text("a: 1\n")
    with Journal.open(tree, str(tmp_path / "replica"), heartbeat_seconds=0, state_dir=small_disk / "state") as journal:
        large = _large()
        (tree / "config.yml").write_bytes(large)
        # Long before the first look: not even by the time of its last change can it be told from one that was captured.
        os.utime(tree / "config.yml", (1_700_000_000, 1_700_000_000))
        changed_ns = (tree / "config.yml").stat().st_ctime_ns
        wait_until(lambda: SystemClock().now_ns() - changed_ns > 50_000_000, 5, "the next ticks of the clock")
        fill(filler)
        for paths in (None, [b"config.yml"]):
            with pytest.raises(UnavailableError, match="No space left"):
                journal.capture(paths)
            assert b"config.yml" in journal.differing()
        filler.unlink()
        assert journal.capture([b"config.yml"]).write_id is not None
        assert journal.differing() == {}
        journal.sync(20)

    assert _newest(tmp_path / "replica") == large


@pytest.mark.parametrize("elsewhere", [True, False], ids=["journal_elsewhere", "journal_in_the_tree"])
def test_p4_a_write_to_a_full_volume_raises_and_leaves_the_old_file(
    elsewhere: bool, small_disk: Path, tmp_path: Path
) -> None:
    tree, filler = small_disk / "tree", small_disk / "filler"
    tree.mkdir()
    large = _large() * 2
    state = tmp_path / "state" if elsewhere else None
    with Journal.open(tree, str(tmp_path / "replica"), heartbeat_seconds=0, state_dir=state) as journal:
        journal.write("config.yml", "a: 1\n")
        fill(filler)
        with pytest.raises(ConfstreamError, match="No space left"):
            journal.write("config.yml", large)
        assert (tree / "config.yml").read_bytes() == b"a: 1\n"
        assert journal.read("config.yml") == b"a: 1\n"
        assert [path.name for path in tree.iterdir() if path.name != ".confstream"] == ["config.yml"]
        filler.unlink()
        journal.write("config.yml", large)
        journal.sync(20)

    assert _newest(tmp_path / "replica") == large


def test_p4_on_a_full_disk_writes_that_a_crash_interrupted_ended_the_next_start_as_if_it_were_a_bug(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def die(*_: object) -> None:
        raise KilledError

    tree, filler, large = small_disk / "tree", small_disk / "filler", _large()
    tree.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(Placer, "place", die)
        journal = Journal.open(tree, str(tmp_path / "replica"), state_dir=tmp_path / "state", publish=False)
        with pytest.raises(KilledError):
            journal.write("config.yml", large)
        journal.abort()
    fill(filler)

    with pytest.raises(UnavailableError, match="safe in the journal, which completes them when it is opened again"):
        Journal.open(tree, str(tmp_path / "replica"), state_dir=tmp_path / "state", publish=False)

    assert not (tree / "config.yml").exists()
    filler.unlink()
    Journal.open(tree, str(tmp_path / "replica"), state_dir=tmp_path / "state", publish=False).abort()
    assert (tree / "config.yml").read_bytes() == large


def test_p3_on_a_full_disk_an_unfinished_restore_ended_as_if_it_were_a_bug(small_disk: Path) -> None:
    root, filler = small_disk / "tree", small_disk / "filler"
    replica = replica_of({"config.yml": b"a: 1\n"}, {"config.yml": b"a: 2\n"})

    def stop(step: str) -> None:
        if step == "staged":
            fill(filler)

    options = RestoreOptions(revision="1")
    for _ in range(2):
        with pytest.raises(PartialError, match=r"stopped half-way: .*No space left.* the next start finishes it"):
            restore(URL, root, options, open_store=replica.opened, checkpoint=stop)

    filler.unlink()
    restore(URL, root, options, open_store=replica.opened)
    assert contents(root) == {"config.yml": b"a: 1\n"}


def test_p7_a_disk_that_stays_full_is_said_again_and_not_all_the_time(caplog: pytest.LogCaptureFixture) -> None:
    from confstream.replicator.recording import Recording  # noqa: PLC0415

    clock = ManualClock()
    recording = Recording(clock)
    for _ in range(3600):
        recording.failed(UnavailableError("the disk is full"))
        clock.advance(1)

    assert caplog.text.count("the disk is full") == 3600 / REPEAT_SECONDS


def test_contents_for_which_there_is_no_temporary_file_are_an_error_that_says_what_to_do(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    spool = Spool(memory_size_max=0)
    content = os.urandom(1 << 20)

    with pytest.raises(UnavailableError, match="No space left on device; free some space there, or name another"):
        spool.add(content_hash(content), content)
    spool.close()
