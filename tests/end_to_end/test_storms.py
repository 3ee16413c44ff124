"""Thousands of files at once, as when a container starts and gives everything to its user; ten with ``--complete``."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from confstream.tree import Op
from tests.end_to_end.conftest import Replicas
from tests.endpoints import LISTEN, Endpoints
from tests.processes import confstream

_OPTIONS = ("--profile", "none", "--settle", "0.5s", "--heartbeat", "0")
_BYTES, _REVISIONS_MAX = 2_000, 5


def test_p11_a_storm_of_modes_and_owners_is_a_few_revisions_and_uploads_no_content_again(
    replicas: Replicas, tree: Path, amount: Callable[[int, int], int]
) -> None:
    files = amount(10_000, 3_000)
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    onlooker = replicas.look_at(replicas.make("seaweed"))
    for number in range(files):
        directory = tree / str(number // 100)
        directory.mkdir(exist_ok=True)
        (directory / f"{number}.yml").write_bytes(os.urandom(_BYTES))
    with confstream("replicate", tree, onlooker.url, *_OPTIONS, *LISTEN) as writer:
        onlooker.wait_for(lambda found: len(found) == files + files // 100, "the files", writer)
        before, endpoints = onlooker.head, Endpoints(writer)
        written = endpoints.metric("storage_bytes_total", direction="sent")
        assert endpoints.metric("changes_total", op="mode") == 0

        for path in tree.rglob("*.yml"):
            path.chmod(0o640)
            os.chown(path, 1000, 1000)
        onlooker.wait_for(
            lambda found: all((e.mode, e.uid) == (0o640, 1000) for p, e in found.items() if p.endswith(b".yml")),
            "the modes and owners",
            writer,
        )
        endpoints.wait_for_health()
        writer.wait_until(lambda: endpoints.metric("up_to_date") == 1, "it to know")
        assert endpoints.metric("files") == files
        assert endpoints.metric("changes_total", op="mode") >= files
        assert [endpoints.metric(name) for name in ("pending_changes", "unreadable_files", "doubtful_files")] == [0] * 3
        uploaded = endpoints.metric("storage_bytes_total", direction="sent") - written
        ended = writer.stop()

    assert ended.code == 0, ended
    assert onlooker.head - before <= _REVISIONS_MAX, ended
    made = [entry for entry in onlooker.log() if entry.number > before]
    assert {change.op for entry in made for change in entry.changes} == {Op.META}
    assert uploaded < files * _BYTES / 10, "contents were uploaded again"
