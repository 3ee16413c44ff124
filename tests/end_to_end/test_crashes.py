"""kill -9 at random instants: what was acknowledged stays, nothing is torn, nothing half-done counts as done.

Some instants of each kind, with ``--complete`` many more. ``tests/torture``
kills at every call that matters instead.
"""

import os
import random
import shutil
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from confstream import Journal, SystemClock, is_missing
from tests.end_to_end.conftest import Replicas
from tests.end_to_end.content import certified, is_whole, version_of
from tests.end_to_end.onlooker import Onlooker
from tests.histories import Node, read_directory
from tests.processes import ROOT, Finished, Process, confstream, run_confstream
from tests.servers import wait_until

_SEED = 20261123
_OPTIONS = ("--no-guards", "--profile", "none", "--heartbeat", "0", "--settle", "0.2s")
_CLOCK = SystemClock()


@pytest.fixture
def instants(request: pytest.FixtureRequest, amount: Callable[[int, int], int]) -> int:
    """Give at how many instants to kill."""
    return amount(*request.param)


@pytest.mark.parametrize(("where", "instants"), [("local", (30, 8)), ("seaweed", (20, 4))], indirect=["instants"])
def test_p4_nothing_acknowledged_is_lost_and_nothing_torn_when_replicate_is_killed_at_any_instant(
    where: str, instants: int, replicas: Replicas, tree: Path
) -> None:
    chance = _chance(f"replicate {where}")
    replica = replicas.make(where)
    onlooker = replicas.look_at(replica)
    editor = _Editor(tree, chance)
    editor.edit(8)
    acknowledged: dict[int, bytes] = {}

    for instant in range(instants):
        # Start, capture, publish and idle take turns.
        phase = ("start", "edit", "idle", "edit")[instant % 4]
        with confstream("replicate", tree, replica, *_OPTIONS) as writer:
            if phase == "start":
                editor.edit(2)
                _pause(chance.uniform(0, 0.9 if where == "seaweed" else 0.5))
            else:
                onlooker.wait_for_state(editor.state, writer)
                if phase == "edit":
                    editor.edit(4)
                _pause(chance.uniform(0, 0.15))
            acknowledged |= onlooker.hashes
            writer.kill()
        _assert_kept(onlooker, acknowledged)

    written = editor.state
    ended = run_confstream("replicate", tree, replica, "--once", *_OPTIONS)
    assert ended.code == 0, ended
    onlooker.wait_for_state(editor.state)
    _assert_kept(onlooker, acknowledged)
    torn = [(number, path) for number, path, content in onlooker.written() if not is_whole(content)]
    assert torn == []
    assert read_directory(tree) == written, "replicate changed the tree"


@pytest.mark.parametrize(("where", "instants"), [("local", (18, 6)), ("seaweed", (7, 3))], indirect=["instants"])
def test_p4_no_write_that_returned_is_lost_when_its_process_is_killed_at_any_instant(
    where: str, instants: int, replicas: Replicas, tree: Path
) -> None:
    chance = _chance(f"journal {where}")
    replica = replicas.make(where)
    printed: list[int] = []

    for count in range(4 * instants):
        if count >= instants and len(printed) > instants:
            break
        with _journal_writer(tree, replica, first=(printed[-1] if printed else 0) + 2) as writer:
            if chance.random() < 0.8:
                writer.wait_for_line("open", on="stdout")
            _pause(chance.uniform(0, 0.3))
            writer.kill()
            writer.finish()
            printed += [int(line) for line in writer.so_far.stdout.split() if line.isdigit()]

    assert len(printed) > instants, "too few writes to mean anything"
    with Journal.open(tree, replica, heartbeat_seconds=0) as journal:
        journal.sync(60)
        messages = [entry.authorship.message for entry in journal.history(newest_first=False)]
    published = [int(message) for message in messages if message]
    assert published == sorted(set(published)), "versions out of order, or twice"
    assert set(printed) <= set(published)
    _assert_writers_files(tree, max(published))


@pytest.mark.parametrize(("where", "instants"), [("local", (20, 5)), ("seaweed", (10, 2))], indirect=["instants"])
def test_p3_a_restore_of_a_missing_tree_that_is_killed_at_any_instant_is_completed_by_the_next(
    where: str, instants: int, replicas: Replicas, tree: Path, tmp_path: Path
) -> None:
    chance = _chance(f"restore {where}")
    replica, expected = _replica_with_a_tree(replicas.make(where), tree), read_directory(tree)
    command = ["restore", replica, "--if-missing", "--profile", "none"]
    seconds = _duration(lambda: run_confstream(*_at(command, tmp_path / "warm-up")))

    for instant in range(instants):
        target = tmp_path / f"target-{instant}"
        with confstream(*_at(command, target)) as restorer:
            _kill_somewhere(restorer, target, chance, seconds)
        found = read_directory(target) if target.exists() else {}

        torn = [path for path, node in found.items() if _is_plain(path, node) and node != expected.get(path)]
        assert torn == [], f"instant {instant}"
        assert found == expected or is_missing(target).missing, f"instant {instant}: half a tree counts as present"

        done = run_confstream(*_at(command, target))
        assert done.code == 0, done
        assert read_directory(target) == expected
        shutil.rmtree(target)


@pytest.mark.parametrize(("where", "instants"), [("local", (14, 4)), ("seaweed", (6, 2))], indirect=["instants"])
def test_p3_a_forced_restore_that_is_killed_at_any_instant_leaves_whole_files_and_is_completed_by_the_next(
    where: str, instants: int, replicas: Replicas, tree: Path, tmp_path: Path
) -> None:
    chance = _chance(f"restore --force {where}")
    replica, expected = _replica_with_a_tree(replicas.make(where), tree), read_directory(tree)
    command = ["restore", replica, "--force", "--revision", "1", "--profile", "none"]
    old = tmp_path / "old"
    _write_older(old, tree)
    before = read_directory(old)
    seconds = _duration(
        lambda: run_confstream(*_at(command, Path(shutil.copytree(old, tmp_path / "warm-up", symlinks=True))))
    )

    for instant in range(instants):
        target = Path(shutil.copytree(old, tmp_path / f"target-{instant}", symlinks=True))
        with confstream(*_at(command, target)) as restorer:
            _kill_somewhere(restorer, target, chance, seconds)
        found = read_directory(target)

        whole = {path: (before.get(path), expected.get(path)) for path in found}
        assert [path for path, node in found.items() if _is_plain(path, node) and node not in whole[path]] == []
        switched = [
            path for path in expected if before.get(path) != expected[path] and found.get(path) == expected[path]
        ]
        all_or_nothing = len(switched) in {0, sum(before.get(path) != node for path, node in expected.items())}
        assert all_or_nothing or is_missing(target).missing, f"instant {instant}: a mixture counts as present"

        done = run_confstream(*_at(command, target))
        assert done.code == 0, done
        assert {path: read_directory(target).get(path) for path in expected} == expected
        shutil.rmtree(target)


def test_p3_what_a_killed_restore_left_is_finished_by_replicate_before_it_looks(
    replicas: Replicas, tree: Path, tmp_path: Path
) -> None:
    chance = _chance("restore, then replicate")
    replica, expected = _replica_with_a_tree(replicas.make(), tree), read_directory(tree)
    onlooker = replicas.look_at(replica)
    command = ["restore", replica, "--if-missing", "--profile", "none"]
    caught = 0

    for instant in range(60):
        target = tmp_path / f"target-{instant}"
        with confstream(*_at(command, target)) as restorer:
            wait_until(lambda: _marker(target).exists() or not restorer.is_running, 60, "the switch to begin")  # noqa: B023
            _pause(chance.uniform(0, 0.002))
            restorer.kill()
        if _marker(target).exists():
            done = run_confstream("replicate", target, replica, "--once", *_OPTIONS)
            assert done.code == 0, done
            assert read_directory(target) == expected
            caught += 1
        if caught == 3:
            break

    assert caught, "no restore was killed between marker and end"
    assert all(not entry.changes for entry in onlooker.log()[1:]), "half a restore was published"


class _Editor:
    """Edits a tree as a person does; every content says whether it is whole."""

    def __init__(self, root: Path, chance: random.Random) -> None:
        self._root = root
        self._chance = chance
        self._version = 0

    def edit(self, count: int) -> None:
        """Write some files, in place or by rename, and now and then delete one or link one."""
        for _ in range(count):
            self._version += 1
            name = f"file-{self._chance.randrange(12)}.yml"
            path = self._root / name
            content = certified(name, self._version, self._chance.choice([200, 5000, 60_000]))
            choice = self._chance.random()
            if choice < 0.15 and path.exists():
                path.unlink()
            elif choice < 0.3:
                link = self._root / f"link-{self._chance.randrange(3)}"
                link.unlink(missing_ok=True)
                link.symlink_to(name)
            elif choice < 0.6:
                temporary = self._root / f"{name}.new"
                temporary.write_bytes(content)
                temporary.rename(path)
            else:
                path.write_bytes(content)

    @property
    def state(self) -> dict[bytes, Node]:
        """Return what the tree holds."""
        return read_directory(self._root)


def _chance(what: str) -> random.Random:
    seed = f"{what} {os.environ.get('SEED', _SEED)}"
    print(f"seed: {seed}")  # noqa: T201 - to repeat what failed: SEED=… in the environment.
    return random.Random(seed)  # noqa: S311 - instants, no secret.


def _pause(seconds: float) -> None:
    # The instant is what is random; nothing is waited for.
    _CLOCK.wait(threading.Event(), seconds)


def _duration(action: Callable[[], Finished]) -> float:
    start = _CLOCK.elapsed_seconds()
    done = action()
    assert done.code == 0, done
    return _CLOCK.elapsed_seconds() - start


def _at(command: list[str], target: Path) -> list[str | Path]:
    return [*command[:2], target, *command[2:]]


def _marker(target: Path) -> Path:
    return target / ".confstream" / "restoring"


def _kill_somewhere(process: Process, target: Path, chance: random.Random, seconds: float) -> None:
    """Kill *process* at an instant of its life of *seconds*; half of the time once it has begun to write."""
    if chance.random() < 0.5:
        _pause(chance.uniform(0, seconds))
    else:
        staging = target / ".confstream"
        wait_until(lambda: staging.exists() or not process.is_running, 60, "the restore to begin")
        _pause(chance.uniform(0, seconds / 6))
    process.kill()


def _is_plain(path: bytes, node: Node) -> bool:
    """Return whether it is a file or link by its own name, not a directory or one that is being put into place."""
    return not stat.S_ISDIR(node.mode) and not path.rpartition(b"/")[2].startswith(b".")


def _journal_writer(tree: Path, replica: str, first: int) -> Process:
    program = ROOT / "tests" / "end_to_end" / "programs" / "writing.py"
    return Process([sys.executable, program, tree, replica, str(first)])


def _assert_kept(onlooker: Onlooker, acknowledged: dict[int, bytes]) -> None:
    hashes = onlooker.hashes
    assert {number: hashes.get(number) for number in acknowledged} == acknowledged


def _assert_writers_files(tree: Path, newest: int) -> None:
    """Assert that every file is whole, that pairs agree, and that the newest version is there."""
    contents = {path.name: path.read_bytes() for path in tree.glob("*.yml")}
    assert all(map(is_whole, contents.values()))
    assert version_of(contents["pair-a.yml"]) == version_of(contents["pair-b.yml"])
    assert max(map(version_of, contents.values())) == newest


def _replica_with_a_tree(replica: str, tree: Path) -> str:
    """Publish a tree of some size, so that a restore has instants to be killed at."""
    for number in range(24):
        path = tree / f"d{number % 6}" / f"file-{number}.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(certified(path.name, 1, 8000))
    (tree / "link").symlink_to("d0/file-0.yml")
    with Journal.open(tree, replica, heartbeat_seconds=0) as journal:
        journal.sync(60)
    return replica


def _write_older(old: Path, tree: Path) -> None:
    """Make a directory that differs from *tree* in half of its files."""
    shutil.copytree(tree, old, symlinks=True, ignore=shutil.ignore_patterns(".confstream"))
    for path in sorted(old.rglob("*.yml"))[::2]:
        path.write_bytes(certified(path.name, 0, 6000))
