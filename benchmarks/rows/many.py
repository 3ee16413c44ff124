"""Measure what a large tree costs when nothing changed, and when one file did."""

import os
import time
from contextlib import closing
from pathlib import Path

import confstream
from benchmarks import workload
from benchmarks.commands import run
from benchmarks.contenders.contender import Keeper, present
from benchmarks.contenders.git import Git
from benchmarks.contenders.rclone import TUNED
from benchmarks.contenders.restic import Restic
from benchmarks.rows.restore import kept
from benchmarks.rows.watched import plain_paths
from benchmarks.samples import Row, interleaved
from benchmarks.world import World, timed

_LINES = 60


def measure_scan(world: World) -> Row:
    """Compare the look for changes where there are none: within the sidecar, and by git."""
    files = world.scale.many_files
    row = Row("scan", f"How long does a look at {files} unchanged files take?")
    tree, git = world.tree(files), Git()
    with closing(confstream.Journal.open(tree, str(world.directory("replica")), publish=False)) as journal:
        # What was written a moment ago is looked at twice, for the clock of a file system has few ticks.
        while found := journal.differing():
            journal.capture(found)

        def look() -> float:
            began = time.perf_counter()
            if journal.differing():
                raise AssertionError("something changed")
            return time.perf_counter() - began

        contenders = {"confstream, inside": look, "lstat of each": lambda: _stat_all(tree)}
        if present([git], row.left_out):
            place = world.local_place("git")
            git.keep(tree, place)
            contenders["git status"] = lambda: run(git.status(tree, place)).seconds
        taken = interleaved(world.scale.rounds, contenders, world.chance)
        journal.abort()
    row.add_all("time", "ms", {name: [1000 * one for one in samples] for name, samples in taken.items()})
    return row


def measure_once(world: World) -> Row:
    """Measure what a peer without a sidecar takes from a change to durable: to be held against ``change many``."""
    files = world.scale.many_files
    row = Row("change many, peers", f"How long does a peer take to make a change among {files} files durable?")
    tree = world.tree(files)
    peers: tuple[Keeper, ...] = (Git(), TUNED, Restic())
    places = kept(world, peers, tree, row)
    paths = plain_paths(tree)

    def change(keeper: Keeper) -> float:
        workload.save(tree / world.chance.choice(paths), workload.text(world.chance, _LINES))
        place = places[keeper.name][1]
        if isinstance(keeper, Git | Restic):
            return timed(keeper.add(tree, place)).seconds
        began = time.perf_counter()
        keeper.keep(tree, place)
        return time.perf_counter() - began

    contenders = {name: (lambda keeper=keeper: change(keeper)) for name, (keeper, _) in places.items()}
    taken = interleaved(world.scale.few(), contenders, world.chance)
    row.add_all("time", "ms", {name: [1000 * one for one in samples] for name, samples in taken.items()})
    return row


def _stat_all(tree: Path) -> float:
    began = time.perf_counter()
    pending = [os.fspath(tree)]
    while pending:
        with os.scandir(pending.pop()) as found:
            for entry in found:
                entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
    return time.perf_counter() - began
