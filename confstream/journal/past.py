"""Any state of a journal's tree: from here where that is possible, else from the replica."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from confstream.clock import Clock
from confstream.difference import tree_diff
from confstream.errors import NotFoundError
from confstream.history import At, History, LogEntry
from confstream.journal.contents import ContentCache
from confstream.journal.ledger import Ledger
from confstream.journal.sources import Sources
from confstream.journal.views import Local, pending_entries, state_after
from confstream.journal.writes import tree_path
from confstream.store import Store
from confstream.tree import Kind, Tree


class Past:
    """What a journal's tree is and was. The replica is opened when a question needs it; any thread may ask."""

    def __init__(
        self, root: Path, ledger: Ledger, cache: ContentCache, open_store: Callable[[], Store], clock: Clock
    ) -> None:
        self._ledger = ledger
        self._open_store = open_store
        self._clock = clock
        self._history: History | None = None
        self._opening = threading.Lock()
        self.sources = Sources(root, ledger, cache, self._reader)

    def entries(self, *, path: str | bytes | None, newest_first: bool) -> Iterator[LogEntry]:
        """Yield the revisions, those that only the journal holds included."""
        base, pending = pending_entries(self._ledger)
        waiting = [entry for entry in pending if path is None or entry.touches(path)]
        if newest_first:
            yield from reversed(waiting)
        if base:
            # What is published from now on is among those that wait.
            last = base if pending else None
            yield from self._reader().log(last=last, path=path, newest_first=newest_first)
        if not newest_first:
            yield from waiting

    def read(self, path: str | bytes, at: At) -> bytes:
        """Return the content of *path* at *at*."""
        name = tree_path(path)
        found = self.state(at)
        try:
            entry = found.tree.get(name)
            if entry is None or entry.kind is Kind.DIRECTORY:
                raise NotFoundError(f"{os.fsdecode(name)!r} is no file {'now' if at is None else f'at {at}'}")
            return bytes(entry.target if entry.kind is Kind.SYMLINK else found.content(entry.hash))
        finally:
            found.close()

    def diff(self, old: At, new: At, path: str | bytes | None, *, mask: bool) -> Iterator[str]:
        """Yield one unified diff for each file that differs."""
        wanted = None if path is None else tree_path(path)

        def is_meant(one: bytes) -> bool:
            return wanted is None or one == wanted or one.startswith(wanted + b"/")

        with contextlib.ExitStack() as closing:
            before, after = (closing.enter_context(contextlib.closing(self.state(at))) for at in (old, new))
            yield from tree_diff(before, after, is_meant, mask=mask)

    def state(self, at: At) -> Any:  # noqa: ANN401 - a checkout, or what looks like one
        """Return the tree at *at* with its contents; close it afterwards."""
        if at is None:
            return Local(Tree(self._ledger.current.values()), self.sources.find, "the present state")
        base = self._ledger.base.number
        if isinstance(at, int) and at > base:
            return Local(state_after(self._ledger, at - base), self.sources.find, f"revision {at}")
        found = self._reader().checkout(at)
        return Local(found.tree, found.content, f"revision {found.position.number}", found.close)

    def close(self) -> None:
        """Release the connections, and what was kept of what was published."""
        self.sources.recent.close()
        if self._history is not None:
            self._history.close()

    def _reader(self) -> History:
        with self._opening:
            if self._history is None:
                self._history = History(self._open_store(), self._clock)
            else:
                self._history.refresh()
            return self._history
