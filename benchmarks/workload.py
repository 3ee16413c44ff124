"""What the contenders work on: real trees and histories, or generated ones of the same shape."""

import random
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from tests.histories import FILE, GitHistory, Node, State, git, load, write_like_an_application

HISTORY = "frenck_home-assistant-config"
_LINES = 60


class Step(NamedTuple):
    """A commit to replay: its number in the history, and the tree before and after it."""

    number: int
    old: State
    new: State


class EveryCommit(GitHistory):
    """A history with the commits of merged branches, each after its parents: every state that anyone had."""

    @cached_property
    def commits(self) -> list[str]:
        """Return the names of the commits."""
        return git(self.repository, "rev-list", "--topo-order", "--reverse", "HEAD").decode().split()

    def steps(self, count: int) -> Iterator[Step]:
        """Yield the first *count* commits, but for those that change nothing."""
        old: State = {}
        for index in range(min(count, len(self))):
            new = self.state(index)
            if new != old:
                yield Step(index, old, new)
            old = new


def history(directory: Path) -> EveryCommit:
    """Return the history that is replayed."""
    found = load(HISTORY, directory)
    return EveryCommit(found.repository, found.origin)


def tree_of(found: GitHistory, files: int) -> State:
    """Return the first state that has exactly *files* files; of a history that has none, one that is made up."""
    for index in range(len(found)):
        rows = git(found.repository, "ls-tree", "-r", "--name-only", found.commits[index]).splitlines()
        if len(rows) == files:
            return found.state(index)
    return made_up(files, seed=files)


def made_up(files: int, *, seed: int) -> State:
    """Return a tree of small YAML files in directories of a hundred."""
    chance = random.Random(seed)  # noqa: S311, a workload.
    return {
        b"part-%03d/file-%05d.yml" % (number // 100, number): Node(FILE, text(chance, _LINES))
        for number in range(files)
    }


def text(chance: random.Random, lines: int) -> bytes:
    """Return *lines* lines of configuration."""
    return b"".join(
        b"camera_%d: {fps: %d, host: 10.0.%d.%d}\n"
        % (number, chance.randrange(60), chance.randrange(256), chance.randrange(256))
        for number in range(lines)
    )


def write(root: Path, state: State) -> Path:
    """Write *state* into the new directory *root*."""
    root.mkdir(parents=True)
    write_like_an_application(root, {}, state)
    return root


def save(path: Path, content: bytes) -> float:
    """Write *path* as an application does, and return when it was closed."""
    with path.open("wb") as file:
        file.write(content)
    return time.monotonic()
