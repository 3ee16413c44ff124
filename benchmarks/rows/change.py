"""Measure how long after an application's close() a change is durable, and what that costs."""

import time

from benchmarks import footprint, workload
from benchmarks.contenders.confstream import Confstream
from benchmarks.contenders.contender import Sidecar
from benchmarks.contenders.litestream import Litestream
from benchmarks.contenders.rclone import ON_EVENT
from benchmarks.rows.watched import LOST_SECONDS, Watched, pause, plain_paths, settle, watching
from benchmarks.samples import Row
from benchmarks.world import World

_LINES = 400
_LOOK_SECONDS = 0.3
_PAUSE_SECONDS = (0.3, 1.3)
_SIDECARS: tuple[Sidecar, ...] = (
    Confstream("s3fs"), Confstream("lean"), Litestream(), Litestream("Litestream, 10 ms", "10ms"), ON_EVENT
)  # fmt: skip


def measure(world: World) -> Row:
    """Compare the time to durable, the requests of a change, and the memory of working."""
    row = Row("change", "How long after close() is a change durable on S3, and what does it cost?")
    with watching(world, row, _SIDECARS, files=world.scale.files) as watched:
        lags = lag(world, watched, 3 * world.scale.rounds, row)
        row.add_all("lag", "ms", lags)
        if footprint.is_supported():
            for name, one in watched.items():
                row.add("resident, working", name, "MiB", [_working(world, one)])
    row.notes.append("Durable is when the client sees the server's answer to the PUT that holds the change.")
    row.notes.append("rclone in a loop is not here: its lag is half its interval, and more.")
    return row


def measure_many(world: World) -> Row:
    """Measure the same in a large tree."""
    files = world.scale.many_files
    row = Row("change many", f"How long after close() is a change among {files} files durable on S3?")
    sidecars = [one for one in _SIDECARS if isinstance(one, Confstream)]
    with watching(world, row, sidecars, files=files) as watched:
        row.add_all("lag", "ms", lag(world, watched, world.scale.rounds, row))
    return row


def _working(world: World, one: Watched) -> float:
    """Return the most memory that was seen since its start, in MiB, programs that it starts included."""
    most = footprint.memory(one.pid).peak
    path = plain_paths(one.tree)[0]
    for _ in range(world.scale.rounds):
        written_at = one.write(path, workload.text(world.chance, _LINES))
        while time.monotonic() < written_at + _LOOK_SECONDS:
            most = max(most, footprint.memory(one.pid).rss)
        one.wait_for_proof(path, written_at)
        pause(_LOOK_SECONDS)
    return most


def lag(world: World, watched: dict[str, Watched], rounds: int, row: Row) -> dict[str, list[float]]:
    """Return the milliseconds of *rounds* changes by each, one at a time, and add the requests of a change to *row*."""
    lags: dict[str, list[float]] = {name: [] for name in watched}
    requests, lost = dict.fromkeys(watched, 0), dict.fromkeys(watched, 0)
    paths = plain_paths(next(iter(watched.values())).tree)
    for _ in range(rounds):
        for name in world.chance.sample(sorted(watched), len(watched)):
            one, path = watched[name], world.chance.choice(paths)
            requests[name] += len(one.link.take())
            written_at = one.write(path, workload.text(world.chance, _LINES))
            durable_at, until_then = one.wait_for_proof(path, written_at)
            requests[name] += until_then
            if durable_at is None:
                lost[name] += 1
            else:
                lags[name].append(1000 * (durable_at - written_at))
            # Whoever looks at intervals must not always be met at the same point of one.
            pause(world.chance.uniform(*_PAUSE_SECONDS))
    for name, one in watched.items():
        row.add("requests per change", name, "", [(requests[name] + len(one.link.take())) / rounds])
        row.add("lost", name, "", [lost[name]], f"of {rounds}: not durable within {LOST_SECONDS:g} s")
    settle(list(watched.values()))
    return lags
