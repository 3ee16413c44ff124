"""The SQLite databases in a directory, which a selection may leave out: told by their first bytes, never by name.

Another program replicates those, and a copy made while they are written is
worth nothing. What goes with one (``-wal``, ``-shm``, ``-journal``) is left
out with it.
"""

from collections.abc import Container, Mapping
from pathlib import Path

from confstream import scan
from confstream.clock import SystemClock
from confstream.selection import database_of, is_sqlite
from confstream.stamp import Stamp, remembered
from confstream.tree import Kind

_CLOCK = SystemClock()
"""File systems stamp with the machine's own clock: no other can be compared with theirs."""

_NEVER = Stamp(Kind.FILE, -1, -1, -1, -1, -1, 0, 0, 0)
"""A stamp that no path ever has."""


class Databases:
    """The databases that were found in *root*, by path. If they are *tracked*, nothing is one. For one thread."""

    def __init__(self, root: Path, *, tracked: bool) -> None:
        self.tracked = tracked
        self._root = root
        self._stamps: dict[bytes, Stamp] = {}

    def __contains__(self, path: object) -> bool:
        return path in self._stamps

    @property
    def stamps(self) -> Mapping[bytes, Stamp] | None:
        """Return what a load needs to leave them out, ``None`` if it is to read them."""
        return None if self.tracked else self._stamps

    def found(self, stamps: Mapping[bytes, Stamp]) -> None:
        """Take what a load left out for all that there is."""
        self._stamps = dict(stamps)

    def add(self, path: bytes, stamp: Stamp) -> None:
        """Take *path*, which has *stamp*, for a database."""
        self._stamps[path] = remembered(stamp, _CLOCK.now_ns())

    def refuse(self, content: bytes) -> bool:
        """Return whether a file with *content* would be left out."""
        return not self.tracked and is_sqlite(content)

    def leave_out(self, path: bytes) -> bool:
        """Return whether *path* is one at this moment, or goes with one; reads no more than the first bytes."""
        return not self.tracked and (self._look(path) or self.is_companion(path))

    def is_companion(self, path: bytes) -> bool:
        """Return whether *path* goes with what is a database at this moment."""
        database = None if self.tracked else database_of(path)
        return database is not None and self._look(database)

    def drop_from(
        self, differing: dict[bytes, Stamp | None], found: Mapping[bytes, Stamp], captured: Container[bytes]
    ) -> dict[bytes, str]:
        """Take what was never *captured* and is to be left out from *differing*; return it, each with what it is.

        What was captured once is for the next capture, which takes it out of the tree.
        """
        if self.tracked:
            return {}
        new = [path for path in differing if path in found and path not in captured and found[path].kind is Kind.FILE]
        before, self._stamps = self._stamps, {}
        for path in new:
            if before.get(path) == found[path] or scan.holds_database(self._root, path):
                self.add(path, found[path])
        left_out = dict.fromkeys(self._stamps, scan.DATABASE)
        left_out |= dict.fromkeys((path for path in new if database_of(path) in self._stamps), scan.COMPANION)
        for path in left_out:
            del differing[path]
        return left_out

    def _look(self, path: bytes) -> bool:
        if not scan.holds_database(self._root, path):
            self._stamps.pop(path, None)
            return False
        self._stamps.setdefault(path, _NEVER)
        return True
