"""What a journal knows, in memory: how each record of the log changes it, live and when it is replayed.

No I/O. One method per kind of record, used both ways, so that what comes back
after a crash is what was there before it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from confstream.codec.fields import Reader, checked, pack
from confstream.errors import IntegrityError
from confstream.journal.draft import Draft, State, decode_draft, fenced_by_from, position_fields, position_from
from confstream.revision import Position
from confstream.tree import Change, Entry, Kind, Op, Tree

Undo = dict[bytes, Entry | None]
"""The entries that a draft replaced, by path; None for a path that was absent."""


class Record(IntEnum):
    """The kinds of records in a journal's log."""

    CONTENT = 1
    DRAFT = 2
    APPLIED = 3
    CONFIRMED = 4
    FORKED = 5
    FENCED = 6
    UNFENCED = 7
    NOTE = 8
    INTENT = 9
    """A draft that is no longer pending, but not applied to the files yet."""


class Book:
    """The state of a journal with its drafts.

    *pending* are the drafts that the replica does not hold, oldest first;
    *intents* those whose files may not be written yet, pending or not.
    *current* is the tree as captured last: *settled* after every pending draft.
    """

    def __init__(self, state: State) -> None:
        self.writer = state.writer
        self.stream = state.stream
        self.base = state.base
        self.fenced = state.fenced
        self.notes = dict(state.notes)
        self.pending: list[Draft] = []
        self.intents: dict[bytes, Draft] = {}
        self.settled: dict[bytes, Entry] = dict(state.settled)
        self.current: dict[bytes, Entry] = dict(state.settled)
        self._current_view: Mapping[bytes, Entry] | None = None
        # None says that it equals the settled tree, which is built when somebody asks.
        self._base_tree: Tree | None = state.base_tree
        self._settled_tree: Tree | None = None

    def current_view(self) -> Mapping[bytes, Entry]:
        """Return *current* as it is now and stays: a write looks several times, and one copy does for all of them."""
        if self._current_view is None:
            self._current_view = MappingProxyType(dict(self.current))
        return self._current_view

    @property
    def base_tree(self) -> Tree:
        """The tree at *base*."""
        return self.settled_tree if self._base_tree is None else self._base_tree

    @property
    def settled_tree(self) -> Tree:
        """The settled tree as a value."""
        if self._settled_tree is None:
            self._settled_tree = Tree(self.settled.values())
        return self._settled_tree

    def state(self, generation: int, log_size: int, saved_ns: int) -> State:
        """Return all but the drafts, as a value."""
        return State(
            writer=self.writer,
            generation=generation,
            log_size=log_size,
            saved_ns=saved_ns,
            stream=self.stream,
            base=self.base,
            base_tree=self.base_tree,
            settled=self.settled_tree,
            fenced=self.fenced,
            notes=dict(self.notes),
        )

    def record(self, draft: Draft) -> Undo:
        """Add *draft* to the pending ones; raise ``ValueError``, and change nothing, if it does not fit *current*."""
        self._current_view = None
        undo = _change(self.current, draft.changes)
        try:
            _check_shape(self.current, undo)
        except ValueError:
            _restore(self.current, undo)
            raise
        self.pending.append(draft)
        if draft.intent:
            self.intents[draft.write_id] = draft
        return undo

    def retract(self, draft: Draft, undo: Undo) -> None:
        """Take back *draft*, the newest one."""
        self.pending.pop()
        if draft.intent and self.intents.get(draft.write_id) is draft:
            del self.intents[draft.write_id]
        self._current_view = None
        _restore(self.current, undo)

    def applied(self, write_id: bytes) -> Draft | None:
        """Note that the files of an intent are written; return it, or None if it is not known as one."""
        return self.intents.pop(write_id, None)

    def confirmed(self, write_id: bytes, position: Position) -> list[Draft]:
        """Take the drafts up to *write_id* from the pending ones: the log holds their outcome at *position*."""
        done = self._settle(write_id)
        self.base = position
        # Whatever others published before: a published revision is our whole tree, so the log's head is it now.
        self._base_tree = None
        return done

    def forked(self, write_id: bytes) -> list[Draft]:
        """Take the drafts up to *write_id* from the pending ones, though the log does not hold them."""
        self._base_tree = self.base_tree
        return self._settle(write_id)

    def rebase(self, position: Position, tree: Tree, *, captured: bool) -> None:
        """Take *tree* at *position* for the head of the log, and for the captured tree too if *captured*."""
        if captured and self.pending:
            raise ValueError(f"{len(self.pending)} drafts are pending, so the captured tree cannot be replaced")
        self.base, self._base_tree = position, tree
        if captured:
            self._current_view = None
            self.settled, self.current, self._settled_tree = dict(tree), dict(tree), tree

    def replay(self, kind: int, payload: bytes, key: str) -> None:
        """Do again what a record says; raise ``IntegrityError`` that names *key* if it makes no sense here."""
        try:
            self._replay(kind, payload, key)
        except (ValueError, TypeError) as error:
            raise IntegrityError(f"{key}: {error}") from error

    def note(self, name: str, text: str | None) -> None:
        """Set the note *name*, or remove it if *text* is None."""
        if text is None:
            self.notes.pop(name, None)
        else:
            self.notes[name] = text

    def _replay(self, kind: int, payload: bytes, key: str) -> None:
        match kind:
            case Record.DRAFT:
                self.record(decode_draft(payload, key))
            case Record.INTENT:
                draft = decode_draft(payload, key)
                self.intents[draft.write_id] = draft
            case Record.APPLIED:
                self.applied(payload)
            case Record.CONFIRMED:
                write_id, *position = _fields(payload, key)
                self.confirmed(write_id, position_from(position))
            case Record.FORKED:
                self.forked(payload)
            case Record.FENCED:
                self.fenced = fenced_by_from(_fields(payload, key))
            case Record.UNFENCED:
                self.fenced = None
            case Record.NOTE:
                name, text = _fields(payload, key)
                self.note(checked(name, str, "name"), text if text is None else checked(text, str, "note"))
            case _:
                raise ValueError(f"a record of kind {kind}, which this confstream does not know; use a newer one")

    def _settle(self, write_id: bytes) -> list[Draft]:
        for count, draft in enumerate(self.pending, 1):
            if draft.write_id == write_id:
                done, self.pending = self.pending[:count], self.pending[count:]
                for each in done:
                    _change(self.settled, each.changes)
                self._settled_tree = None
                return done
        raise ValueError(f"no pending draft has the write id {write_id.hex()}")


def confirmed_payload(write_id: bytes, position: Position) -> bytes:
    """Return the payload of a ``CONFIRMED`` record."""
    return pack((write_id, *position_fields(position)))


def changed(tree: dict[bytes, Entry], drafts: Iterable[Draft]) -> dict[bytes, Entry]:
    """Return *tree* after *drafts*."""
    entries = dict(tree)
    for draft in drafts:
        _change(entries, draft.changes)
    return entries


def _fields(payload: bytes, key: str) -> Any:  # noqa: ANN401
    reader = Reader(payload, key)
    fields = reader.value()
    reader.end()
    return fields


def _change(entries: dict[bytes, Entry], changes: Iterable[Change]) -> Undo:
    undo: Undo = {}
    try:
        for change in changes:
            old = entries.get(change.path)
            undo.setdefault(change.path, old)
            if change.entry is not None:
                entries[change.path] = change.entry
            elif old is None:
                raise ValueError(f"a {change.op} of {change.path!r}, which is not there")  # noqa: TRY301
            elif change.meta is not None:
                meta = change.meta
                entries[change.path] = replace(old, mode=meta.mode, uid=meta.uid, gid=meta.gid)
            else:
                del entries[change.path]
    except ValueError:
        _restore(entries, undo)
        raise
    return undo


def _restore(entries: dict[bytes, Entry], undo: Undo) -> None:
    for path, entry in undo.items():
        if entry is None:
            entries.pop(path, None)
        else:
            entries[path] = entry


def _check_shape(entries: dict[bytes, Entry], touched: Undo) -> None:
    """Raise ``ValueError`` unless every touched entry is in a directory, and none lost the directory that it is in."""
    gone = []
    for path, old in touched.items():
        entry = entries.get(path)
        parent, slash, _ = path.rpartition(b"/")
        if entry is not None and slash and (parent not in entries or entries[parent].kind is not Kind.DIRECTORY):
            raise ValueError(f"a {Op.PUT} of {path!r} in {parent!r}, which is not a directory of the tree")
        if old is not None and old.kind is Kind.DIRECTORY and (entry is None or entry.kind is not Kind.DIRECTORY):
            gone.append(path + b"/")
    # Looked at only when a directory goes: to check the whole tree at every write would cost what the write costs.
    for path in entries if gone else ():
        if path.startswith(tuple(gone)):
            raise ValueError(f"{path!r} would be in a directory that is there no more")
