"""Everything odd that a directory can hold, before the real process: kept as it is, or counted, and stops nothing."""

import contextlib
import os
import shutil
import socket
import sqlite3
import stat
import threading
from pathlib import Path

from confstream import SystemClock, scan
from confstream.scan import FILE_SIZE_MAX
from tests.end_to_end.conftest import Replicas
from tests.endpoints import LISTEN, Endpoints
from tests.processes import confstream, run_confstream

_OPTIONS = ("--profile", "generic", "--settle", "0.3s", "--heartbeat", "0")
_PARTIAL = 3


def fill_with_oddities(tree: Path) -> None:
    """Make one of each."""
    for name in (b"x" * 255, b"\xff\xfe", b"new\nline", b"-rf", b" ", "ü".encode() * 127):
        (tree / os.fsdecode(name)).write_bytes(name)
    (tree / "loop").symlink_to("loop")
    (tree / "up").symlink_to("..")
    (tree / "dangling").symlink_to("/nowhere/at all")
    (tree / "empty").mkdir(mode=0o700)
    (tree / "sparse").write_bytes(b"head")
    os.truncate(tree / "sparse", 1 << 20)
    (tree / "one").write_text("two names\n")
    (tree / "another").hardlink_to(tree / "one")
    os.mkfifo(tree / "pipe")
    if os.geteuid() == 0:
        os.mknod(tree / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    with contextlib.closing(sqlite3.connect(tree / "app.db")) as database, database:
        database.execute("create table t (x)")


def test_p6_everything_odd_is_kept_or_counted_and_comes_back(replicas: Replicas, tree: Path, tmp_path: Path) -> None:
    replica, volume = replicas.make("seaweed"), tmp_path / "volume"
    onlooker = replicas.look_at(replica)
    fill_with_oddities(tree)
    specials = 3 if os.geteuid() == 0 else 2
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening, contextlib.chdir(tree):
        listening.bind("socket")
        with confstream("replicate", tree, replica, *_OPTIONS, *LISTEN, cwd="/") as writer:
            (tree / "config.yml").write_text("a: 1\n")
            onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
            endpoints = Endpoints(writer)
            endpoints.wait_for_health()
            assert endpoints.metric("skipped_files_total", reason="special") == specials
            assert endpoints.metric("skipped_files_total", reason="database") == 1
            assert endpoints.metric("skipped_files_total", reason="unreadable") == 0
            # From a file to a directory and back, and a database that turns into text.
            (tree / "one").unlink()
            (tree / "one").mkdir()
            (tree / "one" / "below").write_text("b: 1\n")
            onlooker.wait_for_file("one/below", b"b: 1\n", writer)
            shutil.rmtree(tree / "one")
            (tree / "one").write_text("a file again\n")
            onlooker.wait_for(lambda found: b"one" in found and b"one/below" not in found, "the file again", writer)
            (tree / "app.db").write_text("text\n")
            onlooker.wait_for_file("app.db", b"text\n", writer)
            endpoints.wait_for_health()
            writer.wait_until(lambda: endpoints.metric("up_to_date") == 1, "it to know")
            assert endpoints.metric("skipped_files_total", reason="special") == specials
            ended = writer.stop()
    assert ended.code == 0, ended

    done = run_confstream("restore", replica, volume, "--if-missing", "--revision", "latest")
    assert done.code == 0, done
    wanted = scan.load(tree).tree
    found = scan.load(volume).tree
    assert wanted.keys() == found.keys()
    assert all(found[path].matches(entry) for path, entry in wanted.items())


def test_p6_paths_deeper_than_the_system_takes_in_one_go_are_told_and_the_rest_goes_on(
    replicas: Replicas, tree: Path
) -> None:
    replica = replicas.make("seaweed")
    onlooker = replicas.look_at(replica)
    (tree / "config.yml").write_text("a: 1\n")
    with contextlib.chdir(tree):
        for _ in range(20):
            Path("d" * 250).mkdir()
            os.chdir("d" * 250)
        Path("deep").write_text("x")
    try:
        with confstream("replicate", tree, replica, *_OPTIONS, *LISTEN) as writer:
            endpoints = Endpoints(writer)
            onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
            writer.wait_for_line("the path is too long")
            assert "cannot be read and are not protected" in endpoints.wait_for_reason("unreadable")["what"]
            assert (endpoints.health["code"], endpoints.metric("up_to_date")) == (503, 0)
            assert endpoints.metric("unreadable_files") >= 1
            (tree / "config.yml").write_text("a: 2\n")
            onlooker.wait_for_file("config.yml", b"a: 2\n", writer)
            # As deep as can be recorded, also where no single name reaches.
            assert max(map(len, onlooker.tree())) > 4000
            ended = writer.stop()
        assert ended.code == _PARTIAL, ended
        # What is too deep to be watched is found gone by a scan.
        with confstream("replicate", tree, replica, *_OPTIONS, *LISTEN, "--scan-interval", "0.5s") as writer:
            endpoints = Endpoints(writer)
            endpoints.wait_for_reason("unreadable")
            shutil.rmtree(tree / ("d" * 250))
            writer.wait_for_line("recovered: ")
            endpoints.wait_for_health()
            writer.wait_until(lambda: endpoints.metric("up_to_date") == 1, "it to know")
            assert endpoints.metric("unreadable_files") == 0
            ended = writer.stop()
    finally:
        shutil.rmtree(tree / ("d" * 250), ignore_errors=True)
    assert ended.code == 0, ended


def test_p6_a_file_above_the_bound_is_told_and_said_to_be_over_when_it_is(replicas: Replicas, tree: Path) -> None:
    replica = replicas.make("seaweed")
    onlooker = replicas.look_at(replica)
    (tree / "config.yml").write_text("a: 1\n")
    (tree / "model.bin").write_bytes(b"head")
    os.truncate(tree / "model.bin", FILE_SIZE_MAX + 1)
    with confstream("replicate", tree, replica, *_OPTIONS, *LISTEN) as writer:
        onlooker.wait_for_file("config.yml", b"a: 1\n", writer)
        assert "too large for a configuration" in writer.wait_for_line("model.bin")
        endpoints = Endpoints(writer)
        endpoints.wait_for_reason("unreadable")
        assert (endpoints.health["code"], endpoints.metric("unreadable_files")) == (503, 1)
        assert endpoints.metric("skipped_files_total", reason="too_large") == 1
        os.truncate(tree / "model.bin", 4)
        onlooker.wait_for_file("model.bin", b"head", writer)
        writer.wait_for_line("recovered: model.bin")
        endpoints.wait_for_health()
        assert endpoints.metric("unreadable_files") == 0
        assert writer.stop().code == 0


def test_p6_files_that_come_and_go_all_the_time_stop_nothing(replicas: Replicas, tree: Path) -> None:
    replica = replicas.make()
    onlooker = replicas.look_at(replica)
    (tree / "config.yml").write_text("a: 0\n")
    stop = threading.Event()

    def churn() -> None:
        while not SystemClock().wait(stop, 0.001):
            (tree / "flash").write_text("now")
            (tree / "flash").unlink()

    churning = threading.Thread(target=churn)
    with confstream("replicate", tree, replica, *_OPTIONS, "--scan-interval", "0.3s") as writer:
        writer.wait_for_line("watching")
        churning.start()
        try:
            for number in range(1, 6):
                (tree / "config.yml").write_text(f"a: {number}\n")
                onlooker.wait_for_file("config.yml", f"a: {number}\n".encode(), writer)
        finally:
            stop.set()
            churning.join()
        ended = writer.stop()

    assert ended.code == 0, ended
    assert "Traceback" not in ended.stderr
