"""Wake-ups: real inotify on real directories, and polling by a clock that a test turns."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from confstream.clock import SystemClock
from confstream.errors import ConfstreamError
from confstream.settle import Mark
from confstream.testing import ManualClock
from confstream.watch import Events, Watcher, open_watcher
from confstream.watch.filesystem import polling_reason
from tests.privileges import modes_count

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
_DEADLINE_SECONDS = 5.0


class NoCache:
    """A selection that leaves out one directory."""

    def tracks(self, path: bytes, is_dir: bool) -> bool:
        del is_dir
        return path.partition(b"/")[0] != b"cache"


@pytest.fixture
def watcher(root: Path) -> Iterator[Watcher]:
    with open_watcher(root, None, SystemClock(), polling=False) as opened:
        assert opened.close_events
        yield opened


def gather(watcher: Watcher, until: Callable[[dict[bytes, Mark]], bool]) -> dict[bytes, Mark]:
    """Return the last mark of every path, once they are what the test waits for."""
    seen: dict[bytes, Mark] = {}
    end = time.monotonic() + _DEADLINE_SECONDS  # noqa: TID251 - a deadline of a test is real time.
    while not until(seen):
        assert time.monotonic() < end, seen  # noqa: TID251 - likewise.
        seen |= watcher.wait(0.5).changed
    return seen


def settled(watcher: Watcher, root: Path) -> dict[bytes, Mark]:
    """Return everything told up to now: the kernel keeps the order, so a last file tells the end."""
    (root / "zz-last").write_text("")
    seen = gather(watcher, lambda seen: seen.get(b"zz-last") is Mark.CLOSED)
    del seen[b"zz-last"]
    return seen


def test_a_slow_write_is_modified_until_its_writer_closes(root: Path, watcher: Watcher) -> None:
    with (root / "config.yml").open("wb") as file:
        file.write(b"half")
        file.flush()
        seen = gather(watcher, lambda seen: b"config.yml" in seen)
        assert seen == {b"config.yml": Mark.MODIFIED}

    assert gather(watcher, lambda seen: b"config.yml" in seen) == {b"config.yml": Mark.CLOSED}


def test_a_replacing_rename_is_told_with_both_names(root: Path, watcher: Watcher) -> None:
    (root / "config.new").write_text("a")
    settled(watcher, root)
    (root / "config.new").replace(root / "config.yml")

    events = watcher.wait(_DEADLINE_SECONDS)

    assert events.changed == {b"config.new": Mark.DELETED, b"config.yml": Mark.RENAMED}
    assert events.moved == ((b"config.new", b"config.yml"),)


def test_a_file_renamed_while_it_is_open_counts_as_open(root: Path, watcher: Watcher) -> None:
    with (root / "a").open("wb") as file:
        file.write(b"half")
        file.flush()
        (root / "a").rename(root / "b")
        seen = gather(watcher, lambda seen: b"b" in seen)

    assert seen[b"b"] is Mark.MODIFIED


def test_deletions_modes_links_and_odd_names_are_told(root: Path, watcher: Watcher) -> None:
    odd = os.fsdecode(b"caf\xe9\n\xff")
    (root / odd).write_text("a")
    (root / "gone").write_text("a")
    settled(watcher, root)

    (root / "gone").unlink()
    (root / odd).chmod(0o600)
    (root / "link").symlink_to("nowhere")

    assert settled(watcher, root) == {
        b"gone": Mark.DELETED,
        os.fsencode(odd): Mark.ATTRIB,
        b"link": Mark.CREATED,
    }


def test_files_written_into_new_directories_at_once_are_never_missed(root: Path, watcher: Watcher) -> None:
    wanted = set()
    for number in range(40):
        deep = root / f"n{number}" / "a" / "b" / "c"
        deep.mkdir(parents=True)
        (deep / "file").write_text("x")
        wanted.add(f"n{number}/a/b/c/file".encode())

    seen = gather(watcher, lambda seen: wanted <= seen.keys())

    assert {seen[path] for path in wanted} <= {Mark.CREATED, Mark.CLOSED}
    (root / "n3/a/b/c/file").write_text("again")
    assert settled(watcher, root) == {b"n3/a/b/c/file": Mark.CLOSED}


def test_a_renamed_directory_is_told_with_its_content_and_watched_under_its_new_name(
    root: Path, watcher: Watcher
) -> None:
    (root / "old" / "sub").mkdir(parents=True)
    (root / "old" / "sub" / "file").write_text("x")
    settled(watcher, root)

    (root / "old").rename(root / "new")
    seen = settled(watcher, root)
    (root / "new" / "sub" / "file").write_text("y")

    assert seen == {
        b"old": Mark.DELETED,
        b"new": Mark.RENAMED,
        b"new/sub": Mark.RENAMED,
        b"new/sub/file": Mark.RENAMED,
    }
    assert settled(watcher, root) == {b"new/sub/file": Mark.CLOSED}


def test_a_directory_moved_in_is_told_with_its_content_and_one_moved_out_is_forgotten(
    root: Path, watcher: Watcher, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    (outside / "sub").mkdir(parents=True)
    (outside / "sub" / "file").write_text("x")

    outside.rename(root / "in")
    assert settled(watcher, root).keys() == {b"in", b"in/sub", b"in/sub/file"}

    (root / "in").rename(outside)
    assert settled(watcher, root) == {b"in": Mark.DELETED}
    (outside / "sub" / "file").write_text("not ours")
    assert settled(watcher, root) == {}


def test_excluded_directories_and_our_own_are_not_watched(root: Path) -> None:
    (root / "cache").mkdir()
    (root / ".confstream").mkdir()
    with open_watcher(root, NoCache(), SystemClock(), polling=False) as watcher:
        (root / "cache" / "a").write_text("x")
        (root / "cache" / "deep").mkdir()
        (root / ".confstream" / "wal").write_text("x")
        (root / ".confstream-0123.tmp").write_text("x")

        assert settled(watcher, root) == {}


def test_a_symlink_to_a_directory_is_not_followed(root: Path, watcher: Watcher, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "link").symlink_to(outside)
    settled(watcher, root)

    (outside / "file").write_text("x")

    assert settled(watcher, root) == {}


def test_the_swap_of_a_mounted_config_map_is_seen(root: Path, watcher: Watcher) -> None:
    def version(name: str, text: str) -> None:
        (root / name).mkdir()
        (root / name / "app.yaml").write_text(text)
        (root / "..data_tmp").symlink_to(name)
        (root / "..data_tmp").rename(root / "..data")

    version("..1", "a")
    settled(watcher, root)
    version("..2", "b")

    seen = settled(watcher, root)
    # Made and renamed in one go: whether somebody still has it open, only its kind can tell.
    assert seen[b"..data"] is Mark.CREATED
    assert b"..2/app.yaml" in seen


@pytest.mark.parametrize("how", ["renamed", "deleted"])
def test_a_lost_root_is_told_and_waiting_for_it_does_not_spin(root: Path, watcher: Watcher, how: str) -> None:
    if how == "renamed":
        root.rename(root.with_name("elsewhere"))
    else:
        root.rmdir()

    events = watcher.wait(_DEADLINE_SECONDS)
    while not events.root_lost:
        events = watcher.wait(_DEADLINE_SECONDS)
    start = time.monotonic()  # noqa: TID251 - real time is what is measured.
    again = watcher.wait(0.2)

    assert again.root_lost
    assert time.monotonic() - start >= 0.15  # noqa: TID251 - likewise.


def test_lost_events_are_told_and_new_directories_are_watched_afterwards(root: Path, watcher: Watcher) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    names = [root / f"f{number}" for number in range(2)]
    for _ in range(limit // 4 + 100):
        # Four events at least, of which no two that follow each other are the same.
        for name in names:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT))
            name.unlink()
    (root / "new").mkdir()

    events = watcher.wait(_DEADLINE_SECONDS)
    while not events.overflow:
        events = watcher.wait(_DEADLINE_SECONDS)
    (root / "new" / "file").write_text("x")

    assert settled(watcher, root)[b"new/file"] is Mark.CLOSED
    assert watcher.close_events


def test_a_wake_up_from_another_thread_ends_the_wait(watcher: Watcher) -> None:
    thread = threading.Thread(target=watcher.wake)
    thread.start()

    assert watcher.wait(_DEADLINE_SECONDS) == Events()
    thread.join()
    assert watcher.wait(0) == Events()


def test_an_idle_watcher_uses_no_processor_time(watcher: Watcher) -> None:
    before = time.thread_time_ns()
    assert watcher.wait(0.3) == Events()

    assert time.thread_time_ns() - before < 5_000_000


def test_a_storm_of_writes_is_few_wake_ups(root: Path, watcher: Watcher) -> None:
    program = "import sys,os\nf=os.open(sys.argv[1],os.O_WRONLY|os.O_CREAT)\nwhile True: os.write(f,b'x')"
    writer = subprocess.Popen([sys.executable, "-c", program, str(root / "log")])
    try:
        gather(watcher, lambda seen: b"log" in seen)
        size_before = (root / "log").stat().st_size
        for _ in range(20):
            assert watcher.wait(_DEADLINE_SECONDS).changed in ({b"log": Mark.MODIFIED}, {})
        # A byte is a write.
        assert (root / "log").stat().st_size - size_before > 20 * 50
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()


def test_no_instance_left_means_polling_and_says_so(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    instances = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    if instances > 1000:
        pytest.skip("too many instances are allowed here to use them up")
    opened: list[Watcher] = []
    try:
        for _ in range(instances + 1):
            opened.append(open_watcher(root, None, SystemClock(), polling=False))
            if not opened[-1].close_events:
                break
        assert opened[-1].reason is not None
        assert "the instance limit is reached; raise fs.inotify.max_user_instances" in opened[-1].reason
        assert opened[-1].reason in caplog.text
    finally:
        for watcher in opened:
            watcher.close()


_LIMITED = """
import sys
from pathlib import Path
from confstream.testing import ManualClock
from confstream.watch import open_watcher
limit = Path("/proc/sys/user/max_inotify_watches")
limit.write_text("4")
root, clock = Path(sys.argv[1]), ManualClock()
watcher = open_watcher(root, None, clock, polling=False, interval_seconds=1)
assert watcher.close_events
for number in range(10):
    (root / str(number)).mkdir()
overflow = watcher.wait(5)
print(watcher.mode, overflow.overflow, watcher.close_events, watcher.wait(5).rescan, sep="|")
print(watcher.reason)
print(open_watcher(root, None, clock, polling=False).reason)
clock.advance(6)
watcher.wait(5)
print(watcher.mode)
limit.write_text("40")
clock.advance(3)
watcher.wait(5)
print(watcher.mode)
clock.advance(9)
print(watcher.wait(5).rescan, watcher.mode, watcher.reason, sep="|")
(root / "3/new").write_text("x")
print(sorted(watcher.wait(5).changed))
"""


def test_no_watch_left_means_polling_until_there_is_room_again(root: Path) -> None:
    # In a user namespace of its own, so that the limit is this test's alone.
    command = ["unshare", "--user", "--map-root-user"]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], check=False).returncode != 0:
        pytest.skip("no user namespace can be made here")

    done = subprocess.run(
        [*command, sys.executable, "-c", _LIMITED, str(root)], check=False, capture_output=True, text=True
    )

    lines, reason = (
        done.stdout.splitlines(),
        "the watch limit is reached; raise fs.inotify.max_user_watches on the node",
    )
    assert lines[0] == "polling|True|False|True", done.stderr
    assert [line.partition(",")[0] for line in lines[1:3]] == [reason, reason]
    # After a vain attempt it waits longer.
    assert lines[3:] == ["polling", "polling", "True|inotify|None", "[b'3/new']"], done.stderr


def test_a_directory_that_could_not_be_watched_is_watched_once_it_may_be_read(root: Path) -> None:
    (root / "closed" / "sub").mkdir(parents=True)
    (root / "closed" / "sub" / "file").write_text("x")
    (root / "closed").chmod(0)
    with modes_count(), open_watcher(root, None, SystemClock(), polling=False) as watcher:
        (root / "closed").chmod(0o755)
        assert settled(watcher, root).keys() == {b"closed", b"closed/sub", b"closed/sub/file"}

        (root / "closed" / "sub" / "file").write_text("y")
        assert settled(watcher, root) == {b"closed/sub/file": Mark.CLOSED}


def test_polling_says_at_each_interval_that_it_is_time_to_scan(root: Path) -> None:
    clock = ManualClock()
    with open_watcher(root, None, clock, polling=True, interval_seconds=3) as watcher:
        assert not watcher.close_events
        assert watcher.reason == "polling was asked for"
        assert watcher.wait(1) == Events()
        assert watcher.wait(10) == Events(rescan=True)
        assert watcher.wait(2.9) == Events()
        assert watcher.wait() == Events(rescan=True)
        watcher.wake()
        assert watcher.wait() == Events()


def test_a_missing_root_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfstreamError, match="cannot be watched"):
        open_watcher(tmp_path / "no", None, SystemClock(), polling=False)


_MOUNTS = b"""\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:50 / {root}/nfs rw - nfs4 server:/export rw
31 22 0:51 / {root}/with\\040space rw master:1 - fuse.sshfs host:/ rw
32 22 0:52 / {root}/nfs/local rw - tmpfs tmpfs rw
33 22 0:53 / {root}/twice rw - nfs server:/ rw
34 33 0:54 / {root}/twice rw - ext4 /dev/vdb rw
35 22 0:55 / {root}/outer/share rw - cifs //server/share rw
not a line of it
"""


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("plain", None),
        ("nfs", "network file system nfs4"),
        ("nfs/deep", "network file system nfs4"),
        ("nfs/local/deep", None),
        ("with space/x", "network file system fuse.sshfs"),
        ("twice", None),
        ("outer", "network file system cifs at share"),
        ("nfsx", None),
    ],
)
def test_network_file_systems_are_polled(tmp_path: Path, path: str, reason: str | None) -> None:
    mounts = _MOUNTS.replace(b"{root}", os.fsencode(tmp_path))

    assert polling_reason(tmp_path / path, mounts) == reason
