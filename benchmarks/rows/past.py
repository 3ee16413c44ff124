"""Measure what a long history costs: bytes on the replica, and the way back into it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import cycle

from benchmarks.contenders.borg import STRIDE, Borg
from benchmarks.contenders.confstream import Confstream, Packed, Rested
from benchmarks.contenders.contender import Archive, Place, present
from benchmarks.contenders.git import Git
from benchmarks.contenders.litestream import Litestream
from benchmarks.contenders.restic import Restic
from benchmarks.links import counted
from benchmarks.rows.restore import files
from benchmarks.samples import Row, interleaved
from benchmarks.world import Cost, World, emptied, timed

_ARCHIVES: tuple[Archive, ...] = (
    Confstream("s3fs"), Confstream("lean"), Packed("s3fs"), Packed("lean"), Restic(), Litestream(), Git(), Borg()
)  # fmt: skip


def measure_bytes(world: World) -> Row:
    """Compare what the same history takes, every commit restorable."""
    row = Row("bytes", f"How many bytes hold {world.scale.commits} commits, every one restorable?")
    every = (*_ARCHIVES, Rested("s3fs"))
    names = present(every, row.left_out)
    archives = [archive for archive in every if archive.name in names]
    for name, (directory, _) in world.replayed(archives).items():
        size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
        note = f"only every {STRIDE}th commit: a bound from below" if name == Borg().archive else ""
        row.add("on the replica", name, "MB", [size / 1e6], note)
    return row


def measure_restore(world: World) -> Row:
    """Compare the newest and an arbitrary state, with the latency of a cloud."""
    row = Row("past", f"How long does a state take to come back out of {world.scale.commits} commits?")
    archives = [archive for archive in _ARCHIVES if not archive.is_local]
    names = present(archives, row.left_out)
    archives = [archive for archive in archives if archive.name in names]
    replayed = world.replayed(archives)
    places: dict[str, Place] = {}
    for name, (directory, _) in replayed.items():
        places[name] = world.place(name)
        world.upload(directory, places[name])
    held = {one.name: _Held(one, places[one.archive], replayed[one.archive][1]) for one in archives}
    shared = sorted(set.intersection(*(set(one.moments) for one in held.values())))
    arbitrary = [world.chance.choice(shared) for _ in range(world.scale.few())]
    _restore(world, row, "newest, +30 ms", held, [shared[-1]])
    _restore(world, row, "arbitrary, +30 ms", held, arbitrary)
    return row


@dataclass(frozen=True)
class _Held:
    """A history in its place."""

    archive: Archive
    place: Place
    moments: Mapping[int, str]


def _restore(world: World, row: Row, figure: str, held: Mapping[str, _Held], wanted: list[int]) -> None:
    """Add how long the commits *wanted* take to come back, each brought by everyone."""
    target = world.directory("restored") / "config"
    turns = {name: cycle(wanted) for name in held}
    requests: dict[str, str] = {}

    def bring(name: str, one: _Held) -> Cost:
        number = next(turns[name])
        empty = emptied(target)
        cost = timed(one.archive.fetch_at(one.place.via(world.far.endpoint), one.moments[number], empty))
        requests[name] = counted(world.far.take())
        if files(one.archive.found(empty)) != files(world.history.state(number)):
            raise AssertionError(f"{name} did not bring commit {number} back as it was")
        return cost

    contenders = {name: partial(bring, name, one) for name, one in held.items()}
    for name, costs in interleaved(world.scale.few(), contenders, world.chance).items():
        row.add(figure, name, "s", [cost.seconds for cost in costs], f"the last time {requests[name]}")
        row.add(f"{figure}, CPU", name, "s", [cost.cpu_seconds for cost in costs])
