"""Where a crash happens: a tree and its replica, and what must be true of them whatever came to be."""

import pickle
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from confstream import History, Journal, NoReplicaError, SystemClock, open_store, scan, verify
from tests.restoring import Files, held, write

PATIENCE_SECONDS = 60.0
COMMON = ("--profile", "none")
REPLICATING = (*COMMON, "--no-guards", "--heartbeat", "0", "--settle", "10ms", "--log-format", "json")

Revisions = dict[int, str]


@dataclass(frozen=True)
class Place:
    """A directory *base* with ``tree`` and ``replica`` in it, which a scenario uses; *notes* are beside it."""

    base: Path
    notes: Path
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def compared(self) -> int:
        """How many revisions were compared with what they were, and verified whole."""
        return self.counts["revisions"]

    @cached_property
    def tree(self) -> Path:
        """The directory that is protected."""
        return self.base / "tree"

    @cached_property
    def replica(self) -> Path:
        """The replica, a local directory."""
        return self.base / "replica"

    def fill(self, files: Files) -> None:
        """Make the tree hold *files*, beside what it holds."""
        write(self.tree, files)

    def command(self, *arguments: str | Path) -> int:
        """Run the command line in this process, and return its exit code."""
        import confstream_cli  # noqa: PLC0415 - installed by the project.

        sys.argv = ["confstream", *map(str, arguments)]
        try:
            confstream_cli.main()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        return 0

    def must(self, *arguments: str | Path) -> None:
        """Run the command line, which must end well."""
        code = self.command(*arguments)
        assert code == 0, f"{' '.join(map(str, arguments))}: exit {code}"

    def replicate(self) -> None:
        """Publish what the tree holds."""
        self.must("replicate", self.tree, self.replica, "--once", *REPLICATING)

    def publish(self) -> None:
        """Publish what the tree holds as one revision, as no process can that waits until files have settled."""
        with Journal.open(self.tree, str(self.replica), heartbeat_seconds=0, guards=False) as journal:
            journal.sync(PATIENCE_SECONDS)

    def note(self, **known: Any) -> None:
        """Write down what is known before anything is killed."""
        self.notes.write_bytes(pickle.dumps({**self.noted, **known}))

    @property
    def noted(self) -> Mapping[str, Any]:
        """What was written down."""
        # Its own, of a moment ago.
        return dict(pickle.loads(self.notes.read_bytes())) if self.notes.exists() else {}  # noqa: S301

    @property
    def files(self) -> dict[str, tuple[bytes | str | None, int]]:
        """What the tree holds, with modes; nothing if it is not there."""
        return held(self.tree) if self.tree.exists() else {}

    @property
    def contents(self) -> dict[str, bytes | str | None]:
        """What the tree holds; what a crash left beside a file and will be swept is no part of it."""
        return {name: value for name, (value, _) in self.files.items() if not _is_temporary(name)}

    def ask(self, question: Callable[[History], Any]) -> Any:
        """Return what *question* finds in the replica."""
        with History.open(str(self.replica), timeout_seconds=PATIENCE_SECONDS) as history:
            history.refresh()
            return question(history)

    @property
    def revisions(self) -> Revisions:
        """The hash of every revision, by number; none if there is no replica."""
        try:
            return dict(self.ask(lambda history: {entry.number: entry.hash.hex() for entry in history.log()}))
        except NoReplicaError:
            return {}

    def ever_held(self, content: bytes) -> bool:
        """Return whether some revision, of the log or a fork, holds a file with *content*."""
        from confstream.tree import content_hash  # noqa: PLC0415 - only here.

        wanted = content_hash(content)

        def look(history: History) -> bool:
            entries = [*history.log(), *history.forks()]
            return any(change.entry and change.entry.hash == wanted for entry in entries for change in entry.changes)

        return bool(self.ask(look))

    def check_history(self) -> None:
        """Assert that nothing published before is lost or another one, and that all of it is whole (P5, P9)."""
        known = self.noted.get("revisions", {})
        found = self.revisions
        assert {number: found.get(number) for number in known} == known, "published revisions are lost or changed"
        self.counts["revisions"] += len(found)
        if found:
            store = open_store(str(self.replica), clock=SystemClock())
            report = verify(store)
            store.close()
            assert report.ok, f"verify: {report}"

    def check_published(self) -> None:
        """Assert that the newest revision is what is on the disk, to the byte, with modes and owners."""
        newest = self.ask(lambda history: history.tree())
        found = scan.load(self.tree).tree
        assert found.matches(newest), f"the disk has {_listed(found)}, the replica {_listed(newest)}"

    def check_metadata(self, revision: str) -> None:
        """Assert that what *revision* holds and the tree has as well is there with mode and owner."""
        wanted = self.ask(lambda history: history.tree(revision))
        found = scan.load(self.tree).tree
        same = [path for path, entry in found.items() if path in wanted and wanted[path].hash == entry.hash]
        differing = [path for path in same if not wanted[path].matches(found[path])]
        assert differing == [], f"the disk has {_listed(found)}, revision {revision} {_listed(wanted)}"

    def check_swept(self) -> None:
        """Assert that no half of anything lies about in the tree, and no restore is unfinished."""
        left = [name for name in self.files if _is_temporary(name)]
        assert left == [], "temporary files were left in the tree"
        unfinished = [name for name in ("restoring", "staging") if (self.tree / ".confstream" / name).exists()]
        assert [name for name in unfinished if name == "restoring"] == [], "a restore is unfinished"
        staging = self.tree / ".confstream" / "staging"
        assert not staging.exists() or not any(staging.iterdir()), "staging was not emptied"


def _is_temporary(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last.startswith(".confstream-") and last.endswith(".tmp")


def _listed(tree: Any) -> list[tuple[bytes, int, str]]:
    return [(path, entry.mode, entry.hash.hex()[:8]) for path, entry in sorted(tree.items())]
