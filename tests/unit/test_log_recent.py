import os
from pathlib import Path

import pytest

from confstream.errors import ObjectExistsError
from confstream.layout import log_key, snapshot_key
from confstream.log.recent import Keeping, Recalling, Recent
from confstream.store.memory import MemoryStore


@pytest.fixture
def recent(tmp_path: Path) -> Recent:
    return Recent(tmp_path, size_max=1600, count_max=8)


def body(number: int, size: int = 20) -> bytes:
    return bytes([number]) * size


def test_what_was_kept_comes_back_the_same_and_nothing_else(recent: Recent) -> None:
    for number in range(1, 6):
        recent.keep(number, body(number))

    assert [recent.get(number) for number in range(1, 6)] == [body(number) for number in range(1, 6)]
    assert recent.get(6) is None
    assert recent.get(0) is None
    recent.close()


def test_p14_the_oldest_make_room_by_number_and_by_size(tmp_path: Path) -> None:
    few, small = Recent(tmp_path, count_max=4), Recent(tmp_path, size_max=1600, count_max=1000)

    for number in range(1, 200):
        for one in (few, small):
            one.keep(number, body(number, 40))

    assert [number for number in range(1, 200) if few.get(number)] == [196, 197, 198, 199]
    left = [number for number in range(1, 200) if small.get(number)]
    assert left == [*range(left[0], 200)]
    assert 11 <= len(left) <= 1600 // 72
    assert os.fstat(small._file).st_size <= 1600
    few.close()
    small.close()


def test_p14_what_is_large_is_not_kept_and_takes_no_room(recent: Recent) -> None:
    recent.keep(1, body(1))
    recent.keep(2, body(2, 200))

    assert recent.get(2) is None
    assert recent.get(1) == body(1)
    recent.close()


def test_p12_nothing_of_it_has_a_name(recent: Recent, tmp_path: Path) -> None:
    recent.keep(1, b"password: x")

    assert [*tmp_path.iterdir()] == []
    assert os.fstat(recent._file).st_mode & 0o777 == 0o600
    recent.close()


def test_p9_what_the_disk_garbled_is_not_given_out(recent: Recent) -> None:
    recent.keep(1, body(1))
    os.pwrite(recent._file, b"?", 40)

    assert recent.get(1) is None
    recent.close()


def test_a_disk_that_does_not_take_it_is_no_failure(tmp_path: Path) -> None:
    recent = Recent(tmp_path / "absent")

    recent.keep(1, body(1))

    assert recent.get(1) is None
    recent.close()


def test_what_was_cleared_is_gone_and_after_closing_nothing_is_kept(recent: Recent) -> None:
    recent.keep(1, body(1))
    recent.clear()
    assert recent.get(1) is None

    recent.keep(2, body(2))
    assert recent.get(2) == body(2)
    recent.close()
    recent.keep(3, body(3))

    assert [recent.get(number) for number in (2, 3)] == [None, None]
    assert recent._file == -1


def test_only_what_was_created_is_kept_and_only_of_the_log(recent: Recent) -> None:
    inner = MemoryStore()
    inner.put(log_key(1), b"theirs")
    store = Keeping(inner, recent)

    with pytest.raises(ObjectExistsError):
        store.put(log_key(1), b"ours")
    store.put(log_key(2), b"ours")
    store.put(snapshot_key(3), b"snapshot")
    store.put(f"fork/w-1/{log_key(4)}", b"fork")

    assert [recent.get(number) for number in range(1, 5)] == [None, b"ours", None, None]
    recent.close()


def test_what_was_created_is_read_without_a_request_by_who_packs_and_from_the_replica_by_everybody_else(
    recent: Recent,
) -> None:
    asked: list[str] = []
    inner = MemoryStore(before=lambda operation, key: asked.append(f"{operation} {key}"))
    store, packer = Keeping(inner, recent), Recalling(inner, recent)
    store.put(log_key(1), b"ours")
    asked.clear()

    assert packer.get(log_key(1)) == b"ours"
    assert asked == []
    assert store.get(log_key(1)) == b"ours"
    assert packer.get(log_key(1), 1, 2) == b"ur"
    assert asked == [f"get {log_key(1)}"] * 2

    store.delete([log_key(1)])
    assert recent.get(1) is None
    recent.close()
