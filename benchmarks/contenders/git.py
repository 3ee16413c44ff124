"""git: commits in a repository, which it keeps in a directory only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.commands import Command, program, run
from benchmarks.contenders.contender import Place
from benchmarks.workload import Step
from tests.histories import State, read_directory, write_like_an_application

_AUTHOR = ("-c", "user.name=bench", "-c", "user.email=bench@example.invalid")
_SETTINGS = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}


@dataclass(frozen=True)
class Git:
    """One repository for each place, beside the tree."""

    name: str = "git"
    archive: str = "git gc"
    is_local: bool = True

    def lacks(self) -> str:
        """Return what is not installed."""
        return "" if program("git") else "not installed: git"

    def version(self) -> str:
        """Return git's version."""
        return run(Command((program("git"), "version"))).stdout.strip()

    def keep(self, tree: Path, place: Place) -> None:
        """Commit *tree*; the first time in a new repository."""
        repository = place.directory / "repository"
        if not repository.exists():
            run(_command("init", "--quiet", "--bare", str(repository)))
        for command in self.add(tree, place):
            run(command)

    def add(self, tree: Path, place: Place) -> Sequence[Command]:
        """Return the commit of what changed in *tree*."""
        there = _there(place.directory / "repository", tree)
        return [_command(*there, "add", "-A"), _command(*there, *_AUTHOR, "commit", "--quiet", "--message", "changed")]

    def status(self, tree: Path, place: Place) -> Command:
        """Return the question what changed in *tree*."""
        return _command(*_there(place.directory / "repository", tree), "status", "--porcelain")

    def fetch(self, place: Place, target: Path) -> Sequence[Command]:
        """Return the checkout of the newest commit."""
        return self.fetch_at(place, "HEAD", target)

    def found(self, target: Path) -> State:
        """Return what was checked out."""
        return read_directory(target)

    def replay(self, steps: Iterable[Step], tree: Path, directory: Path) -> Mapping[int, str]:
        """Commit every step, and collect garbage."""
        run(_command("init", "--quiet", "--bare", str(directory)))
        # Left to itself it collects in the background, and refuses to do so twice at once.
        run(_command("--git-dir", str(directory), "config", "gc.auto", "0"))
        there, moments = _there(directory, tree), {}
        for step in steps:
            write_like_an_application(tree, step.old, step.new)
            run(_command(*there, "add", "-A"))
            run(_command(*there, *_AUTHOR, "commit", "--quiet", "--allow-empty", "--message", str(step.number)))
            moments[step.number] = run(_command(*there, "rev-parse", "HEAD")).stdout.strip()
        run(_command(*there, "gc", "--quiet"))
        return moments

    def fetch_at(self, place: Place, moment: str, target: Path) -> Sequence[Command]:
        """Return the checkout of the commit *moment*, with an index of its own: nothing is known of the target."""
        repository = place.directory / "repository"
        index = {"GIT_INDEX_FILE": str(target.with_name(f"{target.name}.index"))}
        return [_command(*_there(repository, target), "checkout", "--quiet", "--force", moment, "--", ".", **index)]

    def history(self, place: Place) -> Command:
        """Return the list of what can be restored."""
        return _command("--git-dir", str(place.directory / "repository"), "log", "--oneline", "--stat")

    def diff(self, place: Place, old: str, new: str) -> Command:
        """Return how two commits differ."""
        return _command("--git-dir", str(place.directory / "repository"), "diff", old, new)


def _there(repository: Path, tree: Path) -> tuple[str, ...]:
    return ("--git-dir", str(repository), "--work-tree", str(tree))


def _command(*arguments: str, **settings: str) -> Command:
    return Command((program("git"), "-c", "core.safecrlf=false", *arguments), {**_SETTINGS, **settings})
