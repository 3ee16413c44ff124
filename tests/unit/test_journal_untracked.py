"""What was captured and is not tracked any more: taken out of the tree in a revision that says so, never "deleted"."""

import logging
from pathlib import Path

import pytest

from confstream.errors import UsageError
from confstream.journal.before import recording
from confstream.journal.journal import Journal
from confstream.revision import Status
from confstream.selection import Selection
from tests.journals import Replica

EVERYTHING = Selection(profile="none")


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "cache").mkdir(parents=True)
    (root / "config.yml").write_text("a: 1\n")
    (root / "cache" / "x").write_text("x")
    return root


@pytest.fixture(name="replica")
def _replica(monkeypatch: pytest.MonkeyPatch) -> Replica:
    found = Replica()
    found.connect(monkeypatch)
    return found


def _keep(root: Path, replica: Replica, selection: Selection, *, guards: bool = True) -> None:
    with Journal.open(root, replica.url, selection=selection, heartbeat_seconds=0, guards=guards) as journal:
        journal.sync(30)


def test_what_a_new_pattern_excludes_leaves_the_tree_in_a_revision_of_its_own(
    root: Path, replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    _keep(root, replica, EVERYTHING)
    (root / "config.yml").write_text("a: 2\n")

    with caplog.at_level(logging.WARNING, "confstream"):
        _keep(root, replica, Selection(exclude=("cache/",), profile="none"))

    _, untracked, edited = replica.revisions()
    assert (untracked.authorship.source, edited.authorship.source) == ("untrack", "replicate")
    assert untracked.authorship.message == "no longer tracked, still on the disk: cache/x"
    assert [change.path for change in edited.changes] == [b"config.yml"]
    assert replica.files() == {"config.yml": b"a: 2\n"}
    assert replica.files(1)["cache/x"] == b"x"
    assert "no longer tracked, still on the disk: cache/x" in caplog.text
    assert (root / "cache" / "x").exists()


def test_what_is_tracked_again_comes_back_as_a_change(root: Path, replica: Replica) -> None:
    _keep(root, replica, EVERYTHING)
    _keep(root, replica, Selection(exclude=("cache/",), profile="none"))
    _keep(root, replica, EVERYTHING)

    assert replica.files() == {"config.yml": b"a: 1\n", "cache/x": b"x"}


def test_a_database_that_was_tracked_once_is_untracked_and_not_deleted(root: Path, replica: Replica) -> None:
    (root / "app.db").write_bytes(b"SQLite format 3\0".ljust(512, b"\0"))
    (root / "app.db-wal").write_bytes(b"x")
    _keep(root, replica, EVERYTHING)

    _keep(root, replica, Selection())

    newest = replica.revisions()[-1]
    assert (newest.number, newest.authorship.source) == (2, "untrack")
    assert {change.path for change in newest.changes} == {b"app.db", b"app.db-wal"}


def test_p10_patterns_that_leave_no_file_are_refused_and_nothing_is_recorded(root: Path, replica: Replica) -> None:
    _keep(root, replica, EVERYTHING)

    with pytest.raises(UsageError, match="none of the 2 files that were protected until now is tracked any more"):
        _keep(root, replica, Selection(exclude=("*",), profile="none"))

    assert replica.head == 1
    _keep(root, replica, Selection(exclude=("*",), profile="none"), guards=False)
    assert replica.files() == {}


def test_a_file_that_is_not_tracked_any_more_is_doubted_no_more(root: Path, replica: Replica) -> None:
    _keep(root, replica, EVERYTHING)
    (root / "config.yml").write_text("a: [\n")
    _keep(root, replica, EVERYTHING)
    (root / "cache" / "x").write_text("y")

    _keep(root, replica, Selection(exclude=("config.yml",), profile="none"))

    assert [made.verdict.status for made in replica.revisions()] == [Status.OK, Status.INVALID, Status.OK, Status.OK]


def test_what_the_log_has_of_others_and_is_not_tracked_here_is_not_deleted_by_a_fresh_journal(
    root: Path, replica: Replica, tmp_path: Path
) -> None:
    _keep(root, replica, EVERYTHING)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "config.yml").write_text("a: 2\n")

    _keep(fresh, replica, Selection(exclude=("cache/",), profile="none"))

    _, untracked, edited = replica.revisions()
    assert untracked.authorship.source == "untrack"
    assert edited.authorship.source == "replicate"
    assert [change.path for change in edited.changes] == [b"config.yml"]


def test_p1_what_is_recorded_before_a_restore_keeps_what_its_selection_does_not_track(
    root: Path, replica: Replica
) -> None:
    _keep(root, replica, EVERYTHING)
    (root / "config.yml").write_text("a: 2\n")

    recording(selection=Selection(exclude=("cache/",), profile="none"))(root, replica.url, "before a restore")

    with Journal.open(root, replica.url, selection=EVERYTHING, heartbeat_seconds=0) as journal:
        journal.sync(30)
    assert replica.files() == {"config.yml": b"a: 2\n", "cache/x": b"x"}
    assert "untrack" not in {made.authorship.source for made in replica.revisions()}
