"""What is on the disk where a restore is to go, and what a restore would make of it.

What cannot be read is never taken for absent: it is refused, because nobody
could say what would be lost (P1).
"""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from confstream import checkout, durable, scan
from confstream.checkout import Action, Owner, Verb, plan_checkout
from confstream.errors import ConfstreamError, RefusedError
from confstream.guards import is_blank
from confstream.presence import Presence, is_missing
from confstream.selection import GENERIC, Selection
from confstream.stamp import Stamp, is_as_remembered
from confstream.tree import EMPTY, Entry, Kind, Tree
from confstream.values import dataclass

_BLOCK_BYTES = 1 << 16
_NAMED_MAX = 3
_LEFT_OUT = {scan.DATABASE, scan.COMPANION}


@dataclass(frozen=True, slots=True)
class Scope:
    """One file or subtree, or with ``None`` everything; parents belong to it, so that it has a place."""

    path: bytes | None = None

    def covers(self, path: bytes) -> bool:
        """Return whether *path* is in the scope."""
        return self.path is None or path == self.path or path.startswith(self.path + b"/")

    def leads_through(self, path: bytes) -> bool:
        """Return whether *path* is a directory above the scope."""
        return self.path is not None and self.path.startswith(path + b"/")

    def cut(self, tree: Tree) -> Tree:
        """Return what of *tree* is in the scope, and the directories above it."""
        if self.path is None:
            return tree
        return Tree(entry for path, entry in tree.items() if self.covers(path) or self.leads_through(path))


@dataclass(frozen=True, slots=True)
class Scoped:
    """A selection within a scope."""

    selection: scan.Selection
    scope: Scope

    @property
    def sqlite(self) -> bool:
        """Return whether SQLite databases belong to the selection."""
        return scan.tracks_databases(self.selection)

    def tracks(self, path: bytes, is_dir: bool) -> bool:
        """Return whether *path* belongs to both."""
        inside = self.scope.covers(path) or (is_dir and self.scope.leads_through(path))
        return inside and self.selection.tracks(path, is_dir)


@dataclass(frozen=True, slots=True)
class _Covering:
    """What is tracked, and whatever has a name that the target needs."""

    selection: scan.Selection
    target: Mapping[bytes, Entry]

    def tracks(self, path: bytes, is_dir: bool) -> bool:
        return path in self.target or self.selection.tracks(path, is_dir)


@dataclass(frozen=True, slots=True)
class Ground:
    """The tree as it is: what is tracked, and what lies where the target has something.

    *tracked* is the part that the selection tracks; *filled* are the files and
    links that hold something; *unread* what the system would not tell, with
    its reason.
    """

    tree: Tree
    tracked: Tree
    stamps: Mapping[bytes, Stamp]
    filled: frozenset[bytes]
    unread: Mapping[bytes, str]

    def moved(self, root: Path, paths: Iterable[bytes]) -> bytes | None:
        """Return the first of *paths* that is not as it was when this was looked at."""
        for path, found in scan.stamps(root, paths):
            known = self.stamps.get(path)
            if found is not None if known is None else not is_as_remembered(found, known):
                return path
        return None


def missing_within(root: Path, guards: Sequence[str], selection: scan.Selection | None, scope: Scope) -> Presence:
    """Return whether the configuration is missing, by P2, as far as it is in *scope*."""
    if scope.path is None:
        return is_missing(root, guards, cast("Selection | None", selection))
    inside = [guard for guard in guards if scope.covers(os.fsencode(os.path.normpath(guard)))]
    return is_missing(root, inside, cast("Selection", Scoped(selection or GENERIC, scope)))


def look(root: Path, selection: scan.Selection, target: Tree) -> Ground:
    """Return what is in *root*; a root that is not there holds nothing.

    A database that the selection leaves out is no part of it, unless the
    target has something else in its place.
    """
    filled: set[bytes] = set()

    def take(entry: Entry, content: bytes) -> None:
        if not is_blank(content):
            filled.add(entry.path)

    databases: dict[bytes, Stamp] | None = None if scan.tracks_databases(selection) else {}
    try:
        found = scan.load(root, _Covering(selection, target), on_content=take, databases=databases)
    except scan.RootGoneError:
        return Ground(EMPTY, EMPTY, {}, frozenset(), {})
    filled.update(
        entry.path for entry in found.tree.values() if entry.kind is Kind.SYMLINK and _holds(root, entry.path)
    )
    tracked = Tree(entry for path, entry in found.tree.items() if selection.tracks(path, entry.kind is Kind.DIRECTORY))
    unread = dict(found.unreadable) | dict.fromkeys(found.unstable, "it changed while it was read")
    in_the_way, stamps = {}, dict(found.stamps)
    for path in (path for path, why in found.skipped.items() if path in target and why in _LEFT_OUT):
        try:
            stamp = scan.stamp(root, path)
            if stamp is not None:
                in_the_way[path], stamps[path] = scan.read_entry(root, path, stamp)[0], stamp
        except (OSError, scan.UnstableError):
            unread[path] = "it is a database in use"
    filled.update(in_the_way)
    return Ground(Tree([*found.tree.values(), *in_the_way.values()]), tracked, stamps, frozenset(filled), unread)


@dataclass(frozen=True, slots=True)
class Arrangement:
    """A plan: its *actions*, the tree that they lead to, and what of the target does not come to be."""

    actions: tuple[Action, ...]
    result: Tree
    kept: tuple[bytes, ...]

    @property
    def needed(self) -> frozenset[bytes]:
        """Return the hashes of the contents that are to be written."""
        filled = (action.entry for action in self.actions if action.verb in {Verb.WRITE, Verb.REPLACE})
        return frozenset(entry.hash for entry in filled if entry is not None)

    @property
    def removed(self) -> tuple[bytes, ...]:
        """Return the files that go away."""
        return tuple(action.path for action in self.actions if action.verb is Verb.DELETE)

    def replaced(self, ground: Ground) -> tuple[bytes, ...]:
        """Return the files and links of *ground* that are changed or deleted where they are, not moved."""
        moved = {action.path for action in self.actions if action.verb is Verb.SET_ASIDE}
        return tuple(
            path
            for path in dict.fromkeys(action.path for action in self.actions)
            if path in ground.tree and ground.tree[path].kind is not Kind.DIRECTORY and path not in moved
        )


def arrange(ground: Ground, target: Tree, scope: Scope, *, fill: bool, delete: bool, owner: Owner) -> Arrangement:
    """Return the plan that turns *ground* into *target* within *scope*.

    With *fill*, everything that holds something stays as it is, and nothing is
    deleted (P1, P2). Otherwise what no journal would record is set aside
    instead of replaced. Raise ``RefusedError`` if what cannot be read is concerned.
    """
    current = scope.cut(ground.tree)
    target = scope.cut(target) if any(map(scope.covers, target)) else EMPTY
    _refuse_unread(ground, target, scope, delete=delete and not fill)
    above = {path for path, entry in current.items() if scope.leads_through(path) and entry.kind is Kind.DIRECTORY}
    if fill:
        held = ground.filled & current.keys()
        keep = above | held | {parent for path in held for parent in _parents(path)}
        aside = {path for path, entry in current.items() if entry.kind is not Kind.DIRECTORY and path not in held}
    else:
        keep = above
        aside = {
            path for path, entry in current.items() if path not in ground.tracked or entry.size > scan.FILE_SIZE_MAX
        }
    actions = tuple(plan_checkout(current, target, keep=keep, aside=aside, delete=delete and not fill, owner=owner))
    result = _after(ground.tree, actions)
    left = tuple(
        path
        for path, entry in target.items()
        if entry.kind is not Kind.DIRECTORY and not (path in result and result[path].matches(entry))
    )
    return Arrangement(actions, result, left)


def only_tracked(tree: Tree, selection: scan.Selection) -> Tree:
    """Return what of *tree* the next writer would record."""
    return Tree(entry for path, entry in tree.items() if selection.tracks(path, entry.kind is Kind.DIRECTORY))


def _refuse_unread(ground: Ground, target: Tree, scope: Scope, *, delete: bool) -> None:
    def concerned(path: bytes) -> bool:
        below = any(one.startswith(path + b"/") for one in target)
        return path in target or below or (delete and scope.covers(path))

    named = [f"{os.fsdecode(path)} ({why})" for path, why in sorted(ground.unread.items()) if concerned(path)]
    if named:
        more = f" and {len(named) - _NAMED_MAX} more" if len(named) > _NAMED_MAX else ""
        raise RefusedError(
            f"what is there cannot be told, so it is not replaced: {', '.join(named[:_NAMED_MAX])}{more}; "
            "restore as a user that may read it, or move it away"
        )


def _after(tree: Tree, actions: Iterable[Action]) -> Tree:
    entries = dict(tree)
    for action in actions:
        if action.verb in {Verb.SET_ASIDE, Verb.DELETE, Verb.RMDIR}:
            gone = entries.pop(action.path, None)
            if gone is not None and gone.kind is Kind.DIRECTORY:
                entries = {path: entry for path, entry in entries.items() if not path.startswith(action.path + b"/")}
        elif action.entry is not None and action.verb is not Verb.CHOWN:
            entries[action.path] = action.entry
    return Tree(entries.values())


def _parents(path: bytes) -> Iterable[bytes]:
    parts = path.split(b"/")
    return (b"/".join(parts[:count]) for count in range(1, len(parts)))


def _holds(root: Path, path: bytes) -> bool:
    """Return whether the symlink *path* leads to something that is not blank; in doubt it does."""
    try:
        descriptor = os.open(os.fsencode(root) + b"/" + path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return True
        while block := os.read(descriptor, _BLOCK_BYTES):
            if not is_blank(block):
                return True
    finally:
        os.close(descriptor)
    return False


@contextlib.contextmanager
def ready_root(root: Path) -> Iterator[None]:
    """Have *root* with a state directory, for this restore alone; what was made is gone again after an error."""
    made = not root.exists()
    try:
        with contextlib.ExitStack() as stack:
            try:
                durable.make_directories(root)
                checkout.prepare_state_dir(root)
                stack.enter_context(checkout.exclusive(root))
            except OSError as error:
                raise ConfstreamError(
                    f"{root} cannot be written in: {error.strerror}; nothing was changed. Mount it so that uid "
                    f"{os.geteuid()} may write there, or restore to another directory"
                ) from error
            yield
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                (root / ".confstream").rmdir()
                root.rmdir()
        raise
