"""The write-ahead log: what is appended and synced comes back, what is torn goes, what is damaged is said."""

import contextlib
import errno
import os
import resource
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confstream.errors import IntegrityError, UnavailableError, UsageError
from confstream.journal.frames import HEADER_SIZE, Frame, frame_size
from confstream.journal.wal import Wal, sync_content

PAYLOADS = [b"first", b"", b"x" * 700, b"\xc5\x1f\x9a\xe7 looks like a frame", b"last"]


def _write(path: Path, payloads: list[bytes], *, synced: int = 0, generation: int = 7) -> list[int]:
    wal = Wal.create(path, generation)
    offsets = []
    for number, payload in enumerate(payloads, 1):
        offsets.append(wal.append(number % 250, payload))
        if number == synced:
            wal.sync(offsets[-1])
    wal.close()
    return offsets


def _read(path: Path) -> list[tuple[int, bytes]]:
    frames: list[Frame] = []
    Wal.open(path, frames.append).close()
    return [(frame.kind, frame.payload) for frame in frames]


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_every_frame_comes_back_in_order(tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("wal") / "log"

    offsets = _write(path, payloads)

    assert _read(path) == [(number, payload) for number, payload in enumerate(payloads, 1)]
    assert offsets == [HEADER_SIZE + sum(frame_size(len(each)) for each in payloads[:i]) for i in range(len(payloads))]


def test_a_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    _write(tmp_path / "log", [b"one"])

    wal = Wal.open(tmp_path / "log")
    offset = wal.append(2, b"two")
    payload = wal.read(offset)
    wal.close()

    assert payload == b"two"
    assert _read(tmp_path / "log") == [(1, b"one"), (2, b"two")]


def test_only_the_owner_may_read_a_log(tmp_path: Path) -> None:
    Wal.create(tmp_path / "log", 1).close()

    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


def test_a_log_cut_at_any_byte_gives_its_whole_frames_and_goes_on(tmp_path: Path) -> None:
    offsets = _write(tmp_path / "log", PAYLOADS)
    whole = (tmp_path / "log").read_bytes()
    cut = tmp_path / "cut"

    for size in range(HEADER_SIZE, len(whole)):
        cut.write_bytes(whole[:size])
        expected = [
            payload
            for offset, payload in zip(offsets, PAYLOADS, strict=True)
            if offset + frame_size(len(payload)) <= size
        ]

        wal = Wal.open(cut)
        wal.append(9, b"after")
        wal.close()

        assert [payload for _, payload in _read(cut)] == [*expected, b"after"], f"cut at {size}"


def test_a_log_cut_within_its_header_is_damaged(tmp_path: Path) -> None:
    _write(tmp_path / "log", PAYLOADS)
    whole = (tmp_path / "log").read_bytes()

    for size in range(HEADER_SIZE):
        (tmp_path / "log").write_bytes(whole[:size])
        with pytest.raises(IntegrityError, match="not the header of a log"):
            Wal.open(tmp_path / "log")


@pytest.mark.parametrize("synced", [0, len(PAYLOADS)])
def test_a_flipped_byte_anywhere_is_an_error_or_a_torn_end_and_never_garbage(tmp_path: Path, synced: int) -> None:
    offsets = _write(tmp_path / "log", PAYLOADS, synced=synced)
    whole = (tmp_path / "log").read_bytes()
    path = tmp_path / "flipped"

    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        if place >= offsets[-1]:
            assert [payload for _, payload in _read(path)] == PAYLOADS[:-1], f"byte {place}"
            continue
        with pytest.raises(IntegrityError, match="flipped") as caught:
            Wal.open(path)
        assert "remove 'state' and 'wal-*'" in str(caught.value), f"byte {place}"
        assert path.stat().st_size == len(whole), "a damaged log is evidence and stays as it is"


def test_pages_that_a_power_loss_swallowed_out_of_order_end_the_log(tmp_path: Path) -> None:
    offsets = _write(tmp_path / "log", [b"kept", b"y" * 2000, b"never synced"], synced=1)
    whole = bytearray((tmp_path / "log").read_bytes())
    whole[512:1536] = bytes(1024)
    (tmp_path / "log").write_bytes(whole)

    assert _read(tmp_path / "log") == [(1, b"kept")]
    assert (tmp_path / "log").stat().st_size == offsets[1]


def test_a_hole_in_what_was_synced_is_damage(tmp_path: Path) -> None:
    wal = Wal.create(tmp_path / "log", 1)
    wal.sync(wal.append(1, b"y" * 2000))
    wal.append(2, b"knows it")
    wal.close()
    whole = bytearray((tmp_path / "log").read_bytes())
    whole[512:1536] = bytes(1024)
    (tmp_path / "log").write_bytes(whole)

    with pytest.raises(IntegrityError, match=f"byte {HEADER_SIZE} is damaged"):
        Wal.open(tmp_path / "log")


def test_a_frame_of_another_generation_or_place_is_no_frame(tmp_path: Path) -> None:
    _write(tmp_path / "other", [b"old"], generation=1)
    _write(tmp_path / "log", [], generation=2)
    frame = (tmp_path / "other").read_bytes()[HEADER_SIZE:]
    with (tmp_path / "log").open("ab") as file:
        file.write(frame)

    assert _read(tmp_path / "log") == []


def test_a_read_of_a_damaged_frame_names_file_and_byte(tmp_path: Path) -> None:
    wal = Wal.create(tmp_path / "log", 1)
    offset = wal.append(1, b"content")
    with (tmp_path / "log").open("r+b") as file:
        file.seek(-10, os.SEEK_END)
        file.write(b"!")

    with pytest.raises(IntegrityError, match=rf"log: the record at byte {offset} is damaged"):
        wal.read(offset)
    wal.close()


class _Disk:
    """A sync that counts, can be held up, and can fail."""

    def __init__(self) -> None:
        self.calls = 0
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.failure: OSError | None = None

    def __call__(self, descriptor: int) -> None:
        self.calls += 1
        self.begun.set()
        assert self.go_on.wait(30)
        if self.failure is not None:
            raise self.failure
        sync_content(descriptor)


def test_threads_that_wait_together_share_one_sync(tmp_path: Path) -> None:
    disk = _Disk()
    wal = Wal.create(tmp_path / "log", 1, sync=disk)
    disk.calls = 0
    disk.begun.clear()
    disk.go_on.clear()
    first = wal.append(1, b"leads")
    leader = threading.Thread(target=wal.sync, args=[first])
    leader.start()
    assert disk.begun.wait(30)
    followers = [threading.Thread(target=wal.sync, args=[wal.append(1, b"follows")]) for _ in range(8)]
    for thread in followers:
        thread.start()

    disk.go_on.set()
    for thread in [leader, *followers]:
        thread.join(30)

    assert disk.calls == 2
    assert wal.durable == wal.size
    wal.close()


def test_a_sync_of_what_is_durable_already_asks_nothing_of_the_disk(tmp_path: Path) -> None:
    disk = _Disk()
    wal = Wal.create(tmp_path / "log", 1, sync=disk)
    offset = wal.append(1, b"once")
    wal.sync(offset)
    calls = disk.calls

    wal.sync(offset)

    assert disk.calls == calls
    wal.close()


def test_p4_after_a_failed_sync_nothing_is_believed_until_the_log_is_opened_again(tmp_path: Path) -> None:
    disk = _Disk()
    wal = Wal.create(tmp_path / "log", 1, sync=disk)
    offset = wal.append(1, b"lost?")
    disk.failure = OSError(errno.EIO, "Input/output error")

    with pytest.raises(UnavailableError, match="the disk did not confirm"):
        wal.sync(offset)
    disk.failure = None

    with pytest.raises(UnavailableError, match="open the journal again"):
        wal.sync(offset)
    with pytest.raises(UnavailableError, match="open the journal again"):
        wal.append(1, b"more")
    assert wal.broken
    assert wal.read(offset) == b"lost?"
    wal.close()


def test_all_who_wait_for_a_sync_that_fails_are_told(tmp_path: Path) -> None:
    disk = _Disk()
    wal = Wal.create(tmp_path / "log", 1, sync=disk)
    disk.begun.clear()
    disk.go_on.clear()
    disk.failure = OSError(errno.ENOSPC, "No space left on device")
    told: list[str] = []

    def wait(offset: int) -> None:
        try:
            wal.sync(offset)
        except UnavailableError as error:
            told.append(str(error))

    threads = [threading.Thread(target=wait, args=[wal.append(1, b"x")]) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert disk.begun.wait(30)
    disk.go_on.set()
    for thread in threads:
        thread.join(30)

    assert len(told) == 4
    assert any("free some space" in text for text in told)
    wal.close()


def test_of_several_frames_all_or_none_are_appended(tmp_path: Path) -> None:
    wal = Wal.create(tmp_path / "log", 1)
    wal.append(1, b"before")
    size = wal.size

    def frames() -> Iterator[tuple[int, bytes]]:
        yield 2, b"half"
        raise UsageError("stop")

    with pytest.raises(UsageError, match="stop"):
        wal.append_all(frames())

    assert wal.size == size
    wal.append(3, b"after")
    wal.close()
    assert _read(tmp_path / "log") == [(1, b"before"), (3, b"after")]


def test_a_file_size_limit_leaves_the_log_usable(tmp_path: Path) -> None:
    wal = Wal.create(tmp_path / "log", 1)
    wal.append(1, b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal.size + 1000, hard))
    try:
        with pytest.raises(UnavailableError, match=r"log: .*nothing was recorded; raise the limit"):
            wal.append(2, b"z" * 5000)
        wal.append(3, b"small")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    wal.append(4, b"z" * 5000)
    wal.close()

    assert _read(tmp_path / "log") == [(1, b"before"), (3, b"small"), (4, b"z" * 5000)]


def test_a_full_disk_leaves_the_log_usable(small_disk: Path) -> None:
    wal = Wal.create(small_disk / "log", 1)
    wal.append(1, b"before")

    with pytest.raises(UnavailableError, match=r"log: No space left on device; nothing was recorded; free some space"):
        wal.append(2, bytes(1 << 20))

    offset = wal.append(3, b"after")
    wal.sync(offset)
    wal.close()
    assert _read(small_disk / "log") == [(1, b"before"), (3, b"after")]


def test_a_full_disk_leaves_no_half_created_log(small_disk: Path) -> None:
    with (small_disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))

    with pytest.raises(UnavailableError, match="no new log was begun"):
        Wal.create(small_disk / "log", 1)

    assert not (small_disk / "log").exists()


def test_reads_of_other_threads_end_before_a_closed_log_gives_its_descriptor_back(tmp_path: Path) -> None:
    disk = _Disk()
    wal = Wal.create(tmp_path / "log", 1, sync=disk)
    offset = wal.append(1, b"x")
    disk.begun.clear()
    disk.go_on.clear()
    syncing = threading.Thread(target=wal.sync, args=[offset])
    syncing.start()
    assert disk.begun.wait(30)

    wal.close()
    with pytest.raises(ValueError, match="is closed"):
        wal.read(offset)
    disk.go_on.set()
    syncing.join(30)

    assert wal.durable == wal.size
