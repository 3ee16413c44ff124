"""Measure how long a whole configuration takes to come back."""

import stat
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.commands import Command
from benchmarks.contenders.borg import Borg
from benchmarks.contenders.confstream import Confstream
from benchmarks.contenders.contender import Keeper, Place, present
from benchmarks.contenders.git import Git
from benchmarks.contenders.litestream import Litestream
from benchmarks.contenders.rclone import PLAIN, TUNED
from benchmarks.contenders.restic import Restic
from benchmarks.links import Link, counted
from benchmarks.samples import Row, interleaved
from benchmarks.world import FAR_SECONDS, Cost, World, emptied, timed
from tests.histories import State, read_directory

_BYTES_PER_SECOND = 10e6 / 8
_KEEPERS: tuple[Keeper, ...] = (
    Confstream("s3fs"), Confstream("lean"), PLAIN, TUNED, Restic(), Litestream(), Git(), Borg()
)  # fmt: skip
# What the same figure at another size would take minutes for, and would tell nothing new.
_QUICK_ENOUGH: tuple[Keeper, ...] = (Confstream("s3fs"), Confstream("lean"), TUNED, Restic(), Git())


def measure(world: World) -> Row:
    """Compare near, with the latency of a cloud, and over a thin line."""
    row = Row("restore", f"How long do {world.scale.files} files take to come back?")
    tree = world.tree(world.scale.files)
    keepers = kept(world, _KEEPERS, tree, row)
    rounds = world.scale.few()
    restore(world, row, "near", keepers, tree, rounds=rounds)
    far = {name: one for name, one in keepers.items() if not one[0].is_local}
    restore(world, row, f"+{1000 * FAR_SECONDS:.0f} ms", far, tree, rounds=rounds, link=world.far)
    thin = world.proxy.link(latency_seconds=FAR_SECONDS, bytes_per_second=_BYTES_PER_SECOND)
    quick = {name: one for name, one in far.items() if one[0] in _QUICK_ENOUGH}
    restore(world, row, "+30 ms, 10 Mbit/s", quick, tree, rounds=min(2, world.scale.rounds), link=thin)
    row.notes.append("git and borg keep a repository on the local disk; Litestream brings its database, not yet files.")
    return row


def measure_many(world: World) -> Row:
    """Compare with a large tree."""
    row = Row("restore many", f"How long do {world.scale.many_files} files take to come back?")
    tree = world.tree(world.scale.many_files)
    restore(world, row, "near", kept(world, _QUICK_ENOUGH, tree, row), tree, rounds=min(3, world.scale.rounds))
    return row


def kept(world: World, keepers: Sequence[Keeper], tree: Path, row: Row) -> dict[str, tuple[Keeper, Place]]:
    """Have each of *keepers* that is present keep *tree*."""
    names = present(keepers, row.left_out)
    taken = {}
    for keeper in keepers:
        if keeper.name in names:
            place = world.local_place(keeper.name) if keeper.is_local else world.place(keeper.name)
            keeper.keep(tree, place)
            taken[keeper.name] = (keeper, place)
    return taken


def restore(
    world: World,
    row: Row,
    figure: str,
    keepers: dict[str, tuple[Keeper, Place]],
    tree: Path,
    *,
    rounds: int,
    link: Link | None = None,
) -> None:
    """Add how long each takes, *link* between it and the server; what comes back must be *tree*."""
    target = world.directory("restored") / "config"
    wanted = files(read_directory(tree))
    requests: dict[str, str] = {}

    def bring(keeper: Keeper, place: Place) -> Cost:
        empty = emptied(target)
        commands: Sequence[Command] = keeper.fetch(place if link is None else place.via(link.endpoint), empty)
        cost = timed(commands)
        if keeper.name not in requests:
            requests[keeper.name] = "" if link is None else counted(link.take())
            if files(keeper.found(empty)) != wanted:
                raise AssertionError(f"{keeper.name} brought something else back than was kept")
        elif link is not None:
            link.take()
        return cost

    taken = interleaved(rounds, {name: partial(bring, *one) for name, one in keepers.items()}, world.chance)
    for name, costs in taken.items():
        row.add(figure, name, "s", [cost.seconds for cost in costs], requests[name])
        row.add(f"{figure}, CPU", name, "s", [cost.cpu_seconds for cost in costs])


def files(state: State) -> dict[bytes, bytes]:
    """Return the regular files of *state*: what every contender keeps."""
    return {path: node.content for path, node in state.items() if stat.S_ISREG(node.mode)}
