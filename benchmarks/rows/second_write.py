"""Measure whether a second write is lost that follows the first within 20 to 300 ms."""

import heapq
import time

from benchmarks import workload
from benchmarks.commands import run
from benchmarks.contenders.confstream import Confstream
from benchmarks.contenders.contender import Sidecar
from benchmarks.contenders.litestream import Litestream
from benchmarks.contenders.rclone import ON_EVENT
from benchmarks.rows.restore import files
from benchmarks.rows.watched import Watched, pause, plain_paths, settle, watching
from benchmarks.samples import Row
from benchmarks.world import World, emptied, say

_BETWEEN_SECONDS = (0.02, 0.3)
_GRACE_SECONDS = 5.0
_PAIRS_PER_SECOND = 50
_PAIRS_AT_ONCE = 1000
_LINES = 20
_SIDECARS: tuple[Sidecar, ...] = (Confstream("s3fs"), Confstream("lean"), Litestream(), ON_EVENT)


def measure(world: World) -> Row:
    """Write twice and then nothing more; and, where nothing gets lost, many pairs in a short time."""
    row = Row("second write", "Is a second write lost that follows the first within 20 to 300 ms?")
    with watching(world, row, _SIDECARS, files=world.scale.files) as watched:
        _add_alone(world, row, watched)
    confstreams = [one for one in _SIDECARS if isinstance(one, Confstream)]
    for sidecar in confstreams:
        with watching(world, row, [sidecar], files=min(world.scale.pairs, _PAIRS_AT_ONCE)) as watched:
            for name, one in watched.items():
                lost = _lost_of_all(world, one, world.scale.pairs)
                row.add(
                    "lost in a storm", name, "", [lost], f"of {world.scale.pairs} pairs, {_PAIRS_PER_SECOND} a second"
                )
    return row


def _add_alone(world: World, row: Row, watched: dict[str, Watched]) -> None:
    """Add how often the second write is not there some seconds later, when no other change helped it."""
    lost: dict[str, list[float]] = {name: [] for name in watched}
    path = plain_paths(next(iter(watched.values())).tree)[0]
    first, last = _BETWEEN_SECONDS
    for trial in range(world.scale.trials):
        between = first + (last - first) * trial / max(1, world.scale.trials - 1)
        contents = [workload.text(world.chance, _LINES) for _ in range(2)]
        for number, content in enumerate(contents):
            for one in watched.values():
                one.write(path, content)
            pause(_GRACE_SECONDS if number else between)
        for name, one in watched.items():
            lost[name].append(float(one.sidecar.newest(path, one.place) != contents[1]))
    for name, samples in lost.items():
        note = f"of {world.scale.trials}, {first * 1000:.0f} to {last * 1000:.0f} ms apart"
        row.add("lost", name, "", [sum(samples)], note)


def _lost_of_all(world: World, one: Watched, pairs: int) -> float:
    """Return how many of *pairs* are in the end not as they were written the second time; looked at in between."""
    paths, lost, left = plain_paths(one.tree)[:_PAIRS_AT_ONCE], 0, pairs
    while left > 0:
        lost += _lost_of_many(world, one, paths[:left])
        left -= len(paths[:left])
        if left:
            say(f"{one.sidecar.name}: {pairs - left} pairs, {lost} lost")
    return float(lost)


def _lost_of_many(world: World, one: Watched, paths: list[str]) -> int:
    """Return how many of *paths* are in the end not as they were written the second time."""
    writes: list[tuple[float, str, bytes]] = []
    wanted: dict[bytes, bytes] = {}
    for path in paths:
        at = world.chance.uniform(0, len(paths) / _PAIRS_PER_SECOND)
        first, second = (workload.text(world.chance, _LINES) for _ in range(2))
        heapq.heappush(writes, (at, path, first))
        heapq.heappush(writes, (at + world.chance.uniform(*_BETWEEN_SECONDS), path, second))
        wanted[path.encode()] = second
    began = time.monotonic()
    while writes:
        at, path, content = heapq.heappop(writes)
        pause(max(0.0, began + at - time.monotonic()))
        one.write(path, content)
    settle([one])
    target = emptied(world.directory("restored") / "config")
    if not isinstance(one.sidecar, Confstream):
        raise TypeError(one.sidecar.name)
    for command in one.sidecar.fetch(one.place, target):
        run(command)
    found = files(one.sidecar.found(target))
    return sum(found.get(path) != content for path, content in wanted.items())
