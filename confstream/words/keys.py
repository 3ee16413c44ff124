"""How one document became another, key path by key path.

Elements of a list are told apart by what identifies them (``id``, ``name``,
``path`` …) where all of them have it, so that an inserted one is one addition and
not a shift of everything behind it; else by their place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from confstream.secrecy import is_secret_key
from confstream.words.document import DEPTH_MAX, Leaf, Node, Row, Table
from confstream.words.values import key_label, name_label

_Part = str | int
_Placed = list[tuple[_Part, Node]]
_IDENTITIES = (
    *(("id",), ("unique_id",), ("entity_id",), ("uuid",), ("uid",), ("ieee_address",), ("ieeeAddr",)),
    *(("name",), ("alias",), ("path",), ("url",), ("platform", "name"), ("kind", "metadata.name")),
)
"""What tells the elements of a list apart, the best first; a dot leads into a table."""

_NAMES = ("alias", "name", "friendly_name", "title")
"""What people call an element that a number identifies."""

_NAMING = frozenset(["name", "key", "id"])
_NAMED = frozenset(["value", "default", "content", "text"])


class Step(Enum):
    """What happened to a key path."""

    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"
    RENAMED = "renamed"
    REORDERED = "reordered"
    RETAGGED = "retagged"


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One change: at *label*, from *old* to *new*; a renamed part has its *former* label.

    *key* is the last key, which may say what kind of value it is. Of a *secret* no value is shown.
    """

    step: Step
    label: str
    key: str = ""
    old: Node | None = None
    new: Node | None = None
    former: str = ""
    secret: bool = False


def changes(old: Node, new: Node, secret_keys: Sequence[str] = (), limit: int = 20) -> tuple[list[KeyChange], int]:
    """Return the first *limit* changes that made *new* of *old*, in *new*'s order, and how many there are more.

    *secret_keys* are key paths whose values are secret besides those that look so, joined by dots; ``*`` is any key.
    """
    walk = _Walk([tuple(pattern.split(".")) for pattern in secret_keys], limit)
    if any(isinstance(side, Row) and side.documents for side in (old, new)):
        walk.rows(_documents(old), _documents(new), _Place("document"), 0)
    else:
        walk.nodes(old, new, _Place(), 0)
    return walk.found, walk.more


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a document: as it is shown, and its keys as patterns of secrets name them."""

    label: str = ""
    keys: tuple[str, ...] = ()
    key: str = ""
    secret: bool = False


class _Walk:
    def __init__(self, patterns: list[tuple[str, ...]], limit: int) -> None:
        self._patterns = patterns
        self._limit = limit
        self.found: list[KeyChange] = []
        self.more = 0

    def nodes(self, old: Node, new: Node, place: _Place, depth: int) -> None:
        """Find how *old* became *new* at *place*."""
        if old.mark == new.mark:
            return
        whole = isinstance(old, Leaf) or type(old) is not type(new) or place.secret or depth > DEPTH_MAX
        if whole and not (isinstance(old, Leaf) and isinstance(new, Leaf) and _same_but_note(old, new)):
            self._add(KeyChange(Step.CHANGED, place.label, place.key, old, new, secret=place.secret))
            return
        if old.note != new.note:
            self._add(KeyChange(Step.RETAGGED, place.label))
        if isinstance(old, Table) and isinstance(new, Table):
            self._tables(old, new, place, depth)
        elif isinstance(old, Row) and isinstance(new, Row):
            self.rows(old, new, place, depth)

    def _add(self, change: KeyChange) -> None:
        if len(self.found) < self._limit:
            self.found.append(change)
        else:
            self.more += 1

    def _whole(self, step: Step, place: _Place, node: Node) -> None:
        """Add that *node* came or went as a whole; what only leads to one value is named with it."""
        while isinstance(node, Table) and len(node.entries) == 1 and not node.note and not place.secret:
            ((key, below),) = node.entries.items()
            place, node = self._below(place, key, node), below
        old, new = (node, None) if step is Step.REMOVED else (None, node)
        self._add(KeyChange(step, place.label, place.key, old, new, secret=place.secret))

    def _tables(self, old: Table, new: Table, place: _Place, depth: int) -> None:
        before, after = old.entries, new.entries
        # A part that has its content and another name was renamed; small ones look alike by chance.
        gone = {node.mark: key for key, node in before.items() if key not in after and node.count > 1}
        moved = set()
        for key, node in after.items():
            was = before.get(key)
            if was is not None and was.mark == node.mark:
                continue
            here = self._below(place, key, new)
            if was is not None:
                there = self._below(place, key, old)
                self.nodes(was, node, replace(here, secret=here.secret or there.secret), depth + 1)
            elif (former := gone.pop(node.mark, None)) is not None:
                moved.add(former)
                self._add(KeyChange(Step.RENAMED, here.label, former=self._below(place, former, old).label))
            else:
                self._whole(Step.ADDED, here, node)
        for key, node in before.items():
            if key not in after and key not in moved:
                self._whole(Step.REMOVED, self._below(place, key, old), node)

    def rows(self, old: Row, new: Row, place: _Place, depth: int) -> None:
        """Find how the list *old* became *new* at *place*."""
        identity = next((names for names in _IDENTITIES if _identifies(names, old) and _identifies(names, new)), None)
        before: _Placed
        after: _Placed
        if identity is None:
            before, after = _by_place(old.elements, new.elements)
        else:
            before = [(_identify(identity, node), node) for node in old.elements]
            after = [(_identify(identity, node), node) for node in new.elements]
        olds, news = dict(before), dict(after)
        gone = [part for part in olds if part not in news]
        come = [part for part in news if part not in olds]
        # One whose identity changed is the one that stands in its place.
        paired = dict(zip(come, gone, strict=True)) if identity and len(gone) == len(come) else {}
        seen = len(self.found) + self.more
        for index, (part, node) in enumerate(after):
            was = olds.get(paired.get(part, part))
            if was is None:
                self._whole(Step.ADDED, self._element(place, part, node, index, new), node)
            elif was.mark != node.mark:
                self.nodes(was, node, self._element(place, part, node, index, new), depth + 1)
        kept = {*news, *paired.values()}
        for index, (part, node) in enumerate(before):
            if part not in kept:
                self._whole(Step.REMOVED, self._element(place, part, node, index, old), node)
        if seen == len(self.found) + self.more and old.note == new.note:
            self._add(KeyChange(Step.REORDERED, place.label))

    def _below(self, place: _Place, key: str, table: Table) -> _Place:
        if self.more:
            # Only counted: how it would be shown is too much work.
            return place
        keys = (*place.keys, key)
        label = f"{place.label}.{key_label(key)}" if place.label else key_label(key)
        return _Place(label, keys, key, is_secret_key(key) or self._matches(keys) or _is_named_secret(key, table))

    def _element(self, place: _Place, part: _Part, node: Node, index: int, row: Row) -> _Place:
        if self.more:
            return place
        keys = place.keys if row.documents else (*place.keys, "*")
        return _Place(f"{place.label}[{_label(part, node, index)}]", keys, place.key, self._matches(keys))

    def _matches(self, keys: tuple[str, ...]) -> bool:
        return any(
            len(pattern) == len(keys)
            and all(part in {"*", key} or key == "*" for part, key in zip(pattern, keys, strict=True))
            for pattern in self._patterns
        )


def _documents(node: Node) -> Row:
    return node if isinstance(node, Row) and node.documents else Row([node], documents=True)


def _same_but_note(old: Leaf, new: Leaf) -> bool:
    # A tag is part of what a value means; an anchor is only a name for it.
    return (old.text, old.string, old.tag) == (new.text, new.string, new.tag)


def _by_place(old: list[Node], new: list[Node]) -> tuple[_Placed, _Placed]:
    """Return both lists with the places that count as the same: what both begin and end with is not shifted."""
    first, end = 0, 0
    shorter = min(len(old), len(new))
    while first < shorter and old[first].mark == new[first].mark:
        first += 1
    while end < shorter - first and old[-1 - end].mark == new[-1 - end].mark:
        end += 1
    inner = max(len(old), len(new)) - end

    def placed(nodes: list[Node]) -> _Placed:
        kept = len(nodes) - end
        return [(index if index < kept else index - kept + inner, node) for index, node in enumerate(nodes)]

    return placed(old), placed(new)


def _identifies(names: tuple[str, ...], row: Row) -> bool:
    """Return whether *names* tell all elements of *row* apart."""
    seen = set()
    for node in row.elements:
        found = _identify(names, node)
        if not found or found in seen:
            return False
        seen.add(found)
    return True


def _identify(names: tuple[str, ...], node: Node) -> str:
    """Return what *names* are in *node*; empty if it lacks one."""
    found = []
    for name in names:
        part: Node | None = node
        for key in name.split("."):
            part = part.entries.get(key) if isinstance(part, Table) else None
        if not isinstance(part, Leaf) or not part.text:
            return ""
        found.append(part.text)
    return "/".join(found)


def _label(part: _Part, node: Node, index: int) -> str:
    """Return how an element is called: by its name, by what identifies it, or by its place."""
    if isinstance(node, Table) and isinstance(part, str):
        for name in _NAMES:
            named = node.entries.get(name)
            if isinstance(named, Leaf) and (label := name_label(named.text)):
                return label
        return name_label(part) or str(index)
    return str(index)


def _is_named_secret(key: str, table: Table) -> bool:
    """Return whether *key* is the value of a pair such as ``name: API_KEY, value: …``."""
    if key.lower() not in _NAMED:
        return False
    named = (node for name, node in table.entries.items() if name.lower() in _NAMING)
    return any(isinstance(node, Leaf) and is_secret_key(node.text) for node in named)
