"""The public journal: writes by this process, what they refuse, threads that share it, and the way back."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from confstream import durable
from confstream.errors import (
    AccessDeniedError,
    ConfstreamError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UsageError,
)
from confstream.journal.journal import Journal
from confstream.testing import fail_on
from confstream.tree import Op
from tests.journals import PATIENCE_SECONDS, Open, Replica, Tracks, files_of, numbers
from tests.privileges import modes_count


def test_a_write_is_on_the_disk_at_once_and_on_the_replica_after_sync(
    root: Path, replica: Replica, start: Open
) -> None:
    with start(root) as journal:
        journal.write("conf/config.yml", "a: ü\n", message="first", labels={"ticket": "7"})
        assert (root / "conf/config.yml").read_bytes() == "a: ü\n".encode()
        journal.sync(PATIENCE_SECONDS)

        (made,) = replica.revisions()

    assert replica.files() == {"conf/config.yml": "a: ü\n".encode()}
    assert (made.authorship.source, made.authorship.author, made.authorship.message) == ("api", "tester", "first")
    assert made.authorship.labels == {"ticket": "7"}
    assert [change.path for change in made.changes] == [b"conf", b"conf/config.yml"]


def test_an_equal_content_makes_no_revision(root: Path, start: Open) -> None:
    with start(root) as journal:
        journal.write("a", "1")
        journal.write("a", b"1")
        with journal.transaction() as transaction:
            transaction.write("a", "1")

        assert transaction.write_id is None
        assert numbers(list(journal.history())) == [1]


def test_a_mode_is_kept_unless_another_is_given(root: Path, replica: Replica, start: Open) -> None:
    with start(root) as journal:
        journal.write("secret", "1", mode=0o600)
        journal.write("secret", "2")
        assert stat.S_IMODE((root / "secret").stat().st_mode) == 0o600
        journal.write("secret", "2", mode=0o640)
        assert stat.S_IMODE((root / "secret").stat().st_mode) == 0o640
        journal.write("plain", "1")
        assert stat.S_IMODE((root / "plain").stat().st_mode) == 0o644
        journal.sync(PATIENCE_SECONDS)

    assert [replica.history().tree(number)[b"secret"].mode for number in (1, 2, 3)] == [0o600, 0o600, 0o640]


def test_a_file_that_another_program_made_keeps_its_mode(root: Path, start: Open) -> None:
    (root / "a").write_text("1")
    (root / "a").chmod(0o640)

    with start(root) as journal:
        journal.write("a", "2")

    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o640


def test_a_transaction_is_one_revision_of_all_its_changes(root: Path, start: Open) -> None:
    with start(root) as journal:
        journal.write("old", "x")
        with journal.transaction(message="both") as transaction:
            transaction.write("a", "1")
            transaction.write("b", "2")
            transaction.write("a", "3")
            transaction.delete("old")
            assert files_of(root) == {"old": b"x"}

        newest = next(iter(journal.history()))

    assert files_of(root) == {"a": b"3", "b": b"2"}
    assert [(change.op, change.path) for change in newest.changes] == [
        (Op.PUT, b"a"),
        (Op.PUT, b"b"),
        (Op.DELETE, b"old"),
    ]


def test_p4_an_exception_inside_of_a_transaction_leaves_nothing(root: Path, start: Open) -> None:
    with start(root) as journal:
        with pytest.raises(KeyError), journal.transaction() as transaction:  # noqa: PT012 - the block is the point.
            transaction.write("a", "1")
            raise KeyError

        assert files_of(root) == {}
        assert list(journal.history()) == []


def test_a_write_and_a_delete_of_one_path_are_the_last_of_them(root: Path, start: Open) -> None:
    with start(root) as journal:
        journal.write("a", "0")
        with journal.transaction() as transaction:
            transaction.delete("a")
            transaction.write("a", "1")
        assert journal.read("a") == b"1"

        with journal.transaction() as transaction:
            transaction.write("a", "2")
            transaction.delete("a")
        assert files_of(root) == {}


@pytest.mark.parametrize(
    "path",
    [
        "", "/etc/passwd", "../out", "a/../../out", "./a", "a//b", "a/", ".", "..", "a\0b", "x" * 256,
        "/".join(["d" * 200] * 21), ".confstream", ".confstream/lock", ".confstream-0123.tmp", "\ud800",
    ],
)  # fmt: skip
def test_a_path_that_cannot_be_meant_is_a_usage_error(root: Path, start: Open, path: str) -> None:
    with start(root) as journal:
        for attempt in (lambda: journal.write(path, "1"), lambda: journal.delete(path), lambda: journal.read(path)):
            with pytest.raises(UsageError):
                attempt()
        assert list(journal.history()) == []
    assert files_of(root) == {}
    assert [path.name for path in root.parent.iterdir()] == ["tree"]


def test_a_directory_is_no_file_to_write_or_delete(root: Path, start: Open) -> None:
    with start(root) as journal:
        journal.write("conf/a", "1")
        with pytest.raises(UsageError, match="directory"):
            journal.write("conf", "1")
        with pytest.raises(UsageError, match="directory"):
            journal.delete("conf")
        with pytest.raises(UsageError, match="is a file"):
            journal.write("conf/a/b", "1")
        with pytest.raises(NotFoundError):
            journal.read("conf")


def test_what_is_not_there_cannot_be_deleted(root: Path, start: Open) -> None:
    with start(root) as journal, pytest.raises(UsageError, match="no such file"):
        journal.delete("none")


@pytest.mark.parametrize(
    "options",
    [
        {"labels": {"a": 1}}, {"labels": {1: "a"}}, {"labels": {str(number): "" for number in range(64)}},
        {"message": "x" * 70_000}, {"message": "\ud800"}, {"author": 7}, {"mode": 0o100644},
    ],
    ids=["label value", "label name", "labels", "message", "surrogate", "author", "mode"],
)  # fmt: skip
def test_p6_what_could_never_be_published_is_refused_before_it_is_recorded(
    root: Path, replica: Replica, start: Open, options: dict[str, Any]
) -> None:
    with start(root) as journal:
        with pytest.raises(UsageError):
            journal.write("a", "1", **options)
        assert files_of(root) == {}
        journal.write("a", "2")
        journal.sync(PATIENCE_SECONDS)

    assert replica.files() == {"a": b"2"}


def test_text_that_has_no_form_in_utf_8_is_refused(root: Path, start: Open) -> None:
    with start(root) as journal, pytest.raises(UsageError, match="bytes instead"):
        journal.write("a", "\ud800")


def test_p1_a_path_that_the_selection_leaves_out_is_refused(root: Path, start: Open) -> None:
    with start(root, selection=Tracks(lambda path: not path.startswith(b"cache"))) as journal:
        with pytest.raises(UsageError, match="selection"):
            journal.write("cache/a", "1")
        journal.write("a", "1")

        assert journal.capture().changes == ()
    assert files_of(root) == {"a": b"1"}


def test_p1_what_another_program_wrote_just_before_is_a_revision_of_its_own(root: Path, start: Open) -> None:
    with start(root) as journal:
        journal.write("a", "ours 1")
        (root / "a").write_text("theirs")
        journal.write("a", "ours 2")
        journal.sync(PATIENCE_SECONDS)

        assert [journal.read("a", at) for at in (1, 2, 3)] == [b"ours 1", b"theirs", b"ours 2"]
        assert [entry.authorship.source for entry in journal.history()] == ["api", "replicate", "api"]


def test_p1_a_file_that_another_program_made_is_recorded_before_it_is_deleted(root: Path, start: Open) -> None:
    with start(root) as journal:
        (root / "a").write_text("theirs")
        journal.delete("a")

        assert journal.read("a", 1) == b"theirs"
    assert files_of(root) == {}


def test_p1_what_another_program_wrote_right_after_the_rename_is_not_taken_for_ours(
    root: Path, start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = durable.sync_directory

    def write_behind(descriptor: int) -> None:
        synced(descriptor)
        path = root / "a"
        if path.exists() and path.read_bytes() == b"ours":
            path.write_bytes(b"their")
            # As if the sync had taken long: the stamp is old enough to be believed.
            os.utime(path, ns=(1, 1))

    with start(root) as journal:
        monkeypatch.setattr(durable, "sync_directory", write_behind)
        journal.write("a", b"ours")
        monkeypatch.setattr(durable, "sync_directory", synced)

        # Waiting to be captured, or captured by the look at the directory that goes with connecting.
        differing = journal.differing()
        assert b"a" in differing or journal._ledger.current[b"a"].size == len(b"their")


def test_a_symlink_is_replaced_and_never_followed(root: Path, start: Open) -> None:
    outside = root.parent / "outside"
    outside.write_text("theirs")
    (root / "link").symlink_to(outside)
    (root / "way").symlink_to(root.parent)

    with start(root) as journal:
        journal.write("link", "ours")
        with pytest.raises(UsageError, match="is a symlink"):
            journal.write("way/outside", "ours")

    assert (outside.read_text(), (root / "link").is_symlink()) == ("theirs", False)


def test_p4_a_symlink_that_came_into_the_way_is_refused_and_nothing_is_changed(root: Path, start: Open) -> None:
    with start(root) as journal:
        journal.write("conf/a", "1")
        (root / "conf").rename(root.parent / "elsewhere")
        (root / "conf").symlink_to(root.parent / "elsewhere")

        with pytest.raises(ConfstreamError):
            journal.write("conf/a", "2")

    assert (root.parent / "elsewhere/a").read_text() == "1"


def test_p4_a_directory_that_may_not_be_written_refuses_and_changes_nothing(root: Path, start: Open) -> None:
    with modes_count(), start(root) as journal:
        journal.write("conf/a", "1")
        (root / "conf").chmod(0o555)
        try:
            with pytest.raises(AccessDeniedError, match="nothing was changed"):
                journal.write("conf/a", "2")
            with pytest.raises(AccessDeniedError), journal.transaction() as transaction:  # noqa: PT012 - likewise.
                transaction.write("b", "2")
                transaction.write("conf/c", "2")
        finally:
            (root / "conf").chmod(0o755)

        assert files_of(root) == {"conf/a": b"1"}
        assert len([entry for entry in journal.history() if entry.touches("b") or entry.touches("conf/c")]) == 0
        assert journal.read("conf/a") == b"1"
        journal.write("conf/a", "3")
    assert files_of(root) == {"conf/a": b"3"}


def test_p1_a_rename_that_fails_after_the_revision_was_recorded_leaves_what_is_on_the_disk_as_the_newest(
    root: Path, replica: Replica, start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = durable.exchange

    def fail(directory: int, one: bytes, other: bytes) -> bool:
        if other == b"b":
            raise OSError(5, "Input/output error")
        return exchange(directory, one, other)

    with start(root) as journal:
        journal.write("b", "old")
        monkeypatch.setattr(durable, "exchange", fail)
        counts = pytest.raises(UnavailableError, match="what is on the disk counts")
        with counts, journal.transaction() as transaction:
            transaction.write("a", "1")
            transaction.write("b", "2")
        monkeypatch.setattr(durable, "exchange", exchange)

        assert (journal.read("a"), journal.read("b")) == (b"1", b"old")
        assert journal.capture().changes == ()
        journal.sync(PATIENCE_SECONDS)
    with start(root) as journal:
        assert journal.capture().changes == ()

    assert files_of(root) == replica.files() == {"a": b"1", "b": b"old"}
    assert not list(root.glob(".confstream-*"))


def test_a_tree_that_went_away_is_an_error_of_ours(root: Path, start: Open) -> None:
    with start(root, state_dir=root.parent / "state") as journal:
        journal.write("a", "1")
        root.rename(root.parent / "gone")

        with pytest.raises(ConfstreamError):
            journal.write("a", "2")

        (root.parent / "gone").rename(root)
        journal.write("a", "3")
    assert files_of(root) == {"a": b"3"}


def test_a_tree_that_is_no_directory_is_a_usage_error(root: Path, start: Open) -> None:
    (root / "file").write_text("")

    for path in (root / "none", root / "file"):
        with pytest.raises(UsageError, match="not a directory"):
            start(path)


def test_a_replica_inside_of_its_tree_is_a_usage_error(root: Path) -> None:
    (root.parent / "link").symlink_to(root)

    for replica in (str(root / "backup"), f"file://{root}/backup", str(root), str(root.parent / "link/backup")):
        with pytest.raises(UsageError, match="inside of the tree"):
            Journal.open(root, replica)
    assert list(root.iterdir()) == []


def test_p13_an_address_with_a_line_break_is_no_new_replica_but_a_usage_error(root: Path) -> None:
    with pytest.raises(UsageError, match="line break"):
        Journal.open(root, "memory://somewhere\n")

    assert list(root.iterdir()) == []


def test_a_journal_that_is_closed_refuses_and_closes_again_quietly(root: Path, start: Open) -> None:
    journal = start(root)
    journal.write("a", "1")
    first = journal.close()

    assert journal.close() == first
    with pytest.raises(RefusedError, match="closed"):
        journal.write("a", "2")
    with pytest.raises(RefusedError, match="closed"):
        journal.sync()
    with pytest.raises(RefusedError, match="closed"):
        journal.capture()


def test_an_error_in_the_block_is_the_one_that_is_told(root: Path, replica: Replica, start: Open) -> None:
    replica.plan.append(fail_on("put", times=1000))

    with pytest.raises(KeyError), start(root) as journal:  # noqa: PT012 - the block is the point.
        journal.write("a", "1")
        journal.give_up()
        raise KeyError
