"""What every row works in: a server and a way to it, a place for scratch, the sizes of the work."""

import hashlib
import json
import random
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from benchmarks import workload
from benchmarks.commands import Command, run
from benchmarks.contenders.contender import Archive, Place
from benchmarks.links import Link, Proxy, run_proxy
from benchmarks.workload import EveryCommit
from tests.histories import State
from tests.servers import S3Server, run_seaweed

FAR_SECONDS = 0.03
"""What an answer of a cloud takes, on top of what the server here takes."""

_UPLOADS = 16
_REPLAYS = 4


@dataclass(frozen=True)
class Scale:
    """How much work there is."""

    rounds: int = 9
    files: int = 426
    many_files: int = 10_000
    commits: int = 941
    idle_seconds: float = 60.0
    pairs: int = 1000
    trials: int = 8
    revisions: int = 1000
    many_revisions: int = 100_000

    def few(self) -> int:
        """Return how often to repeat what takes long."""
        return max(min(2, self.rounds), self.rounds // 2)


FULL = Scale()
QUICK = Scale(
    rounds=3,
    files=60,
    many_files=500,
    commits=40,
    idle_seconds=18,
    pairs=100,
    trials=3,
    revisions=100,
    many_revisions=1000,
)
TINY = Scale(
    rounds=1, files=8, many_files=20, commits=6, idle_seconds=1, pairs=4, trials=1, revisions=10, many_revisions=20
)


class World:
    """Use it in a ``with``; what it started ends with the block."""

    def __init__(self, scratch: Path, cache: Path, scale: Scale, seed: int) -> None:
        self.scale = scale
        self.seed = seed
        self.chance = random.Random(seed)  # noqa: S311, a workload.
        self._scratch = scratch
        self._cache = cache
        self._stack = ExitStack()
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @cached_property
    def server(self) -> S3Server:
        """Return the server, started when it is first asked for."""
        return self._stack.enter_context(run_seaweed(self.directory("server")))

    @cached_property
    def proxy(self) -> Proxy:
        """Return the proxy in front of the server."""
        return self._stack.enter_context(run_proxy(self.server.port))

    @cached_property
    def far(self) -> Link:
        """Return a way to the server on which each answer takes as long as a cloud's."""
        return self.proxy.link(latency_seconds=FAR_SECONDS)

    @cached_property
    def history(self) -> EveryCommit:
        """Return the history that is replayed."""
        return workload.history(self.directory("history"))

    def directory(self, name: str) -> Path:
        """Return a new directory."""
        self._number += 1
        made = self._scratch / f"{self._number:04}-{_name(name)}"
        made.mkdir(parents=True)
        return made

    def place(self, name: str) -> Place:
        """Return a new place, at the server itself."""
        directory = self.directory(name)
        bucket, _, prefix = self.server.make_replica().removeprefix("s3://").partition("/")
        return Place(bucket, prefix, self.server.endpoint, directory)

    def local_place(self, name: str) -> Place:
        """Return a new place for what keeps things in a directory only."""
        return Place("", "", "", self.directory(name))

    def tree(self, files: int) -> Path:
        """Return a new tree of *files* files."""
        state = self._real if files == self.scale.files else workload.made_up(files, seed=self.seed)
        return workload.write(self.directory("tree") / "config", state)

    @cached_property
    def _real(self) -> State:
        return workload.tree_of(self.history, self.scale.files)

    def replayed(self, archives: Sequence[Archive]) -> dict[str, tuple[Path, Mapping[int, str]]]:
        """Return for each archive a directory that holds the history, and what its moments are called there.

        Made once, several at a time: none of this is measured.
        """
        wanted = {archive.archive: archive for archive in archives}
        with ThreadPoolExecutor(_REPLAYS) as pool:
            made = pool.map(self._replay, wanted.values())
            return dict(zip(wanted, made, strict=True))

    def upload(self, directory: Path, place: Place) -> None:
        """Put every file of *directory* under the prefix of *place*."""
        client = self.server.client

        def put(path: Path) -> None:
            key = f"{place.prefix}/{path.relative_to(directory).as_posix()}"
            client.put_object(Bucket=place.bucket, Key=key, Body=path.read_bytes())

        with ThreadPoolExecutor(_UPLOADS) as pool:
            list(pool.map(put, [path for path in directory.rglob("*") if path.is_file()]))

    def holds(self, place: Place) -> int:
        """Return how many bytes are stored under the prefix of *place*."""
        pages: Iterable[dict[str, Any]] = self.server.client.get_paginator("list_objects_v2").paginate(
            Bucket=place.bucket, Prefix=f"{place.prefix}/"
        )
        return sum(int(found["Size"]) for page in pages for found in page.get("Contents", ()))

    def made(self, name: str, version: str, make: Callable[[Path], None]) -> Path:
        """Return a directory that *make* filled: once for all runs that share a cache, until *version* is another."""
        key = hashlib.sha256(f"{version} {self.history.origin}".encode()).hexdigest()[:12]
        kept = self._cache / _name(f"{name} {key}")
        if not kept.exists():
            say(f"making {name} ...")
            unfinished = emptied(kept.with_name(f"{kept.name}.unfinished"))
            make(unfinished)
            unfinished.rename(kept)
        return kept

    def _replay(self, archive: Archive) -> tuple[Path, Mapping[int, str]]:
        def make(directory: Path) -> None:
            tree = directory / "tree"
            tree.mkdir()
            # A history of its own: what it remembers is not for several threads.
            steps = EveryCommit(self.history.repository, self.history.origin).steps(self.scale.commits)
            moments = archive.replay(steps, tree, directory / "replica")
            shutil.rmtree(tree)
            (directory / "moments.json").write_text(json.dumps(moments))

        made = self.made(f"{archive.archive} {self.scale.commits}", archive.version(), make)
        moments = json.loads((made / "moments.json").read_text())
        return made / "replica", {int(number): name for number, name in moments.items()}


class Cost(NamedTuple):
    """What it took: time, and time on a CPU, which tells more where others have work to do, too."""

    seconds: float
    cpu_seconds: float


def timed(commands: Sequence[Command]) -> Cost:
    """Run *commands* one after the other, and return what all of them took."""
    ended = [run(command) for command in commands]
    return Cost(sum(one.seconds for one in ended), sum(one.cpu_seconds for one in ended))


def emptied(target: Path) -> Path:
    """Return *target* as a new, empty directory."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    return target


def _name(text: str) -> str:
    return text.replace(" ", "-").replace(",", "")


def say(text: str) -> None:
    """Say what is going on."""
    print(text, file=sys.stderr, flush=True)
