"""What has to be done to turn one tree into another, as a value to print before anything happens.

Pure. The order of a plan is the order of its execution: what is in the way
goes first, deletions last and deepest first, modes of directories at the end.
"""

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Literal

from confstream.tree import Entry, Kind, Tree
from confstream.values import dataclass

Owner = Literal["recorded", "none"] | tuple[int, int]
_FULL = 0o700


class Verb(StrEnum):
    """What an action does to its path."""

    SET_ASIDE = "set-aside"
    DELETE = "delete"
    MKDIR = "mkdir"
    WRITE = "write"
    REPLACE = "replace"
    LINK = "link"
    CHOWN = "chown"
    CHMOD = "chmod"
    RMDIR = "rmdir"


@dataclass(frozen=True, slots=True)
class Action:
    """One step of a checkout; as text, one line for a person.

    *entry* is what the path becomes, and absent where it goes away; *owner*
    the uid and gid to set, if any.
    """

    verb: Verb
    path: bytes
    detail: str = ""
    entry: Entry | None = None
    owner: tuple[int, int] | None = None

    def __str__(self) -> str:
        line = f"{self.verb:<9} {shown(self.path)}"
        return f"{line}  ({self.detail})" if self.detail else line

    @property
    def of_directory(self) -> bool:
        """Return whether the path is a directory afterwards."""
        return self.entry is not None and self.entry.kind is Kind.DIRECTORY


def shown(path: bytes) -> str:
    """Return *path* on one line, whatever bytes it is made of."""
    text = path.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plan_checkout(
    current: Tree,
    target: Tree,
    *,
    keep: Collection[bytes] = (),
    aside: Collection[bytes] = (),
    delete: bool = False,
    owner: Owner = "recorded",
) -> list[Action]:
    """Return what turns *current* into *target*; an empty list if nothing has to be done.

    What is in *keep* stays as it is, and wins over anything of the target that
    would need its place (P1). What is in *aside* is set aside, not replaced.
    Paths that the target lacks stay, unless *delete*. *owner* is whose the
    files become: the recorded owner's; nobody's in particular with ``none``
    (whose process it is, or whose tree it is if that is root); or one uid and
    gid for all.
    """
    planner = _Planner(current, target, frozenset(keep), frozenset(aside), owner)
    for entry in target.values():
        planner.put(entry)
    if delete:
        planner.delete_the_rest()
    planner.open_directories()
    return planner.actions


class _Planner:
    """The parts of a plan while it is made."""

    def __init__(
        self, current: Tree, target: Tree, keep: frozenset[bytes], aside: frozenset[bytes], owner: Owner
    ) -> None:
        self._current = current
        self._target = target
        self._keep = keep
        self._aside = aside
        self._owner = owner
        self._puts: list[Action] = []
        self._metas: list[Action] = []
        self._deletes: list[Action] = []
        self._directories: list[Action] = []
        # Directories of the target whose place something kept has taken.
        self._blocked: set[bytes] = set()
        # Directories that go aside with everything in them.
        self._moved: set[bytes] = set()

    @property
    def actions(self) -> list[Action]:
        """Return the plan in the order of its execution."""
        last = sorted(self._directories, key=lambda action: action.path, reverse=True)
        return [*self._puts, *self._metas, *self._deletes, *last]

    def put(self, entry: Entry) -> None:
        """Plan what makes *entry* true; parents come before what they hold."""
        path, before = entry.path, self._current.get(entry.path)
        if path.rpartition(b"/")[0] in self._blocked:
            self._blocked.add(path)
        elif before is None:
            self._create(entry)
        elif path in self._keep:
            if before.kind is not entry.kind:
                self._blocked.add(path)
        elif before.kind is not entry.kind:
            self._change_kind(before, entry)
        elif before.hash != entry.hash:
            self._change_content(before, entry)
        else:
            self._change_meta(before, entry)

    def delete_the_rest(self) -> None:
        """Plan the end of every path that the target lacks, deepest first."""
        holding = {parent for path in self._keep if path in self._current for parent in _parents(path)}
        for path in sorted(self._current.keys() - self._target.keys() - self._keep - holding, reverse=True):
            if self._moved.isdisjoint(_parents(path)):
                verb = Verb.RMDIR if self._current[path].kind is Kind.DIRECTORY else Verb.DELETE
                self._deletes.append(Action(verb, path))

    def open_directories(self) -> None:
        """Plan the mode of directories that must be opened to be written in, and closed again afterwards."""
        touched = {parent for action in (*self._puts, *self._metas, *self._deletes) for parent in _parents(action.path)}
        planned = {action.path for action in self._directories if action.verb is Verb.CHMOD}
        for path in touched - planned:
            before = self._current.get(path)
            if before is None or before.kind is not Kind.DIRECTORY or before.mode & _FULL == _FULL:
                continue
            wanted = self._target.get(path)
            if path in self._keep or wanted is None or wanted.kind is not Kind.DIRECTORY:
                wanted = before
            detail = f"{wanted.mode:04o} again, if it is still there, after it was opened for writing"
            self._directories.append(Action(Verb.CHMOD, path, detail, wanted))

    def _create(self, entry: Entry, note: str = "") -> None:
        owner = self._owner_of(entry)
        if entry.kind is Kind.DIRECTORY:
            self._puts.append(Action(Verb.MKDIR, entry.path, f"mode {entry.mode:04o}{note}", entry, owner))
        elif entry.kind is Kind.SYMLINK:
            self._puts.append(Action(Verb.LINK, entry.path, f"to {shown(entry.target)}{note}", entry, owner))
        else:
            detail = f"{entry.size} bytes, mode {entry.mode:04o}{note}"
            self._puts.append(Action(Verb.WRITE, entry.path, detail, entry, owner))

    def _change_kind(self, before: Entry, entry: Entry) -> None:
        path = entry.path
        if before.kind is Kind.DIRECTORY:
            if any(kept.startswith(path + b"/") and kept in self._current for kept in self._keep):
                return
            # It may hold files that are no part of the tree: never deleted, only moved (P1).
            self._puts.append(Action(Verb.SET_ASIDE, path, f"a directory where a {entry.kind} has to be"))
            self._moved.add(path)
            self._create(entry)
        elif path in self._aside:
            self._puts.append(Action(Verb.SET_ASIDE, path))
            self._create(entry)
        elif entry.kind is Kind.DIRECTORY:
            self._puts.append(Action(Verb.DELETE, path, f"a {before.kind} where a directory has to be"))
            self._create(entry)
        else:
            self._change_content(before, entry)

    def _change_content(self, before: Entry, entry: Entry) -> None:
        if entry.path in self._aside:
            self._puts.append(Action(Verb.SET_ASIDE, entry.path, f"{before.size} bytes"))
            self._create(entry)
        elif entry.kind is Kind.SYMLINK:
            was = shown(before.target) if before.kind is Kind.SYMLINK else f"a {before.kind}"
            self._create(entry, f", was {was}")
        else:
            was = f"{before.size} bytes" if before.kind is Kind.FILE else f"a {before.kind}"
            detail = f"{entry.size} bytes, was {was}, mode {entry.mode:04o}"
            self._puts.append(Action(Verb.REPLACE, entry.path, detail, entry, self._owner_of(entry)))

    def _change_meta(self, before: Entry, entry: Entry) -> None:
        actions = self._directories if entry.kind is Kind.DIRECTORY else self._metas
        owner = self._owner_of(entry)
        if owner is not None and owner != (before.uid, before.gid):
            detail = f"{owner[0]}:{owner[1]}, was {before.uid}:{before.gid}"
            actions.append(Action(Verb.CHOWN, entry.path, detail, entry, owner))
        if entry.mode != before.mode and entry.kind is not Kind.SYMLINK:
            actions.append(Action(Verb.CHMOD, entry.path, f"{entry.mode:04o}, was {before.mode:04o}", entry))

    def _owner_of(self, entry: Entry) -> tuple[int, int] | None:
        if self._owner == "none":
            return None
        return (entry.uid, entry.gid) if self._owner == "recorded" else self._owner


def _parents(path: bytes) -> Iterable[bytes]:
    parent = path.rpartition(b"/")[0]
    while parent:
        yield parent
        parent = parent.rpartition(b"/")[0]
