"""The public API against a list of trees: whatever a program and an operator ask for, in whatever order.

Everything runs in a simulated world, so a crash is one: the process ends in
the middle of any request or call of the system, and nothing unwinds.
"""

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from confstream import (
    History,
    Journal,
    LogEntry,
    NotFoundError,
    Publisher,
    RestoreOptions,
    UsageError,
    Writer,
    compact,
    restore,
    verify,
)
from confstream.layout import log_key
from confstream.log.reader import LogReader
from tests.journals import files_of
from tests.torture.simulator.scheduler import KilledError, Process
from tests.torture.simulator.world import Scenario, World

Model = dict[str, bytes]

PATHS = ("a.txt", "b.txt", "sub/c.txt", "sub/deep/d.txt")
SYNC_SECONDS = 60.0
_paths = st.sampled_from(PATHS)
_contents = st.one_of(
    st.sampled_from([b"", b"one\n"]), st.integers(1, 99).map(lambda number: b"line %d\n" % number * 9)
)
_batches = st.dictionaries(_paths, st.one_of(st.none(), _contents), min_size=1, max_size=3)
_kills = st.one_of(st.just(0), st.integers(1, 60))
_random = st.randoms(use_true_random=False)


class PublicApi(RuleBasedStateMachine):
    """One journal, its replica, and what both should hold: *trees* has the tree after each revision."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(prefix="confstream-machine-"))
        self.tree = self.base / "tree"
        # The model knows files only, so all directories are there from the beginning.
        (self.tree / "sub/deep").mkdir(parents=True)
        (self.tree / "kept.txt").write_bytes(b"kept\n")
        self.world = World(1, Scenario(storage="s3"), self.base)
        self.world.weather.delay_seconds = 0.001
        self._installed = self.world.installed()
        self._installed.__enter__()
        self.process: Process | None = None
        self.journal: Journal | None = None
        self.disk: Model = {"kept.txt": b"kept\n"}
        self.trees: list[Model] = [{}]
        self.tags: dict[str, int] = {}
        self.count = self.compared = self.steps = 0

    @initialize()
    def begin(self) -> None:
        self.reopen()

    # How a process lives and ends.

    @contextmanager
    def acting(self, kill: int = 0) -> Iterator[None]:
        """Run a block as the process of the journal, which is killed at its *kill*-th operation."""
        scheduler = self.world.scheduler
        if self.process is None:
            self.process = Process("machine")
        process = scheduler.current.process = self.process
        process.until_kill = kill
        try:
            yield
        finally:
            scheduler.current.process = None
            process.until_kill = 0

    def end(self) -> None:
        """Let the process be gone, without unwinding."""
        process, self.process, self.journal = self.process, None, None
        if process is not None:
            self.world.scheduler.kill(process)
            self.world.scheduler.wait_for_end(process)
            self.world.disk.close_all(process)

    def reopen(self) -> None:
        """Start the process: what others changed becomes a revision."""
        self.open()
        self.record(self.disk)

    def open(self) -> None:
        with self.acting():
            clock = self.world.clock()
            self.journal = Journal.open(self.tree, self.world.url, guards=False, author="machine", clock=clock)

    def change(self, kill: int, wanted: Model, call: Callable[[Journal], object]) -> None:
        """Let *call* turn the disk into *wanted*, all or nothing where it is killed."""
        assert self.journal is not None
        self.record(self.disk)
        try:
            with self.acting(kill):
                call(self.journal)
        except KilledError:
            self.end()
            self.open()
            found = files_of(self.tree)
            assert found in (self.disk, wanted), "what was killed is done, or never began"
            wanted = found
        self.disk = wanted
        self.record(wanted)

    def record(self, tree: Model) -> None:
        if tree != self.trees[-1]:
            self.trees.append(tree)

    @property
    def head(self) -> int:
        return len(self.trees) - 1

    def live(self) -> Journal:
        assert self.journal is not None
        return self.journal

    # What a program does.

    @rule(path=_paths, content=_contents, kill=_kills)
    def write(self, path: str, content: bytes, kill: int) -> None:
        self.change(kill, {**self.disk, path: content}, lambda journal: journal.write(path, content))

    @rule(path=_paths, kill=_kills)
    def delete(self, path: str, kill: int) -> None:
        if path in self.disk:
            wanted = {name: content for name, content in self.disk.items() if name != path}
            self.change(kill, wanted, lambda journal: journal.delete(path))
            return
        with self.acting(), pytest.raises(UsageError, match="cannot be deleted"):
            self.live().delete(path)

    @rule(batch=_batches, kill=_kills)
    def transaction(self, batch: dict[str, bytes | None], kill: int) -> None:
        wanted = {**self.disk}
        for path, content in batch.items():
            wanted.pop(path, None)
            if content is not None:
                wanted[path] = content

        def call(journal: Journal) -> None:
            with journal.transaction() as transaction:
                for path, content in batch.items():
                    if content is not None:
                        transaction.write(path, content)
                    elif path in self.disk:
                        transaction.delete(path)

        self.change(kill, wanted, call)

    @rule()
    def sync(self) -> None:
        with self.acting():
            self.live().sync(SYNC_SECONDS)
        assert self.world.oracle.head == self.head

    @rule()
    def close(self) -> None:
        with self.acting():
            self.live().close(SYNC_SECONDS)
        assert self.world.oracle.head == self.head
        self.end()
        self.reopen()

    @rule()
    def crash(self) -> None:
        self.end()
        self.reopen()

    # What others do.

    @rule(path=_paths, content=_contents)
    def edit(self, path: str, content: bytes) -> None:
        (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
        (self.tree / path).write_bytes(content)
        self.disk = {**self.disk, path: content}
        with self.acting():
            self.live().capture()
        self.record(self.disk)

    # What an operator does.

    @precondition(lambda self: self.head > 1)
    @rule(draw=_random)
    def go_back(self, draw: random.Random) -> None:
        number = draw.randrange(1, self.head + 1)
        self.change(0, self.trees[number], lambda journal: journal.restore(number, delete=True))

    @precondition(lambda self: self.head > 0)
    @rule(draw=_random, kill=_kills)
    def restore(self, draw: random.Random, kill: int) -> None:
        self.sync()
        number, target = draw.randrange(1, self.head + 1), self.base / f"restored-{self.count}"
        self.count += 1
        while True:
            process = Process("restore")
            self.world.scheduler.current.process, process.until_kill = process, kill
            try:
                options = RestoreOptions(revision=str(number), if_missing=True)
                restore(self.world.url, target, options, clock=self.world.clock(), open_store=self.world.open_store)
                break
            except KilledError:
                kill += 40
            finally:
                self.world.scheduler.current.process = None
                self.world.scheduler.wait_for_end(process)
                self.world.disk.close_all(process)
        assert files_of(target) == self.trees[number]
        self.compared += 1

    @precondition(lambda self: self.head > 1)
    @rule()
    def compact(self) -> None:
        self.sync()
        with self.acting():
            store, clock = self.world.open_store(), self.world.clock()
            compact(store, clock, pack_size=3, minimum=1, tail=1, grace_seconds=0)

    @precondition(lambda self: self.head > 0)
    @rule(draw=_random)
    def tag(self, draw: random.Random) -> None:
        self.sync()
        number, name = draw.randrange(1, self.head + 1), f"tag-{len(self.tags)}"
        with self.acting():
            reader = LogReader(self.world.open_store())
            made = reader.revision(number)
            Publisher.start(reader, Writer("operator", "here"), self.world.clock()).tag(name, made)
        self.tags[name] = number

    @precondition(lambda self: self.head > 0)
    @rule(draw=_random, path=_paths)
    def look_back(self, draw: random.Random, path: str) -> None:
        """``log``, ``at``, ``cat`` and ``diff`` of any moment, by number, tag and time."""
        self.sync()
        number, other = (draw.randrange(1, self.head + 1) for _ in range(2))
        with self.acting():
            history = History(self.world.open_store(), self.world.clock())
            entries = list(history.log(newest_first=False))
            assert [entry.number for entry in entries] == list(range(1, self.head + 1))
            assert self.changed(entries[number - 1]) == _differing(self.trees[number - 1], self.trees[number])
            assert history.resolve(entries[number - 1].time).number >= number
            assert history.resolve(f"-{self.head - number}" if number < self.head else "latest").number == number
            for name, tagged in self.tags.items():
                assert history.resolve(name).number == tagged
            if path in self.trees[number]:
                assert history.read(path, number) == self.trees[number][path]
            else:
                with pytest.raises(NotFoundError):
                    history.read(path, number)
            shown = {line.partition("\n")[0] for line in history.diff(number, other)}
            assert len(shown) == len(_differing(self.trees[number], self.trees[other]))
        self.compared += 1

    @precondition(lambda self: self.head > 0)
    @rule()
    def verify(self) -> None:
        self.sync()
        with self.acting():
            report = verify(self.world.open_store())
        assert report.ok, str(report)
        assert report.restorable == ((1, self.head),)

    def changed(self, entry: LogEntry) -> set[str]:
        return {change.path.decode() for change in entry.changes} - {"sub", "sub/deep"}

    @invariant()
    def the_disk_is_what_the_model_says(self) -> None:
        self.steps += 1
        assert files_of(self.tree) == self.disk

    @invariant()
    def the_log_is_the_beginning_of_the_model(self) -> None:
        for number, link in enumerate(self.world.oracle.chain, 1):
            files = {path.decode() for path, node in link.tree.items() if node.kind == "file"}
            assert files == set(self.trees[number]), log_key(number)

    def teardown(self) -> None:
        try:
            if self.journal is not None:
                self.sync()
        finally:
            with suppress(KilledError):
                self.end()
            self._installed.__exit__(None, None, None)
            shutil.rmtree(self.base, ignore_errors=True)


def _differing(old: Model, new: Model) -> set[str]:
    return {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
