"""What other programs did to a tree: believed, doubted or held back, and never lost over one bad file."""

import logging
import os
import shutil
from pathlib import Path

import pytest

from confstream import scan
from confstream.clock import SystemClock
from confstream.revision import Status
from confstream.tree import Op
from tests.journals import PATIENCE_SECONDS, Open, Replica, Tracks, files_of, fill


def test_what_is_there_when_a_journal_opens_is_one_revision(root: Path, replica: Replica, start: Open) -> None:
    fill(root)
    (root / "empty").mkdir(mode=0o700)
    (root / "link").symlink_to("nowhere")

    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)

    (made,) = replica.revisions()
    assert made.authorship.source == "replicate"
    assert replica.history().tree(1)[b"link"].target == b"nowhere"
    assert replica.history().tree(1)[b"empty"].mode == 0o700


def test_a_capture_without_a_change_records_nothing(root: Path, start: Open) -> None:
    fill(root)
    with start(root) as journal:
        (root / "0.yml").touch()
        captured = journal.capture()

        assert (captured.write_id, captured.changes) == (None, ())


def test_only_the_paths_that_are_asked_for_are_looked_at(root: Path, start: Open) -> None:
    fill(root)
    with start(root) as journal:
        (root / "0.yml").write_text("new")
        (root / "1.yml").write_text("new")
        (root / "dir").mkdir()
        (root / "dir/a").write_text("a")
        (root / "2.yml").unlink()

        captured = journal.capture([b"0.yml", b"dir/a", b"2.yml", b"never-there", b".confstream/state"])

        assert [(change.op, change.path) for change in captured.changes] == [
            (Op.PUT, b"0.yml"),
            (Op.DELETE, b"2.yml"),
            (Op.PUT, b"dir"),
            (Op.PUT, b"dir/a"),
        ]
        assert [change.path for change in journal.capture().changes] == [b"1.yml"]


def test_a_path_whose_stamp_is_another_than_expected_is_left_for_later(root: Path, start: Open) -> None:
    fill(root)
    with start(root) as journal:
        stamp = journal.stamp(b"0.yml")
        (root / "0.yml").write_text("being written")

        captured = journal.capture({b"0.yml": stamp})
        assert (captured.changes, captured.unstable) == ((), (b"0.yml",))

        captured = journal.capture({b"0.yml": stamp}, unsettled=[b"0.yml"])
        assert captured.verdict.reasons == ("0.yml was captured while it was being written",)


def test_a_directory_that_went_away_takes_what_was_in_it_along(root: Path, start: Open) -> None:
    fill(root)
    (root / "dir/sub").mkdir(parents=True)
    (root / "dir/sub/a").write_text("a")
    with start(root) as journal:
        shutil.rmtree(root / "dir")

        captured = journal.capture([b"dir"])

        assert [change.path for change in captured.changes] == [b"dir", b"dir/sub", b"dir/sub/a"]


def test_a_directory_that_takes_the_place_of_another_takes_nothing_of_it_over(root: Path, start: Open) -> None:
    fill(root)
    (root / "dir/sub").mkdir(parents=True)
    (root / "dir/sub/a").write_text("a")
    (root / "dir/b").write_text("b")
    with start(root) as journal:
        (root / "dir").rename(root.parent / "away")
        (root / "dir").mkdir()
        (root / "dir/c").write_text("c")

        captured = journal.capture([b"dir", b"dir/c"])

        assert [(change.op, change.path) for change in captured.changes] == [
            (Op.DELETE, b"dir/b"),
            (Op.PUT, b"dir/c"),
            (Op.DELETE, b"dir/sub"),
            (Op.DELETE, b"dir/sub/a"),
        ]


def test_a_renamed_directory_keeps_every_content_without_storing_it_again(
    root: Path, replica: Replica, start: Open
) -> None:
    (root / "old/sub").mkdir(parents=True)
    for number in range(20):
        (root / f"old/sub/{number}").write_bytes(os.urandom(2000))
    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)
        before = replica.metered.sizes_bytes["put"]
        (root / "old").rename(root / "new")
        captured = journal.capture()
        journal.sync(PATIENCE_SECONDS)

        assert captured.verdict.status is Status.OK
        assert replica.metered.sizes_bytes["put"] - before < 6000
    assert replica.files() == files_of(root)


def test_a_file_that_becomes_a_directory_and_a_directory_that_becomes_a_file_are_one_change_each(
    root: Path, replica: Replica, start: Open
) -> None:
    fill(root)
    (root / "dir").mkdir()
    (root / "dir/a").write_text("a")
    with start(root) as journal:
        shutil.rmtree(root / "dir")
        (root / "dir").write_text("a file now")
        (root / "0.yml").unlink()
        (root / "0.yml").mkdir()
        (root / "0.yml/b").write_text("b")
        journal.capture([b"dir", b"0.yml", b"0.yml/b", b"dir/a"])
        journal.sync(PATIENCE_SECONDS)

        assert journal.capture().changes == ()
    assert replica.files() == files_of(root)


def test_p10_an_emptied_directory_is_held_back_and_its_return_is_said(
    root: Path, replica: Replica, start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "confstream")
    fill(root)
    with start(root) as journal:
        journal.sync(PATIENCE_SECONDS)
        for path in root.glob("*.yml"):
            path.unlink()
        for look in (None, [b"0.yml", b"1.yml", b"2.yml", b"3.yml", b"4.yml"]):
            captured = journal.capture(look)
            assert "5 tracked files are gone" in captured.held
            assert (captured.changes, captured.write_id) == ((), None)
        assert "5 tracked files are gone" in journal.status().held
        assert caplog.text.count("nothing is captured") == 1

        fill(root)
        (root / "0.yml").write_text("changed")
        assert [change.path for change in journal.capture().changes] == [b"0.yml"]
        assert caplog.text.count("recovered: the directory is back") == 1
        assert journal.status().held == ""
        journal.sync(PATIENCE_SECONDS)
    assert replica.files() == files_of(root)


def test_p10_a_directory_emptied_file_by_file_is_held_back_at_the_last_one(root: Path, start: Open) -> None:
    fill(root, 2)
    with start(root) as journal:
        (root / "0.yml").unlink()
        assert journal.capture([b"0.yml"]).changes
        (root / "1.yml").unlink()
        assert "the directory is empty" in journal.capture([b"1.yml"]).held


def test_p10_without_guards_an_empty_directory_is_believed(root: Path, replica: Replica, start: Open) -> None:
    fill(root)
    with start(root, guards=False) as journal:
        for path in root.glob("*.yml"):
            path.unlink()
        assert len(journal.capture().changes) == 5
        journal.sync(PATIENCE_SECONDS)
    assert replica.files() == {}


def test_p10_a_vanished_root_is_held_back_and_its_return_is_said(
    root: Path, start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "confstream")
    fill(root)
    with start(root, state_dir=root.parent / "state") as journal:
        root.rename(root.parent / "gone")
        assert journal.differing() == {}
        assert "not there" in journal.status().held
        for look in (None, [b"0.yml"]):
            assert "not there" in journal.capture(look).held

        (root.parent / "gone").rename(root)
        assert journal.capture().changes == ()
        assert "recovered" in caplog.text


def test_p10_another_volume_in_the_place_of_the_directory_is_held_back(root: Path, start: Open) -> None:
    other = Path("/dev/shm") / f"confstream-test-{os.getpid()}"  # noqa: S108 - another device than the tree's.
    if not other.parent.is_dir() or other.parent.stat().st_dev == root.stat().st_dev:
        pytest.skip("there is no second file system to mount over the tree")
    fill(root)
    other.mkdir()
    link = root.parent / "link"
    link.symlink_to(root)
    try:
        (other / "0.yml").write_text("of another volume")
        with start(link, state_dir=root.parent / "state") as journal:
            link.unlink()
            link.symlink_to(other)

            assert journal.differing() == {}
            for look in (None, [b"0.yml", b"1.yml"]):
                captured = journal.capture(look)
                assert "another volume" in captured.held
                assert captured.changes == ()

            link.unlink()
            link.symlink_to(root)
            assert journal.capture().held == ""
    finally:
        shutil.rmtree(other)


def test_p10_a_gutted_directory_is_recorded_as_suspicious(root: Path, replica: Replica, start: Open) -> None:
    fill(root)
    with start(root) as journal:
        for number in range(3):
            (root / f"{number}.yml").unlink()
        assert journal.capture().verdict.reasons == ("3 of 5 files are gone",)
        journal.sync(PATIENCE_SECONDS)

    assert replica.revisions()[-1].verdict.status is Status.SUSPICIOUS
    assert replica.history().resolve("latest-good").number == 1


def test_p10_a_file_that_became_blank_is_recorded_as_suspicious(root: Path, replica: Replica, start: Open) -> None:
    fill(root)
    with start(root) as journal:
        (root / "0.yml").write_bytes(b"\0" * 100)
        assert journal.capture([b"0.yml"]).verdict.reasons == ("0.yml became blank",)
        (root / "1.yml").write_bytes(b"")
        assert journal.capture().verdict.reasons == ("1.yml became blank", "still blank: 0.yml")
        journal.sync(PATIENCE_SECONDS)

    assert replica.files()["0.yml"] == b"\0" * 100


def test_what_this_process_wrote_is_not_read_again_before_its_next_write(
    root: Path, start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(root)
    with start(root, clock=SystemClock()) as journal:
        journal.write("0.yml", "a: 1\n")
        read = []
        monkeypatch.setattr(scan, "read_entry", lambda *given, **_: read.append(given))

        journal.write("0.yml", "a: 2\n")

        assert read == []


def test_p1_an_edit_of_the_same_size_right_after_a_write_is_recorded_before_the_next_one(
    root: Path, start: Open
) -> None:
    fill(root)
    with start(root, clock=SystemClock()) as journal:
        journal.write("0.yml", "a: 1\n")
        with (root / "0.yml").open("r+") as file:
            file.write("b: 2\n")

        journal.write("0.yml", "c: 3\n")

        made = [entry.authorship.source for entry in journal.history(path="0.yml", newest_first=False)]
        assert made == ["replicate", "api", "replicate", "api"]


def test_p14_of_directories_in_one_another_each_one_asked_for_all_above_it_again(root: Path, start: Open) -> None:
    depth, asked = 100, []

    def tracks(path: bytes) -> bool:
        asked.append(path)
        return True

    with start(root, publish=False, capture=False, selection=Tracks(tracks)) as journal:
        (root / "/".join(["a"] * depth)).mkdir(parents=True)
        differing = journal.differing()
        asked.clear()

        assert len(journal.capture(differing).changes) == depth

    assert len(asked) <= 3 * depth
