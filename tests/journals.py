"""Journals for tests: a replica in memory that fails as planned, and answers about what it holds."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from confstream.clock import SystemClock
from confstream.codec.notes import decode_heartbeat
from confstream.history import History
from confstream.journal import journal as journal_module
from confstream.journal.journal import Journal
from confstream.log.intent import Published
from confstream.log.reader import LogReader
from confstream.revision import Heartbeat, Revision
from confstream.store import MeteredStore, Store
from confstream.testing import Fault, FaultyStore, ManualClock, MemoryStore, fail_on
from confstream.verifier import verify
from tests.logs import Scribe, read_all
from tests.servers import wait_until

PATIENCE_SECONDS = 20.0
FOREVER = 1_000_000
ROOT = Path(__file__).resolve().parent.parent


class QuickClock(SystemClock):
    """Real time, but no pause between attempts is long."""

    def wait(self, event: Any, timeout_seconds: float) -> bool:
        return super().wait(event, min(timeout_seconds, 0.02))


@dataclass
class Replica:
    """A replica in memory, as several writers see it: counted, and failing as *plan* says."""

    name: str = "replica"
    plan: list[Fault] = field(default_factory=list)
    is_damaged: bool = False
    """Set by a test that broke it on purpose."""

    def __post_init__(self) -> None:
        self.memory = MemoryStore(self.name)
        faulty = FaultyStore(self.memory)
        # This very list: what a test adds later counts too.
        faulty.plan = self.plan
        self.metered = MeteredStore(faulty)

    @property
    def url(self) -> str:
        return f"memory://{self.name}"

    def store(self) -> Store:
        return self.metered

    def connect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let every journal that is opened from now on find this replica under its URL."""

        def store_of(url: str, **_options: Any) -> Store:
            assert url == self.url
            return self.store()

        monkeypatch.setattr(journal_module, "open_store", store_of)

    @property
    def head(self) -> int:
        return LogReader(self.memory).listing.head

    def revisions(self) -> list[Revision]:
        if not self.head:
            return []
        return [made.revision for made in LogReader(self.memory).revisions()]

    def files(self, number: int | None = None) -> dict[str, bytes]:
        return read_all(self.memory, self.head if number is None else number)

    def beats(self) -> list[Heartbeat]:
        return [
            decode_heartbeat(body, key) for key, body in self.memory.objects.items() if key.startswith("heartbeat/")
        ]

    def verify(self) -> None:
        """Assert that everything there is can be restored."""
        if not self.is_damaged and not LogReader(self.memory).listing.empty:
            report = verify(self.memory)
            assert report.ok, str(report)

    def history(self) -> History:
        return History(self.memory, ManualClock())

    def scribe(self, writer: str = "theirs", **options: Any) -> Scribe:
        """Return another writer, one epoch above everybody else."""
        return Scribe(self.memory, writer=writer, **options)

    def edit(self, files: dict[str, bytes], writer: str = "theirs") -> Published:
        """Let another writer publish a tree of just *files*."""
        return self.scribe(writer).write(files)


class Tracks:
    """A selection by a function of the path."""

    def __init__(self, tracks: Callable[[bytes], bool]) -> None:
        self._tracks = tracks

    def tracks(self, path: bytes, is_dir: bool) -> bool:
        del is_dir
        return self._tracks(path)


Open = Callable[..., Journal]


def opener(monkeypatch: pytest.MonkeyPatch, replica: Replica) -> Open:
    """Return ``Journal.open`` for *replica*, without a heartbeat unless one is asked for."""

    def start(tree: Path, **options: Any) -> Journal:
        replica.connect(monkeypatch)
        return Journal.open(tree, replica.url, **{"heartbeat_seconds": 0, "author": "tester", **options})

    return start


def outage() -> list[Fault]:
    """Return faults that fail whatever is asked of a replica."""
    return [fail_on(operation, times=FOREVER) for operation in ("put", "get", "list", "replace", "delete")]


def sleeping(clock: ManualClock) -> Callable[[], bool]:
    """Return a condition to wait for: somebody sleeps by *clock*."""
    return lambda: clock.sleepers > 0


def files_of(root: Path) -> dict[str, bytes]:
    """Return the files on the disk, the journal's own left out."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.relative_to(root).parts[0] != ".confstream"
    }


def fill(root: Path, count: int = 5) -> None:
    """Write *count* files that are valid."""
    for number in range(count):
        (root / f"{number}.yml").write_text(f"number: {number}\n")


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Return once *condition* holds; fail if it does not come true in time."""
    wait_until(condition, PATIENCE_SECONDS, what)


def run_python(
    program: str, *arguments: str | Path, uid: int | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run *program* as a process of its own, as another user if *uid* is given."""
    more: dict[str, Any] = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        **more,
    )


def outcome(finished: subprocess.CompletedProcess[str]) -> str:
    """Return what a failed test wants to know of a process."""
    return f"exit {finished.returncode}\n{finished.stdout}\n{finished.stderr}"


def numbers(entries: Sequence[Any]) -> list[int]:
    """Return the numbers of history entries."""
    return [entry.number for entry in entries]
