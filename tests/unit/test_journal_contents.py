"""The cache of contents: it may lack anything, and never holds anything wrong or too much."""

import os
import stat
from pathlib import Path

import pytest

from confstream.journal.contents import CONTENT_SIZE_MAX, ContentCache
from confstream.tree import content_hash


def _fresh(path: Path) -> ContentCache:
    return ContentCache(path, memory_bytes_max=0)


def test_what_was_put_is_there_for_the_next_process(tmp_path: Path) -> None:
    digest = content_hash(b"mqtt: {}")

    ContentCache(tmp_path / "content").put(digest, b"mqtt: {}")

    assert ContentCache(tmp_path / "content").get(digest) == b"mqtt: {}"


def test_what_was_never_put_is_not_there(tmp_path: Path) -> None:
    assert ContentCache(tmp_path / "content").get(content_hash(b"")) is None


def test_p12_everything_it_creates_is_private(tmp_path: Path) -> None:
    digest = content_hash(b"password: x")

    ContentCache(tmp_path / "content").put(digest, b"password: x")

    assert stat.S_IMODE((tmp_path / "content").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "content" / digest.hex()).stat().st_mode) == 0o600


def test_it_belongs_to_the_owner_of_the_state_directory(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(tmp_path, 1234, 2345)
    digest = content_hash(b"x")

    ContentCache(tmp_path / "content").put(digest, b"x")

    status = (tmp_path / "content" / digest.hex()).stat()
    assert (status.st_uid, status.st_gid) == (1234, 2345)


@pytest.mark.parametrize("damage", [b"", b"other", b"mqtt: {}\n"])
def test_p9_a_damaged_file_is_removed_and_not_returned(tmp_path: Path, damage: bytes) -> None:
    digest = content_hash(b"mqtt: {}")
    ContentCache(tmp_path / "content").put(digest, b"mqtt: {}")
    (tmp_path / "content" / digest.hex()).write_bytes(damage)

    assert ContentCache(tmp_path / "content").get(digest) is None
    assert list((tmp_path / "content").iterdir()) == []


def test_a_symlink_in_its_place_is_not_followed(tmp_path: Path) -> None:
    digest = content_hash(b"mqtt: {}")
    ContentCache(tmp_path / "content").put(digest, b"mqtt: {}")
    (tmp_path / "elsewhere").write_bytes(b"mqtt: {}")
    (tmp_path / "content" / digest.hex()).unlink()
    (tmp_path / "content" / digest.hex()).symlink_to(tmp_path / "elsewhere")

    assert ContentCache(tmp_path / "content").get(digest) is None
    assert (tmp_path / "elsewhere").read_bytes() == b"mqtt: {}"


def test_a_directory_that_cannot_be_made_costs_only_the_cache(tmp_path: Path) -> None:
    (tmp_path / "content").write_bytes(b"in the way")
    cache = _fresh(tmp_path / "content")

    cache.put(content_hash(b"x"), b"x")

    assert cache.get(content_hash(b"x")) is None


def test_p14_its_size_on_the_disk_is_bounded(tmp_path: Path) -> None:
    contents = [bytes([number]) * 100 for number in range(10)]
    cache = ContentCache(tmp_path / "content", disk_bytes_max=350, memory_bytes_max=0)

    for content in contents:
        cache.put(content_hash(content), content)

    names = {path.name for path in (tmp_path / "content").iterdir()}
    assert names == {content_hash(content).hex() for content in contents[-3:]}
    assert cache.get(content_hash(contents[0])) is None
    assert cache.get(content_hash(contents[-1])) == contents[-1]


def test_a_content_that_is_read_stays_longer_than_one_that_is_not(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path / "content", disk_bytes_max=2, memory_bytes_max=0)
    cache.put(content_hash(b"a"), b"a")
    cache.put(content_hash(b"b"), b"b")

    cache.get(content_hash(b"a"))
    cache.put(content_hash(b"c"), b"c")

    assert [cache.get(content_hash(each)) for each in (b"a", b"b", b"c")] == [b"a", None, b"c"]


def test_p14_its_memory_is_bounded(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path / "content", memory_bytes_max=1000)

    for number in range(50):
        content = number.to_bytes(2, "big") * 50
        cache.put(content_hash(content), content)

    assert sum(map(len, cache._memory.values())) == cache._memory_bytes == 1000


def test_a_large_content_is_not_kept(tmp_path: Path) -> None:
    content = bytes(CONTENT_SIZE_MAX + 1)
    cache = ContentCache(tmp_path / "content")

    cache.put(content_hash(content), content)

    assert cache.get(content_hash(content)) is None


def test_retain_drops_the_rest(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path / "content")
    for content in (b"old", b"new"):
        cache.put(content_hash(content), content)

    cache.retain([content_hash(b"new")])

    assert cache.get(content_hash(b"old")) is None
    assert cache.get(content_hash(b"new")) == b"new"
    assert [path.name for path in (tmp_path / "content").iterdir()] == [content_hash(b"new").hex()]


def test_what_a_crash_left_half_written_is_removed_when_it_is_asked_for(tmp_path: Path) -> None:
    digest = content_hash(b"mqtt: {}")
    (tmp_path / "content").mkdir()
    (tmp_path / "content" / digest.hex()).write_bytes(b"mqtt")
    (tmp_path / "content" / "somebody-elses").write_bytes(b"kept")

    assert ContentCache(tmp_path / "content").get(digest) is None

    assert [path.name for path in (tmp_path / "content").iterdir()] == ["somebody-elses"]


def test_p12_a_file_that_a_crash_left_before_its_name_was_taken_away_is_removed(tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    (tmp_path / "content" / ".confstream-0123456789abcdef.tmp").write_bytes(b"half")
    (tmp_path / "content" / "somebody-elses").write_bytes(b"kept")

    ContentCache(tmp_path / "content")

    assert [path.name for path in (tmp_path / "content").iterdir()] == ["somebody-elses"]
