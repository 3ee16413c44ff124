"""Applications that truncate and rewrite: no revision ever holds a part of a file."""

import sys
from collections.abc import Callable
from pathlib import Path

from tests.end_to_end.conftest import Replicas
from tests.end_to_end.content import is_whole, version_of
from tests.processes import ROOT, Process, confstream

_FILES = 25


def test_p6_hundreds_of_torn_saves_never_become_a_revision_with_partial_content(
    replicas: Replicas, tree: Path, amount: Callable[[int, int], int]
) -> None:
    saves = amount(40, 12)
    replica = replicas.make()
    onlooker = replicas.look_at(replica)

    with confstream("replicate", tree, replica, "--profile", "none", "--heartbeat", "0") as writer:
        writer.wait_for_line("watching")
        with _tearing(tree, saves) as application:
            done = application.finish(180)
            assert done.code == 0, done
        final = {path.name: path.read_bytes() for path in tree.glob("*.yml")}
        assert {version_of(content) for content in final.values()} == {saves}
        onlooker.wait_for(
            lambda found: (
                {entry.path.decode(): entry.size for entry in found.files}
                == {name: len(content) for name, content in final.items()}
            ),
            "the last versions",
            writer,
        )
        assert writer.stop().code == 0

    captured = list(onlooker.written())
    assert [(number, path) for number, path, content in captured if not is_whole(content)] == []
    assert {name: onlooker.read(name) for name in final} == final
    assert len(captured) > _FILES * saves // 2, "most saves became a revision of their own"


def test_p6_a_save_that_is_torn_while_replicate_starts_and_ends_is_captured_whole_or_not_at_all(
    replicas: Replicas, tree: Path
) -> None:
    replica = replicas.make()
    onlooker = replicas.look_at(replica)

    with _tearing(tree, saves=12) as application:
        while application.is_running:
            with confstream("replicate", tree, replica, "--profile", "none", "--heartbeat", "0") as writer:
                writer.wait_for_line("watching")
                ended = writer.stop()
                assert ended.code in {0, 143}, ended
        assert application.finish().code == 0
    with confstream("replicate", tree, replica, "--profile", "none", "--heartbeat", "0", "--once") as writer:
        assert writer.finish().code == 0

    # Half of a file may be no YAML either, which is said with more weight.
    doubted = {entry.number for entry in onlooker.log() if entry.verdict.status != "ok"}
    torn = {number for number, _, content in onlooker.written() if not is_whole(content)}
    assert torn <= doubted, "captured while it was being written, and not marked so"
    assert {path.name: onlooker.read(path.name) for path in tree.glob("*.yml")} == {
        path.name: path.read_bytes() for path in tree.glob("*.yml")
    }


def _tearing(tree: Path, saves: int) -> Process:
    program = ROOT / "tests" / "end_to_end" / "programs" / "tearing.py"
    return Process([sys.executable, program, tree, str(_FILES), str(saves)])
