"""Files relative to directory descriptors."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from confstream import durable


def open_descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    with durable.opened_root(tmp_path) as opened:
        yield opened


def test_a_replaced_file_is_whole_and_private(tmp_path: Path, descriptor: int) -> None:
    (tmp_path / "a").write_bytes(b"old")

    durable.replace(descriptor, b"a", b"new" * 100_000)

    assert (tmp_path / "a").read_bytes() == b"new" * 100_000
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_p4_bytes_are_synced_before_their_name_and_the_name_before_success(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, rename = os.fsync, os.rename

    def recording_sync(synced: int) -> None:
        steps.append("sync directory" if stat.S_ISDIR(os.fstat(synced).st_mode) else "sync file")
        sync(synced)

    def recording_rename(source: bytes, target: bytes, **where: int) -> None:
        steps.append("rename")
        rename(source, target, **where)

    monkeypatch.setattr(os, "fsync", recording_sync)
    monkeypatch.setattr(os, "rename", recording_rename)

    durable.replace(descriptor, b"a", b"new")

    assert steps == ["sync file", "rename", "sync directory"]


def test_a_replace_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path, descriptor: int) -> None:
    (tmp_path / "a").mkdir()

    with pytest.raises(IsADirectoryError):
        durable.replace(descriptor, b"a", b"new")

    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_symlink_is_replaced_and_not_followed(tmp_path: Path, descriptor: int) -> None:
    (tmp_path / "outside").write_bytes(b"outside")
    (tmp_path / "a").symlink_to("outside")

    durable.replace(descriptor, b"a", b"new")

    assert (tmp_path / "outside").read_bytes() == b"outside"
    assert (tmp_path / "a").read_bytes() == b"new"


def test_the_mode_is_set_whatever_the_umask(tmp_path: Path, descriptor: int) -> None:
    before = os.umask(0o077)
    try:
        durable.create(descriptor, b"a", b"", 0o666)
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666


def test_creating_what_exists_fails(tmp_path: Path, descriptor: int) -> None:
    (tmp_path / "a").symlink_to("nowhere")

    with pytest.raises(FileExistsError):
        durable.create(descriptor, b"a", b"")


@pytest.mark.parametrize("path", [b"link", b"link/deep", b"file", b"deep/link"])
def test_no_directory_is_opened_through_a_symlink_or_a_file(tmp_path: Path, descriptor: int, path: bytes) -> None:
    (tmp_path / "deep" / "deep").mkdir(parents=True)
    (tmp_path / "deep" / "link").symlink_to("deep")
    (tmp_path / "link").symlink_to("deep")
    (tmp_path / "file").touch()

    with pytest.raises(NotADirectoryError), durable.opened(descriptor, path):
        pass


def test_opening_leaves_no_descriptor_behind(tmp_path: Path, descriptor: int) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    before = open_descriptors()

    with durable.opened_parent(descriptor, b"a/b/c") as (_, name):
        assert name == b"c"
        assert open_descriptors() == before + 1
    with pytest.raises(FileNotFoundError), durable.opened(descriptor, b"a/b/c/d"):
        pass

    assert open_descriptors() == before


@pytest.mark.parametrize("content_only", [False, True])
@pytest.mark.parametrize("number", [0, errno.ENOTSUP, errno.ENOTTY, errno.EIO])
def test_p4_a_system_whose_fsync_stops_at_the_drive_is_asked_for_more(
    descriptor: int, monkeypatch: pytest.MonkeyPatch, number: int, content_only: bool
) -> None:
    asked: list[int] = []

    def full_sync(_descriptor: int, command: int) -> None:
        asked.append(command)
        if number:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(durable, "_FULL_SYNC", 51)
    monkeypatch.setattr(fcntl, "fcntl", full_sync)
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda _descriptor: asked.append(0))

    if number == errno.EIO:
        # Nobody knows what the disk kept; a sync after it would only seem to succeed.
        with pytest.raises(OSError, match="Input/output error"):
            durable.sync(descriptor, content_only=content_only)
    else:
        durable.sync(descriptor, content_only=content_only)

    assert asked == ([51, 0] if number in {errno.ENOTSUP, errno.ENOTTY} else [51])


def test_temporary_names_differ_and_are_known_again() -> None:
    names = {durable.temporary_name() for _ in range(100)}

    assert len(names) == 100
    assert all(map(durable.is_temporary, names))
    assert not durable.is_temporary(b".confstream")
    assert not durable.is_temporary(b"config.tmp")


def test_directories_that_are_made_are_there_after_a_power_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(durable, "sync_directory", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))

    durable.make_directories(tmp_path / "a" / "b" / "c", 0o700)

    assert stat.S_IMODE((tmp_path / "a" / "b" / "c").stat().st_mode) == 0o700
    assert synced == [path.stat().st_ino for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "b")]


def test_directories_that_are_there_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "sync_directory", lambda _: pytest.fail("nothing was made"))

    durable.make_directories(tmp_path)


def test_a_file_where_a_directory_is_to_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")

    with pytest.raises(FileExistsError):
        durable.make_directories(tmp_path / "a")


def test_p4_the_time_of_a_written_file_was_set_after_its_sync_and_lost_with_the_power(
    tmp_path: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restarted journal took its own file for somebody else's by that, and did not complete a transaction."""
    synced = []
    monkeypatch.setattr(durable, "sync", lambda opened, **_: synced.append(os.fstat(opened).st_mtime_ns))

    durable.replace(descriptor, b"a", b"new", mtime_ns=5_000_000_123)

    assert synced[0] == 5_000_000_123
    assert (tmp_path / "a").stat().st_mtime_ns == 5_000_000_123


@pytest.mark.parametrize("replaced", [True, False])
def test_a_parent_stays_open_for_what_comes_next_in_it_and_notices_that_it_was_moved(
    tmp_path: Path, descriptor: int, replaced: bool
) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    before = open_descriptors()
    parent = durable.Parent(descriptor)

    assert parent.of(b"d/e/a") == parent.of(b"d/e/b") == parent.directory(b"d/e")
    assert os.path.samestat(os.fstat(parent.of(b"d/e/a")), (tmp_path / "d" / "e").stat())
    parent.leave()
    assert open_descriptors() == before

    parent.of(b"d/e/a")
    (tmp_path / "d" / "e").rename(tmp_path / "f")
    if replaced:
        (tmp_path / "d" / "e").mkdir()
    with pytest.raises(FileNotFoundError):
        parent.leave()
    parent.leave()
    assert open_descriptors() == before


def test_however_deep_they_are_directories_in_order_are_opened_once_each(
    tmp_path: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = "/".join("d" * 100)
    for branch in ("a", "b", "c"):
        (tmp_path / deep / branch).mkdir(parents=True)
    opened: list[bytes] = []
    original = os.open

    def count(path: bytes, *arguments: Any, **named: Any) -> int:
        opened.append(path)
        return original(path, *arguments, **named)

    monkeypatch.setattr(os, "open", count)
    before = open_descriptors()
    with contextlib.closing(durable.Parent(descriptor)) as parent:
        for branch in ("a", "b", "c"):
            for name in ("1", "2"):
                held = parent.of(f"{deep}/{branch}/{name}".encode())
                assert os.path.samestat(os.fstat(held), (tmp_path / deep / branch).stat())
        assert len(opened) == 103
        assert parent.directory(b"") == descriptor
        assert open_descriptors() == before


def test_what_is_deeper_than_descriptors_are_for_is_found_as_well(tmp_path: Path, descriptor: int) -> None:
    deep = "/".join("d" * 300)
    (tmp_path / deep).mkdir(parents=True)
    before = open_descriptors()
    parent = durable.Parent(descriptor)

    assert os.path.samestat(os.fstat(parent.directory(deep.encode())), (tmp_path / deep).stat())
    assert open_descriptors() - before < 200
    parent.leave(b"d/d/file")
    assert open_descriptors() - before == 2
    with pytest.raises(FileNotFoundError):
        parent.of(f"{deep}/e/f".encode())
    parent.leave()
    assert open_descriptors() == before


def test_a_directory_above_that_was_moved_away_is_noticed_once_it_is_left(tmp_path: Path, descriptor: int) -> None:
    (tmp_path / "d" / "e" / "f").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    before = open_descriptors()
    with contextlib.closing(durable.Parent(descriptor)) as parent:
        parent.of(b"d/e/f/a")
        (tmp_path / "d" / "e").rename(tmp_path / "other" / "e")
        (tmp_path / "d" / "e").symlink_to("../other/e")
        parent.leave(b"d/e/f/b")
        parent.leave(b"d/e/b")

        with pytest.raises(NotADirectoryError):
            parent.leave(b"d/b")
    assert open_descriptors() == before


def test_p4_a_sync_that_fails_is_told_once_no_other_is_under_way(tmp_path: Path) -> None:
    synced: list[int] = []

    def sync(descriptor: int) -> None:
        # A descriptor that was closed meanwhile would fail here, too.
        os.fstat(descriptor)
        synced.append(descriptor)
        if len(synced) >= 5:
            raise OSError(errno.EIO, "the disk is gone")

    files = durable.Syncing(sync)
    for number in range(100):
        files.add(os.open(tmp_path / str(number), os.O_CREAT | os.O_WRONLY))
    with pytest.raises(OSError, match="the disk is gone"):
        files.finish()
    files.close()

    assert len(set(synced)) == len(synced)
