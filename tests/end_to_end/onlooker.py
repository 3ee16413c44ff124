"""A replica seen from outside, through the public API: what arrived there, and when."""

from collections.abc import Callable, Iterator
from contextlib import suppress

from confstream import History, LogEntry, NoReplicaError, Tree
from confstream.tree import Op
from tests.histories import State, holds
from tests.processes import PATIENCE_SECONDS, Process
from tests.servers import wait_until


class Onlooker:
    """Looks at the replica at *url*, which need not exist yet. Close it in the end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._history = History.open(url, timeout_seconds=PATIENCE_SECONDS)

    def close(self) -> None:
        """Release the connections."""
        self._history.close()

    @property
    def head(self) -> int:
        """Return the newest revision at this moment, 0 if there is none or no replica."""
        with suppress(NoReplicaError):
            self._history.refresh()
            return self._history.head
        return 0

    @property
    def hashes(self) -> dict[int, bytes]:
        """Return the hash of every revision at this moment, by number."""
        return {entry.number: entry.hash for entry in self.log()} if self.head else {}

    def log(self) -> list[LogEntry]:
        """Return every revision, oldest first."""
        if not self.head:
            return []
        return list(self._history.log(newest_first=False))

    def forks(self) -> list[LogEntry]:
        """Return what fenced writers left."""
        self._history.refresh()
        return self._history.forks()

    def tree(self, number: int | None = None) -> Tree:
        """Return the tree at *number*, or at the newest revision."""
        return self._history.tree(number)

    def read(self, path: str, number: int | None = None) -> bytes:
        """Return a file's content at *number*, or at the newest revision."""
        self._history.refresh()
        return self._history.read(path, number)

    def versions(self, path: str) -> list[bytes]:
        """Return every content that *path* has had, oldest first."""
        wanted = path.encode()
        return [
            self._history.read(path, entry.number)
            for entry in self.log()
            if any(change.op is Op.PUT and change.path == wanted for change in entry.changes)
        ]

    def written(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield revision, path and content of every file that was ever captured."""
        for entry in self.log():
            wanted = {
                change.path: change.entry.hash
                for change in entry.changes
                if change.op is Op.PUT and change.entry is not None and change.entry.kind == "file"
            }
            if not wanted:
                continue
            found = self._history.checkout(entry.number, wanted.__contains__)
            try:
                yield from ((entry.number, path, found.content(digest)) for path, digest in wanted.items())
            finally:
                found.close()

    def wait_for_state(self, state: State, process: Process | None = None, *, seconds: float = PATIENCE_SECONDS) -> int:
        """Return the number of the newest revision once its tree is exactly *state*."""
        return self.wait_for(lambda tree: holds(tree, state), "the tree on the replica", process, seconds=seconds)

    def wait_for_file(self, path: str, content: bytes, process: Process | None = None) -> int:
        """Return the number of the newest revision once *path* has *content* there."""

        def arrived(tree: Tree) -> bool:
            return path.encode() in tree and self._history.read(path) == content

        return self.wait_for(arrived, f"{path} on the replica", process)

    def wait_for(
        self,
        condition: Callable[[Tree], bool],
        what: str,
        process: Process | None = None,
        *,
        seconds: float = PATIENCE_SECONDS,
    ) -> int:
        """Return the number of the newest revision once *condition* holds of its tree."""
        known, seen = {0: condition(Tree())}, [0]

        def reached() -> bool:
            seen.append(self.head)
            if seen[-1] not in known:
                known[seen[-1]] = condition(self._history.tree(seen[-1]))
            return known[seen[-1]]

        if process is None:
            wait_until(reached, seconds, what)
        else:
            process.wait_until(reached, what, seconds=seconds)
        return seen[-1]
