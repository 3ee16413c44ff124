"""SQLite databases beside a configuration: told by content, left out, left alone, and back once they are text."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from confstream.errors import RefusedError, UsageError
from confstream.presence import is_missing
from confstream.scan import FILE_SIZE_MAX
from confstream.selection import Selection, is_sqlite
from confstream.tree import Op
from tests import restoring
from tests.journals import PATIENCE_SECONDS, Open, Replica, Tracks, files_of, fill
from tests.replicating import Run

TEXT = b'{"id":1,"type":"Coordinator"}\n'


def make_database(path: Path, rows: int = 3) -> bytes:
    """Write a real database, and return what is in its file."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table events (id integer primary key, text)")
        database.executemany("insert into events (text) values (?)", [("x" * 50,)] * rows)
    return path.read_bytes()


def test_a_database_is_left_out_whatever_it_is_called_and_text_is_kept_whatever_it_is_called(
    root: Path, replica: Replica, start: Open
) -> None:
    make_database(root / "settings.yml")
    (root / "database.db").write_bytes(TEXT)

    with start(root, selection=Selection()) as journal:
        journal.sync(PATIENCE_SECONDS)

        assert journal.status().skipped == {"settings.yml": "SQLite database"}
        assert journal.status().unreadable == {}
    assert replica.files() == {"database.db": TEXT}


def test_what_goes_with_a_database_is_left_out_and_what_only_looks_so_is_kept(
    root: Path, replica: Replica, start: Open
) -> None:
    fill(root, 1)
    with closing(sqlite3.connect(root / "a.db")) as database:
        database.execute("pragma journal_mode=wal")
        database.execute("create table t (x)")
        database.commit()
        assert (root / "a.db-wal").exists()
        (root / "notes-journal").write_bytes(b"dear diary\n")
        (root / "b.db").write_bytes(TEXT)
        (root / "b.db-wal").write_bytes(TEXT)

        with start(root, selection=Selection()) as journal:
            (root / "0.yml").write_text("changed")
            journal.capture(list(journal.differing()))
            journal.sync(PATIENCE_SECONDS)

            assert not [path for path in journal.differing() if path.startswith(b"a.db")]
            assert journal.capture([b"a.db", b"a.db-wal", b"a.db-shm"]).changes == ()
            assert journal.status().skipped == {
                "a.db": "SQLite database",
                "a.db-shm": "part of a SQLite database",
                "a.db-wal": "part of a SQLite database",
            }
    assert sorted(replica.files()) == ["0.yml", "b.db", "b.db-wal", "notes-journal"]


@pytest.mark.parametrize("selection", [None, Selection(profile="none"), Selection(sqlite=True), Tracks(lambda _: True)])
def test_a_database_is_kept_by_who_asks_for_it(root: Path, replica: Replica, start: Open, selection: object) -> None:
    content = make_database(root / "a.db")
    with start(root, selection=selection) as journal:
        journal.sync(PATIENCE_SECONDS)

    assert replica.files() == {"a.db": content}


@pytest.mark.parametrize("how", ["whole", "some"])
def test_text_that_becomes_a_database_leaves_the_tree_and_comes_back_with_its_text(
    root: Path, replica: Replica, start: Open, how: str
) -> None:
    fill(root, 1)
    (root / "a").write_bytes(TEXT)
    with start(root, selection=Selection()) as journal:

        def capture() -> list[tuple[Op, bytes]]:
            captured = journal.capture(None if how == "whole" else journal.differing())
            return [(change.op, change.path) for change in captured.changes]

        make_database(root / "a")
        assert capture() == [(Op.DELETE, b"a")]
        assert b"a" not in journal.differing()
        make_database(root / "a", rows=10)
        assert capture() == []
        assert journal.status().skipped == {"a": "SQLite database"}
        (root / "a").write_bytes(TEXT)
        assert capture() == [(Op.PUT, b"a")]
        assert journal.status().skipped == {}
        journal.sync(PATIENCE_SECONDS)
    assert replica.files() == files_of(root)


def test_p10_the_only_file_may_become_a_database_without_looking_like_an_empty_directory(
    root: Path, start: Open
) -> None:
    (root / "a").write_bytes(b"")
    with start(root, selection=Selection()) as journal:
        make_database(root / "a")

        assert journal.capture([b"a"]).held == ""
        assert journal.capture().held == ""


def test_a_database_above_the_largest_size_of_a_file_is_a_database_and_no_failure(root: Path, start: Open) -> None:
    fill(root, 1)
    make_database(root / "huge.db")
    with (root / "huge.db").open("r+b") as file:
        file.truncate(FILE_SIZE_MAX + 1)

    with start(root, selection=Selection()) as journal:
        assert journal.status().unreadable == {}
        assert journal.capture([b"huge.db"]).unreadable == {}
        assert journal.status().skipped == {"huge.db": "SQLite database"}


def test_a_database_that_this_process_would_write_is_refused(root: Path, start: Open) -> None:
    content = make_database(root / "a.db")
    with start(root, selection=Selection()) as journal, pytest.raises(UsageError, match="SQLite database"):
        journal.write("b.db", content)


def test_a_database_that_never_rests_keeps_nobody_waiting_at_the_end(root: Path, replica: Replica, run: Run) -> None:
    (root / "config.yml").write_text("a: 1\n")
    running = run(selection=Selection(), settle_seconds_max=60, shutdown_seconds=60, quiet_seconds=0.3)
    running.until({"config.yml": b"a: 1\n"})
    with busy_database(root / "busy.db") as writes:
        writes(20)
        (root / "config.yml").write_text("a: 2\n")
        running.until({"config.yml": b"a: 2\n"})
        running.replicator.signal(15)
        for _ in range(2000):
            writes(1)
            if not running.thread.is_alive():
                break
        running.join()

    assert replica.files() == {"config.yml": b"a: 2\n"}
    assert running.report is not None, running.error


class busy_database:  # noqa: N801 - used as a function is.
    """A database that is open and written to for as long as the block lasts."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("pragma synchronous=off")
        self._database.execute("create table t (x)")

    def __enter__(self) -> Callable[[int], None]:
        return self._write

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def _write(self, count: int) -> None:
        for _ in range(count):
            self._database.execute("insert into t values (randomblob(100))")


def test_p2_a_database_alone_is_no_configuration(tmp_path: Path) -> None:
    content = make_database(tmp_path / "app.db")
    (tmp_path / "app.db-wal").write_bytes(b"pages")

    assert is_sqlite(content)
    assert is_missing(tmp_path).missing
    assert is_missing(tmp_path, (), Selection()).missing
    assert not is_missing(tmp_path, (), Selection(profile="none")).missing


def test_p1_a_restore_leaves_databases_alone(tmp_path: Path) -> None:
    replica, root = restoring.replica_of({"config.yml": b"a: 1\n"}), tmp_path / "tree"
    restoring.write(root, {"config.yml": b"a: 2\n"})
    content = make_database(root / "app.db")

    replica.restore(root, force=True, delete=True)

    assert (root / "config.yml").read_bytes() == b"a: 1\n"
    assert (root / "app.db").read_bytes() == content


def test_p1_a_restore_of_text_where_a_database_is_now_sets_it_aside(tmp_path: Path) -> None:
    replica, root = restoring.replica_of({"config.yml": b"a: 1\n", "app.db": TEXT}), tmp_path / "tree"
    restoring.write(root, {"config.yml": b"a: 1\n"})
    content = make_database(root / "app.db")

    replica.restore(root, force=True)

    assert (root / "app.db").read_bytes() == TEXT
    assert [path.read_bytes() for path in root.rglob(".confstream/aside/**/*") if path.is_file()] == [content]


def test_p1_a_journal_does_not_restore_over_a_database(root: Path, start: Open) -> None:
    fill(root, 1)
    (root / "a").write_bytes(TEXT)
    with start(root, selection=Selection()) as journal:
        journal.sync(PATIENCE_SECONDS)
        content = make_database(root / "a")
        (root / "0.yml").write_text("changed")

        with pytest.raises(RefusedError, match="a is in the way"):
            journal.restore("1")

        assert (root / "0.yml").read_text() == "changed"
        assert (root / "a").read_bytes() == content
