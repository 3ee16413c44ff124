"""The public journal: one process, threads that share it, its history, and the way back."""

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from confstream import durable
from confstream.errors import (
    ConfstreamError,
    NotFoundError,
    PartialError,
    UsageError,
)
from confstream.testing import fail_on
from tests.journals import PATIENCE_SECONDS, Open, Replica, files_of, numbers, outcome, run_python
from tests.privileges import modes_count

_SECOND = """
import sys
from confstream.errors import ConfstreamError
from confstream.journal.journal import Journal
try:
    Journal.open(sys.argv[1], "memory://x", heartbeat_seconds=0)
except ConfstreamError as error:
    print(error)
"""


def test_a_second_process_is_told_the_pid_of_the_first(root: Path, start: Open) -> None:
    with start(root):
        finished = run_python(_SECOND, root)

    assert f"in use by process {os.getpid()}" in finished.stdout, outcome(finished)


def test_a_second_journal_in_one_process_is_refused_as_well(root: Path, start: Open) -> None:
    with start(root), pytest.raises(ConfstreamError, match="in use"):
        start(root)

    with start(root) as again:
        again.write("a", "1")


def _in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run *work* in *count* threads at once; fail if any fails, or does not end in time."""
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - told to the test.
            failures.append(error)

    threads = [threading.Thread(target=run, args=[number], daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not [thread for thread in threads if thread.is_alive()], "a deadlock"
    assert failures == []


@pytest.mark.exhaustive
def test_p4_threads_that_share_a_journal_lose_no_update_and_every_revision_comes_back(
    root: Path, replica: Replica, start: Open
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    wrote: list[set[bytes]] = [set() for _ in range(8)]

    with start(root) as journal:

        def work(number: int) -> None:
            chosen = random.Random(seed + number)  # noqa: S311 - chances, no secret
            for count in range(15):
                content = b"%d %d" % (number, count)
                path = chosen.choice(["shared", "conf/shared", f"own{number}", f"conf/own{number}"])
                journal.write(path, content)
                wrote[number].add(content)

        _in_threads(8, work)
        journal.sync(PATIENCE_SECONDS)
        last = files_of(root)
        assert {name: journal.read(name) for name in last} == last
        assert journal.capture().changes == ()

    recorded = set()
    for number in range(1, replica.head + 1):
        recorded |= set(replica.files(number).values())
    assert set.union(*wrote) == recorded
    assert replica.files() == last == files_of(root)
    assert replica.head == 8 * 15


def test_p1_threads_that_write_and_delete_one_file_end_with_the_last_revision_on_the_disk(
    root: Path, replica: Replica, start: Open
) -> None:
    with start(root) as journal:

        def work(number: int) -> None:
            for count in range(12):
                try:
                    if (number + count) % 3 == 0:
                        journal.delete("dir/a")
                    else:
                        journal.write("dir/a", b"%d %d" % (number, count))
                except UsageError:
                    # Another thread was quicker.
                    continue

        _in_threads(6, work)
        journal.sync(PATIENCE_SECONDS)
        assert journal.capture().changes == ()
        assert replica.files() == files_of(root)


def test_threads_that_capture_sync_and_write_at_once_do_not_block_one_another(root: Path, start: Open) -> None:
    with start(root) as journal:

        def work(number: int) -> None:
            for count in range(10):
                if number == 0:
                    (root / "theirs").write_bytes(b"%d" % count)
                    journal.capture()
                elif number == 1:
                    journal.sync(PATIENCE_SECONDS)
                    journal.status()
                elif number == 2:
                    list(journal.history())
                else:
                    journal.write(f"ours{number}", b"%d" % count)

        _in_threads(6, work)
        journal.capture()
        assert files_of(root) == {name: journal.read(name) for name in files_of(root)}


def test_a_revision_is_never_told_twice_while_it_is_being_published(root: Path, start: Open) -> None:
    with start(root) as journal:
        for number in range(1, 40):
            journal.write("a", str(number))
            assert numbers(list(journal.history(newest_first=False))) == list(range(1, number + 1))
            assert numbers(list(journal.history())) == list(range(number, 0, -1))


def test_what_only_the_journal_holds_can_be_read_and_compared(root: Path, replica: Replica, start: Open) -> None:
    with start(root) as journal:
        journal.write("a", "1\n")
        journal.write("b", "x\n")
        journal.sync(PATIENCE_SECONDS)
        replica.plan.append(fail_on("put", times=1000))
        journal.write("a", "2\n")
        journal.write("a", "3\n")

        assert [(entry.number, entry.published) for entry in journal.history()] == [
            (4, False),
            (3, False),
            (2, True),
            (1, True),
        ]
        assert numbers(list(journal.history(path="b"))) == [2]
        assert [journal.read("a", at) for at in (1, 2, 3, 4, None)] == [b"1\n", b"1\n", b"2\n", b"3\n", b"3\n"]
        assert "-2\n+3\n" in "".join(journal.diff(3))
        assert list(journal.diff(1, 2, "a")) == []
        with pytest.raises(NotFoundError, match="no revision 9"):
            journal.read("a", 9)
        replica.plan.clear()


def test_p1_a_restore_is_recorded_and_can_be_undone(root: Path, replica: Replica, start: Open) -> None:
    with start(root) as journal:
        journal.write("a", "1")
        journal.write("b", "1")
        journal.write("a", "2")
        (root / "a").write_text("theirs")

        journal.restore(1)
        assert files_of(root) == {"a": b"1", "b": b"1"}
        journal.sync(PATIENCE_SECONDS)
        assert [made.authorship.source for made in replica.revisions()] == ["api", "api", "api", "replicate", "restore"]

        journal.restore(4, path="a")
        assert files_of(root) == {"a": b"theirs", "b": b"1"}
        journal.restore(1, delete=True, message="back to the start")
        assert files_of(root) == {"a": b"1"}
        assert next(iter(journal.history())).authorship.message == "back to the start"
        with pytest.raises(NotFoundError, match="was not there"):
            journal.restore(1, path="b")


def test_p1_a_restore_refuses_to_replace_what_it_could_not_record(root: Path, start: Open) -> None:
    with modes_count(), start(root) as journal:
        journal.write("a", "1")
        journal.write("a", "2")
        (root / "a").write_text("theirs")
        (root / "a").chmod(0)

        with pytest.raises(PartialError, match="could not be recorded"):
            journal.restore(1)

        (root / "a").chmod(0o644)
        assert files_of(root) == {"a": b"theirs"}
        journal.restore(1)
        assert files_of(root) == {"a": b"1"}


def test_p10_a_directory_that_was_emptied_can_be_restored(root: Path, start: Open) -> None:
    with start(root) as journal:
        journal.write("conf/a", "1")
        journal.write("b", "1")
        (root / "conf/a").unlink()
        (root / "b").unlink()
        assert journal.capture().held

        journal.restore(2)

        assert files_of(root) == {"b": b"1", "conf/a": b"1"}
        assert journal.status().held == ""
        assert journal.capture().changes == ()


def test_the_status_tells_what_really_happened(root: Path, replica: Replica, start: Open) -> None:
    with start(root) as journal:
        journal.write("a", "1")
        journal.sync(PATIENCE_SECONDS)
        status = journal.status()

    assert (status.position.number, status.pending, status.files, status.error) == (1, 0, 1, "")
    assert status.replica == replica.url
    assert status.confirmed_ns > 0


def test_p4_writes_of_different_files_waited_for_each_other_s_directory(
    root: Path, start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 65
    together = threading.Barrier(count)
    with start(root, publish=False) as journal:
        sync = durable.sync_directory

        def syncing(descriptor: int) -> None:
            together.wait(PATIENCE_SECONDS)
            sync(descriptor)

        with monkeypatch.context() as patched:
            patched.setattr(durable, "sync_directory", syncing)
            _in_threads(count, lambda number: journal.write(f"file-{number}", str(number)))

    assert files_of(root) == {f"file-{number}": str(number).encode() for number in range(count)}


def test_p4_a_transaction_syncs_each_directory_once_after_all_that_it_changed_there(
    root: Path, start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[set[str]] = []

    def syncing(descriptor: int) -> None:
        with os.scandir(descriptor) as found:
            synced.append({entry.name for entry in found})

    with start(root, publish=False) as journal:
        with journal.transaction() as transaction:
            for name in ("a", "b", "gone", "conf/a"):
                transaction.write(name, "1")
        monkeypatch.setattr(durable, "sync_directory", syncing)

        with journal.transaction() as transaction:
            transaction.write("a", "2")
            transaction.write("b", "2")
            transaction.write("conf/a", "2")
            transaction.delete("gone")

        assert synced == [{"a", "b", "conf", ".confstream"}, {"a"}]
