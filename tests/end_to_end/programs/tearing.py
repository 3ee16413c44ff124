"""Truncate and rewrite files in place, 4 KiB at a time over 400 ms: the worst way in which applications save.

Arguments: directory, number of files, number of saves of each file. All files
are written at once, by one process; a pause of random length follows a save.
"""

import os
import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from confstream import SystemClock
from tests.end_to_end.content import certified

SEED = 20261123
CONTENT_BYTES = 24_000
_STEP_BYTES = 4096
_SAVE_SECONDS = 0.4
_CLOCK = SystemClock()


def save(path: Path, content: bytes) -> Iterator[float]:
    """Write *content* to *path* step by step; yield how long to wait before the next."""
    steps = -(-len(content) // _STEP_BYTES)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        for number in range(steps):
            yield _SAVE_SECONDS / steps
            os.write(descriptor, content[number * _STEP_BYTES : (number + 1) * _STEP_BYTES])
    finally:
        os.close(descriptor)


def saves(path: Path, count: int, chance: random.Random) -> Iterator[float]:
    """Save *path* *count* times."""
    for version in range(1, count + 1):
        yield chance.uniform(0, 0.3)
        yield from save(path, certified(path.name, version, CONTENT_BYTES + chance.randrange(8000)))


def main(directory: str, files: int, count: int) -> None:
    """Save all files, each in its own time."""
    now = _CLOCK.elapsed_seconds()
    running = {
        saves(Path(directory) / f"config-{number}.yml", count, random.Random(SEED + number)): now  # noqa: S311 - a workload.
        for number in range(files)
    }
    while running:
        writer, due = min(running.items(), key=lambda pair: pair[1])
        _CLOCK.wait(threading.Event(), max(0.0, due - _CLOCK.elapsed_seconds()))
        try:
            running[writer] = _CLOCK.elapsed_seconds() + next(writer)
        except StopIteration:
            del running[writer]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
