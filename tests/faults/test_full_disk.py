"""The disk with the journal runs full under a running replicator, and is emptied again."""

import contextlib
import os
import signal
import threading
from pathlib import Path

import pytest

from confstream.errors import ConfstreamError
from confstream.history import History
from confstream.replicator import ReplicateOptions, Replicator
from tests.servers import wait_until


def _newest(replica: Path) -> bytes:
    try:
        with History.open(str(replica)) as history:
            return history.read("config.yml")
    except ConfstreamError:
        return b""


def test_p6_p7_a_full_disk_is_said_and_outlived(
    small_disk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tree, replica, filler = tmp_path / "tree", tmp_path / "replica", small_disk / "filler"
    tree.mkdir()
    (tree / "config.yml").write_text("a: 1\n")
    caplog.set_level("INFO")
    options = ReplicateOptions(
        settle_seconds=0.1, close_seconds=0.01, heartbeat_seconds=0, state_dir=small_disk / "state", quiet_seconds=0.1
    )
    replicator = Replicator(tree, str(replica), options)
    thread = threading.Thread(target=replicator.run)
    thread.start()
    try:
        wait_until(lambda: _newest(replica) == b"a: 1\n", 20, "the first revision")
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        large = b"".join(b"key%d: %s\n" % (number, os.urandom(16).hex().encode()) for number in range(2000))
        (tree / "config.yml").write_bytes(large)
        wait_until(lambda: "changes cannot be recorded" in caplog.text, 20, "the error in the log")

        assert thread.is_alive()

        filler.unlink()
        wait_until(lambda: _newest(replica) == large, 20, "what was written meanwhile")
        wait_until(lambda: "changes are recorded again" in caplog.text, 20, "the recovery in the log")
    finally:
        replicator.signal(signal.SIGTERM)
        thread.join(30)

    assert not thread.is_alive()
