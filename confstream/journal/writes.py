"""Writes of this process into the tree: written ahead, then put into place (P4).

The order: new files beside the old ones, synced; the draft into the ledger,
synced; then renames. A crash before the ledger's sync leaves nothing, but for
directories that were made for new files; one after it is completed when the
journal is opened again.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from confstream import durable, scan
from confstream.codec.fields import LABELS_MAX, PATH_SIZE_MAX, TEXT_SIZE_MAX
from confstream.errors import AccessDeniedError, RefusedError, UnavailableError, UsageError
from confstream.journal.draft import Draft
from confstream.journal.ledger import Ledger
from confstream.journal.swap import Numbers, numbers_at, put, take_away
from confstream.revision import Authorship
from confstream.tree import Change, Entry, Kind, Op, check_path, content_hash

FILE_MODE = 0o644
DIRECTORY_MODE = 0o755
STATE = b".confstream"
_PERMISSIONS = 0o7777
_NOTHING = "nothing was changed"
_RECORDED = "it is recorded, but not all of it is in place; what is on the disk counts"


class Put(NamedTuple):
    """A *content*, hashed once for all who need that, and the mode of its file; None keeps the one it has."""

    content: bytes
    mode: int | None
    hash: bytes


@dataclass
class Batch:
    """What one transaction wants: contents and modes by path, and paths to delete."""

    puts: dict[bytes, Put] = field(default_factory=dict)
    deletes: set[bytes] = field(default_factory=set)

    def put(self, path: str | bytes, content: str | bytes, mode: int | None) -> None:
        """Want the file *path* to hold *content*; text is stored as UTF-8."""
        name = tree_path(path)
        if mode is not None and mode & ~_PERMISSIONS:
            raise UsageError(
                f"{os.fsdecode(name)!r} with mode {mode:o}; only permission bits are possible, such as 640"
            )
        try:
            encoded = content.encode() if isinstance(content, str) else bytes(content)
        except UnicodeEncodeError as error:
            raise UsageError(f"the text for {os.fsdecode(name)!r} has no form in UTF-8; give bytes instead") from error
        if len(encoded) > scan.FILE_SIZE_MAX:
            raise UsageError(
                f"{os.fsdecode(name)!r} with {len(encoded)} bytes; at most {scan.FILE_SIZE_MAX} are possible"
            )
        self.deletes.discard(name)
        self.puts[name] = Put(encoded, mode, content_hash(encoded))

    def delete(self, path: str | bytes) -> None:
        """Want the file *path* to be gone."""
        name = tree_path(path)
        self.puts.pop(name, None)
        self.deletes.add(name)


class Transaction:
    """Several writes that become one revision, or none: nothing happens until the ``with`` block ends well."""

    def __init__(self) -> None:
        self.batch = Batch()
        self.write_id: bytes | None = None

    def write(self, path: str | bytes, content: str | bytes, *, mode: int | None = None) -> None:
        """Set the content of the file *path*; see ``Journal.write``."""
        self.batch.put(path, content, mode)

    def delete(self, path: str | bytes) -> None:
        """Delete the file *path*."""
        self.batch.delete(path)


def tree_path(path: str | bytes | os.PathLike[str]) -> bytes:
    """Return *path* as a path of the tree; ``UsageError`` if it leads out of it or into the state directory."""
    try:
        name = check_path(os.fsencode(path))
    except ValueError as error:
        raise UsageError(f"{error}; give a path relative to the tree, such as config.yml") from error
    if len(name) > PATH_SIZE_MAX:
        raise UsageError(f"{name[:40]!r}… has {len(name)} bytes; at most {PATH_SIZE_MAX} are possible")
    if name.split(b"/")[0] == STATE or any(map(durable.is_temporary, name.split(b"/"))):
        raise UsageError(f"{os.fsdecode(name)!r} is where the journal itself lives")
    return name


def check_authorship(made: Authorship) -> Authorship:
    """Return *made*; ``UsageError`` if no revision can say it, for then it could never be published."""
    for what in (made.source, made.author, made.message, *made.labels.keys(), *made.labels.values()):
        if not isinstance(what, str):
            raise UsageError(f"{what!r} is a {type(what).__name__}; author, message and labels are text")
        if len(what) > TEXT_SIZE_MAX or not _is_unicode(what):
            raise UsageError(
                f"{what[:40]!r}… cannot be recorded; expected at most {TEXT_SIZE_MAX} characters of Unicode"
            )
    # One more is needed where revisions are merged.
    if len(made.labels) >= LABELS_MAX:
        raise UsageError(f"{len(made.labels)} labels; at most {LABELS_MAX - 1} are possible")
    return made


def plan_changes(batch: Batch, current: Mapping[bytes, Entry], now_ns: int) -> list[Change]:
    """Return the changes that *batch* makes to *current*, parents of new files included, ordered by path.

    What would change nothing is left out. Raise ``UsageError`` for a delete of
    what is not there, or a file where a directory is.
    """
    changes: dict[bytes, Change] = {}
    uid, gid = os.geteuid(), os.getegid()
    for path in batch.deletes:
        if path not in current:
            raise UsageError(f"{os.fsdecode(path)!r} cannot be deleted: the tree has no such file")
        if current[path].kind is Kind.DIRECTORY:
            raise UsageError(f"{os.fsdecode(path)!r} is a directory; delete the files in it")
        changes[path] = Change(Op.DELETE, path)
    for path, (content, mode, digest) in batch.puts.items():
        before = current.get(path)
        if before is not None and before.kind is Kind.DIRECTORY:
            raise UsageError(f"{os.fsdecode(path)!r} is a directory; it cannot be written")
        kept = before if before is not None and before.kind is Kind.FILE else None
        bits = mode if mode is not None else kept.mode if kept else FILE_MODE
        owner = (kept.uid, kept.gid) if kept else (uid, gid)
        entry = Entry(path, Kind.FILE, bits, *owner, now_ns, len(content), digest)
        if kept is None or not kept.matches(entry):
            changes[path] = Change.put(entry)
        parts = path.split(b"/")
        for parent in (b"/".join(parts[:count]) for count in range(1, len(parts))):
            there = current.get(parent)
            if there is None:
                changes[parent] = Change.put(Entry.directory(parent, DIRECTORY_MODE, uid=uid, gid=gid))
            elif there.kind is not Kind.DIRECTORY:
                raise UsageError(f"{os.fsdecode(path)!r} cannot be written: {os.fsdecode(parent)!r} is a {there.kind}")
    return [changes[path] for path in sorted(changes)]


class Placer:
    """Puts written-ahead changes into the tree, in the order in which they were recorded.

    Threads that write different files do so at once; for one file the draft
    that was recorded last wins, whoever is faster. *writer* is the journal's
    id, by which its own leftovers are known.
    """

    def __init__(self, root: Path, writer: str) -> None:
        self._root = root
        self._writer = writer
        self._placed: dict[bytes, int] = {}
        self._left: dict[bytes, Numbers | None] = {}
        self._busy = 0
        self._idle = threading.Condition()
        # Never held while the disk is waited for: paths that share one would wait for each other's.
        self._locks = [threading.Lock() for _ in range(64)]

    @contextlib.contextmanager
    def placing(self) -> Iterator[None]:
        """Hold off ``quiet`` while a draft is recorded and its files are not in place yet."""
        with self._idle:
            self._busy += 1
        try:
            yield
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Wait until no draft is between the ledger and the disk, and keep it so."""
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0)
            yield

    @contextlib.contextmanager
    def prepared(self, changes: Sequence[Change], contents: Mapping[bytes, bytes]) -> Iterator[dict[bytes, bytes]]:
        """Write the new files of *changes* beside their places, synced; yield their names by path.

        A full disk or a missing permission shows here, where nothing has
        happened yet. What is not placed is removed.
        """
        temporary: dict[bytes, bytes] = {}
        try:
            with self._translated(_NOTHING), durable.opened_root(self._root) as root:
                for change in changes:
                    entry = change.entry
                    if entry is None:
                        continue
                    if entry.kind is Kind.DIRECTORY:
                        _make_directory(root, entry)
                        continue
                    name = durable.temporary_name(self._writer)
                    with durable.opened_parent(root, change.path) as (parent, _):
                        temporary[change.path] = name
                        # Synced with its time: by that, a restart after a power loss tells it from what others wrote.
                        content, owner = contents[entry.hash], _owner(entry)
                        durable.create(parent, name, content, entry.mode, owner, mtime_ns=entry.mtime_ns)
            yield temporary
        finally:
            self._sweep(temporary)

    def place(
        self,
        changes: Sequence[Change],
        temporary: dict[bytes, bytes],
        order: int,
        before: Mapping[bytes, tuple[int, ...] | None],
    ) -> None:
        """Rename the prepared files into place and delete what is to go, durably.

        *order* is the draft's place in the ledger: what a later draft put
        there already stays. So does what somebody wrote since *before* was
        seen there, as if it had been written right after (P1). An error leaves
        some of it undone.
        """
        files = sorted(
            (one for one in changes if one.entry is None or one.entry.kind is not Kind.DIRECTORY), key=_directory_of
        )
        with self._translated(_RECORDED), durable.opened_root(self._root) as root:
            for directory, group in groupby(files, _directory_of):
                with durable.opened(root, directory) as parent:
                    replaced: list[bytes] = []
                    try:
                        placed = [
                            change.path
                            for change in group
                            if self._place_one(
                                parent, change.path, temporary, order, before.get(change.path), replaced=replaced
                            )
                        ]
                    finally:
                        for name in replaced:
                            os.unlink(name, dir_fd=parent)
                        # Also where a later draft came first: it may not have synced yet what it put there.
                        durable.sync_directory(parent)
                    for path in placed:
                        temporary.pop(path, None)

    def _place_one(
        self,
        parent: int,
        path: bytes,
        temporary: Mapping[bytes, bytes],
        order: int,
        before: tuple[int, ...] | None,
        *,
        replaced: list[bytes],
    ) -> bool:
        """Put *path* into place; return whether that was done, with the names that are to go in *replaced*."""
        name = path.rpartition(b"/")[2]
        with self._locks[hash(path) % 64]:
            if self._placed.get(path, -1) > order:
                return False
            # What another draft of this process left there since is no news either.
            expected = {before and before[:3], self._left.get(path, before and before[:3])}
            new = temporary.get(path)
            if new is None:
                aside = durable.temporary_name(self._writer)
                done = take_away(parent, name, expected, aside, replaced.append)
            else:
                done = put(parent, name, new, expected, replaced.append)
            if done:
                self._left[path] = numbers_at(parent, name)
            self._placed[path] = order
            return done

    def _sweep(self, temporary: Mapping[bytes, bytes]) -> None:
        if not temporary:
            return
        with contextlib.suppress(OSError), durable.opened_root(self._root) as root:
            for path, name in temporary.items():
                with contextlib.suppress(OSError), durable.opened_parent(root, path) as (parent, _):
                    os.unlink(name, dir_fd=parent)

    @contextlib.contextmanager
    def _translated(self, outcome: str) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise AccessDeniedError(f"{self._root}: {error}; {outcome}") from error
        except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
            raise RefusedError(f"{self._root}: {error}; something else is in the way, {outcome}") from error
        except OSError as error:
            raise UnavailableError(f"{self._root}: {error.strerror or error}; {outcome}") from error


def redo(root: Path, ledger: Ledger) -> list[bytes]:
    """Complete what a crash interrupted: put the files of written-ahead drafts into place; return their paths.

    Only where the file is still what it was when the draft was made, or one
    of the drafts' own contents: else somebody changed it since, and the disk
    wins (P1). What was recorded after the drafts wins as well.
    """
    intents, current = ledger.intents, ledger.current
    chains: dict[bytes, list[tuple[Draft, Change]]] = {}
    for draft in intents:
        for change in draft.changes:
            chains.setdefault(change.path, []).append((draft, change))
    done = []
    try:
        with durable.opened_root(root) as descriptor:
            for path, chain in sorted(chains.items()):
                if _is_current(chain[-1][1], current.get(path)) and _redo_one(root, descriptor, path, chain, ledger):
                    done.append(path)
    except OSError as error:
        # What is on the disk must not be taken for news while some of it is older than what is recorded.
        raise UnavailableError(
            f"{root}: writes that a crash interrupted cannot be put into place: {error}. They are safe in the journal, "
            "which completes them when it is opened again: mend that, and open it"
        ) from error
    for draft in intents:
        ledger.applied(draft.write_id)
    return done


def _redo_one(root: Path, descriptor: int, path: bytes, chain: Sequence[tuple[Draft, Change]], ledger: Ledger) -> bool:
    final = chain[-1][1]
    if final.entry is not None and final.entry.kind is Kind.DIRECTORY:
        with contextlib.suppress(OSError):
            _make_directory(descriptor, final.entry)
        return False
    found = scan.stamp(root, path)
    untouched = numbers_of(found) == chain[0][0].before.get(path)
    if not untouched and not _is_one_of(root, path, found, [change for _, change in chain]):
        return False
    entry = final.entry
    with durable.opened_parent(descriptor, path, listable=True) as (parent, name):
        if entry is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=parent)
            durable.sync_directory(parent)
            return True
        content = ledger.content(entry.hash)
        if content is None:
            return False
        maker = ledger.writer
        durable.replace(parent, name, content, entry.mode, _owner(entry), mtime_ns=entry.mtime_ns, maker=maker)
    return True


def _is_current(change: Change, entry: Entry | None) -> bool:
    return entry is change.entry or (entry is not None and change.entry is not None and entry.matches(change.entry))


def numbers_of(found: scan.Stamp | None) -> tuple[int, ...] | None:
    """Return what tells whether the path of which *found* was seen is touched later, as numbers the ledger can keep."""
    return None if found is None else (found.ino, found.size, found.mtime_ns, found.ctime_ns)


def _is_one_of(root: Path, path: bytes, found: scan.Stamp | None, changes: Sequence[Change]) -> bool:
    if found is None:
        return any(change.op is Op.DELETE for change in changes[:-1])
    try:
        entry, _ = scan.read_entry(root, path, found)
    except (OSError, scan.UnstableError):
        return False
    return any(change.entry is not None and change.entry.hash == entry.hash for change in changes)


def _make_directory(root: int, entry: Entry) -> None:
    opened = durable.opened_parent(root, entry.path, listable=True)
    with opened as (parent, name), contextlib.suppress(FileExistsError):
        os.mkdir(name, entry.mode, dir_fd=parent)
        with durable.opened(parent, name) as made:
            # What was recorded is what is there, whatever the umask is.
            os.fchmod(made, entry.mode)
            durable.sync_directory(made)
        durable.sync_directory(parent)


def _directory_of(change: Change) -> bytes:
    return change.path.rpartition(b"/")[0]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _owner(entry: Entry) -> tuple[int, int] | None:
    return (entry.uid, entry.gid) if os.geteuid() == 0 else None
