"""borg: archives in a repository, which it keeps in a directory only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.commands import Command, program, run
from benchmarks.contenders.contender import Place
from benchmarks.workload import Step
from tests.histories import State, read_directory, write_like_an_application

STRIDE = 8
"""An archive takes a second: every eighth commit is enough for a bound from below."""


@dataclass(frozen=True)
class Borg:
    """One repository without encryption for each place."""

    name: str = "borg"
    archive: str = "borg"
    is_local: bool = True

    def lacks(self) -> str:
        """Return what is not installed."""
        return "" if program("borg") else "not installed: borg"

    def version(self) -> str:
        """Return borg's version."""
        return run(Command((program("borg"), "--version"))).stdout.strip()

    def keep(self, tree: Path, place: Place) -> None:
        """Make an archive of *tree*; the first time in a new repository."""
        repository = place.directory / "repository"
        if not repository.exists():
            run(self._command(repository, "init", "--encryption", "none", str(repository)))
        run(self._command(repository, "create", f"{repository}::newest", ".", directory=tree))

    def fetch(self, place: Place, target: Path) -> Sequence[Command]:
        """Return the extraction of the newest archive."""
        repository = place.directory / "repository"
        return [self._command(repository, "extract", f"{repository}::newest", directory=target)]

    def found(self, target: Path) -> State:
        """Return what was extracted."""
        return read_directory(target)

    def replay(self, steps: Iterable[Step], tree: Path, directory: Path) -> Mapping[int, str]:
        """Make an archive of every eighth commit."""
        run(self._command(directory, "init", "--encryption", "none", str(directory)))
        moments = {}
        for number, step in enumerate(steps):
            write_like_an_application(tree, step.old, step.new)
            if number % STRIDE == 0:
                moments[step.number] = str(step.number)
                run(self._command(directory, "create", f"{directory}::{step.number}", ".", directory=tree))
        return moments

    def fetch_at(self, place: Place, moment: str, target: Path) -> Sequence[Command]:
        """Return the extraction of the archive *moment*."""
        repository = place.directory / "repository"
        return [self._command(repository, "extract", f"{repository}::{moment}", directory=target)]

    def _command(self, repository: Path, *arguments: str, directory: Path | None = None) -> Command:
        settings = {
            "BORG_BASE_DIR": str(repository.with_name("borg")),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }
        return Command((program("borg"), *arguments), settings, directory or Path.cwd())
