"""Local directories: what is on the disk, when, and what a disk can refuse."""

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from confstream import durable
from confstream.codec.envelope import OBJECT_SIZE_MAX
from confstream.errors import (
    AccessDeniedError,
    IntegrityError,
    NoExclusiveCreateError,
    ObjectExistsError,
    ObjectMissingError,
    OutcomeUnknownError,
    UnavailableError,
    UsageError,
)
from confstream.store.keys import TEMPORARY
from confstream.store.local import LocalStore
from confstream.testing import ManualClock

DAY_SECONDS = 24 * 3600


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "replica"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_under(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


class FailingLink:
    """A stand-in for ``os.link`` that fails as some file systems do."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, source: str, target: str) -> None:
        raise OSError(self.number, os.strerror(self.number), source, None, target)


def test_p12_directories_are_0700_and_objects_0600_whatever_the_umask(root: Path) -> None:
    before = os.umask(0)
    try:
        LocalStore(root).put("fork/w-1/log/1", b"x")
        LocalStore(root).replace("heartbeat/w", b"x")
    finally:
        os.umask(before)

    assert [mode_of(path) for path in (root, root / "fork", root / "fork/w-1/log", root / "heartbeat")] == [0o700] * 4
    assert [mode_of(root / key) for key in ("fork/w-1/log/1", "heartbeat/w")] == [0o600] * 2


def test_nothing_is_created_before_the_first_object(root: Path) -> None:
    store = LocalStore(root)

    assert store.list() == []
    store.delete(["log/1"])
    with pytest.raises(ObjectMissingError):
        store.get("log/1")

    assert not root.exists()


def test_a_refused_put_leaves_no_temporary_file(root: Path) -> None:
    store = LocalStore(root)
    store.put("log/1", b"first")

    with pytest.raises(ObjectExistsError):
        store.put("log/1", b"second")

    assert names_under(root) == ["log/1"]


def test_p14_leftovers_of_a_crash_are_not_listed_and_go_after_a_day(root: Path) -> None:
    clock = ManualClock()
    store = LocalStore(root, clock=clock)
    store.put("log/1", b"x")
    leftover = root / "log" / f"{TEMPORARY}abc"
    leftover.write_bytes(b"half a revi")
    os.utime(leftover, ns=(clock.now_ns(), clock.now_ns()))

    clock.advance(DAY_SECONDS - 1)
    store.delete(["log/9"])
    assert store.list() == ["log/1"]
    assert leftover.exists()

    clock.advance(2)
    store.delete(["log/9"])
    assert names_under(root) == ["log/1"]


def test_foreign_files_are_ignored_or_listed_but_never_in_the_way(root: Path) -> None:
    store = LocalStore(root)
    store.put("log/1", b"x")
    (root / "log" / "caf\xe9").write_bytes(b"foreign")
    (root / "log" / "empty-directory").mkdir()
    os.mkfifo(root / "log" / "pipe")
    (root / "log" / "dangling").symlink_to("nowhere")

    assert store.list() == ["log/1"]
    with pytest.raises(ObjectMissingError):
        store.get("log/pipe")


def test_p5_without_hard_links_an_exclusive_rename_takes_their_place(root: Path) -> None:
    store = LocalStore(root, link=FailingLink(errno.EPERM))

    store.put("log/1", b"first")
    with pytest.raises(ObjectExistsError):
        store.put("log/1", b"second")

    assert store.get("log/1") == b"first"
    assert names_under(root) == ["log/1"]


def test_p5_without_hard_links_and_exclusive_rename_the_file_system_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda *_args, **_kwargs: object())
    store = LocalStore(root, link=FailingLink(errno.EOPNOTSUPP))

    with pytest.raises(NoExclusiveCreateError, match="another file system"):
        store.put("log/1", b"x")

    assert names_under(root) == []


@pytest.mark.parametrize(
    ("number", "kind", "remedy"),
    [
        (errno.ENOSPC, UnavailableError, "free some space"),
        (errno.EDQUOT, UnavailableError, "quota"),
        (errno.EIO, UnavailableError, "disk reports an error"),
        (errno.EROFS, AccessDeniedError, "read-only"),
    ],
)
def test_p7_a_disk_that_refuses_is_named_with_what_to_do(
    root: Path, number: int, kind: type[Exception], remedy: str
) -> None:
    store = LocalStore(root, link=FailingLink(number))

    with pytest.raises(UnavailableError, match=remedy) as caught:
        store.put("log/1", b"x")

    assert type(caught.value) is kind
    assert str(root / "log/1") in str(caught.value)
    assert store.list() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_access_denied_for_every_operation(root: Path) -> None:
    store = LocalStore(root)
    store.put("log/1", b"x")
    (root / "log").chmod(0)
    try:
        for call in (
            lambda: store.put("log/2", b"x"),
            lambda: store.replace("log/1", b"x"),
            lambda: store.get("log/1"),
            lambda: store.list("log/"),
            lambda: store.delete(["log/1"]),
        ):
            with pytest.raises(AccessDeniedError, match="permission denied"):
                call()
    finally:
        (root / "log").chmod(0o700)


def test_a_file_in_the_place_of_the_replica_is_an_error_and_not_an_empty_replica(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for store in (LocalStore(tmp_path / "file"), LocalStore(tmp_path / "file" / "replica")):
        calls: list[Callable[[], object]] = [
            partial(store.put, "log/1", b"x"),
            partial(store.get, "log/1"),
            store.list,
            partial(store.list, "log/"),
        ]
        for call in calls:
            with pytest.raises(AccessDeniedError, match="a file is where a directory should be"):
                call()


def test_a_file_in_the_place_of_a_directory_of_keys_is_named(root: Path) -> None:
    store = LocalStore(root)
    store.put("log", b"x")

    with pytest.raises(AccessDeniedError, match="a file is where a directory should be"):
        store.put("log/1", b"x")
    with pytest.raises(ObjectMissingError):
        store.get("log/1")

    assert store.list("log/") == []


def test_a_path_too_long_for_the_file_system_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too long"):
        LocalStore(tmp_path / ("d" * 300)).put("log/1", b"x")


def test_a_reader_sees_the_old_or_the_new_heartbeat_and_never_a_mixture(root: Path) -> None:
    store = LocalStore(root)
    bodies = [b"a" * 100_000, b"b" * 50_000]
    store.replace("heartbeat/w", bodies[0])
    done = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not done.is_set():
            seen.add(store.get("heartbeat/w"))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(100):
        store.replace("heartbeat/w", bodies[number % 2])
    done.set()
    reader.join()

    assert seen <= set(bodies)


def test_a_relative_root_stays_where_it_was_when_the_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = LocalStore(Path("replica"))
    monkeypatch.chdir("/")

    store.put("log/1", b"x")

    assert (tmp_path / "replica/log/1").read_bytes() == b"x"
    assert store.url == str(tmp_path / "replica")


def test_p4_bytes_are_synced_before_the_name_and_the_name_before_success(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync = os.fsync

    def recording_sync(descriptor: int) -> None:
        steps.append("sync directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        sync(descriptor)

    def recording_link(source: str, target: str) -> None:
        steps.append("link")
        os.link(source, target)

    monkeypatch.setattr(os, "fsync", recording_sync)
    store = LocalStore(root, link=recording_link)

    store.put("log/1", b"x")
    assert steps == ["sync directory", "sync directory", "sync file", "link", "sync directory"]

    steps.clear()
    store.replace("log/1", b"y")
    store.delete(["log/1"])
    assert steps == ["sync file", "sync directory", "sync directory"]


def test_p14_a_file_larger_than_any_object_is_refused_before_it_is_read(root: Path) -> None:
    LocalStore(root).put("log/1", b"x")
    os.truncate(root / "log" / "1", OBJECT_SIZE_MAX + 1)

    with pytest.raises(IntegrityError, match="no object has more than"):
        LocalStore(root).get("log/1")

    assert LocalStore(root).get("log/1", 0, 4) == b"x\0\0\0"


def test_p4_an_object_is_synced_as_far_as_the_system_can(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(durable, "_FULL_SYNC", 51)
    monkeypatch.setattr(
        fcntl, "fcntl", lambda descriptor, _command: asked.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
    )

    LocalStore(root).put("log/1", b"x")

    assert asked == [True, True, False, True]


def test_p4_a_name_that_cannot_be_synced_is_an_unknown_outcome_and_bytes_that_cannot_are_a_failure(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(root)
    store.put("log/1", b"x")

    def failing_sync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == fails_for_directories:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", failing_sync)

    fails_for_directories = True
    with pytest.raises(OutcomeUnknownError, match="cannot be synced"):
        store.put("log/2", b"x")
    fails_for_directories = False
    with pytest.raises(UnavailableError, match="disk is full") as caught:
        store.put("log/3", b"x")

    assert type(caught.value) is UnavailableError
    assert names_under(root) == ["log/1", "log/2"]
