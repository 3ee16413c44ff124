"""Measure what a durable write by ``Journal.write`` costs."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import confstream
from benchmarks import workload
from benchmarks.contenders.contender import present
from benchmarks.contenders.git import Git
from benchmarks.samples import Row, interleaved
from benchmarks.world import World, timed

_LINES = 500  # About 20 KB.
_THREADS = 8
_WRITES_OF_A_ROUND = 25
_PER_ROUND = 4


def measure(world: World) -> Row:
    """Compare one write, durable on the local disk, with what the disk itself takes, with SQLite and with git."""
    row = Row("write", "What does a durable write of a 20 KB file cost, by a Python program?")
    contents = iter(lambda: workload.text(world.chance, _LINES), None)
    with ExitStack() as stack:
        writers = _writers(world, row, stack)

        def once(write: Callable[[bytes], None]) -> float:
            content = next(contents)
            began = time.perf_counter()
            write(content)
            return time.perf_counter() - began

        contenders = {name: (lambda write=write: once(write)) for name, write in writers.items()}
        taken = interleaved(_PER_ROUND * world.scale.rounds, contenders, world.chance)
    both = [sum(pair) for pair in zip(*(taken[name] for name in PRIMITIVES), strict=True)]
    row.add_all("time", "ms", {name: [1000 * one for one in samples] for name, samples in taken.items()})
    row.add("time", "both primitives", "ms", [1000 * one for one in both], "the sum of the first two, round by round")
    row.notes.append("Journal.write without a replica: what is durable here, not yet there.")
    return row


PRIMITIVES = ("append + fdatasync", "temporary file + fsync + rename + fsync of the directory")


def measure_threads(world: World) -> Row:
    """Compare eight threads with one, and both with what the disk does for as many that only do what has to be done."""
    row = Row("threads", "How much more do eight threads write than one?")
    with ExitStack() as stack:
        journal = _journal(world, stack)
        directory = world.directory("primitives")
        log = stack.enter_context((directory / "log").open("ab", buffering=0))
        synced = _Group(lambda: os.fdatasync(log.fileno()))

        def primitives(name: str, content: bytes) -> None:
            def append() -> None:
                log.write(content)
                synced()

            _replace(directory / name, content, append)

        def rate(threads: int, write: Callable[[str, bytes], None]) -> float:
            contents = [workload.text(world.chance, _LINES) for _ in range(threads * _WRITES_OF_A_ROUND)]
            work = [contents[first::threads] for first in range(threads)]

            def write_all(number: int) -> None:
                for content in work[number]:
                    write(f"file-{number}.yml", content)

            started = [threading.Thread(target=write_all, args=(number,)) for number in range(threads)]
            began = time.perf_counter()
            for thread in started:
                thread.start()
            for thread in started:
                thread.join()
            return len(contents) / (time.perf_counter() - began)

        writers = {"": journal.write, ", primitives alone": primitives}
        contenders = {
            f"{count} thread{'s' * (count > 1)}{what}": (lambda count=count, write=write: rate(count, write))
            for count in (1, _THREADS)
            for what, write in writers.items()
        }
        row.add_all("writes", "1/s", interleaved(world.scale.rounds, contenders, world.chance))
    row.notes.append(
        "The primitives alone: each thread writes and syncs a file of its own, appends to a log whose sync is shared, "
        "renames, and syncs the directory. More than they scale on a disk, nobody can who replaces files durably."
    )
    return row


class _Group:
    """A sync of one file for all threads that ask for one: whoever comes while it is under way waits for the next."""

    def __init__(self, sync: Callable[[], None]) -> None:
        self._sync = sync
        self._changed = threading.Condition()
        self._asked = self._done = 0
        self._busy = False

    def __call__(self) -> None:
        with self._changed:
            self._asked += 1
            mine = self._asked
            self._changed.wait_for(lambda: self._done >= mine or not self._busy)
            if self._done >= mine:
                return
            target, self._busy = self._asked, True
        self._sync()
        with self._changed:
            self._done, self._busy = target, False
            self._changed.notify_all()


def _writers(world: World, row: Row, stack: ExitStack) -> dict[str, Callable[[bytes], None]]:
    scratch = world.directory("primitives")
    log = os.open(scratch / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    stack.callback(os.close, log)

    def append(content: bytes) -> None:
        os.write(log, content)
        os.fdatasync(log)

    database = stack.enter_context(closing(sqlite3.connect(scratch / "tree.db", isolation_level=None)))
    for statement in (
        "PRAGMA journal_mode = wal",
        "PRAGMA synchronous = full",
        "CREATE TABLE file (path PRIMARY KEY, content)",
    ):
        database.execute(statement)

    def insert(content: bytes) -> None:
        database.execute("INSERT OR REPLACE INTO file VALUES ('config.yml', ?)", (content,))

    journal = _journal(world, stack)
    writers: dict[str, Callable[[bytes], None]] = {
        PRIMITIVES[0]: append,
        PRIMITIVES[1]: lambda content: _replace(scratch / "file.yml", content),
        "SQLite": insert,
        "Journal.write": lambda content: journal.write("config.yml", content),
    }
    git = Git()
    if present([git], row.left_out):
        tree, place = world.tree(1), world.local_place("git")
        git.keep(tree, place)

        def commit(content: bytes) -> None:
            workload.save(tree / "config.yml", content)
            timed(git.add(tree, place))

        writers["git add + commit"] = commit
    return writers


def _journal(world: World, stack: ExitStack) -> confstream.Journal:
    tree = world.tree(1)
    journal = confstream.Journal.open(tree, str(world.directory("replica")), publish=False)
    stack.callback(journal.abort)
    return journal


def _replace(path: Path, content: bytes, ahead: Callable[[], None] = lambda: None) -> None:
    """Replace *path* so that it survives power loss; *ahead* is called before it gets its name."""
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    ahead()
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
