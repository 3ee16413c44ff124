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
    """Compare eight threads with one."""
    row = Row("threads", "How much more do eight threads write than one?")
    with ExitStack() as stack:
        journal = _journal(world, stack)

        def rate(threads: int) -> float:
            contents = [workload.text(world.chance, _LINES) for _ in range(threads * _WRITES_OF_A_ROUND)]
            work = [contents[first::threads] for first in range(threads)]

            def write(number: int) -> None:
                for content in work[number]:
                    journal.write(f"file-{number}.yml", content)

            started = [threading.Thread(target=write, args=(number,)) for number in range(threads)]
            began = time.perf_counter()
            for thread in started:
                thread.start()
            for thread in started:
                thread.join()
            return len(contents) / (time.perf_counter() - began)

        names = {"1 thread": 1, f"{_THREADS} threads": _THREADS}
        contenders = {name: (lambda count=count: rate(count)) for name, count in names.items()}
        row.add_all("writes", "1/s", interleaved(world.scale.rounds, contenders, world.chance))
    return row


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


def _replace(path: Path, content: bytes) -> None:
    """Replace *path* so that it survives power loss."""
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
