"""Real git histories, replayed as file writes: every restore gives exactly what git checks out.

``--complete`` replays every history from its first commit to its last; without
it all but one are a stretch of commits, those with the largest changes.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from confstream import Journal, RestoreOptions, restore
from tests.end_to_end.conftest import Replicas
from tests.end_to_end.onlooker import Onlooker
from tests.histories import SYMLINK, GitHistory, Shape, State, generate, holds, read_directory, with_directories
from tests.histories import write_like_an_application as write_to
from tests.processes import confstream, run_confstream

FRIGATE = "adampetrovic_frigate-config"
HOME_ASSISTANT = "frenck_home-assistant-config"
ZIGBEE = "dubhad_home-assistantconfig"
TRAEFIK = "htpcbeginner_docker-traefik"
GENERATED = "generated"
_STEP = 25
_PLAIN = ("--no-guards", "--profile", "none", "--heartbeat", "0")
# Where the stretch begins: mass deletes, hundreds of files in one commit, modes and renames.
_STRETCHES = {HOME_ASSISTANT: (765, 60), ZIGBEE: (775, 60), TRAEFIK: (186, 60)}

EVERY_HISTORY = [FRIGATE, HOME_ASSISTANT, ZIGBEE, TRAEFIK, GENERATED]
_DEFAULT_REPLAYS = {
    (FRIGATE, "local"),
    (HOME_ASSISTANT, "seaweed"),
    (TRAEFIK, "local"),
    (GENERATED, "local"),
}
_DEFAULT_TRANSACTIONS = {
    (FRIGATE, "seaweed"),
    (ZIGBEE, "local"),
    (GENERATED, "local"),
}


@dataclass(frozen=True)
class Replay:
    """Which commits of which history go where."""

    history: GitHistory
    indices: Sequence[int]
    replica: str
    onlooker: Onlooker
    tree: Path
    directory: Path
    waits_for_every_commit: bool

    def steps(self) -> Iterator[tuple[int, State, State]]:
        """Yield each commit's index, the state before it and the state after it."""
        old: State = {}
        for index in self.indices:
            new = self.history.state(index)
            yield index, old, new
            old = new

    def is_checkpoint(self, index: int) -> bool:
        """Return whether the state of that commit is to be restored in the end."""
        return index % _STEP == _STEP - 1 or index in {self.indices[0], self.indices[-1]}


@pytest.fixture
def replay(
    request: pytest.FixtureRequest,
    load_history: Callable[[str], GitHistory],
    replicas: Replicas,
    tree: Path,
    tmp_path: Path,
) -> Replay:
    """Give what the parameters *name* and *where* mean; skip what only a complete run replays."""
    name, where = (request.getfixturevalue(parameter) for parameter in ("name", "where"))
    is_complete = bool(request.config.getoption("--complete", default=False))
    chosen = _DEFAULT_REPLAYS if "replicate" in request.node.name else _DEFAULT_TRANSACTIONS
    if (name, where) not in chosen and not is_complete:
        pytest.skip("only replayed with --complete")
    history = load_history(name) if name != GENERATED else generate(tmp_path / "generated", Shape(100, 60), seed=7)
    indices = range(len(history))
    if name in _STRETCHES and not is_complete:
        first, count = _STRETCHES[name]
        indices = indices[min(first, len(history) - count) :][:count]
    replica = replicas.make(where)
    return Replay(
        history, indices, replica, replicas.look_at(replica), tree, tmp_path, name == FRIGATE and where == "local"
    )


@pytest.mark.parametrize("where", ["local", "seaweed"])
@pytest.mark.parametrize("name", EVERY_HISTORY)
@pytest.mark.usefixtures("name", "where")
def test_what_replicate_saw_of_a_git_history_restores_exactly_as_git_checks_it_out(replay: Replay) -> None:
    known: dict[int, State] = {}
    versions = 0

    with confstream("replicate", replay.tree, replay.replica, *_PLAIN, "--settle", "0.5s") as writer:
        for index, old, new in replay.steps():
            write_to(replay.tree, old, new)
            versions += old != new
            # One file is small enough to wait for every version of it.
            if replay.waits_for_every_commit or replay.is_checkpoint(index):
                number = replay.onlooker.wait_for_state(new, writer)
                if replay.is_checkpoint(index):
                    known[number] = new
        ended = writer.stop()

    assert ended.code == 0, ended
    assert len(known) >= 2
    _assert_restores(replay, known)
    if replay.waits_for_every_commit:
        assert replay.onlooker.head == versions, "one revision for each change (P11)"


@pytest.mark.parametrize("where", ["local", "seaweed"])
@pytest.mark.parametrize("name", EVERY_HISTORY)
@pytest.mark.usefixtures("name", "where")
def test_what_transactions_wrote_of_a_git_history_restores_exactly_as_git_checks_it_out(replay: Replay) -> None:
    known: dict[int, State] = {}

    with Journal.open(replay.tree, replay.replica, guards=False, heartbeat_seconds=0) as journal:
        for index, old, new in replay.steps():
            _commit(journal, replay.tree, old, new)
            if replay.is_checkpoint(index):
                journal.sync(60)
                known[journal.status().position.number] = new

    assert len(known) >= 2
    _assert_restores(replay, known)


def test_an_empty_tree_is_restored_as_an_empty_tree(replicas: Replicas, tree: Path, tmp_path: Path) -> None:
    replica, target = replicas.make(), tmp_path / "restored"
    onlooker = replicas.look_at(replica)
    (tree / "config.yml").write_text("a: 1\n")
    target.mkdir()
    (target / "other.yml").write_text("b: 2\n")
    with confstream("replicate", tree, replica, *_PLAIN, "--settle", "0.2s") as writer:
        onlooker.wait_for(lambda found: b"config.yml" in found, "the file", writer)
        (tree / "config.yml").unlink()
        number = onlooker.wait_for(lambda found: not found, "the empty tree", writer)
        assert writer.stop().code == 0

    done = run_confstream(
        "restore", replica, target, "--revision", str(number), "--profile", "none", "--force", "--delete"
    )

    assert done.code == 0, done
    assert read_directory(target) == {}


def _commit(journal: Journal, root: Path, old: State, new: State) -> None:
    """Make the commit as a program would that embeds the journal: links on the disk, files in one transaction."""
    in_the_way = [path for path in old.keys() - new.keys() if any(other.startswith(path + b"/") for other in new)]
    in_the_way += [path for path in old if any(path.startswith(other + b"/") for other in new.keys() - old.keys())]
    if in_the_way:
        middle = {path: node for path, node in old.items() if path not in in_the_way}
        write_to(root, old, middle)
        journal.capture()
        old = middle
    with journal.transaction(message="commit") as transaction:
        for path, node in new.items():
            if node.mode != SYMLINK and old.get(path) != node:
                transaction.write(path, node.content, mode=node.mode & 0o777)
        for path in old.keys() - new.keys():
            transaction.delete(path)
    written = {path: node for path, node in new.items() if node.mode != SYMLINK or old.get(path) == node}
    write_to(root, written, new)
    _remove_empty_directories(root, old, new)
    journal.capture()


def _remove_empty_directories(root: Path, old: State, new: State) -> None:
    """Remove what git does not keep: a directory whose last file is gone."""
    for directory in sorted(with_directories(old).keys() - with_directories(new).keys() - old.keys(), reverse=True):
        (root / os.fsdecode(directory)).rmdir()


def _assert_restores(replay: Replay, known: dict[int, State]) -> None:
    """Restore every known revision into a directory of its own, the first by the command line."""
    # A history that begins with an empty tree has no revision of it.
    known.pop(0, None)
    for count, (number, state) in enumerate(sorted(known.items())):
        target = replay.directory / f"restored-{number}"
        if count == 0:
            done = run_confstream("restore", replay.replica, target, "--revision", str(number), "--profile", "none")
            assert done.code == 0, done
        else:
            restore(replay.replica, target, RestoreOptions(revision=str(number)))
        assert holds(replay.onlooker.tree(number), state), f"revision {number}"
        # Where there was nothing, and there is nothing to restore, nothing comes to be.
        found = read_directory(target) if target.exists() or state else {}
        assert found == with_directories(state), f"revision {number}"
