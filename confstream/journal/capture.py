"""Disk to draft: what changed in the directory since it was captured last.

Reads only what a stamp says has changed. Never believes an empty directory or
another volume (P10), and never takes an unreadable file for a deleted one (P6).
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from confstream import guards, scan
from confstream.clock import SystemClock
from confstream.codec.fields import PATH_SIZE_MAX
from confstream.journal.databases import Databases
from confstream.journal.look import Look
from confstream.journal.untracked import untracked
from confstream.log.spool import Spool
from confstream.selection import database_of
from confstream.stamp import Stamp, is_as_remembered, remembered
from confstream.tree import Change, Entry, Kind, diff


@dataclass
class Finding:
    """What a look at the directory found.

    *changes* turn the captured state into what is there; *contents* holds what
    they need. *held* says why nothing of it may be recorded. *unstable* files
    were being written and are to be looked at again.
    """

    changes: tuple[Change, ...] = ()
    contents: Spool = field(default_factory=Spool)
    unsettled: tuple[bytes, ...] = ()
    held: str = ""
    unreadable: dict[bytes, str] = field(default_factory=dict)
    unstable: tuple[bytes, ...] = ()
    skipped: dict[bytes, str] = field(default_factory=dict)


class Capture:
    """Looks at one directory, and remembers the stamps of what it has seen.

    Not for several threads at once. With *believe_all* nothing is held back.
    """

    def __init__(
        self,
        root: Path,
        selection: scan.Selection | None,
        *,
        believe_all: bool = False,
        on_content: Callable[[bytes, bytes], None] | None = None,
        size_bytes_max: int = scan.FILE_SIZE_MAX,
    ) -> None:
        self._root = root
        self._selection = selection
        self._believe_all = believe_all
        self._on_content = on_content
        self._size_bytes_max = size_bytes_max
        self._stamps: dict[bytes, Stamp] = {}
        self._device: int | None = None
        # The directory about which it was asked last whether it is tracked, if it is.
        self._tracked = b""
        self._databases = Databases(root, tracked=scan.tracks_databases(selection))
        self.unreadable: dict[bytes, str] = {}
        self.too_large: frozenset[bytes] = frozenset()
        self.skipped: dict[bytes, str] = {}
        self.excluded = 0

    def whole(self, current: Mapping[bytes, Entry], unsettled: Iterable[bytes] = ()) -> Finding:
        """Compare the whole directory with *current*, the state that was captured last."""
        finding = Finding()
        held_hashes = {entry.hash for entry in current.values()}

        def take(entry: Entry, content: bytes) -> None:
            if entry.hash not in held_hashes:
                finding.contents.add(entry.hash, content)
            if self._on_content is not None:
                self._on_content(entry.hash, content)

        known = {path: (self._stamps.get(path, _NEVER), entry) for path, entry in current.items()}
        try:
            found = scan.load(
                self._root,
                self._selection,
                known,
                on_content=take,
                size_bytes_max=self._size_bytes_max,
                databases=self._databases.stamps,
            )
        except (scan.RootGoneError, PermissionError) as error:
            return Finding(held=_no_root(error))
        tree = {path: entry for path, entry in found.tree.items() if len(path) <= PATH_SIZE_MAX}
        found.unreadable.update(dict.fromkeys(found.tree.keys() - tree.keys(), _TOO_LONG))
        self.unreadable, self.skipped = found.unreadable, found.skipped
        self.too_large, self.excluded = found.too_large, found.excluded
        self._databases.found(found.databases)
        finding.unreadable, finding.unstable, finding.skipped = found.unreadable, found.unstable, found.skipped
        finding.held = self._device_changed(found.root) or self._held(current, tree)
        if not finding.held:
            self._stamps = found.stamps
            finding.changes = tuple(diff(current, tree | self._beyond(current, tree.keys())))
            changed = {change.path for change in finding.changes}
            finding.unsettled = tuple(sorted(changed.intersection(unsettled)))
        return finding

    def some(
        self,
        current: Mapping[bytes, Entry],
        paths: Iterable[bytes] | Mapping[bytes, Stamp | None],
        unsettled: Iterable[bytes] = (),
    ) -> Finding:
        """Compare only *paths*; a directory stands for itself, and if it is gone for all that was in it.

        As a mapping, *paths* says which stamp each must have: another one
        means that somebody writes, and the path is left for later. What is in
        *unsettled* is taken as it is, because it never came to rest.
        """
        expected = paths if isinstance(paths, Mapping) else {}
        finding, look = Finding(held=self.check_device()), Look(dict(current), {})
        if finding.held:
            return finding
        try:
            for path in sorted(set(paths)):
                if not self.tracks(path):
                    continue
                if len(path) > PATH_SIZE_MAX:
                    finding.unreadable[path] = self.unreadable[path] = _TOO_LONG
                    continue
                found = self._stamp(path, finding)
                other = path in expected and expected[path] != found and path not in unsettled
                if path in finding.unreadable or other:
                    finding.unstable += () if path in finding.unreadable else (path,)
                    continue
                self._look(path, found, look, finding)
            self._drop_gone_below(paths, look)
        except scan.RootGoneError as error:
            return Finding(held=_no_root(error))
        before = {path: current[path] for path in look.touched if path in current}
        after = {path: look.entries[path] for path in look.touched if path in look.entries}
        finding.changes = tuple(diff(before, after))
        if before.keys() - after.keys():
            finding.held = self._held(current, look.entries)
        if finding.held:
            finding.changes = ()
            return finding
        self._stamps.update(look.stamps)
        for path in before.keys() - after.keys():
            self._stamps.pop(path, None)
        changed = {change.path for change in finding.changes}
        finding.unsettled = tuple(sorted(changed.intersection(unsettled)))
        return finding

    def differing(self, current: Mapping[bytes, Entry]) -> dict[bytes, Stamp | None]:
        """Return what a survey finds other than it was captured, with the stamp that it has now; reads no file.

        None is a path that is gone. Raise ``RootGoneError`` without the directory.
        """
        found = scan.survey(self._root, self._selection)
        self.unreadable = {
            **found.unreadable,
            **{path: why for path, why in self.unreadable.items() if _is_refused_still(path, found.found.get(path))},
        }
        self.too_large, self.excluded = self.too_large & found.found.keys(), found.excluded
        known = self._stamps.get
        differing: dict[bytes, Stamp | None] = {path: one for path, one in found.found.items() if known(path) != one}
        self.skipped = found.skipped | self._databases.drop_from(differing, found.found, self._stamps)
        hidden = tuple(path + b"/" if path else b"" for path in found.unreadable)
        for path in current.keys() - found.found.keys() - self._beyond(current, found.found.keys()).keys():
            if path not in found.unreadable and not path.startswith(hidden):
                differing[path] = None
        return differing

    def untracked(self, current: Mapping[bytes, Entry]) -> tuple[bytes, ...]:
        """Return what of *current* is not tracked any more: by its path, or for it is a SQLite database on the disk."""
        left = dict.fromkeys(untracked(current, self._selection))
        pages = (path for path, entry in current.items() if path not in left and not entry.size % _SECTOR_BYTES)
        # A database consists of whole pages, so most files need no look.
        databases = [path for path in pages if current[path].kind is Kind.FILE and self.leaves_out(path)]
        with_them = [path for path in current if database_of(path) in databases]
        return tuple(sorted({*left, *databases, *with_them}))

    def _beyond(self, current: Mapping[bytes, Entry], found: AbstractSet[bytes]) -> dict[bytes, Entry]:
        """Return what of *current* was not *found* for it is not looked for: nothing is known of it."""
        if current.keys() <= found:
            return {}
        return {path: current[path] for path in untracked(current, self._selection) if path not in found}

    def leaves_out(self, path: bytes) -> bool:
        """Return whether *path*, which was never captured, is to be left out as a SQLite database, or with one.

        Reads no more than the first bytes, so that a busy database keeps nobody waiting.
        """
        return path not in self._stamps and self._databases.leave_out(path)

    def refuses(self, content: bytes) -> bool:
        """Return whether a file with *content* would be left out."""
        return self._databases.refuse(content)

    def check_device(self) -> str:
        """Return why the directory is another one than at the first look, or nothing."""
        try:
            root = scan.stamp_of_root(self._root)
        except (scan.RootGoneError, PermissionError) as error:
            return _no_root(error)
        return self._device_changed(root)

    def wrote(self, change: Change) -> Stamp | None:
        """Remember that this process made *change*, unless something else is there by now; return what is there."""
        found, entry = self.seen(change.path), change.entry
        if found is not None and entry is not None and _is_as_written(found, entry):
            # A time that was given to the nanosecond: no other write leaves the same one.
            precise = found.mtime_ns % _TICK_OF_ANY_CLOCK_NS != 0
            self._stamps[change.path] = found if precise else remembered(found, _CLOCK.now_ns())
        else:
            self._stamps.pop(change.path, None)
        return found

    def forget(self, finding: Finding) -> None:
        """Let what *finding* found differ still: it could not be recorded."""
        for change in finding.changes:
            self._stamps.pop(change.path, None)

    def untouched(self, path: bytes) -> bool:
        """Return whether *path* is as it was when it was captured or written last."""
        try:
            return scan.stamp(self._root, path) == self._stamps.get(path)
        except (OSError, scan.RootGoneError):
            return False

    def is_as_captured(self, path: bytes, found: Stamp | None, *, known: bool) -> bool:
        """Return whether *found* at *path* is what was captured or written last, if it is *known*, by its stamp."""
        stamp = self._stamps.get(path)
        return is_as_remembered(found, stamp) if known and stamp is not None else found is None and not known

    def tracks(self, path: bytes) -> bool:
        """Return whether *path* belongs to the tree."""
        if path.split(b"/")[0] == scan.STATE_NAME:
            return False
        if self._selection is None:
            return True
        for parent in _parents(path):
            if parent == self._tracked:
                break
            if not self._selection.tracks(parent, is_dir=True):
                return False
        self._tracked = path.rpartition(b"/")[0]
        # Whether it is a directory is not known of what is gone; being in the captured state decides then.
        return self._selection.tracks(path, is_dir=self._is_directory(path))

    @property
    def stamps(self) -> Mapping[bytes, Stamp]:
        """Return the stamps of what was captured or written last."""
        return dict(self._stamps)

    def stamp(self, path: bytes) -> Stamp | None:
        """Return what the disk says about *path* now."""
        return scan.stamp(self._root, path)

    def is_there(self, path: bytes) -> bool:
        """Return whether anything that a tree can hold is at *path*."""
        return self.seen(path) is not None

    def seen(self, path: bytes) -> Stamp | None:
        """Return what the disk says about *path* now; None as well where it says nothing."""
        with contextlib.suppress(OSError, scan.RootGoneError):
            return scan.stamp(self._root, path)
        return None

    def _is_directory(self, path: bytes) -> bool:
        return (found := self.seen(path)) is not None and found.kind is Kind.DIRECTORY

    def _stamp(self, path: bytes, finding: Finding) -> Stamp | None:
        try:
            return scan.stamp(self._root, path)
        except OSError as error:
            finding.unreadable[path] = self.unreadable[path] = error.strerror or str(error)
            return None

    def _look(self, path: bytes, found: Stamp | None, look: Look, finding: Finding) -> None:
        if found is None:
            look.drop_below(path)
            look.drop(path)
            return
        for parent in reversed([*takewhile(lambda parent: not look.has_directory(parent), _parents(path))]):
            stamp = scan.stamp(self._root, parent)
            if stamp is None or stamp.kind is not Kind.DIRECTORY:
                return
            look.put(Entry.directory(parent, stamp.mode, uid=stamp.uid, gid=stamp.gid), stamp)
        if self._databases.is_companion(path):
            self._skip(path, scan.COMPANION, look)
        else:
            self._read(path, found, look, finding)

    def _read(self, path: bytes, stamp: Stamp, look: Look, finding: Finding) -> None:
        if self._stamps.get(path) == stamp and path in look.entries:
            return
        now_ns = _CLOCK.now_ns()
        try:
            entry, content = scan.read_entry(
                self._root, path, stamp, self._size_bytes_max, databases=self._databases.tracked
            )
        except scan.DatabaseError:
            self._databases.add(path, stamp)
            self._skip(path, scan.DATABASE, look)
            return
        except scan.UnstableError:
            finding.unstable = (*finding.unstable, path)
            return
        except (OSError, scan.TooLargeError) as error:
            if isinstance(error, scan.TooLargeError):
                self.too_large |= {path}
            if not isinstance(error, FileNotFoundError):
                finding.unreadable[path] = self.unreadable[path] = str(getattr(error, "strerror", None) or error)
            return
        self.unreadable.pop(path, None)
        self.too_large -= {path}
        if entry.kind is not Kind.DIRECTORY and look.has_directory(path):
            look.drop_below(path)
        look.put(entry, remembered(stamp, now_ns))
        if content is not None:
            finding.contents.add(entry.hash, content)
            if self._on_content is not None:
                self._on_content(entry.hash, content)

    def _drop_gone_below(self, paths: Iterable[bytes], look: Look) -> None:
        """Drop what directories among *paths* held and do not hold any more: another one may have taken their place."""
        there = {path for path in paths if look.has_directory(path)}
        if there:
            # What was read a moment ago is there.
            rest = [path for path in look.entries if path not in look.stamps]
            for path in [path for path in rest if any(parent in there for parent in _parents(path))]:
                with contextlib.suppress(OSError):
                    if scan.stamp(self._root, path) is None:
                        look.drop(path)

    def _skip(self, path: bytes, why: str, look: Look) -> None:
        look.drop_below(path)
        look.drop(path)
        self.skipped[path] = why
        self.unreadable.pop(path, None)

    def _held(self, current: Mapping[bytes, Entry], new: Mapping[bytes, Entry]) -> str:
        if self._believe_all:
            return ""
        # A file that turned into a database is not gone.
        kept = {path: entry for path, entry in current.items() if path not in self._databases}
        return guards.held_back(kept, new)

    def _device_changed(self, root: Stamp) -> str:
        if self._device is None:
            self._device = root.dev
        if self._device == root.dev or self._believe_all:
            return ""
        return "another volume is mounted where the directory was; it is left alone until a restart"


_CLOCK = SystemClock()
"""File systems stamp with the machine's own clock: no other can be compared with theirs."""

_TICK_OF_ANY_CLOCK_NS = 100_000

_SECTOR_BYTES = 512

_TOO_LONG = f"the path is too long, at most {PATH_SIZE_MAX} bytes are possible"

_NEVER = Stamp(Kind.FILE, -1, -1, -1, -1, -1, 0, 0, 0)
"""A stamp that no path ever has: whatever it stands for is read anew."""


def _no_root(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return f"the directory cannot be read: {error.strerror}"
    return f"the directory is not there: {error}"


def _is_refused_still(path: bytes, found: Stamp | None) -> bool:
    """Return whether *path*, of which *found* was seen, may be one that was refused when it was read."""
    return found is not None and (found.kind is Kind.FILE or len(path) > PATH_SIZE_MAX)


def _is_as_written(found: Stamp, entry: Entry) -> bool:
    """Return whether *found* is what placing *entry* leaves, as far as that can be told without a read."""
    if found.kind is Kind.DIRECTORY or found.kind is not entry.kind:
        return found.kind is entry.kind
    return (found.size, found.mtime_ns, found.mode) == (entry.size, entry.mtime_ns, entry.mode)


def _parents(path: bytes) -> Iterator[bytes]:
    """Yield the directories above *path*, the nearest first: of thousands, most are never needed."""
    while path := path.rpartition(b"/")[0]:
        yield path
