"""Measure how long a person waits for ``log`` and ``diff``, and whether the length of history matters."""

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import confstream
from benchmarks import workload
from benchmarks.commands import Command
from benchmarks.contenders.confstream import Confstream, Packed
from benchmarks.contenders.contender import Archive, Place, present
from benchmarks.contenders.git import Git
from benchmarks.contenders.litestream import Litestream
from benchmarks.contenders.restic import Restic
from benchmarks.samples import Row, interleaved
from benchmarks.world import World, emptied, timed
from confstream.testing import MemoryStore
from confstream.tree import content_hash
from tests.logs import Scribe

_ARCHIVES: tuple[Archive, ...] = (
    Confstream("s3fs"), Confstream("lean"), Packed("s3fs"), Packed("lean"), Litestream(), Restic(), Git()
)  # fmt: skip
_LATELY = 20
_PACK_EVERY = 1000
_FILES = 40
_LINES = 40
_CLIENTS = (Confstream("s3fs"), Confstream("lean"))


def measure(world: World) -> Row:
    """Compare whole processes, the replica near."""
    row = Row(
        "looking", f"How long does a person wait for the log of {world.scale.commits} commits, and for a difference?"
    )
    names = present(_ARCHIVES, row.left_out)
    archives = [archive for archive in _ARCHIVES if archive.name in names]
    replayed = world.replayed(archives)
    places: dict[str, Place] = {}
    for archive in archives:
        if archive.archive not in places:
            directory = replayed[archive.archive][0]
            places[archive.archive] = world.local_place(archive.name) if archive.is_local else world.place(archive.name)
            if archive.is_local:
                (places[archive.archive].directory / "repository").symlink_to(directory)
            else:
                world.upload(directory, places[archive.archive])
    indices = sorted(replayed[archives[0].archive][1])
    # What most people ask is what changed of late; a third of a history apart, nearly every file is another.
    spans = {
        "diff": (indices[len(indices) // 3], indices[2 * len(indices) // 3]),
        "diff, lately": (indices[max(0, len(indices) - 1 - _LATELY)], indices[-1]),
    }
    figures: dict[str, dict[str, Command]] = {"log": {}, **{figure: {} for figure in spans}}
    for archive in archives:
        place, moments = places[archive.archive], replayed[archive.archive][1]
        figures["log"][archive.name] = _history(archive, place)
        for figure, (old, new) in spans.items():
            difference = _difference(archive, place, moments[old], moments[new])
            if difference is not None:
                figures[figure][archive.name] = difference
    for figure, commands in figures.items():
        _add(world, row, figure, commands)
    row.notes.append(f"Lately is {_LATELY} commits, up to the newest; the other difference is a third of all of them.")
    return row


def measure_long(world: World) -> Row:
    """Compare a short history with one a hundred times as long."""
    short, long = world.scale.revisions, world.scale.many_revisions
    row = Row("long", f"Do {long} revisions cost more than {short}?")
    names = present(_CLIENTS, row.left_out)
    places, version = {}, _CLIENTS[0].version()
    for length, count in (("short", short), ("long", long)):
        places[length] = world.place(f"history-{count}")
        world.upload(world.made(f"history {count}", version, partial(_publish, count)), places[length])
    target = world.directory("restored") / "config"
    logs, restores = {}, {}
    for client in _CLIENTS:
        if client.name in names:
            for length, place in places.items():
                name = f"{client.name}, {length}"
                logs[name] = client.command("log", place.url, "--limit", "50", place=place)
                restores[name] = client.fetch(place, target)
    _add(world, row, "log", logs)
    taken = interleaved(
        world.scale.few(), {name: partial(_restore, restores[name], target) for name in restores}, world.chance
    )
    row.add_all("restore", "ms", taken)
    row.notes.append("log shows the newest 50, as it does on a terminal.")
    return row


def _history(archive: Archive, place: Place) -> Command:
    """Return what shows the history in *place*."""
    if isinstance(archive, Confstream):
        return archive.command("log", place.url, place=place)
    if isinstance(archive, Restic | Git | Litestream):
        return archive.history(place)
    raise TypeError(archive.name)


def _difference(archive: Archive, place: Place, old: str, new: str) -> Command | None:
    """Return what shows how the moments *old* and *new* differ, if anything does."""
    if isinstance(archive, Confstream):
        return archive.command("diff", place.url, old, new, place=place)
    return archive.diff(place, old, new) if isinstance(archive, Restic | Git) else None


def _add(world: World, row: Row, figure: str, commands: dict[str, Command]) -> None:
    contenders = {name: partial(timed, [command]) for name, command in commands.items()}
    for name, costs in interleaved(world.scale.few(), contenders, world.chance).items():
        row.add(figure, name, "ms", [1000 * cost.seconds for cost in costs])
        row.add(f"{figure}, CPU", name, "ms", [1000 * cost.cpu_seconds for cost in costs])


def _restore(commands: Sequence[Command], target: Path) -> float:
    emptied(target)
    return 1000 * timed(commands).seconds


def _publish(count: int, directory: Path) -> None:
    """Make a replica of *count* revisions in *directory*, packed as it is after a day."""
    store = MemoryStore()
    scribe = Scribe(store)
    content = workload.text(random.Random(count), _LINES)  # noqa: S311, a workload.
    for number in range(1, count + 1):
        # One of a few files, in the middle, as an editor does.
        edited = content[: len(content) // 2] + b"edit: %d\n" % number + content[len(content) // 2 :]
        scribe.write(scribe.files | {f"file-{number % _FILES}.yml": edited})
        if number % _PACK_EVERY == 0 or number == count:
            confstream.compact(store, scribe.clock, grace_seconds=0)
            scribe.contents = {digest: scribe.contents[digest] for digest in map(content_hash, scribe.files.values())}
    for key, body in store.objects.items():
        path = directory / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
