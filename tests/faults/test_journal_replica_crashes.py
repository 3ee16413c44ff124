"""The journal when its process is killed at every step, and when the disk takes no more.

This file is also the program that does it: ``python <this file> steps|disk|publish …``.
"""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from confstream import durable
from confstream.errors import ConfstreamError, UnavailableError
from confstream.history import History
from confstream.journal.journal import Journal
from tests.journals import PATIENCE_SECONDS, ROOT, files_of

OLD = {"a": b"old a", "b": b"old b", "conf/c": b"old c"}
NEW = {"a": b"new a", "conf/c": b"new c", "new/dir/d": b"new d"}
_CALLS = {
    os: ("fsync", "rename", "unlink", "mkdir", "utime", "write", "ftruncate", "fchmod"),
    durable: ("exchange", "rename_new"),
}


def _open(directory: Path, **options: Any) -> Journal:
    options = {"publish": False, **options}
    return Journal.open(directory / "tree", str(directory / "replica"), heartbeat_seconds=0, author="t", **options)


def _change(journal: Journal) -> None:
    with journal.transaction() as transaction:
        for name, content in NEW.items():
            transaction.write(name, content)
        transaction.delete("b")


def _kill_at(count: int) -> None:
    """Let this process be killed just before its *count*-th call that changes anything on the disk."""
    left = [count]

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return counted

    for module, names in _CALLS.items():
        for name in names:
            setattr(module, name, wrap(getattr(module, name)))


def _one_step(directory: Path, count: int, *, theirs: bool) -> dict[str, Any]:
    """Kill a forked process at its *count*-th step, and return what another start makes of it."""
    child = os.fork()
    if child == 0:
        journal = _open(directory)
        _kill_at(count)
        _change(journal)
        os.write(1, b"")
        os._exit(0)
    killed = os.waitpid(child, 0)[1] != 0
    if theirs:
        (directory / "tree/a").write_bytes(b"theirs")
    journal = _open(directory, capture=False)
    after_redo = files_of(directory / "tree")
    journal.capture()
    found = files_of(directory / "tree")
    recorded = {name: journal.read(name).decode() for name in found}
    pending = [[change.path.decode() for change in entry.changes] for entry in journal.history(newest_first=False)]
    journal.abort()
    return {
        "killed": killed,
        "redone": {name: text.decode() for name, text in after_redo.items()},
        "found": {name: text.decode() for name, text in found.items()},
        "recorded": recorded,
        "pending": pending,
    }


def steps(base: Path, *, theirs: bool) -> None:
    """Kill at every step; print what came of each."""
    with _open(base / "prepared") as journal:
        with journal.transaction() as transaction:
            for name, content in OLD.items():
                transaction.write(name, content)
        journal.abort()
    outcomes = []
    for count in range(1, 500):
        directory = base / "work"
        shutil.copytree(base / "prepared", directory)
        outcomes.append(_one_step(directory, count, theirs=theirs))
        shutil.rmtree(directory)
        if not outcomes[-1]["killed"]:
            break
    print(json.dumps(outcomes))  # noqa: T201 - the answer of this process.


def disk(base: Path) -> None:
    """Let files be no larger than some size for a while, of several sizes; print what came of it."""
    told = []
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    journal = _open(base)
    journal.write("a", b"x" * 30_000)
    for size in (0, 10, 5_000, 25_000, 45_000, 90_000):
        before = files_of(base / "tree")
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            with journal.transaction() as transaction:
                transaction.write("a", os.urandom(20_000) + b"%d" % size)
                transaction.write("new/b", os.urandom(20_000))
            result = "written"
        except UnavailableError:
            result = "refused"
        except ConfstreamError as error:
            result = repr(error)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        same = files_of(base / "tree") == before
        agrees = {name: journal.read(name) for name in files_of(base / "tree")} == files_of(base / "tree")
        told.append([size, result, same, agrees])
    journal.write("a", "at last")
    journal.abort()
    journal = _open(base)
    print(json.dumps([told, journal.read("a").decode(), bool(journal.capture().changes)]))  # noqa: T201 - likewise.
    journal.abort()


def publish(base: Path, first: int) -> None:
    """Write numbers and publish them until killed; say each once it is durable, and once it is on the replica."""
    journal = _open(base, publish=True)
    for number in range(first, first + 10_000):
        journal.write(f"file{number % 3}", b"%d" % number * 50)
        os.write(1, b"written %d\n" % number)
        if number % 7 == 0:
            journal.sync(PATIENCE_SECONDS)
            os.write(1, b"synced %d\n" % number)


def _run(*arguments: str | Path) -> Any:
    finished = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "prepared/tree").mkdir(parents=True)
    (tmp_path / "tree").mkdir()
    return tmp_path


def test_p4_a_transaction_killed_at_any_step_is_there_as_a_whole_or_not_at_all(base: Path) -> None:
    outcomes = _run("steps", base)
    old, new = ({name: text.decode() for name, text in files.items()} for files in (OLD, NEW))

    assert len(outcomes) > 10
    for count, outcome in enumerate(outcomes, 1):
        assert outcome["redone"] in (old, new), f"step {count}"
        assert outcome["found"] == outcome["recorded"], f"step {count}"
    kept = [outcome["redone"] == new for outcome in outcomes]
    assert kept == sorted(kept), "once durable, it stays"
    assert (kept[0], kept[-1]) == (False, True)


def test_p1_what_another_program_wrote_after_the_crash_is_kept_and_recorded(base: Path) -> None:
    outcomes = _run("theirs", base)

    for count, outcome in enumerate(outcomes, 1):
        assert outcome["redone"]["a"] == outcome["found"]["a"] == outcome["recorded"]["a"] == "theirs", f"step {count}"
        rest = {name: text for name, text in outcome["redone"].items() if name != "a"}
        assert rest in ({"b": "old b", "conf/c": "old c"}, {"conf/c": "new c", "new/dir/d": "new d"}), f"step {count}"


@pytest.mark.skipif(sys.platform != "linux", reason="a file size limit kills elsewhere")
def test_p4_a_disk_that_takes_no_more_leaves_nothing_half_written(base: Path) -> None:
    told, last, changed = _run("disk", base)

    for size, result, same, agrees in told:
        assert (result, same) in (("refused", True), ("written", False)), size
        assert agrees, size
    assert told[0][1] == "refused"
    assert "refused" in [result for size, result, _, _ in told if size >= 25_000], "the journal's own file was the one"
    assert (last, changed) == ("at last", False)


def test_p4_a_writer_killed_while_it_publishes_loses_nothing_and_repeats_nothing(base: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    chosen = random.Random(seed)  # noqa: S311 - chances, no secret
    written = synced = 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, __file__, "publish", str(base), str(written + 1)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(chosen.randrange(1, 30))]
            process.kill()
            lines += [line for line in process.stdout if line.endswith(b"\n")]
        for line in lines:
            what, number = line.split()
            written = int(number)
            synced = max(synced, written if what == b"synced" else 0)
        if synced:
            with History.open(str(base / "replica")) as history:
                content = history.read(f"file{synced % 3}")
                assert int(content[: len(content) // 50]) >= synced

    with _open(base, publish=True) as journal:
        journal.sync(PATIENCE_SECONDS)
    with History.open(str(base / "replica")) as history:
        numbers = _numbers(history)
        assert {name: history.read(name) for name in files_of(base / "tree")} == files_of(base / "tree")
    assert numbers == sorted(set(numbers))
    assert numbers[-1] >= written
    assert set(numbers) == set(range(1, numbers[-1] + 1))


def _numbers(history: History) -> list[int]:
    """Return what each revision wrote, in order."""
    found = []
    for entry in history.log(newest_first=False):
        for change in entry.changes:
            content = history.read(change.path, entry.number)
            found.append(int(content[: len(content) // 50]))
    return found


if __name__ == "__main__":
    mode, where = sys.argv[1], Path(sys.argv[2])
    if mode in {"steps", "theirs"}:
        steps(where, theirs=mode == "theirs")
    elif mode == "disk":
        disk(where)
    else:
        publish(where, int(sys.argv[3]))
