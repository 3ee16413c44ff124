"""What is on the disk, and what cannot be told of it."""

import os
import socket
import stat
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from confstream import scan
from confstream.stamp import Stamp, is_as_remembered, remembered
from confstream.tree import Entry, Kind, content_hash


def reads_everything() -> bool:
    """Return whether modes do not keep this process out, as they do not keep out root."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).chmod(0)
        return os.access(file.name, os.R_OK)


unprivileged = pytest.mark.skipif(reads_everything(), reason="this process can read everything")
LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="this file system refuses such names")


def open_descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


class Without:
    """A selection that leaves out one name, wherever it is."""

    def __init__(self, name: bytes) -> None:
        self._name = name
        self.asked: list[tuple[bytes, bool]] = []

    def tracks(self, path: bytes, is_dir: bool) -> bool:
        self.asked.append((path, is_dir))
        return path.rpartition(b"/")[2] != self._name


def old(path: Path) -> None:
    """Make *path* look as if it was written long ago: its stamp is then remembered as it is."""
    os.utime(path, ns=(10**18, 10**18))


def known(loaded: scan.Loaded) -> dict[bytes, tuple[Stamp, Entry]]:
    return {path: (loaded.stamps[path], entry) for path, entry in loaded.tree.items()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a directory with one of everything."""
    made = tmp_path / "tree"
    (made / "deep" / "empty").mkdir(parents=True)
    (made / "config.yml").write_bytes(b"a: 1\n")
    (made / "config.yml").chmod(0o600)
    (made / "deep" / ("n" * 255)).write_bytes(b"")
    (made / "deep" / "loop").symlink_to("..")
    (made / "dangling").symlink_to("nowhere\nat all")
    (made / ".confstream").mkdir()
    (made / ".confstream" / "wal").write_bytes(b"ours")
    (made / "deep" / ".confstream-00.tmp").write_bytes(b"ours")
    return made


EVERYTHING = {
    b"config.yml": Kind.FILE,
    b"dangling": Kind.SYMLINK,
    b"deep": Kind.DIRECTORY,
    b"deep/empty": Kind.DIRECTORY,
    b"deep/loop": Kind.SYMLINK,
    b"deep/" + b"n" * 255: Kind.FILE,
}


def test_a_survey_finds_everything_but_our_own_and_follows_nothing(root: Path) -> None:
    found = scan.survey(root)

    assert {path: stamp.kind for path, stamp in found.found.items()} == EVERYTHING
    assert (found.skipped, found.unreadable, found.excluded) == ({}, {}, 0)
    assert (found.root.ino, found.root.dev) == (root.stat().st_ino, root.stat().st_dev)
    status = (root / "config.yml").lstat()
    assert found.found[b"config.yml"] == Stamp(
        Kind.FILE,
        status.st_ino,
        status.st_dev,
        5,
        status.st_mtime_ns,
        status.st_ctime_ns,
        0o600,
        status.st_uid,
        status.st_gid,
    )


def test_a_survey_of_a_part_finds_that_part(root: Path) -> None:
    def under(path: bytes) -> set[bytes]:
        return set(scan.survey(root, None, path).found)

    assert under(b"deep") == {path for path in EVERYTHING if path.startswith(b"deep")}
    assert under(b"deep/empty") == {b"deep/empty"}
    assert under(b"config.yml") == {b"config.yml"}
    assert under(b"absent") == under(b"deep/loop/config.yml") == under(b".confstream") == set()
    assert under(b".confstream/wal") == set()


def test_what_is_excluded_is_counted_and_not_descended_into(root: Path) -> None:
    selection = Without(b"deep")

    found = scan.survey(root, selection)

    assert found.found.keys() == {b"config.yml", b"dangling"}
    assert found.excluded == 1
    assert sorted(selection.asked) == [(b"config.yml", False), (b"dangling", False), (b"deep", True)]
    assert scan.survey(root, selection, b"deep/empty").found == {}


@LINUX_ONLY
def test_names_that_are_no_text_come_back_as_they_are(root: Path) -> None:
    name = b"caf\xe9\n\xff"
    (root / os.fsdecode(name)).write_bytes(b"x")

    assert name in scan.survey(root).found
    assert scan.load(root).tree[name].size == 1


def test_p6_sockets_and_fifos_are_skipped_and_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "fifo")
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")

        loaded = scan.load(root)

    assert loaded.skipped == {b"fifo": "FIFO", b"socket": "socket"}
    assert loaded.tree.keys() == EVERYTHING.keys()
    assert scan.stamp(root, b"fifo") is None


def test_the_stamps_of_many_paths_are_those_of_each(root: Path) -> None:
    paths = [*sorted(scan.survey(root).found), b"gone", b"gone/below", b"gone/below/it"]

    assert dict(scan.stamps(root, paths)) == {path: scan.stamp(root, path) for path in paths}


def test_p10_a_root_that_is_gone_is_not_an_empty_one(root: Path) -> None:
    for path in (root / "absent", root / "config.yml"):
        with pytest.raises(scan.RootGoneError):
            scan.survey(path)
        with pytest.raises(scan.RootGoneError):
            scan.load(path)
        with pytest.raises(scan.RootGoneError):
            scan.stamp(path, b"a")


def test_a_root_may_be_a_symlink(root: Path) -> None:
    (root.parent / "link").symlink_to(root)

    assert scan.survey(root.parent / "link").found.keys() == EVERYTHING.keys()


def test_depth_is_no_limit(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    before = open_descriptors()

    assert len(scan.load(tmp_path).tree) == 300
    assert open_descriptors() == before


def test_a_loaded_tree_has_modes_times_targets_and_hands_over_every_content(root: Path) -> None:
    old(root / "config.yml")
    contents: dict[bytes, bytes] = {}

    loaded = scan.load(root, on_content=lambda entry, content: contents.update({entry.path: content}))

    assert loaded.tree[b"config.yml"].mode == 0o600
    assert loaded.tree[b"config.yml"].mtime_ns == 10**18
    assert loaded.tree[b"config.yml"].hash == content_hash(b"a: 1\n")
    assert loaded.tree[b"dangling"].target == b"nowhere\nat all"
    assert contents == {b"config.yml": b"a: 1\n", b"deep/" + b"n" * 255: b""}
    assert set(loaded.changed) == EVERYTHING.keys()


def test_only_what_has_another_stamp_is_read_again(root: Path) -> None:
    first = scan.load(root)
    # What was written just now is remembered as not to be trusted; as if it was written long ago:
    trusted = {path: (scan.stamp(root, path), entry) for path, entry in first.tree.items()}
    (root / "deep" / "new").write_bytes(b"new")
    read: list[bytes] = []

    again = scan.load(root, None, trusted, on_content=lambda entry, _: read.append(entry.path))  # type: ignore[arg-type]

    assert read == [b"deep/new"]
    assert again.changed == (b"deep/new",)
    assert again.tree.keys() == {*EVERYTHING, b"deep/new"}


def test_a_file_written_twice_within_one_tick_of_the_clock_is_read_again(root: Path) -> None:
    (root / "config.yml").write_bytes(b"a: 2\n")
    loaded = scan.load(root)

    assert loaded.stamps[b"config.yml"] != scan.stamp(root, b"config.yml")
    assert b"config.yml" not in scan.load(root, None, known(loaded)).changed


@pytest.mark.parametrize(
    ("age_ns", "times_ns", "trusted"),
    [(10**9, 10**18 + 1, True), (10**7, 10**18 + 1, False), (10**9, 10**18, False), (3 * 10**9, 10**18, True)],
)
def test_a_stamp_is_trusted_once_another_write_would_show(age_ns: int, times_ns: int, trusted: bool) -> None:
    found = Stamp(Kind.FILE, 1, 1, 1, times_ns, times_ns, 0o644, 0, 0)

    memory = remembered(found, times_ns + age_ns)

    assert (memory == found) is trusted
    assert is_as_remembered(found, memory)
    assert not is_as_remembered(found._replace(size=2), memory)
    assert not is_as_remembered(None, memory)


def test_a_directory_is_the_same_whatever_happens_in_it(root: Path) -> None:
    before = scan.stamp(root, b"deep")
    (root / "deep" / "new").write_bytes(b"new")
    assert scan.stamp(root, b"deep") == before

    (root / "deep").chmod(0o700)
    assert scan.stamp(root, b"deep") != before


def test_a_file_that_changed_since_its_stamp_is_unstable(root: Path) -> None:
    stamp = scan.stamp(root, b"config.yml")
    assert stamp is not None
    entry, content = scan.read_entry(root, b"config.yml", stamp)
    assert (entry.size, content) == (5, b"a: 1\n")

    with pytest.raises(scan.UnstableError):
        scan.read_entry(root, b"config.yml", stamp._replace(ctime_ns=stamp.ctime_ns - 1))
    with pytest.raises(scan.UnstableError):
        scan.read_entry(root, b"config.yml", stamp._replace(size=4))
    (root / "config.yml").write_bytes(b"longer than before")
    with pytest.raises(scan.UnstableError):
        scan.read_entry(root, b"config.yml", stamp)


@pytest.mark.parametrize("kind", ["fifo", "symlink", "directory"])
def test_a_file_that_became_something_else_is_unstable_and_never_blocks(root: Path, kind: str) -> None:
    stamp = scan.stamp(root, b"config.yml")
    assert stamp is not None
    (root / "config.yml").unlink()
    if kind == "fifo":
        os.mkfifo(root / "config.yml")
    elif kind == "symlink":
        (root / "config.yml").symlink_to("/etc/passwd")
    else:
        (root / "config.yml").mkdir()

    with pytest.raises(scan.UnstableError):
        scan.read_entry(root, b"config.yml", stamp)


def test_a_symlink_that_became_a_file_is_unstable(root: Path) -> None:
    stamp = scan.stamp(root, b"dangling")
    assert stamp is not None
    (root / "dangling").unlink()
    (root / "dangling").write_bytes(b"x")

    with pytest.raises(scan.UnstableError):
        scan.read_entry(root, b"dangling", stamp)


def test_nothing_is_read_through_a_symlink_on_the_way(root: Path) -> None:
    (root / "deep" / "file").write_bytes(b"x")
    stamp = scan.stamp(root, b"deep/file")
    assert stamp is not None
    (root / "deep").rename(root.parent / "elsewhere")
    (root / "deep").symlink_to(root.parent / "elsewhere")

    assert scan.stamp(root, b"deep/file") is None
    with pytest.raises(OSError, match="Not a directory"):
        scan.read_entry(root, b"deep/file", stamp)


def test_a_file_above_the_maximum_is_never_read_and_never_a_deletion(root: Path) -> None:
    before = known(scan.load(root))
    (root / "config.yml").write_bytes(b"x" * 100)

    loaded = scan.load(root, None, before, size_bytes_max=99)
    fresh = scan.load(root, size_bytes_max=99)

    assert loaded.unreadable == {b"config.yml": "100 bytes, at most 99 are allowed"}
    assert loaded.tree[b"config.yml"] == before[b"config.yml"][1]
    assert b"config.yml" not in fresh.tree


@unprivileged
def test_p6_an_unreadable_file_is_told_and_not_a_deletion(root: Path) -> None:
    before = known(scan.load(root))
    (root / "config.yml").chmod(0)

    loaded = scan.load(root, None, before)

    assert loaded.unreadable == {b"config.yml": "Permission denied"}
    assert loaded.tree[b"config.yml"] == before[b"config.yml"][1]
    assert b"config.yml" not in scan.load(root).tree


@unprivileged
@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100])
def test_p6_an_unreadable_directory_is_told_and_what_was_in_it_stays(root: Path, mode: int) -> None:
    before = known(scan.load(root))
    (root / "deep").chmod(mode)
    try:
        loaded = scan.load(root, None, before)
    finally:
        (root / "deep").chmod(0o755)

    assert loaded.tree.keys() == EVERYTHING.keys()
    assert loaded.tree[b"deep"].mode == mode
    assert set(loaded.unreadable.values()) == {"Permission denied"}


@given(st.binary(max_size=100), st.integers(0, 0o7777))
def test_what_was_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, content: bytes, mode: int) -> None:
    root = tmp_path_factory.mktemp("tree")
    (root / "file").write_bytes(content)
    (root / "file").chmod(mode | stat.S_IRUSR)
    read: list[bytes] = []

    loaded = scan.load(root, on_content=lambda _, found: read.append(found))

    assert read == [content]
    assert loaded.tree[b"file"].mode == stat.S_IMODE((root / "file").stat().st_mode)


def test_p6_a_load_while_everything_changes_never_fails_and_never_reads_a_torn_file(root: Path) -> None:
    versions = [bytes([number]) * 5000 for number in range(1, 9)]
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            content = versions[number % 8]
            with (root / "torn").open("wb") as file:
                for start in range(0, 5000, 500):
                    file.write(content[start : start + 500])
                    file.flush()
            (root / "deep").rename(root / f"deep{number % 2}")
            (root / "deep").mkdir()
            (root / "deep" / "file").write_bytes(b"x")
            (root / "deep" / "file").unlink()
            (root / "deep").rmdir()
            (root / f"deep{number % 2}").rename(root / "deep")

    def check(entry: Entry, content: bytes) -> None:
        assert entry.hash == content_hash(content)
        assert entry.size == len(content)
        if entry.path == b"torn":
            # A prefix is what a file at rest half-way holds; a mixture of two versions never is.
            assert len(set(content)) <= 1

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(150):
            scan.load(root, on_content=check)
    finally:
        stop.set()
        changing.join()
    assert scan.load(root).tree.keys() >= EVERYTHING.keys()
