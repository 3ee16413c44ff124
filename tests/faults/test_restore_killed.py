"""A restore that is killed before any change of the disk, and started again (P3).

Run as a program, this file is the one that gets killed: it forks a child for
every point, so that Python starts once.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from confstream.log.reader import LogReader
from confstream.restorer import RestoreOptions, restore
from confstream.store.local import LocalStore
from tests.restoring import Replica, contents, write

TARGET = {"config.yml": b"a: 2\n", "sub/b.yml": b"b: 2\n" * 1000, "sub/link": "b.yml", "empty": None, "last": b"z\n"}
BEFORE: dict[str, dict[str, bytes]] = {
    "missing": {},
    "blank": {"config.yml": b"", "sub/b.yml": b" \n"},
    "force": {"config.yml": b"mine\n", "sub/b.yml": b"mine too\n", "extra": b"e\n"},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "missing": {"if_missing": True},
    "blank": {"if_missing": True, "guards": ("config.yml",)},
    "force": {"force": True, "delete": True, "revision": "2"},
}
STRIDE = {"missing": 3, "blank": 2, "force": 1}
"""How many writes apart the points are: the scenarios share most of them."""

WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.chmod", "os.chown", "os.utime"}


def kill_before_write(number: int) -> None:
    """End this process, as the kernel would for want of memory, right before its write of that *number*."""
    left = [number]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        creates = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        if event in WRITES or creates:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def in_child(work: Callable[[], object]) -> int:
    """Return the status of a child that did *work*: 0, 1 after an error, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(base: Path, scenario: str) -> None:
    """Kill a restore before every write that it does, run it again, and print what came of it."""
    number, replica_url = 0, str(base / "replica")
    before = contents(write(base / "before", BEFORE[scenario]))
    # Imported here once, for all children.
    LogReader(LocalStore(base / "replica")).checkout(2).close()
    import_module("confstream.restorer.engine")
    killed = True
    while killed:
        number += STRIDE[scenario]
        root = write(base / f"{number}", BEFORE[scenario])
        journal = base / f"{number}.journal"

        def record(at: Path, _url: str, _message: str, journal: Path = journal) -> str:
            shutil.copytree(at, journal, ignore=shutil.ignore_patterns(".confstream"), dirs_exist_ok=True)
            return "recorded"

        def run(url: str = replica_url, root: Path = root) -> None:
            restore(url, root, RestoreOptions(**OPTIONS[scenario]), record_before=record)

        def first(run: Callable[[], None] = run, number: int = number) -> None:
            kill_before_write(number)
            run()

        killed = in_child(first) == -signal.SIGKILL
        between = contents(root)
        unfinished = (root / ".confstream" / "restoring").exists()
        # A restore whose switch has begun needs no replica any more.
        reached = str(base / "gone") if unfinished else replica_url

        def second(run: Callable[[str], None] = run, url: str = reached) -> None:
            run(url)

        again = in_child(second)
        row = {
            "killed": killed,
            "unfinished": unfinished,
            "untouched": between == before,
            "complete": between == TARGET | {"sub": None},
            "again": again,
            "done": contents(root) == TARGET | {"sub": None},
            "recorded": journal.exists() and contents(journal) == before,
            "left": [name for name in ("restoring", "staging") if _is_filled(root / ".confstream" / name)],
        }
        print(json.dumps(row))  # noqa: T201 - a program of its own


@pytest.mark.parametrize("scenario", BEFORE)
def test_p3_killed_before_any_write_the_next_run_makes_it_whole(tmp_path: Path, scenario: str) -> None:
    replica = Replica(LocalStore(tmp_path / "replica"))
    replica.publish({"config.yml": b"a: 1\n"})
    replica.publish(TARGET)
    command = [sys.executable, __file__, str(tmp_path), scenario]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) > 10
    assert [row["killed"] for row in rows] == [True] * (len(rows) - 1) + [False]
    assert _where(rows, lambda row: row["done"] and row["again"] == 0) == []
    # P1, P3: the record comes before the marker, the marker before the first change, its end after the last one.
    assert _where(rows, lambda row: row["untouched"] or row["unfinished"] or row["complete"]) == []
    assert any(row["unfinished"] for row in rows)
    assert _where(rows, lambda row: row["recorded"] == (scenario == "force")) == []
    assert _where(rows, lambda row: row["left"] == []) == []


def _is_filled(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _where(rows: list[dict[str, Any]], holds: Callable[[dict[str, Any]], bool]) -> list[int]:
    """Return the points at which *holds* does not."""
    return [number for number, row in enumerate(rows, 1) if not holds(row)]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
