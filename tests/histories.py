"""Git histories as a workload, with git itself as the oracle of what every restore must give.

Bundles of real configuration histories are found through
``CONFSTREAM_TEST_HISTORIES``, or in ``../shared/data`` beside the repository;
where there are none, a seeded generator makes histories of the same shape.
"""

# Names need not be UTF-8, so paths are bytes, which pathlib does not take.
# ruff: noqa: PTH101, PTH102, PTH106, PTH108, PTH112, PTH115, PTH116, PTH118, PTH123, PTH208, PTH211

import os
import random
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from confstream import Kind, Tree
from confstream.tree import content_hash

FILE = 0o100644
EXECUTABLE = 0o100755
SYMLINK = 0o120000
DIRECTORY = 0o040755

_SEED = 20261123
_STATE = b".confstream"
# Read when the module is, for tests see an environment without the project's own variables.
_BUNDLES = Path(
    os.environ.get("CONFSTREAM_TEST_HISTORIES", Path(__file__).resolve().parent.parent.parent / "shared" / "data")
)


class Node(NamedTuple):
    """What is at a path: git's mode, and the content, or a symlink's target."""

    mode: int
    content: bytes


State = Mapping[bytes, Node]
"""A directory as git sees it: files and symlinks by path."""


class Shape(NamedTuple):
    """What a generated history looks like, in place of a bundle that is not there."""

    commits: int
    files: int


BUNDLES = {
    "adampetrovic_frigate-config": Shape(101, 1),
    "frenck_home-assistant-config": Shape(300, 200),
    "dubhad_home-assistantconfig": Shape(300, 400),
    "htpcbeginner_docker-traefik": Shape(246, 120),
}


@dataclass
class GitHistory:
    """The first-parent commits of a repository, oldest first."""

    repository: Path
    origin: str
    _blobs: dict[bytes, bytes] = field(default_factory=dict, repr=False)

    @cached_property
    def commits(self) -> list[str]:
        """Return the names of the commits."""
        return self._git("rev-list", "--first-parent", "--reverse", "HEAD").decode().split()

    def __len__(self) -> int:
        return len(self.commits)

    def state(self, index: int) -> State:
        """Return what git checks out at the commit *index*, counted from 0."""
        rows = []
        for row in self._git("ls-tree", "-r", "-z", "--full-tree", self.commits[index]).split(b"\0"):
            if row:
                about, _, path = row.partition(b"\t")
                mode, _, name = about.split(b" ")
                rows.append((path, int(mode, 8), name))
        self._fetch({name for _, _, name in rows} - self._blobs.keys())
        return {path: Node(mode, self._blobs[name]) for path, mode, name in rows}

    def _fetch(self, names: set[bytes]) -> None:
        if not names:
            return
        answer = self._git("cat-file", "--batch", stdin=b"\n".join(sorted(names)) + b"\n")
        at = 0
        for _ in names:
            end = answer.index(b"\n", at)
            name, kind, size = answer[at:end].split(b" ")
            assert kind == b"blob", answer[at:end]
            first = end + 1
            self._blobs[name] = answer[first : first + int(size)]
            at = first + int(size) + 1

    def _git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        return git(self.repository, *arguments, stdin=stdin)


def git(repository: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """Run git in *repository* with nobody's configuration, and return what it prints."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", "-C", repository, *arguments], input=stdin, capture_output=True, check=True, env=environment
    )
    return done.stdout


def load(name: str, directory: Path) -> GitHistory:
    """Return the history *name* as a clone in *directory*, generated if its bundle is not there."""
    bundle = _BUNDLES / f"{name}.bundle"
    repository = directory / name
    if bundle.is_file():
        directory.mkdir(parents=True, exist_ok=True)
        git(directory, "clone", "--quiet", "--bare", str(bundle), str(repository))
        return GitHistory(repository, f"bundle {bundle.name}")
    shape = BUNDLES[name]
    print(f"{bundle} is not there: a generated history of {shape.commits} commits takes its place")  # noqa: T201 - for who reads the result.
    return generate(repository, shape, seed=_SEED)


def generate(repository: Path, shape: Shape, *, seed: int) -> GitHistory:
    """Return a history of *shape*: edits, renames, modes, symlinks, odd names, and every 50th commit an empty tree."""
    chance = random.Random(seed)  # noqa: S311 - a workload, no secret.
    repository.mkdir(parents=True)
    git(repository, "init", "--quiet", "--bare", "--initial-branch=main")
    state: dict[bytes, Node] = {}
    stream = []
    for commit in range(shape.commits):
        if shape.files == 1:
            state = {b"config.yml": Node(FILE, _edit(chance, state.get(b"config.yml")))}
        elif commit % 50 == 49:
            state = {}
        else:
            _change(chance, state, shape.files)
        stream.append(_commit(commit, state))
    git(repository, "fast-import", "--quiet", "--force", stdin=b"".join(stream))
    return GitHistory(repository, f"generated with seed {seed}")


def write_like_an_application(root: Path, old: State, new: State) -> None:
    """Turn *old* into *new* under *root*: deletes, then truncating writes, as editors and web interfaces do."""
    top = os.fsencode(root)
    for path in sorted(old.keys() - new.keys(), reverse=True):
        os.unlink(os.path.join(top, path))
    for path in sorted(old.keys() - new.keys(), reverse=True):
        _remove_empty_parents(top, path)
    for path, node in sorted(new.items()):
        before = old.get(path)
        if before == node:
            continue
        name = os.path.join(top, path)
        if before is not None and stat.S_IFMT(before.mode) != stat.S_IFMT(node.mode):
            os.unlink(name)
        _make_parents(top, path)
        if node.mode == SYMLINK:
            if os.path.lexists(name):
                os.unlink(name)
            os.symlink(node.content, name)
            continue
        if before is None or before.content != node.content:
            with open(name, "wb") as file:
                file.write(node.content)
        if stat.S_IMODE(os.stat(name).st_mode) != stat.S_IMODE(node.mode):
            os.chmod(name, stat.S_IMODE(node.mode))


def read_directory(root: Path) -> dict[bytes, Node]:
    """Return everything under *root*, directories too, but what confstream keeps there for itself."""
    found: dict[bytes, Node] = {}
    pending = [b""]
    top = os.fsencode(root)
    while pending:
        directory = pending.pop()
        for name in os.listdir(os.path.join(top, directory)):
            path = os.path.join(directory, name)
            if path == _STATE:
                continue
            there = os.path.join(top, path)
            mode = os.lstat(there).st_mode
            if stat.S_ISLNK(mode):
                found[path] = Node(SYMLINK, os.readlink(there))
            elif stat.S_ISDIR(mode):
                found[path] = Node(mode, b"")
                pending.append(path)
            else:
                found[path] = Node(mode, Path(os.fsdecode(there)).read_bytes())
    return found


def with_directories(state: State) -> dict[bytes, Node]:
    """Return *state* and the directories that its paths are in, as ``read_directory`` finds them."""
    parents = {
        b"/".join(parts[:count]) for parts in (path.split(b"/") for path in state) for count in range(1, len(parts))
    }
    return {**dict.fromkeys(parents, Node(DIRECTORY, b"")), **state}


def holds(tree: Tree, state: State) -> bool:
    """Return whether *tree* is exactly *state*."""
    return {
        path: (_kind(node.mode), 0o777 if node.mode == SYMLINK else stat.S_IMODE(node.mode), content_hash(node.content))
        for path, node in with_directories(state).items()
        if not stat.S_ISDIR(node.mode)
    } == {
        path: (entry.kind, entry.mode, entry.hash) for path, entry in tree.items() if entry.kind is not Kind.DIRECTORY
    } and {path for path, entry in tree.items() if entry.kind is Kind.DIRECTORY} == with_directories(
        state
    ).keys() - state.keys()


def _kind(mode: int) -> Kind:
    return Kind.SYMLINK if stat.S_ISLNK(mode) else Kind.FILE


def _make_parents(top: bytes, path: bytes) -> None:
    parts = path.split(b"/")
    for count in range(1, len(parts)):
        parent = os.path.join(top, *parts[:count])
        if not os.path.isdir(parent):
            os.mkdir(parent)
            os.chmod(parent, stat.S_IMODE(DIRECTORY))


def _remove_empty_parents(top: bytes, path: bytes) -> None:
    parts = path.split(b"/")
    for count in range(len(parts) - 1, 0, -1):
        parent = os.path.join(top, *parts[:count])
        if os.path.isdir(parent) and not os.listdir(parent):
            os.rmdir(parent)


_NAMES = (
    b"config %d.yaml",
    b"scripts/run-%d.sh",
    b"sub/dir/%d.json",
    b"*star-%d",
    b"name\nwith newline %d",
    b"caf\xe9-%d.txt",
)


def _change(chance: random.Random, state: dict[bytes, Node], files: int) -> None:
    """Make some edits; a tree that became empty comes back at once."""
    if not state:
        for number in range(files * 2 // 3):
            _write(chance, state, number)
    for number in chance.sample(range(files), k=min(files, chance.choice([1, 1, 2, 5, 20]))):
        _write(chance, state, number)
    if chance.random() < 0.3:
        del state[chance.choice(sorted(state))]
    if chance.random() < 0.2:
        path = chance.choice(sorted(state))
        state[path + b".moved"] = state.pop(path)


def _write(chance: random.Random, state: dict[bytes, Node], number: int) -> None:
    if number % 11 == 10:
        state[b"links/%d" % number] = Node(SYMLINK, b"../config %d.yaml" % chance.randrange(number))
        return
    path = _NAMES[number % len(_NAMES)] % number
    before = state.get(path)
    mode = chance.choice([FILE, EXECUTABLE]) if chance.random() < 0.2 else before.mode if before else FILE
    state[path] = Node(mode, _edit(chance, before))


def _edit(chance: random.Random, before: Node | None) -> bytes:
    lines = before.content.splitlines() if before else [b"cameras:"]
    for _ in range(chance.randint(1, 6)):
        line = b"  camera_%d: {fps: %d}" % (chance.randrange(1000), chance.randrange(60))
        lines.insert(chance.randint(0, len(lines)), line)
        if len(lines) > 200:
            del lines[chance.randrange(len(lines))]
    return b"\n".join(lines) + b"\n"


def _commit(number: int, state: State) -> bytes:
    rows = [
        b"commit refs/heads/main",
        b"committer generated <generated@example.invalid> %d +0000" % (1_700_000_000 + 60 * number),
        b"data 1",
        b"x",
        b"deleteall",
    ]
    for path, node in sorted(state.items()):
        rows += [b"M %o inline %s" % (node.mode, _quoted(path)), b"data %d" % len(node.content), node.content]
    return b"\n".join(rows) + b"\n\n"


def _quoted(path: bytes) -> bytes:
    return (
        b'"'
        + b"".join(bytes([one]) if 32 < one < 127 and one not in b'"\\' else b"\\%03o" % one for one in path)
        + b'"'
    )
