"""Files that cannot be read, odd ones and very many: none of them stops the rest."""

import contextlib
import os
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from confstream import scan
from confstream.tree import Kind, Op
from tests.journals import PATIENCE_SECONDS, Open, Replica, Tracks, files_of, fill
from tests.privileges import modes_count


def reads(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list that grows with every path that a capture reads."""
    seen: list[bytes] = []
    read = scan.read_entry
    loaded = scan.load

    def read_entry(root: Path, path: bytes, *rest: object) -> object:
        seen.append(path)
        return read(root, path, *rest)  # type: ignore[arg-type]

    def load(
        root: Path, selection: object, known: object, *, on_content: Callable[..., None], **more: object
    ) -> object:
        def take(entry: object, content: bytes) -> None:
            seen.append(entry.path)  # type: ignore[attr-defined]
            on_content(entry, content)

        return loaded(root, selection, known, on_content=take, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(scan, "read_entry", read_entry)
    monkeypatch.setattr(scan, "load", load)
    return seen


def test_p6_an_unreadable_file_is_told_and_is_not_a_deleted_one(root: Path, replica: Replica, start: Open) -> None:
    fill(root)
    with modes_count(), start(root) as journal:
        journal.sync(PATIENCE_SECONDS)
        (root / "0.yml").write_text("changed and closed")
        (root / "0.yml").chmod(0)
        (root / "1.yml").write_text("changed")
        captured = journal.capture()

        assert captured.unreadable == {b"0.yml": "Permission denied"}
        assert [change.path for change in captured.changes] == [b"1.yml"]
        assert journal.capture([b"0.yml"]).unreadable == {b"0.yml": "Permission denied"}
        assert journal.status().unreadable == {"0.yml": "Permission denied"}
        (root / "0.yml").chmod(0o644)
        assert [change.path for change in journal.capture([b"0.yml"]).changes] == [b"0.yml"]
        assert journal.status().unreadable == {}
        journal.sync(PATIENCE_SECONDS)
    assert replica.files() == files_of(root)


def test_p6_an_unreadable_directory_keeps_what_was_known_below_it(root: Path, start: Open) -> None:
    fill(root)
    (root / "dir").mkdir()
    (root / "dir/a").write_text("a")
    with modes_count(), start(root) as journal:
        (root / "dir").chmod(0)
        try:
            (root / "0.yml").write_text("changed")
            captured = journal.capture()
            assert [change.path for change in captured.changes if change.op is not Op.META] == [b"0.yml"]
            assert b"dir" in captured.unreadable
            assert b"dir/a" not in journal.differing()
            assert journal.capture([b"dir/a"]).changes == ()
            assert journal.read("dir/a") == b"a"
        finally:
            (root / "dir").chmod(0o755)


def test_p6_a_root_that_may_not_be_read_is_held_back(root: Path, start: Open) -> None:
    fill(root)
    with modes_count(), start(root, state_dir=root.parent / "state") as journal:
        root.chmod(0)
        try:
            for look in (None, [b"0.yml"]):
                assert "cannot be read" in journal.capture(look).held
            assert journal.differing() == {}
        finally:
            root.chmod(0o755)
        assert journal.capture().held == ""


def test_p6_sockets_and_fifos_are_skipped_and_counted(root: Path, replica: Replica, start: Open) -> None:
    fill(root)
    os.mkfifo(root / "pipe")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening, contextlib.chdir(root):
        listening.bind("sock")
        with start(root) as journal:
            assert journal.status().skipped == {"pipe": "FIFO", "sock": "socket"}
            assert journal.capture([b"pipe", b"sock"]).changes == ()
            journal.sync(PATIENCE_SECONDS)
    assert sorted(replica.files()) == [f"{number}.yml" for number in range(5)]


def test_p6_symlink_loops_are_symlinks(root: Path, replica: Replica, start: Open) -> None:
    (root / "self").symlink_to("self")
    (root / "up").symlink_to("..")
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)

    assert {path: entry.kind for path, entry in replica.history().tree(1).items()} == dict.fromkeys(
        [b"a", b"b", b"self", b"up"], Kind.SYMLINK
    )


def test_p6_the_longest_names_and_names_that_are_not_utf_8_are_kept(root: Path, replica: Replica, start: Open) -> None:
    names = [b"x" * 255, b"\xff\xfe", b"new\nline", "ü".encode() * 127, b"-rf", b"a b"]
    for name in names:
        (root / os.fsdecode(name)).write_bytes(name)
    with start(root) as journal:
        journal.write(b"y" * 255, "written here")
        journal.sync(PATIENCE_SECONDS)

    assert set(replica.history().tree()) == {*names, b"y" * 255}


def test_p6_a_path_too_long_to_be_recorded_is_told_and_stops_nothing(root: Path, replica: Replica, start: Open) -> None:
    fill(root)
    with contextlib.chdir(root):
        for _ in range(20):
            Path("d" * 250).mkdir()
            os.chdir("d" * 250)
        Path("deep").write_text("x")
    try:
        with start(root) as journal:
            assert any("too long" in why for why in journal.status().unreadable.values())
            (root / "0.yml").write_text("changed")
            assert [change.path for change in journal.capture().changes] == [b"0.yml"]
            assert journal.capture(list(journal.differing())).changes == ()
            journal.sync(PATIENCE_SECONDS)
    finally:
        shutil.rmtree(root / ("d" * 250))
    assert replica.files()["0.yml"] == b"changed"


def test_p6_a_file_that_is_too_large_is_told_and_its_last_version_stays(root: Path, start: Open) -> None:
    fill(root)
    with start(root) as journal:
        with (root / "0.yml").open("r+b") as file:
            file.truncate(scan.FILE_SIZE_MAX + 1)

        assert "at most" in journal.capture().unreadable[b"0.yml"]
        assert "at most" in journal.capture([b"0.yml"]).unreadable[b"0.yml"]
        assert journal.read("0.yml") == b"number: 0\n"


@pytest.mark.exhaustive
def test_p11_a_chmod_of_5000_files_is_one_revision_and_stores_nothing_again(
    root: Path, replica: Replica, start: Open
) -> None:
    for number in range(5000):
        (root / str(number)).write_bytes(b"%d" % (number % 100) * 40)
        os.utime(root / str(number), ns=(1, 1))
    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)
        before = replica.metered.sizes_bytes["put"]
        for number in range(5000):
            (root / str(number)).chmod(0o600)

        captured = journal.capture(journal.differing())

        assert len(captured.changes) == 5000
        assert {change.op for change in captured.changes} == {Op.META}
        journal.sync(PATIENCE_SECONDS)
        assert replica.metered.sizes_bytes["put"] - before < 200_000
    assert replica.head == 2
    assert stat.S_IMODE(replica.history().tree(2)[b"42"].mode) == 0o600


def test_p11_a_second_look_reads_only_what_changed(root: Path, start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(root, 50)
    with start(root) as journal:
        journal.capture()
        seen = reads(monkeypatch)
        (root / "7.yml").write_text("changed")
        journal.capture()

    # Those that were changed too shortly before the first look may have been read once more.
    assert b"7.yml" in seen
    assert len(seen) <= 51


def test_a_selection_decides_what_is_captured(root: Path, replica: Replica, start: Open) -> None:
    fill(root)
    (root / "cache").mkdir()
    (root / "cache/a").write_text("a")
    with start(root, selection=Tracks(lambda path: path.split(b"/")[0] != b"cache")) as journal:
        assert journal.capture([b"cache", b"cache/a"]).changes == ()
        journal.sync(PATIENCE_SECONDS)
    assert sorted(replica.files()) == [f"{number}.yml" for number in range(5)]


def test_who_restored_is_taken_from_the_note_that_a_restore_left(root: Path, replica: Replica, start: Open) -> None:
    fill(root)
    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)
    (root / "0.yml").write_text("restored")
    (root / ".confstream/restored").write_text('{"by": "ops", "revision": 7, "path": "0.yml"}')
    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)

    made = replica.revisions()[-1].authorship
    assert (made.source, made.author, made.message) == ("restore", "ops", "restored 0.yml to revision 7")
    assert not (root / ".confstream/restored").exists()


@pytest.mark.parametrize("note", ["", "{", "[]", "{}", '{"by": "\\ud800", "revision": "\\ud800"}'])
def test_p6_a_note_that_cannot_be_read_stops_nothing(root: Path, replica: Replica, start: Open, note: str) -> None:
    with start(root) as journal:
        journal.write("a", "1")
    (root / ".confstream/restored").write_text(note)
    (root / "a").write_text("2")
    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)
    assert replica.files() == {"a": b"2"}


def test_modes_of_what_is_written_here_do_not_depend_on_the_umask(root: Path, start: Open) -> None:
    before = os.umask(0o077)
    try:
        with start(root) as journal:
            journal.write("new/dir/a.yml", "a: 1\n")

            assert [stat.S_IMODE((root / path).stat().st_mode) for path in ("new", "new/dir", "new/dir/a.yml")] == [
                0o755,
                0o755,
                0o644,
            ]
            assert journal.capture().changes == ()
    finally:
        os.umask(before)
