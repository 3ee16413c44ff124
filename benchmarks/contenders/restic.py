"""restic: snapshots in a repository on S3."""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.commands import Command, program, run
from benchmarks.contenders.contender import Place
from benchmarks.workload import Step
from tests.histories import State, read_directory, write_like_an_application

_SHARDS = 3
"""A backup mostly waits: so many work on a history at once, each on a stretch of its own."""


@dataclass(frozen=True)
class Restic:
    """One repository for each place; what a new pod lacks, a cache, is not used."""

    name: str = "restic"
    archive: str = "restic"
    is_local: bool = False

    def lacks(self) -> str:
        """Return what is not installed."""
        return "" if program("restic") else "not installed: restic"

    def version(self) -> str:
        """Return restic's version."""
        return run(Command((program("restic"), "version"))).stdout.strip()

    def keep(self, tree: Path, place: Place) -> None:
        """Back *tree* up; the first time into a new repository."""
        opened = place.directory / "opened"
        if not opened.exists():
            run(self._command(_address(place), place, "init"))
            opened.touch()
        for command in self.add(tree, place):
            run(command)

    def add(self, tree: Path, place: Place) -> Sequence[Command]:
        """Return the backup of *tree* into the repository that is there."""
        return [self._command(_address(place), place, "backup", ".", directory=tree)]

    def fetch(self, place: Place, target: Path) -> Sequence[Command]:
        """Return the restore of the newest snapshot."""
        return self.fetch_at(place, "latest", target)

    def found(self, target: Path) -> State:
        """Return what was restored."""
        return read_directory(target)

    def replay(self, steps: Iterable[Step], tree: Path, directory: Path) -> Mapping[int, str]:
        """Make a snapshot of each commit, tagged with its index."""
        run(self._command(str(directory), None, "init"))
        todo = list(steps)
        size = -(-len(todo) // _SHARDS)
        stretches = [todo[first : first + size] for first in range(0, len(todo), size)]
        with ThreadPoolExecutor(_SHARDS) as pool:
            list(
                pool.map(
                    lambda number: self._replay(stretches[number], tree / str(number), directory), range(len(stretches))
                )
            )
        names = run(self._command(str(directory), None, "snapshots", "--json")).stdout
        return _moments(names)

    def fetch_at(self, place: Place, moment: str, target: Path) -> Sequence[Command]:
        """Return the restore of the snapshot *moment*."""
        return [self._command(_address(place), place, "restore", moment, "--target", str(target))]

    def history(self, place: Place) -> Command:
        """Return the list of what can be restored."""
        return self._command(_address(place), place, "snapshots")

    def diff(self, place: Place, old: str, new: str) -> Command:
        """Return which files differ between two snapshots: not how."""
        return self._command(_address(place), place, "diff", old, new)

    def _replay(self, steps: Sequence[Step], tree: Path, directory: Path) -> None:
        tree.mkdir(parents=True)
        old: State = {}
        for step in steps:
            write_like_an_application(tree, old, step.new)
            old = step.new
            # The host keeps the stretches apart: each looks for its own last snapshot.
            backup = ("backup", ".", "--tag", str(step.number), "--host", tree.name)
            run(self._command(str(directory), None, *backup, directory=tree))

    def _command(self, repository: str, place: Place | None, *arguments: str, directory: Path | None = None) -> Command:
        settings = {"RESTIC_REPOSITORY": repository, "RESTIC_PASSWORD": "bench"}
        command = (program("restic"), "--quiet", "--no-cache", *arguments)
        return Command(command, {**settings, **({} if place is None else place.environment)}, directory or Path.cwd())


def _address(place: Place) -> str:
    return f"s3:{place.endpoint}/{place.bucket}/{place.prefix}"


def _moments(snapshots: str) -> dict[int, str]:
    return {int(snapshot["tags"][0]): snapshot["id"] for snapshot in json.loads(snapshots)}
