"""What a look at some paths makes of the captured state, before anybody believes it."""

from dataclasses import dataclass, field

from confstream.stamp import Stamp
from confstream.tree import Entry, Kind


@dataclass
class Look:
    """The captured state with what a look at some paths changed in it."""

    entries: dict[bytes, Entry]
    stamps: dict[bytes, Stamp]
    touched: set[bytes] = field(default_factory=set)

    def has_directory(self, path: bytes) -> bool:
        """Return whether *path* is a directory; those above it are, too."""
        entry = self.entries.get(path)
        return entry is not None and entry.kind is Kind.DIRECTORY

    def put(self, entry: Entry, stamp: Stamp) -> None:
        """Have *entry*, which has *stamp*."""
        self.entries[entry.path] = entry
        self.stamps[entry.path] = stamp
        self.touched.add(entry.path)

    def drop(self, path: bytes) -> None:
        """Have nothing at *path*."""
        if self.entries.pop(path, None) is not None:
            self.touched.add(path)

    def drop_below(self, path: bytes) -> None:
        """Have nothing below *path*."""
        for below in [one for one in self.entries if one.startswith(path + b"/")]:
            self.drop(below)
