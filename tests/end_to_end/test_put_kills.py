"""kill -9 around every PUT to S3: as the server has it, as it has applied it, as its answer is on the way.

A stage at each PUT; with ``--complete`` every stage at each, and with both clients.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Replicas
from tests.end_to_end.onlooker import Onlooker
from tests.histories import read_directory
from tests.processes import Process, confstream
from tests.proxy import CuttingProxy
from tests.servers import S3Server

MakePair = Callable[[str], tuple[Path, Onlooker]]
_STAGES = ("asked", "applied", "answered")
_OPTIONS = ("--once", "--profile", "none", "--heartbeat", "0")
_STEPS: tuple[dict[str, str], ...] = (
    {"config.yml": "a: 1\n", "sub/zones.yml": "door: 1\n"},
    # More than is kept in a revision, so that a blob goes ahead of it.
    {
        "config.yml": "a: 2\n",
        "recording.bin": "".join(f"{number * number * 7919 % 1000003} " for number in range(200_000)),
    },
)


@pytest.fixture
def make_pair(replicas: Replicas, use_s3: Callable[[S3Server], str], moto_server: S3Server, tmp_path: Path) -> MakePair:
    """Give a function that returns a new directory, by name, and an onlooker of a fresh replica on moto."""

    def make(name: str) -> tuple[Path, Onlooker]:
        return tmp_path / name, replicas.look_at(replicas.verify_at_the_end(use_s3(moto_server)))

    return make


@pytest.fixture
def complete(amount: Callable[[int, int], int]) -> bool:
    """Give whether everything is to be tried."""
    return bool(amount(1, 0))


@pytest.mark.parametrize("client", ["lean", "s3fs"])
def test_p4_killed_around_any_put_each_state_is_published_once_and_nothing_is_lost(
    client: str, make_pair: MakePair, moto_proxy: CuttingProxy, complete: bool
) -> None:
    if client == "s3fs" and not complete:
        pytest.skip("only with --complete: what differs between the clients is below all this")
    environment = {"AWS_ENDPOINT_URL": moto_proxy.endpoint, "CONFSTREAM_S3_CLIENT": client}
    killed: list[tuple[int, str]] = []

    def course(put: int, stage: str = "") -> int:
        """Take all steps in a tree of its own, killed at *stage* of PUT *put*; return how many PUTs there were."""
        (tree, onlooker), running = make_pair(f"tree-{put}-{stage}"), list[Process]()

        def reached(where: str) -> None:
            if where == stage:
                killed.append((put, stage))
                running[-1].kill()

        moto_proxy.reset()
        if put:
            moto_proxy.fail("pass", skip=put - 1, reached=reached)
        for step, files in enumerate(_STEPS, 1):
            for name, text in files.items():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                (tree / name).write_text(text)
            codes = list[int]()
            # Killed in its last moment it may have been done with everything.
            while 0 not in codes:
                assert len(codes) < 2, codes
                with confstream("replicate", tree, onlooker.url, *_OPTIONS, environment=environment) as writer:
                    running.append(writer)
                    codes.append(writer.finish().code)
            assert codes in ([0], [-9, 0])
            _assert_published(onlooker, step, tree)
        return moto_proxy.counts["PUT"]

    puts = course(0)
    assert any("/blob/" in seen.path for seen in moto_proxy.seen)

    around = [
        (put, stage)
        for put in range(1, puts + 1)
        for number, stage in enumerate(_STAGES)
        if complete or number == put % len(_STAGES)
    ]
    for put, stage in around:
        course(put, stage)

    assert killed == around


def _assert_published(onlooker: Onlooker, step: int, tree: Path) -> None:
    assert [entry.number for entry in onlooker.log()] == [*range(1, step + 1)]
    published = {entry.path: onlooker.read(os.fsdecode(entry.path)) for entry in onlooker.tree().files}
    assert published == {
        path: node.content for path, node in read_directory(tree).items() if not stat.S_ISDIR(node.mode)
    }
